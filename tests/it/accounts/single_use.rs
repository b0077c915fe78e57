//! Refresh tokens that are good for one use: the realm of the emulator rotates them, and a second use ends the session.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::json;

use super::{EXPIRED, PATIENCE, Plan, Stage, id};
use crate::support::redis::RedisServer;
use crate::support::{Fault, eventually};

const ALL: &str = "orders.read orders.write stock.read";
const PARTS: [&str; 6] =
    ["orders.read", "orders.write", "stock.read", "orders.read orders.write", "orders.read stock.read", "orders.write stock.read"];

/// Every refresh token was sent once.
async fn were_used_once(stage: &Stage, count: usize) {
    let sent = stage.sent().await;
    assert_eq!(sent.len(), count);
    assert_eq!(sent.iter().collect::<HashSet<_>>().len(), count, "one was sent twice");
}

#[tokio::test]
async fn concurrent_requests_for_different_scopes_use_each_refresh_token_once() {
    for stage in [Stage::memory().await, Stage::sharing(3).await] {
        let replicas = stage.replicas.len();
        let signed = stage.sign_in(0, "shop-offline", ALL, "eva").await;
        let requests = (0..PARTS.len() * 3)
            .map(|index| stage.silent((index / PARTS.len()) % replicas, "shop-offline", id(&signed), PARTS[index % PARTS.len()]));
        let answers = join_all(requests).await;
        for (index, answer) in answers.iter().enumerate() {
            assert_eq!(answer.token(), answers[index % PARTS.len()].token(), "one token for all who ask the same");
        }
        were_used_once(&stage, PARTS.len()).await;
        // And again, all of them having ended.
        stage.later(EXPIRED);
        let requests =
            (0..PARTS.len()).map(|index| stage.silent(index % replicas, "shop-offline", id(&signed), PARTS[index % PARTS.len()]));
        for answer in join_all(requests).await {
            assert_eq!(answer.source(), "identity_provider");
        }
        were_used_once(&stage, 2 * PARTS.len()).await;
    }
}

#[tokio::test]
async fn two_accounts_do_not_wait_for_each_other() {
    let stage = Stage::sharing(2).await;
    let (eva, sam) = (stage.sign_in(0, "shop-offline", ALL, "eva").await, stage.sign_in(0, "shop-offline", ALL, "sam").await);
    stage.emulator.script(json!({"on": {"grant_type": "refresh_token", "user": "eva"}, "do": {"hold": true}})).await;
    let held = stage.silent(0, "shop-offline", id(&eva), "orders.read");
    let free = async {
        stage.emulator.asked_times("token", 3).await;
        let free = stage.silent(0, "shop-offline", id(&sam), "orders.read").await;
        assert_eq!(free.source(), "identity_provider");
        stage.emulator.release().await;
    };
    let (held, ()) = tokio::join!(held, free);
    held.token();
}

/// Whoever waited for the account finds what failed meanwhile, and sends nothing.
#[tokio::test]
async fn those_who_wait_for_a_refresh_that_fails_send_nothing_of_their_own() {
    for stage in [Stage::memory().await, Stage::sharing(1).await] {
        let signed = stage.sign_in(0, "shop-offline", ALL, "eva").await;
        let calls = stage.calls().await;
        stage
            .emulator
            .script(json!({"on": {"grant_type": "refresh_token"}, "times": 0, "do": {"hold": true, "close": true}}))
            .await;
        let asked = join_all(PARTS.iter().map(|part| stage.silent(0, "shop-offline", id(&signed), part)));
        let (answers, ()) = tokio::join!(asked, async {
            stage.emulator.asked_times("token", calls + 1).await;
            let all_wait = f64::from(u32::try_from(PARTS.len()).expect("a few"));
            eventually(PATIENCE, async || stage.metric(0, "tokend_flights").await == all_wait).await;
            stage.emulator.release().await;
        });
        for answer in answers {
            assert_eq!(answer.status, 503, "{}", answer.text);
        }
        assert_eq!(stage.calls().await, calls + 1);
    }
}

#[tokio::test]
async fn while_redis_is_away_a_valid_token_is_served_and_nothing_is_sent() {
    let redis = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", redis.port())).await;
    let urls = vec![format!("redis://{}", fault.address())];
    let stage = Stage::made(Plan { redis: Some(redis), urls, ..Plan::default() }).await;
    let signed = stage.sign_in(0, "shop-offline", ALL, "eva").await;
    fault.cut();
    for _ in 0..8 {
        assert_eq!(stage.silent(0, "shop-offline", id(&signed), ALL).await.token(), signed.token());
        let refused = stage.silent(0, "shop-offline", id(&signed), "orders.read").await;
        refused.refused(503, "cache_unavailable", "");
        assert_eq!(refused.json["retryable"], true);
    }
    stage.later(EXPIRED);
    stage.silent(0, "shop-offline", id(&signed), ALL).await.refused(503, "cache_unavailable", "");
    stage.account(0, "shop-offline", id(&signed)).await.refused(503, "cache_unavailable", "");
    stage.client(0).get("/accounts?app=shop-offline").await.refused(503, "cache_unavailable", "");
    assert_eq!(stage.sent().await, [""; 0]);
    fault.pass();
    eventually(PATIENCE, async || {
        stage.tick();
        stage.silent(0, "shop-offline", id(&signed), ALL).await.status == 200
    })
    .await;
    were_used_once(&stage, 1).await;
}

#[tokio::test]
async fn where_they_can_be_used_again_the_flow_goes_on_without_redis() {
    let redis = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", redis.port())).await;
    let urls = vec![format!("redis://{}", fault.address())];
    let stage = Stage::made(Plan { redis: Some(redis), urls, ..Plan::default() }).await;
    let signed = stage.sign_in(0, "web", super::ORDERS, super::ANA).await;
    fault.cut();
    stage.later(EXPIRED);
    let alone = stage.silent(0, "web", id(&signed), super::ORDERS).await;
    assert_eq!(alone.source(), "identity_provider");
    assert_eq!(stage.silent(0, "web", id(&signed), super::ORDERS).await.token(), alone.token());
    assert_eq!(stage.calls().await, 2);
}

/// A refresh under way when Redis stops taking writes: its refresh token is in this replica's memory alone, and must get out.
#[tokio::test]
async fn a_refresh_token_that_could_not_be_stored_is_not_lost() {
    let stage = Stage::sharing(2).await;
    let signed = stage.sign_in(0, "shop-offline", ALL, "eva").await;
    stage.on_refresh(1, json!({"hold": true})).await;
    let (answer, ()) = tokio::join!(stage.silent(0, "shop-offline", id(&signed), "orders.read"), async {
        stage.emulator.asked_times("token", 2).await;
        stage.redis().admin().ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await.expect("a full server");
        stage.emulator.release().await;
    });
    answer.token();
    // Reading meanwhile what stands in Redis must not bring the spent one back.
    for _ in 0..3 {
        let account = stage.account(0, "shop-offline", id(&signed)).await;
        assert!(matches!(account.status, 200 | 503), "{}", account.text);
    }
    stage.silent(0, "shop-offline", id(&signed), "stock.read").await.refused(503, "cache_unavailable", "");
    stage.redis().admin().ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await.expect("room");
    let stored = "tokend_cache_pushed_back_total{outcome=\"stored\"}";
    eventually(PATIENCE, async || {
        stage.tick();
        stage.metric(0, stored).await >= 1.0
    })
    .await;
    let next = stage.silent(1, "shop-offline", id(&signed), "stock.read").await;
    assert_eq!(next.source(), "identity_provider");
    were_used_once(&stage, 2).await;
}
