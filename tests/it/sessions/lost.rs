//! Three replicas and one session whose refresh token is good for one use: whatever happens to Redis in mid-call, no refresh token
//! is sent twice, and the session survives. `TOKEND_TIMES` says how often each of this is tried.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokend::clock::Clock;

use super::{ISSUER, PATIENCE, Plan, Stage};
use crate::support::redis::{RedisServer, Sentinel};
use crate::support::{Fault, eventually, times};

/// How many sessions there are in one failover.
const SESSIONS: usize = 10;
/// How many replicas.
const REPLICAS: usize = 3;

impl Stage {
    /// No refresh token was sent twice.
    async fn sent_each_once(&self) {
        let sent = self.sent().await;
        let different: HashSet<_> = sent.iter().collect();
        assert_eq!(different.len(), sent.len(), "one was sent twice");
    }

    /// Every replica continues the session by its refresh token, sooner or later, and is never told that it is void.
    async fn survives(&self, key: &str) {
        for replica in 0..self.replicas.len() {
            eventually(PATIENCE, async || {
                self.tick();
                let answer = self.forced(replica, ISSUER, key).await;
                assert!([200, 503, 504].contains(&answer.status), "the family was revoked: {}", answer.text);
                answer.status == 200
            })
            .await;
        }
        self.sent_each_once().await;
    }

    /// All replicas continue these sessions at the same time, while `meanwhile` happens as soon as each session's refresh token is
    /// on its way. Then the authority answers.
    async fn in_mid_call(&self, keys: &[String], meanwhile: impl Future<Output = ()>) {
        let sent = self.sent().await.len();
        let hold = json!({"on": {"grant_type": "refresh_token"}, "times": keys.len(), "do": {"hold": true}});
        self.emulator.script(hold).await;
        let requests = keys.iter().flat_map(|key| (0..self.replicas.len()).map(move |replica| self.forced(replica, ISSUER, key)));
        let (answers, ()) = tokio::join!(join_all(requests), async {
            eventually(PATIENCE, async || self.sent().await.len() >= sent + keys.len()).await;
            meanwhile.await;
            self.emulator.unscript().await;
        });
        for answer in answers {
            assert!([200, 503, 504].contains(&answer.status), "{}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_continuations_with_ended_tokens_send_each_refresh_token_once() {
    let stage = Stage::sharing(REPLICAS).await;
    let (_, key) = stage.begun(0, ISSUER, "new").await;
    for round in 1..=times(3) {
        stage.later(super::EXPIRED);
        let requests = (0..REPLICAS * 4).map(|index| stage.go_on(index % REPLICAS, ISSUER, &key));
        let answers = join_all(requests).await;
        assert!(answers.iter().all(|answer| answer.token() == answers[0].token()), "one token for all");
        assert_eq!(stage.sent().await.len(), round);
    }
    stage.sent_each_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_survives_a_redis_that_is_frozen_in_mid_call() {
    let mut stage = Stage::sharing(REPLICAS).await;
    for round in 0..times(2) {
        let (_, key) = stage.begun(round % REPLICAS, ISSUER, "new").await;
        // Too short to be noticed, and long enough that calls give up.
        let frozen = Duration::from_millis(if round % 2 == 0 { 300 } else { 2500 });
        let mut redis = stage.redis.take().expect("a Redis");
        stage
            .in_mid_call(std::slice::from_ref(&key), async {
                redis.freeze();
                stage.emulator.release().await;
                tokio::time::sleep(frozen).await;
                redis.thaw();
            })
            .await;
        stage.redis = Some(redis);
        stage.survives(&key).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_survives_a_replica_that_is_cut_off_in_mid_call() {
    let redis = RedisServer::start().await;
    let mut faults = Vec::new();
    for _ in 0..REPLICAS {
        faults.push(Fault::to(format!("127.0.0.1:{}", redis.port())).await);
    }
    let urls = faults.iter().map(|fault| format!("redis://{}", fault.address())).collect();
    let stage = Stage::made(Plan { redis: Some(redis), urls, ..Plan::default() }).await;
    for round in 0..times(2) {
        let (_, key) = stage.begun(round % REPLICAS, ISSUER, "new").await;
        stage
            .in_mid_call(std::slice::from_ref(&key), async {
                // One of them or all, and whoever is sending is among those that are cut off, or is not.
                let cut: Vec<&Fault> = faults
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| round % 4 == 3 || *at == round % 3)
                    .map(|(_, fault)| fault)
                    .collect();
                cut.iter().for_each(|fault| fault.cut());
                stage.emulator.release().await;
                tokio::time::sleep(Duration::from_millis(200)).await;
                cut.iter().for_each(|fault| fault.pass());
            })
            .await;
        stage.survives(&key).await;
    }
}

/// One failover, in which the last writes are lost: also who is sending, and what came back.
async fn fails_over() {
    let mut group = Sentinel::start().await;
    let place = format!("sentinel: {{master: {}, urls: [\"{}\"]}}", group.master_name(), group.urls().join("\", \""));
    let stage = Stage::made(Plan { urls: vec![place; REPLICAS], clock: Some(Clock::system()), ..Plan::default() }).await;
    let mut keys = Vec::new();
    for session in 0..SESSIONS {
        keys.push(stage.begun(session % REPLICAS, ISSUER, "new").await.1);
    }
    group.in_sync().await;
    group.hold_replication().await;
    let mut old = 0;
    stage.in_mid_call(&keys, async { old = group.kill_master().await }).await;
    for key in &keys {
        stage.survives(key).await;
    }
    group.failed_over_from(old).await;
    for key in &keys {
        stage.survives(key).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_survive_a_failover_in_mid_call() {
    for _ in 0..times(1).div_ceil(SESSIONS) {
        fails_over().await;
    }
}
