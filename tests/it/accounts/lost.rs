//! What Redis loses, a replica that knows it brings back: a sign-out stays one, and a sign-in and the newest refresh token stay
//! what they are. `TOKEND_TIMES` says how often each of this is tried.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use super::{ANA, BEN, EXPIRED, ORDERS, PATIENCE, Plan, Stage, USER_READ, id, is_unknown, shop};
use crate::support::redis::{Cluster, RedisServer};
use crate::support::{Answer, Fault, eventually, times};

const RECEIVED: &str = "tokend_cache_invalidations_total{direction=\"received\",kind=\"signed_out\"}";
const FORCED: &str = "force_refresh";

impl Stage {
    /// Signs out at a replica, and waits until another one has heard of it.
    async fn signed_out(&self, here: usize, there: usize, app: &str, account: &str) {
        let heard = self.metric(there, RECEIVED).await;
        assert_eq!(self.sign_out(here, app, account).await.status, 204);
        eventually(PATIENCE, async || self.metric(there, RECEIVED).await > heard).await;
    }

    /// `POST /silent` for another token than the one that is there.
    pub(super) async fn forced(&self, replica: usize, account: &str) -> Answer {
        self.silent_with(replica, "shop-offline", account, "orders.read", json!({FORCED: true})).await
    }

    /// No refresh token was sent twice.
    pub(super) async fn sent_each_once(&self) {
        let sent = self.sent().await;
        let different: HashSet<_> = sent.iter().collect();
        assert_eq!(different.len(), sent.len(), "one was sent twice");
    }

    /// Either replica renews the sign-in, sooner or later and without a used refresh token, until the user is signed out.
    async fn serves_until_signed_out(&self, account: &str) {
        for replica in [0, 1] {
            eventually(PATIENCE, async || {
                self.tick();
                let answer = self.forced(replica, account).await;
                assert!([200, 503].contains(&answer.status), "the family was revoked: {}", answer.text);
                answer.status == 200
            })
            .await;
        }
        self.sent_each_once().await;
        self.signed_out(0, 1, "shop-offline", account).await;
    }

    /// How much of a kind a replica has brought back.
    pub(super) async fn restored(&self, replica: usize, kind: &str) -> f64 {
        self.metric(replica, &format!("tokend_cache_restored_total{{kind=\"{kind}\"}}")).await
    }

    /// Deletes what Redis has of epochs, as an eviction would.
    async fn without_epochs(&self) {
        for key in self.keys("}:e").await {
            self.redis().admin().ask::<()>(&["DEL", &key]).await.expect("gone");
        }
    }
}

/// Two replicas over one Redis, and so many users of the shop.
async fn shop_sharing(users: usize) -> (Stage, Vec<String>) {
    let (directory, names) = shop(users);
    let redis = RedisServer::start().await;
    let urls = vec![redis.url(); 2];
    (Stage::made(Plan { redis: Some(redis), urls, directory: Some(directory), ..Plan::default() }).await, names)
}

#[tokio::test]
async fn after_a_flush_sign_outs_and_sign_ins_are_there_again_without_anybody_asking() {
    let mut stage = Stage::sharing(2).await;
    for round in 0..times(2) {
        let (ana, ben) = (stage.sign_in(0, "web", ORDERS, ANA).await, stage.sign_in(0, "web", ORDERS, BEN).await);
        stage.signed_out(0, 1, "web", id(&ben)).await;
        stage.redis().flush().await;
        // The other one has signed out, too, from the second time on.
        let there = (1 + round.min(1), 1);
        eventually(PATIENCE, async || (stage.keys("}:e").await.len(), stage.keys("}:a").await.len()) == there).await;
        assert!(stage.restored(0, "epoch").await + stage.restored(1, "epoch").await >= 1.0);
        assert!(stage.restored(0, "sign_in").await >= 1.0, "who brought it brings it again");
        if round == 0 {
            // Also to somebody who knows nothing.
            stage.join().await;
        }
        stage.later(EXPIRED);
        for replica in 0..stage.replicas.len() {
            is_unknown(&stage.silent(replica, "web", id(&ben), ORDERS).await, &stage.account(replica, "web", id(&ben)).await);
            assert_eq!(stage.silent(replica, "web", id(&ana), ORDERS).await.status, 200);
            assert_eq!(stage.listed(replica, "web").await, [id(&ana)]);
        }
        assert_eq!(stage.sign_out(0, "web", id(&ana)).await.status, 204);
    }
}

/// The server starts again with a snapshot in which one user is still signed in and the other one's refresh token is a used one.
#[tokio::test]
async fn an_older_snapshot_undoes_no_sign_out_and_brings_no_used_refresh_token() {
    let (mut stage, names) = shop_sharing(8).await;
    let rounds = times(8).div_ceil(8);
    for _ in 0..rounds {
        let mut users = Vec::new();
        for name in &names {
            users.push(stage.sign_in(0, "shop-offline", "orders.read", name).await);
        }
        stage.redis().save().await;
        let (stay, leave) = users.split_at(4);
        for user in stay {
            assert_eq!(stage.forced(0, id(user)).await.source(), "identity_provider");
        }
        for user in leave {
            stage.signed_out(0, 1, "shop-offline", id(user)).await;
        }
        stage.redis.as_mut().expect("a Redis").restart().await;
        // At once, and first where nobody knows of the new ones.
        for replica in [1, 0] {
            for (index, user) in users.iter().enumerate() {
                let mut answer = None;
                eventually(PATIENCE, async || {
                    stage.tick();
                    answer = Some(stage.forced(replica, id(user)).await);
                    answer.as_ref().is_some_and(|answer| answer.status != 503)
                })
                .await;
                let answer = answer.expect("an answer");
                assert_eq!(answer.status, if index < 4 { 200 } else { 401 }, "{}", answer.text);
            }
        }
        stage.sent_each_once().await;
        for user in stay {
            stage.signed_out(0, 1, "shop-offline", id(user)).await;
        }
    }
}

/// The sign-out fails because Redis is gone, and it comes back empty: the replica that brought the sign-in first brings it again,
/// and the one that renewed it must still know the successor.
#[tokio::test]
async fn a_sign_out_that_fails_forgets_no_successor() {
    let (mut stage, names) = shop_sharing(1).await;
    for _ in 0..times(2) {
        let user = stage.sign_in(0, "shop-offline", "orders.read", &names[0]).await;
        assert_eq!(stage.forced(1, id(&user)).await.source(), "identity_provider");
        stage.redis.as_mut().expect("a Redis").kill().await;
        assert_eq!(stage.sign_out(1, "shop-offline", id(&user)).await.status, 503);
        stage.redis.as_mut().expect("a Redis").restart().await;
        stage.serves_until_signed_out(id(&user)).await;
    }
}

/// The successor of a refresh token comes after a sign-out that failed, at the replica that could not do it.
#[tokio::test]
async fn a_sign_out_that_fails_loses_no_successor_on_its_way() {
    let (mut stage, names) = shop_sharing(1).await;
    for _ in 0..times(2) {
        let user = stage.sign_in(0, "shop-offline", "orders.read", &names[0]).await;
        let calls = stage.calls().await;
        stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"hold": true}})).await;
        stage.redis().save().await;
        let (client, account) = (stage.replicas[1].client.clone(), id(&user).to_owned());
        let body = json!({"app": "shop-offline", "account": account, "scopes": "orders.read", FORCED: true});
        let mut refresh = tokio::task::JoinSet::new();
        refresh.spawn(async move { client.post("/silent", &body).await });
        stage.emulator.asked_times("token", calls + 1).await;
        stage.redis.as_mut().expect("a Redis").kill().await;
        assert_eq!(stage.sign_out(1, "shop-offline", id(&user)).await.status, 503);
        stage.emulator.release().await;
        let _served_or_not = refresh.join_all().await;
        stage.redis.as_mut().expect("a Redis").restart().await;
        stage.serves_until_signed_out(id(&user)).await;
    }
}

#[tokio::test]
async fn who_signs_in_after_a_sign_out_is_signed_in_whatever_redis_loses() {
    let stage = Stage::sharing(2).await;
    for _ in 0..times(2) {
        for lose in ["epoch", "all"] {
            let old = stage.sign_in(0, "web", ORDERS, ANA).await;
            stage.signed_out(1, 0, "web", id(&old)).await;
            if lose == "all" {
                // Lost before it: whoever brings the new one knows what it comes after.
                stage.redis().flush().await;
            }
            let new = stage.sign_in(0, "web", ORDERS, ANA).await;
            assert_eq!(stage.keys("}:e").await.len(), 1);
            match lose {
                "epoch" => stage.without_epochs().await,
                _ => stage.redis().flush().await,
            }
            for replica in [0, 1] {
                eventually(PATIENCE, async || stage.account(replica, "web", id(&new)).await.status == 200).await;
                let forced = stage.silent_with(replica, "web", id(&new), ORDERS, json!({FORCED: true})).await;
                assert_eq!(forced.source(), "identity_provider");
            }
            eventually(PATIENCE, async || stage.keys("}:e").await.len() == 1).await;
            assert_eq!(stage.account(1, "web", id(&new)).await.status, 200);
            stage.signed_out(1, 0, "web", id(&new)).await;
        }
    }
}

/// Every master has a marker of its own.
#[tokio::test]
async fn a_master_of_a_cluster_that_loses_everything_has_it_again() {
    let mut cluster = Cluster::start().await;
    let place = format!("cluster: {{urls: [\"{}\"]}}", cluster.urls().join("\", \""));
    let (directory, names) = shop(12);
    let stage = Stage::made(Plan { urls: vec![place; 2], directory: Some(directory), ..Plan::default() }).await;
    let count = async |cluster: &mut Cluster, part: &str| {
        let mut count = 0;
        for master in cluster.masters().await {
            count += master.keys().await.iter().filter(|key| key.contains(part)).count();
        }
        count
    };
    eventually(PATIENCE, async || count(&mut cluster, "tokend:m:").await == 16).await;
    for (index, name) in names.iter().enumerate() {
        let signed = stage.sign_in(index % 2, "shop-offline", "orders.read", name).await;
        if index < 6 {
            assert_eq!(stage.sign_out(0, "shop-offline", id(&signed)).await.status, 204);
        }
    }
    let masters = cluster.masters().await.len();
    for _ in 0..times(1).div_ceil(masters) {
        for number in 0..masters {
            cluster.masters().await[number].flush().await;
            eventually(PATIENCE, async || {
                stage.tick();
                (count(&mut cluster, "}:e").await, count(&mut cluster, "}:a").await) == (6, 6)
            })
            .await;
        }
    }
}

/// Where Redis loses an epoch and nothing says so, it is looked after all the same while it may have been a failover.
#[tokio::test]
async fn a_sign_out_is_raised_again_although_nobody_asks_and_nothing_says_that_it_is_lost() {
    let stage = Stage::sharing(2).await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    // The clock is known to the task before anything has an age.
    eventually(PATIENCE, async || stage.keys("tokend:m").await.len() == 1).await;
    stage.signed_out(0, 1, "web", id(&signed)).await;
    for seconds in [20, 14 * 60 - 20] {
        stage.without_epochs().await;
        stage.later(seconds);
        eventually(PATIENCE, async || stage.keys("}:e").await.len() == 1).await;
    }
}

/// Does `work` while the authority holds back its answer, until the user has signed out elsewhere and Redis has lost that.
async fn overtaken(stage: &Stage, app: &str, account: &str, lose_all: bool, work: impl Future<Output = Answer>) -> Answer {
    let calls = stage.calls().await;
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"hold": true}})).await;
    let (answer, ()) = tokio::join!(work, async {
        stage.emulator.asked_times("token", calls + 1).await;
        stage.signed_out(1, 0, app, account).await;
        if lose_all {
            stage.redis().flush().await;
        } else {
            stage.without_epochs().await;
        }
        stage.emulator.release().await;
    });
    answer
}

#[tokio::test]
async fn a_token_under_way_brings_nobody_back_whose_epoch_is_gone() {
    let stage = Stage::sharing(2).await;
    for round in 0..times(4) {
        let signed = stage.sign_in(0, "orders", USER_READ, ANA).await;
        let bearer = stage.emulator.user_token(ANA).await;
        let answer = overtaken(&stage, "orders", id(&signed), round % 2 == 1, stage.obo(0, &bearer)).await;
        // Whoever was waiting may have it: it was asked for before.
        assert_eq!(answer.source(), "identity_provider");
        assert_eq!((stage.tokens().await, stage.keys("}:a").await), (vec![], vec![]));
        for replica in [0, 1] {
            is_unknown(
                &stage.silent(replica, "orders", id(&signed), USER_READ).await,
                &stage.account(replica, "orders", id(&signed)).await,
            );
        }
        let next = stage.obo(0, &bearer).await;
        assert_eq!((next.source(), next.token() == answer.token()), ("identity_provider", false));
        assert_eq!(stage.obo(1, &bearer).await.token(), next.token(), "it is shared as before");
        stage.signed_out(1, 0, "orders", id(&signed)).await;
    }
}

#[tokio::test]
async fn a_refresh_under_way_brings_nobody_back_whose_epoch_is_gone() {
    let stage = Stage::sharing(2).await;
    for round in 0..times(4) {
        for (app, scopes, user) in [("web", ORDERS, ANA), ("shop-offline", "orders.read", "eva")] {
            let signed = stage.sign_in(0, app, scopes, user).await;
            let work = stage.silent_with(0, app, id(&signed), scopes, json!({FORCED: true}));
            let answer = overtaken(&stage, app, id(&signed), round % 2 == 1, work).await;
            answer.refused(401, "no_tokens_found", "sign in");
            for replica in [0, 1] {
                is_unknown(&stage.silent(replica, app, id(&signed), scopes).await, &stage.account(replica, app, id(&signed)).await);
            }
            assert_eq!((stage.tokens().await, stage.keys("}:a").await), (vec![], vec![]));
        }
    }
}

/// What is between Redis and the replica takes its time, so that the sign-out falls into every moment of the call: also between
/// Redis' answer and its arrival.
#[tokio::test]
async fn a_sign_out_at_any_moment_of_a_call_leaves_nothing_of_it() {
    let redis = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", redis.port())).await;
    let urls = vec![format!("redis://{}", fault.address()), redis.url()];
    let stage = Stage::made(Plan { redis: Some(redis), urls, ..Plan::default() }).await;
    let signed = stage.sign_in(1, "orders", USER_READ, ANA).await;
    let account = id(&signed).to_owned();
    let bearer = stage.emulator.user_token(ANA).await;
    let steps = 16;
    fault.delay(Duration::from_millis(20));
    for round in 0..times(steps) {
        // Where something stands, and where nothing does.
        if round % 2 == 0 {
            stage.sign_in(1, "orders", USER_READ, ANA).await;
        }
        let calls = stage.calls().await;
        let (answer, ()) = tokio::join!(stage.obo(0, &bearer), async {
            stage.emulator.asked_times("token", calls + 1).await;
            let pause = 10 * u64::try_from(round % steps).expect("a few");
            tokio::time::sleep(Duration::from_millis(pause)).await;
            assert_eq!(stage.sign_out(round / 2 % 2, "orders", &account).await.status, 204);
        });
        answer.token();
        // It may have been stored before, and gone with the rest; a message may still be on its way.
        let heard = async || {
            let again = stage.obo(0, &bearer).await;
            again.token() != answer.token()
        };
        eventually(Duration::from_secs(1), heard).await;
        assert_ne!(stage.obo(1, &bearer).await.token(), answer.token());
        assert_eq!(stage.sign_out(1, "orders", &account).await.status, 204);
        let sent = RECEIVED.replace("received", "sent");
        eventually(PATIENCE, async || stage.metric(0, RECEIVED).await == stage.metric(1, &sent).await).await;
    }
}

/// Whoever signs out at the same time makes different epochs, and the last of them counts.
#[tokio::test]
async fn sign_outs_at_the_same_time_agree() {
    let stage = Stage::sharing(2).await;
    for _ in 0..times(5) {
        let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
        let all = (0..6).map(|index| stage.sign_out(index % 2, "web", id(&signed)));
        for answer in futures_util::future::join_all(all).await {
            assert_eq!(answer.status, 204, "{}", answer.text);
        }
        let new = stage.sign_in(1, "web", ORDERS, ANA).await;
        for replica in [0, 1] {
            // The last message may be on its way.
            eventually(PATIENCE, async || stage.silent(replica, "web", id(&new), ORDERS).await.token() == new.token()).await;
            assert_eq!(stage.account(replica, "web", id(&new)).await.status, 200);
        }
    }
}
