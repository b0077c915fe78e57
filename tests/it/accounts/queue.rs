//! What waits for Redis is bounded: what can be had again is dropped first, and what cannot is refused before it comes into being.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{ANA, BEN, EXPIRED, ORDERS, PATIENCE, Plan, Stage, USER_READ, id};
use crate::support::eventually;
use crate::support::redis::RedisServer;

const ALL: &str = "orders.read orders.write stock.read";
const BYTES: &str = "tokend_cache_push_back_bytes";
const DROPPED_TOKENS: &str = "tokend_cache_push_back_dropped_total{kind=\"token\"}";
const DROPPED_SIGN_INS: &str = "tokend_cache_push_back_dropped_total{kind=\"sign_in\"}";
const REFUSED: &str = "tokend_cache_push_back_refused_total";

/// Two replicas with the smallest queue there is.
async fn stage() -> Stage {
    let redis = RedisServer::start().await;
    let urls = vec![redis.url(); 2];
    Stage::made(Plan { redis: Some(redis), urls, more: "limits: {queue: 64KiB}\n", ..Plan::default() }).await
}

/// Has Redis take no writes any more, or take them again.
async fn takes_writes(stage: &Stage, yes: bool) {
    let bytes = if yes { "0" } else { "1" };
    stage.redis().admin().ask::<()>(&["CONFIG", "SET", "maxmemory", bytes]).await.expect("a setting");
}

/// Waits until nothing waits any more.
async fn all_brought(stage: &Stage) {
    eventually(PATIENCE, async || {
        stage.tick();
        stage.metric(0, "tokend_cache_push_back_waiting").await < 1.0
    })
    .await;
    assert!(stage.metric(0, BYTES).await < 1.0);
}

#[tokio::test]
async fn a_code_is_refused_before_it_is_sent_and_good_afterwards() {
    let stage = stage().await;
    takes_writes(&stage, false).await;
    let (mut signed, mut refused) = (Vec::new(), None);
    for (number, user) in [ANA, BEN].iter().cycle().take(60).enumerate() {
        brings(&stage, number).await;
        let code = stage.code(0, "web", ORDERS, user).await;
        let calls = stage.calls().await;
        let answer = stage.client(0).post("/auth-code", &code).await;
        if answer.status == 503 {
            answer.refused(503, "overloaded", "`limits.queue`");
            assert_eq!((answer.header("retry-after"), &answer.json["retryable"]), ("1", &json!(true)));
            assert_eq!(stage.calls().await, calls, "it was not sent");
            refused = Some(code);
            break;
        }
        answer.token();
        signed.push(answer);
    }
    let refused = refused.expect("a bound");
    assert!((10..20).contains(&signed.len()), "{}", signed.len());
    assert!(stage.metric(0, BYTES).await <= 65536.0 && stage.metric(0, REFUSED).await >= 1.0);
    assert!(stage.metric(0, DROPPED_TOKENS).await >= 1.0, "tokens make room");
    assert!(stage.metric(0, DROPPED_SIGN_INS).await < 1.0);
    takes_writes(&stage, true).await;
    all_brought(&stage).await;
    // Nobody who was told of a sign-in is lost, and the code that was not sent is good.
    for signed in &signed {
        assert_eq!(stage.account(1, "web", id(signed)).await.status, 200);
    }
    assert_eq!(stage.client(0).post("/auth-code", &refused).await.status, 200);
}

/// The next code brings a refresh token of nearly what one is expected to weigh, for another account each time.
async fn brings(stage: &Stage, number: usize) {
    let info = URL_SAFE_NO_PAD.encode(json!({"uid": format!("user-{number}"), "utid": "tenant"}).to_string());
    let set = json!({"refresh_token": format!("{number}{}", "x".repeat(3420)), "client_info": info});
    stage.emulator.unscript().await;
    stage.emulator.script(json!({"on": {"grant_type": "authorization_code"}, "do": {"set": set}})).await;
}

#[tokio::test]
async fn tokens_are_dropped_and_the_callers_have_them_all_the_same() {
    let stage = stage().await;
    takes_writes(&stage, false).await;
    // Most of the room goes to users who signed in.
    for number in 0..14 {
        brings(&stage, number).await;
        stage.sign_in(0, "web", ORDERS, ANA).await;
    }
    stage.emulator.unscript().await;
    for number in 0..100 {
        let claims = json!({"oid": format!("00000000-0000-4000-8000-{number:012}")});
        let order = json!({"app": "orders-api", "scopes": "access_as_user", "claims": claims});
        let bearer = stage.emulator.mint(order).await;
        assert_eq!(stage.obo(0, &bearer).await.source(), "identity_provider");
        assert_eq!(stage.obo(0, &bearer).await.source(), "cache");
        if stage.metric(0, DROPPED_TOKENS).await > 0.0 {
            break;
        }
    }
    assert!(stage.metric(0, DROPPED_TOKENS).await > 0.0 && stage.metric(0, BYTES).await <= 65536.0);
    // They keep nobody from signing in.
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    takes_writes(&stage, true).await;
    all_brought(&stage).await;
    // Its token was one for which there was no room: another one is had.
    assert_eq!(stage.silent(0, "web", id(&signed), ORDERS).await.token(), signed.token());
    stage.silent(1, "web", id(&signed), ORDERS).await.token();
}

#[tokio::test]
async fn a_refresh_token_for_one_use_is_not_sent_where_its_successor_has_no_room() {
    let stage = stage().await;
    let eva = stage.sign_in(0, "shop-offline", ALL, "eva").await;
    let ana = stage.sign_in(0, "web", ORDERS, ANA).await;
    takes_writes(&stage, false).await;
    fill(&stage).await;
    stage.later(EXPIRED);
    let sent = stage.sent().await.len();
    // One that is good again and again needs no room: nothing is lost with its successor.
    assert_eq!(stage.silent(0, "web", id(&ana), USER_READ).await.source(), "identity_provider");
    assert_eq!(stage.sent().await.len(), sent + 1);
    stage.silent(0, "shop-offline", id(&eva), ALL).await.refused(503, "cache_unavailable", "");
    assert_eq!(stage.sent().await.len(), sent + 1);
    takes_writes(&stage, true).await;
    all_brought(&stage).await;
    eventually(PATIENCE, async || {
        stage.tick();
        stage.silent(0, "shop-offline", id(&eva), ALL).await.status == 200
    })
    .await;
}

/// Signs users in until there is no room for more.
async fn fill(stage: &Stage) {
    for number in 0..60 {
        brings(stage, number).await;
        let code = stage.code(0, "web", ORDERS, ANA).await;
        if stage.client(0).post("/auth-code", &code).await.status == 503 {
            return stage.emulator.unscript().await;
        }
    }
    panic!("there is no bound");
}

#[tokio::test]
async fn what_waited_is_brought_many_at_a_time() {
    const USERS: u16 = 300;
    const STORED: &str = "tokend_cache_pushed_back_total{outcome=\"stored\"}";
    let stage = Stage::sharing(1).await;
    takes_writes(&stage, false).await;
    for number in 0..USERS {
        brings(&stage, usize::from(number)).await;
        stage.sign_in(0, "web", ORDERS, ANA).await;
    }
    takes_writes(&stage, true).await;
    eventually(PATIENCE, async || {
        stage.tick();
        stage.metric(0, STORED).await >= 1.0
    })
    .await;
    let started = now();
    all_brought(&stage).await;
    // As many tokens wait as sign-ins; one after the other with a rest of 20 ms between they would take 12 seconds.
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    assert!(stage.metric(0, STORED).await >= f64::from(USERS));
    assert_eq!(stage.keys("}:a").await.len(), usize::from(USERS));
    assert_eq!(stage.listed(0, "web").await.len(), usize::from(USERS));
}

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
fn now() -> Instant {
    Instant::now()
}
