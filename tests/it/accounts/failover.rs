//! A failover to a replica that has not got the last writes: who was signed out stays so, and no refresh token is sent twice.

use futures_util::future::join_all;
use tokend::clock::Clock;

use super::{PATIENCE, Plan, Stage, id, shop};
use crate::support::redis::Sentinel;
use crate::support::{Answer, eventually, times};

/// How many users there are in one failover.
const USERS: usize = 20;

/// One failover. Half of the users are signed out and the other half renewed when nobody replicates that any more.
async fn fails_over() {
    let mut group = Sentinel::start().await;
    let place = format!("sentinel: {{master: {}, urls: [\"{}\"]}}", group.master_name(), group.urls().join("\", \""));
    let (directory, names) = shop(USERS);
    let urls = vec![place; 2];
    let mut stage = Stage::made(Plan { urls, directory: Some(directory), clock: Some(Clock::system()), ..Plan::default() }).await;
    let users: Vec<Answer> =
        join_all(names.iter().enumerate().map(|(index, name)| stage.sign_in(index % 2, "shop-offline", "orders.read", name))).await;
    for user in join_all(users.iter().enumerate().map(|(index, user)| stage.forced(index % 2, id(user)))).await {
        assert_eq!(user.source(), "identity_provider");
    }
    group.in_sync().await;
    group.hold_replication().await;
    let (stay, leave) = users.split_at(USERS / 2);
    for user in join_all(stay.iter().enumerate().map(|(index, user)| stage.forced(index % 2, id(user)))).await {
        assert_eq!(user.source(), "identity_provider");
    }
    for gone in join_all(leave.iter().enumerate().map(|(index, user)| stage.sign_out(index % 2, "shop-offline", id(user)))).await {
        assert_eq!(gone.status, 204, "{}", gone.text);
    }
    let old = group.kill_master().await;
    // All the time: each replica for users of its own and of the other's.
    let told = async || {
        let mut well = 0;
        for replica in [1, 0] {
            for answer in join_all(leave.iter().map(|user| stage.forced(replica, id(user)))).await {
                assert!(matches!(answer.status, 401 | 503), "who was signed out is back: {}", answer.text);
                well += usize::from(answer.status == 401);
            }
            for answer in join_all(stay.iter().map(|user| stage.forced(replica, id(user)))).await {
                assert!(matches!(answer.status, 200 | 503 | 504), "{}", answer.text);
                well += usize::from(answer.status == 200);
            }
        }
        stage.sent_each_once().await;
        well == 2 * USERS
    };
    eventually(PATIENCE, told).await;
    group.failed_over_from(old).await;
    // Nobody who starts now finds anything of before.
    let new = stage.join().await;
    for user in leave {
        stage.forced(new, id(user)).await.refused(401, "no_tokens_found", "");
    }
    for user in stay {
        assert_eq!(stage.forced(new, id(user)).await.source(), "identity_provider");
    }
    stage.sent_each_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_loses_the_last_writes_undoes_no_sign_out_and_revokes_nobody() {
    for _ in 0..times(1).div_ceil(USERS) {
        fails_over().await;
    }
}
