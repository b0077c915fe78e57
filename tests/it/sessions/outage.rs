//! Redis is away: what begins is served and brought there later, what memory knows goes on, and of the rest nobody says anything.

use super::{ANA, BEN, ENTRA, EXPIRED, ISSUER, OWN, PATIENCE, Plan, Stage, id};
use crate::support::redis::RedisServer;
use crate::support::{Fault, eventually};

/// Two replicas, the first of which reaches Redis through a relay.
async fn relayed() -> (Stage, Fault) {
    let redis = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", redis.port())).await;
    let urls = vec![format!("redis://{}", fault.address()), redis.url()];
    (Stage::made(Plan { redis: Some(redis), urls, ..Plan::default() }).await, fault)
}

/// Waits until nothing waits to be stored.
async fn is_brought(stage: &Stage) {
    eventually(PATIENCE, async || {
        stage.tick();
        stage.metric(0, "tokend_cache_push_back_waiting").await < 1.0
    })
    .await;
}

#[tokio::test]
async fn a_start_is_served_and_pushed_back() {
    let (stage, fault) = relayed().await;
    for kind in [ENTRA, ISSUER] {
        fault.cut();
        let (begun, key) = stage.begun(0, kind, "new").await;
        let (_, own) = stage.begun(0, kind, OWN).await;
        assert_eq!(stage.go_on(0, kind, &key).await.token(), begun.token());
        super::is_unknown(&stage.go_on(1, kind, &key).await);
        stage.later(1);
        fault.pass();
        is_brought(&stage).await;
        for key in [&key, &own] {
            stage.later(EXPIRED);
            let renewed = stage.go_on(1, kind, key).await;
            assert_eq!((renewed.source(), id(&renewed)), ("identity_provider", id(&begun)));
        }
        // What was brought is known to its account.
        assert_eq!(stage.sign_out(1, "alpha", kind, id(&begun)).await.status, 204);
        stage.is_over(kind, &key).await;
        stage.is_over(kind, &own).await;
    }
}

#[tokio::test]
async fn what_memory_does_not_know_is_503_and_what_it_knows_goes_on() {
    let (stage, fault) = relayed().await;
    for kind in [ENTRA, ISSUER] {
        let (begun, here) = stage.begun(0, kind, "new").await;
        let (_, there) = stage.begun(1, kind, "new").await;
        fault.cut();
        for _ in 0..8 {
            assert_eq!(stage.go_on(0, kind, &here).await.token(), begun.token());
            let refused = stage.go_on(0, kind, &there).await;
            refused.refused(503, "cache_unavailable", "");
            assert_eq!(refused.json["retryable"], true);
        }
        stage.later(EXPIRED);
        let expired = stage.go_on(0, kind, &here).await;
        if kind.app == ENTRA.app {
            assert_eq!(expired.source(), "identity_provider", "its refresh tokens can be used again");
        } else {
            expired.refused(503, "cache_unavailable", "");
        }
        fault.pass();
        for key in [&here, &there] {
            eventually(PATIENCE, async || {
                stage.tick();
                stage.go_on(0, kind, key).await.status == 200
            })
            .await;
        }
        is_brought(&stage).await;
    }
}

/// Two users begin a session of one key, and neither replica knows of the other's: what stands stays.
#[tokio::test]
async fn what_is_brought_later_goes_over_no_other_users_session() {
    let (stage, fault) = relayed().await;
    fault.cut();
    let begun = stage.start(0, ENTRA, BEN, OWN).await;
    assert_eq!(begun.member("session"), OWN);
    let (other, _) = stage.begun(1, ENTRA, OWN).await;
    stage.later(1);
    fault.pass();
    is_brought(&stage).await;
    for replica in [0, 1] {
        eventually(PATIENCE, async || {
            stage.tick();
            stage.go_on(replica, ENTRA, OWN).await.status == 200
        })
        .await;
        let renewed = stage.forced(replica, ENTRA, OWN).await;
        assert_eq!((renewed.source(), id(&renewed)), ("identity_provider", id(&other)));
    }
    stage.start(0, ENTRA, BEN, OWN).await.refused(403, "session_of_another_user", "");
    assert_eq!(stage.start(0, ENTRA, ANA, OWN).await.member("session"), OWN);
}
