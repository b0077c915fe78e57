//! A failover to a replica that has not got the last writes: who was signed out stays so, and no refresh token is sent twice.

use futures_util::future::join_all;
use tokend::clock::Clock;

use super::{PATIENCE, Plan, Stage, id, shop};
use crate::support::redis::{Cluster, Sentinel};
use crate::support::{Answer, eventually, times};

/// How many users there are in one failover.
const USERS: usize = 20;

fn behind(group: &Sentinel) -> String {
    format!("sentinel: {{master: {}, urls: [\"{}\"]}}", group.master_name(), group.urls().join("\", \""))
}

/// Two replicas, and users half of whom signed in at each; every refresh token has been used once.
async fn signed_in(place: String) -> (Stage, Vec<Answer>) {
    let (directory, names) = shop(USERS);
    let urls = vec![place; 2];
    let stage = Stage::made(Plan { urls, directory: Some(directory), clock: Some(Clock::system()), ..Plan::default() }).await;
    let users: Vec<Answer> =
        join_all(names.iter().enumerate().map(|(index, name)| stage.sign_in(index % 2, "shop-offline", "orders.read", name))).await;
    for user in join_all(users.iter().enumerate().map(|(index, user)| stage.forced(index % 2, id(user)))).await {
        assert_eq!(user.source(), "identity_provider");
    }
    (stage, users)
}

/// Renews some and signs out the others, each at the replica where they signed in.
async fn change(stage: &Stage, stay: &[Answer], leave: &[Answer]) {
    for user in join_all(stay.iter().enumerate().map(|(index, user)| stage.forced(index % 2, id(user)))).await {
        assert_eq!(user.source(), "identity_provider");
    }
    for gone in join_all(leave.iter().enumerate().map(|(index, user)| stage.sign_out(index % 2, "shop-offline", id(user)))).await {
        assert_eq!(gone.status, 204, "{}", gone.text);
    }
}

/// Asks for everybody at these replicas, and says how many got what is right by then. Nothing that is wrong ever comes.
async fn told(stage: &Stage, replicas: &[usize], stay: &[Answer], leave: &[Answer]) -> usize {
    let mut well = 0;
    for replica in replicas {
        for answer in join_all(leave.iter().map(|user| stage.forced(*replica, id(user)))).await {
            assert!(matches!(answer.status, 401 | 503), "who was signed out is back: {}", answer.text);
            well += usize::from(answer.status == 401);
        }
        for answer in join_all(stay.iter().map(|user| stage.forced(*replica, id(user)))).await {
            assert!(matches!(answer.status, 200 | 503 | 504), "{}", answer.text);
            well += usize::from(answer.status == 200);
        }
    }
    stage.sent_each_once().await;
    well
}

/// Whoever starts now knows nothing of before.
async fn is_known_to_all(stage: &mut Stage, stay: &[Answer], leave: &[Answer]) {
    eventually(PATIENCE, async || told(stage, &[1, 0], stay, leave).await == 2 * USERS).await;
    let new = stage.join().await;
    for user in leave {
        stage.forced(new, id(user)).await.refused(401, "no_tokens_found", "");
    }
    for user in stay {
        assert_eq!(stage.forced(new, id(user)).await.source(), "identity_provider");
    }
    stage.sent_each_once().await;
}

/// One failover. Half of the users are signed out and the other half renewed when nobody replicates that any more.
async fn fails_over() {
    let mut group = Sentinel::start().await;
    let (mut stage, users) = signed_in(behind(&group)).await;
    group.in_sync().await;
    group.hold_replication().await;
    let (stay, leave) = users.split_at(USERS / 2);
    change(&stage, stay, leave).await;
    let old = group.kill_master().await;
    // From now on, first where nobody knows of what the other replica brought.
    is_known_to_all(&mut stage, stay, leave).await;
    group.failed_over_from(old).await;
    was_lost(&stage).await;
}

async fn was_lost(stage: &Stage) {
    let mut restored = 0.0;
    for (replica, kind) in [(0, "epoch"), (0, "sign_in"), (1, "epoch"), (1, "sign_in")] {
        restored += stage.restored(replica, kind).await;
    }
    assert!(restored >= 1.0, "nothing was lost");
}

/// A failover in a cluster, of a master whose loss breaks nobody's subscription.
async fn fails_over_in_a_cluster() {
    let mut cluster = Cluster::start().await;
    let (mut stage, users) = signed_in(format!("cluster: {{urls: [\"{}\"]}}", cluster.urls().join("\", \""))).await;
    let (stay, leave) = users.split_at(USERS / 2);
    cluster.hold_replication().await;
    change(&stage, stay, leave).await;
    cluster.lose_master_beside("tokend:events").await;
    is_known_to_all(&mut stage, stay, leave).await;
    was_lost(&stage).await;
}

/// One routine failover. Half of the users are signed out and the other half renewed while the old master still takes writes.
async fn is_deposed() {
    let mut group = Sentinel::start().await;
    let (mut stage, users) = signed_in(behind(&group)).await;
    group.in_sync().await;
    let old = group.depose_master().await;
    group.failed_over_from(old).await;
    let (stay, leave) = users.split_at(USERS / 2);
    for (index, user) in leave.iter().enumerate() {
        eventually(PATIENCE, async || stage.sign_out(index % 2, "shop-offline", id(user)).await.status == 204).await;
    }
    // Each at the replica that has them: two replicas may see two masters, where nobody can agree on anything.
    let own = |replica: usize| stay.iter().enumerate().filter(move |(index, _)| index % 2 == replica).map(|(_, user)| user);
    let listeners = async |group: &mut Sentinel| {
        let clients = group.master().await.admin().clients().await.unwrap_or_default();
        clients.iter().filter(|line| line.contains(" sub=1 ")).count()
    };
    eventually(PATIENCE, async || {
        // Asked first: what each asks for afterwards is brought to the new master.
        let is_over = group.master().await.client_count().await >= 4 && listeners(&mut group).await == 2;
        for replica in [0, 1] {
            for answer in join_all(own(replica).map(|user| stage.forced(replica, id(user)))).await {
                assert!(matches!(answer.status, 200 | 503 | 504), "{}", answer.text);
            }
            told(&stage, &[replica], &[], leave).await;
        }
        is_over
    })
    .await;
    is_known_to_all(&mut stage, stay, leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_loses_the_last_writes_undoes_no_sign_out_and_revokes_nobody() {
    for _ in 0..times(1).div_ceil(USERS) {
        fails_over().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_in_a_cluster_that_loses_the_last_writes_undoes_no_sign_out_and_revokes_nobody() {
    for _ in 0..times(1).div_ceil(USERS) {
        fails_over_in_a_cluster().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_deposed_and_takes_writes_undoes_no_sign_out_and_revokes_nobody() {
    for _ in 0..times(1).div_ceil(USERS) {
        is_deposed().await;
    }
}
