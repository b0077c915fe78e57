//! Sign-outs while one replica cannot reach Redis: its memory is purged and it says so,
//! and what it kept meanwhile brings nobody back.

use futures_util::future::join_all;

use super::{ANA, BEN, ORDERS, PATIENCE, Plan, Stage, USER_READ, id, is_unknown};
use crate::support::redis::RedisServer;
use crate::support::{Fault, eventually};

/// Two replicas, the first of which reaches Redis through a relay.
async fn stage() -> (Stage, Fault) {
    let redis = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", redis.port())).await;
    let urls = vec![format!("redis://{}", fault.address()), redis.url()];
    (Stage::made(Plan { redis: Some(redis), urls, ..Plan::default() }).await, fault)
}

#[tokio::test]
async fn a_sign_out_without_redis_purges_memory_and_is_never_done() {
    let (stage, fault) = stage().await;
    let signed = stage.sign_in(0, "orders", USER_READ, ANA).await;
    let elsewhere = stage.sign_in(0, "web", ORDERS, ANA).await;
    let bearer = stage.emulator.user_token(ANA).await;
    let obo = stage.obo(0, &bearer).await;
    fault.cut();
    assert_eq!(stage.obo(0, &bearer).await.token(), obo.token(), "memory goes on");
    assert_eq!(stage.silent(0, "orders", id(&signed), USER_READ).await.token(), signed.token());
    for _ in 0..8 {
        let refused = stage.sign_out(0, "orders", id(&signed)).await;
        refused.refused(503, "cache_unavailable", "");
        assert_eq!(refused.json["retryable"], true);
    }
    // Here it is as if nobody had ever signed in, and nobody can say more.
    stage.silent(0, "orders", id(&signed), USER_READ).await.refused(503, "cache_unavailable", "");
    let again = stage.obo(0, &bearer).await;
    assert_eq!((again.source(), again.token() == obo.token()), ("identity_provider", false));
    assert_eq!(stage.silent(0, "web", id(&elsewhere), ORDERS).await.token(), elsewhere.token(), "another app's");
    // There nothing happened yet.
    assert_eq!(stage.silent(1, "orders", id(&signed), USER_READ).await.token(), signed.token());
    stage.later(1);
    fault.pass();
    eventually(PATIENCE, async || {
        stage.tick();
        let answer = stage.sign_out(0, "orders", id(&signed)).await;
        assert!(matches!(answer.status, 204 | 503), "{}", answer.text);
        answer.status == 204
    })
    .await;
    for replica in [0, 1] {
        eventually(PATIENCE, async || {
            stage.tick();
            stage.silent(replica, "orders", id(&signed), USER_READ).await.status == 401
        })
        .await;
        let silent = stage.silent(replica, "orders", id(&signed), USER_READ).await;
        is_unknown(&silent, &stage.account(replica, "orders", id(&signed)).await);
    }
    // What was kept to be stored later was forgotten as well.
    eventually(PATIENCE, async || {
        stage.tick();
        stage.metric(0, "tokend_cache_push_back_waiting").await < 1.0
    })
    .await;
    assert_eq!((stage.keys("}:a").await.len(), stage.tokens().await.len()), (1, 1), "the other app's alone");
    assert_ne!(stage.obo(1, &bearer).await.token(), again.token());
}

#[tokio::test]
async fn what_is_brought_back_does_not_bring_back_who_was_signed_out() {
    let (stage, fault) = stage().await;
    let (ana, ben) = (stage.sign_in(0, "web", ORDERS, ANA).await, stage.sign_in(0, "web", ORDERS, BEN).await);
    fault.cut();
    // Tokens and a new refresh token each, that Redis has not.
    let kept = stage.silent(0, "web", id(&ana), USER_READ).await;
    let others = stage.silent(0, "web", id(&ben), USER_READ).await;
    assert_eq!((kept.source(), others.source()), ("identity_provider", "identity_provider"));
    assert_eq!(stage.silent(0, "web", id(&ana), USER_READ).await.token(), kept.token());
    assert_eq!(stage.sign_out(1, "web", id(&ana)).await.status, 204);
    stage.later(1);
    fault.pass();
    // Two sign-ins and two tokens. A write whose answer was lost may have come through: then it is stale.
    let outcomes = ["stored", "stale", "signed_out", "gone"];
    let outcomes = outcomes.map(|outcome| format!("tokend_cache_pushed_back_total{{outcome=\"{outcome}\"}}"));
    eventually(PATIENCE, async || {
        stage.tick();
        let counts = join_all(outcomes.iter().map(|sample| stage.metric(0, sample))).await;
        counts.iter().sum::<f64>() >= 4.0
    })
    .await;
    eventually(PATIENCE, async || {
        stage.tick();
        stage.silent(0, "web", id(&ana), USER_READ).await.status == 401
    })
    .await;
    for replica in [0, 1] {
        for scopes in [ORDERS, USER_READ] {
            is_unknown(&stage.silent(replica, "web", id(&ana), scopes).await, &stage.account(replica, "web", id(&ana)).await);
        }
        assert_eq!(stage.listed(replica, "web").await, [id(&ben)]);
        assert_eq!(stage.silent(replica, "web", id(&ben), USER_READ).await.token(), others.token());
    }
    assert_eq!((stage.keys("}:a").await.len(), stage.tokens().await.len()), (1, 2), "Ben's alone");
    assert_eq!(stage.calls().await, 4);
}

#[tokio::test]
async fn a_sign_in_that_could_not_be_stored_yet_is_known_where_it_was_made() {
    let stage = Stage::sharing(2).await;
    let full = async |bytes: &str| {
        stage.redis().admin().ask::<()>(&["CONFIG", "SET", "maxmemory", bytes]).await.expect("a setting");
    };
    full("1").await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    // Nobody says that there is no such account.
    let account = stage.account(0, "web", id(&signed)).await;
    assert!(matches!(account.status, 200 | 503), "{}", account.text);
    assert_eq!(stage.silent(0, "web", id(&signed), ORDERS).await.token(), signed.token());
    let other = stage.silent(0, "web", id(&signed), USER_READ).await;
    assert_eq!(other.source(), "identity_provider");
    full("0").await;
    // Then it is known everywhere, with what it brought.
    eventually(PATIENCE, async || {
        stage.tick();
        stage.metric(0, "tokend_cache_push_back_waiting").await < 1.0
    })
    .await;
    assert_eq!(stage.account(1, "web", id(&signed)).await.status, 200);
    for (scopes, first) in [(ORDERS, &signed), (USER_READ, &other)] {
        let answer = stage.silent(1, "web", id(&signed), scopes).await;
        assert_eq!((answer.token(), answer.member("cache_level")), (first.token(), "redis"));
    }
    assert_eq!(stage.listed(1, "web").await, [id(&signed)]);
}
