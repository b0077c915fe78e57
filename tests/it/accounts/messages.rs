//! What one replica signs out is gone from the memory of the others: within a second by a message, and within `recheck` when that
//! is lost. The clock stands still but where a test moves it: nothing is checked because time has passed.

use std::time::Instant;

use super::{ANA, BEN, ORDERS, PATIENCE, Plan, Stage, USER_READ, id, is_unknown};
use crate::support::eventually;
use crate::support::redis::RedisServer;

const LOGIN: &str = "    username: tokend\n    password: {inline: for-tests}\n";

/// Two replicas whose Redis user may do what is said.
async fn with_rights(rights: &str) -> Stage {
    let redis = RedisServer::options().acl(&[&format!("user tokend on >for-tests {rights}")]).start().await;
    let urls = vec![redis.url(); 2];
    Stage::made(Plan { redis: Some(redis), urls, login: LOGIN, ..Plan::default() }).await
}

/// How often replicas asked Redis for what belongs to a user, one after the other; the marker is read alone.
async fn reads(stage: &Stage) -> u64 {
    let text = stage.redis().admin().info("commandstats", "cmdstat_mget").await.expect("statistics");
    let count = text.split(',').find_map(|part| part.strip_prefix("calls=")).unwrap_or("0");
    count.parse().expect("a number")
}

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the time is part of what the test shows")]
async fn a_sign_out_reaches_the_memory_of_another_replica() {
    let stage = Stage::sharing(2).await;
    let signed = stage.sign_in(0, "orders", USER_READ, ANA).await;
    let bearer = stage.emulator.user_token(ANA).await;
    let obo = stage.obo(1, &bearer).await;
    for _ in 0..2 {
        assert_eq!(stage.silent(1, "orders", id(&signed), USER_READ).await.token(), signed.token());
        assert_eq!(stage.obo(1, &bearer).await.member("cache_level"), "memory");
    }
    assert_eq!(stage.sign_out(0, "orders", id(&signed)).await.status, 204);
    let started = now();
    eventually(PATIENCE, async || stage.silent(1, "orders", id(&signed), USER_READ).await.status == 401).await;
    println!("a sign-out was known to another replica after {:?}", started.elapsed());
    let again = stage.obo(1, &bearer).await;
    assert_eq!((again.source(), again.token() == obo.token()), ("identity_provider", false));
    is_unknown(&stage.silent(1, "orders", id(&signed), USER_READ).await, &stage.account(1, "orders", id(&signed)).await);
    let (sent, received) = ("{direction=\"sent\",kind=\"signed_out\"}", "{direction=\"received\",kind=\"signed_out\"}");
    assert!(stage.metric(0, &format!("tokend_cache_invalidations_total{sent}")).await >= 1.0);
    assert!(stage.metric(1, &format!("tokend_cache_invalidations_total{received}")).await >= 1.0);
    assert!(stage.metric(0, &format!("tokend_cache_invalidations_total{received}")).await < 1.0, "its own is not news");
}

#[tokio::test]
async fn without_messages_it_is_known_after_recheck() {
    let stage = with_rights("~* &* +@all -publish -spublish").await;
    let signed = stage.sign_in(0, "orders", USER_READ, ANA).await;
    let bearer = stage.emulator.user_token(ANA).await;
    let obo = stage.obo(1, &bearer).await;
    assert_eq!(stage.silent(1, "orders", id(&signed), USER_READ).await.token(), signed.token());
    assert_eq!(stage.sign_out(0, "orders", id(&signed)).await.status, 204, "a message is not what makes a sign-out");
    stage.later(59);
    assert_eq!(stage.obo(1, &bearer).await.token(), obo.token(), "no message came");
    assert_eq!(stage.silent(1, "orders", id(&signed), USER_READ).await.token(), signed.token());
    stage.later(1);
    assert_eq!(stage.silent(1, "orders", id(&signed), USER_READ).await.status, 401);
    let again = stage.obo(1, &bearer).await;
    assert_eq!((again.source(), again.token() == obo.token()), ("identity_provider", false));
}

#[tokio::test]
async fn without_messages_a_replaced_token_is_known_after_recheck() {
    let stage = with_rights("~* &* +@all -publish -spublish").await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    assert_eq!(stage.silent(1, "web", id(&signed), ORDERS).await.token(), signed.token());
    let forced = stage.silent_with(0, "web", id(&signed), ORDERS, serde_json::json!({"force_refresh": true})).await;
    assert_eq!(stage.silent(1, "web", id(&signed), ORDERS).await.token(), signed.token(), "no message came");
    stage.later(60);
    assert_eq!(stage.silent(1, "web", id(&signed), ORDERS).await.token(), forced.token());
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the time is part of what the test shows")]
async fn after_a_subscription_was_lost_memory_is_suspect_once() {
    let stage = with_rights("~* &* +@all").await;
    let admin = stage.redis().admin();
    let (ana, ben) = (stage.sign_in(0, "web", ORDERS, ANA).await, stage.sign_in(0, "web", ORDERS, BEN).await);
    for signed in [&ana, &ben] {
        assert_eq!(stage.silent(1, "web", id(signed), ORDERS).await.token(), signed.token());
    }
    // Those who may not listen any more are thrown out, and cannot speak either.
    admin.ask::<()>(&["ACL", "SETUSER", "tokend", "resetchannels"]).await.expect("no rights");
    eventually(PATIENCE, async || stage.listeners().await == 0).await;
    assert_eq!(stage.sign_out(0, "web", id(&ana)).await.status, 204);
    stage.later(1);
    assert_eq!(stage.silent(1, "web", id(&ana), ORDERS).await.token(), ana.token(), "nobody told it");
    let started = now();
    admin.ask::<()>(&["ACL", "SETUSER", "tokend", "allchannels"]).await.expect("rights");
    eventually(PATIENCE, async || stage.silent(1, "web", id(&ana), ORDERS).await.status == 401).await;
    println!("listening again, and a sign-out known that was missed, after {:?}", started.elapsed());
    // Once: what was asked about since then is served from memory alone.
    stage.subscribed(2).await;
    let before = reads(&stage).await;
    assert_eq!(stage.silent(1, "web", id(&ben), ORDERS).await.member("cache_level"), "memory");
    let once = reads(&stage).await;
    assert!(once > before, "it was asked about");
    for _ in 0..5 {
        let answer = stage.silent(1, "web", id(&ben), ORDERS).await;
        assert_eq!((answer.token(), answer.member("cache_level")), (ben.token(), "memory"));
    }
    assert_eq!(reads(&stage).await, once);
    assert_eq!(stage.calls().await, 2);
}
