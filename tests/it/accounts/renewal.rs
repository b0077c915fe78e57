//! Renewal of a signed-in user's tokens before their end, and what becomes of failures: a refresh token is sent once, and a valid
//! access token is never taken away.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{ANA, EXPIRED, ORDERS, PATIENCE, Plan, Stage, id};
use crate::support::{Answer, eventually};

/// Signs a user in, and lets the time come at which the token, which lives 10,000 seconds, is to be renewed.
async fn due(stage: &Stage, app: &str, scopes: &str, user: &str) -> Answer {
    let rule = json!({"on": {"grant_type": "authorization_code"}, "do": {"expires_in": 10_000, "set": {"refresh_in": 1000}}});
    stage.emulator.script(rule).await;
    let signed = stage.sign_in(0, app, scopes, user).await;
    // Every replica has it in memory.
    for replica in 0..stage.replicas.len() {
        assert_eq!(stage.silent(replica, app, id(&signed), scopes).await.token(), signed.token());
    }
    stage.later(1000);
    signed
}

#[tokio::test]
async fn cch_12_callers_are_served_at_once_and_one_renewal_runs_in_the_fleet() {
    for stage in Stage::both().await {
        let signed = due(&stage, "web", ORDERS, ANA).await;
        stage.on_refresh(0, json!({"hold": true})).await;
        let count = stage.replicas.len();
        let all = join_all((0..20).map(|index| stage.silent(index % count, "web", id(&signed), ORDERS)));
        for answer in tokio::time::timeout(PATIENCE, all).await.expect("answers while the renewal is held") {
            assert_eq!((answer.token(), answer.member("cache_level")), (signed.token(), "memory"));
        }
        stage.emulator.asked_times("token", 2).await;
        stage.emulator.release().await;
        for replica in 0..count {
            let renewed = async || stage.silent(replica, "web", id(&signed), ORDERS).await.token() != signed.token();
            eventually(PATIENCE, renewed).await;
            assert_eq!(stage.silent(replica, "web", id(&signed), ORDERS).await.member("refresh_reason"), "not_applicable");
        }
        assert_eq!(stage.calls().await, 2);
    }
}

/// The renewal fails like this: the token is served to its end, then this comes.
async fn fails(rule: Value, status: u16, error: &str) {
    for stage in Stage::both().await {
        let signed = due(&stage, "web", ORDERS, ANA).await;
        stage.on_refresh(0, rule.clone()).await;
        for _ in 0..3 {
            let answer = stage.silent(0, "web", id(&signed), ORDERS).await;
            assert_eq!((answer.token(), answer.source()), (signed.token(), "cache"));
        }
        stage.emulator.asked_times("token", 2).await;
        // Once it is known to fail, nobody asks while that is remembered.
        let failed = "tokend_refreshes_total{app=\"web\",flow=\"silent\",outcome=";
        eventually(PATIENCE, async || stage.replicas[0].admin.get("/metrics").await.text.contains(failed)).await;
        for _ in 0..5 {
            assert_eq!(stage.silent(0, "web", id(&signed), ORDERS).await.token(), signed.token());
        }
        assert_eq!(stage.calls().await, 2);
        stage.later(10_000 - 1000 - 301);
        assert_eq!(stage.silent(stage.last(), "web", id(&signed), ORDERS).await.token(), signed.token(), "its last second");
        stage.later(EXPIRED);
        stage.silent(0, "web", id(&signed), ORDERS).await.refused(status, error, "");
        // The account is still known: whoever is not the user cannot sign it out.
        assert_eq!(stage.account(stage.last(), "web", id(&signed)).await.status, 200);
    }
}

#[tokio::test]
async fn cch_13_a_renewal_that_meets_a_5xx_takes_nothing_away() {
    fails(json!({"aadsts": 90033}), 503, "temporarily_unavailable").await;
}

#[tokio::test]
async fn cch_13_a_renewal_that_is_refused_takes_nothing_away_until_the_end() {
    fails(json!({"aadsts": 50173}), 401, "invalid_grant").await;
}

#[tokio::test]
async fn a_challenge_reaches_the_caller() {
    let stage = Stage::memory().await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    stage.on_refresh(1, json!({"aadsts": 50076})).await;
    stage.later(EXPIRED);
    let refused = stage.silent(0, "web", id(&signed), ORDERS).await;
    refused.refused(401, "interaction_required", "sign in");
    assert!(refused.member("claims").contains("access_token"), "{}", refused.text);
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains("insufficient_claims") && challenge.contains("authorization_uri="), "{challenge}");
}

/// An expired token whose refresh meets this: 503, sent once and not again by itself, and the next attempt is the caller's.
async fn unknown_outcome(stage: Stage, app: &str, scopes: &str, user: &str, effect: Value, retryable: bool) {
    let signed = stage.sign_in(0, app, scopes, user).await;
    stage.later(EXPIRED);
    stage.on_refresh(1, effect).await;
    let refused = stage.silent(0, app, id(&signed), scopes).await;
    refused.refused(503, "authority_unavailable", "");
    assert_eq!(refused.json["retryable"], retryable, "{}", refused.text);
    assert_eq!(refused.member("detail").contains("not known"), !retryable, "{}", refused.text);
    assert_eq!(stage.sent().await.len(), 1, "a refresh token is sent once");
    // Whoever comes at once is told the same, and nothing is sent.
    stage.silent(0, app, id(&signed), scopes).await.refused(503, "authority_unavailable", "");
    assert_eq!(stage.sent().await.len(), 1);
    // What replicas share of it ends by the time of Redis, which is not the clock's.
    let last = stage.last();
    eventually(PATIENCE, async || {
        stage.later(2);
        stage.silent(last, app, id(&signed), scopes).await.status == 200
    })
    .await;
    assert_eq!(stage.sent().await.len(), 2);
}

#[tokio::test]
async fn a_connection_that_breaks_is_503_and_nothing_is_repeated() {
    for stage in Stage::both().await {
        unknown_outcome(stage, "web", ORDERS, ANA, json!({"close": true}), true).await;
    }
    for stage in Stage::both().await {
        unknown_outcome(stage, "shop-offline", "orders.read", "eva", json!({"close": true}), false).await;
    }
}

#[tokio::test]
async fn a_refresh_without_an_answer_is_503_and_nothing_is_repeated() {
    let patient = || Stage::made(Plan { timeout: "2s", ..Plan::default() });
    let (entra, shop) = tokio::join!(patient(), patient());
    let entra = unknown_outcome(entra, "web", ORDERS, ANA, json!({"hang": true}), true);
    let shop = unknown_outcome(shop, "shop-offline", "orders.read", "eva", json!({"hang": true}), false);
    tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(entra, shop) }).await.expect("an end");
}

#[tokio::test]
async fn an_answer_that_is_no_good_still_brings_the_next_refresh_token() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "shop-offline", "orders.read", "eva").await;
        stage.on_refresh(1, json!({"set": {"token_type": "other"}})).await;
        stage.later(EXPIRED);
        let refused = stage.silent(0, "shop-offline", id(&signed), "orders.read").await;
        refused.refused(502, "invalid_authority_response", "token_type");
        // Each further one would cost a refresh token.
        for _ in 0..3 {
            let held = stage.silent(0, "shop-offline", id(&signed), "orders.read").await;
            held.refused(502, "invalid_authority_response", "token_type");
        }
        assert_eq!(stage.sent().await.len(), 1);
        stage.later(60);
        assert_eq!(stage.silent(stage.last(), "shop-offline", id(&signed), "orders.read").await.source(), "identity_provider");
        let sent = stage.sent().await;
        assert!(sent.len() == 2 && sent[0] != sent[1], "the first one was spent");
    }
}
