//! What ends a session: `DELETE /obo`, and the sign-out of its account, wherever that is said.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{ANA, ENTRA, EXPIRED, ISSUER, OWN, PATIENCE, Plan, Stage, id};
use crate::support::redis::RedisServer;
use crate::support::{Fault, eventually};

#[tokio::test]
async fn what_has_ended_or_never_was_ends_again() {
    for stage in Stage::both().await {
        for kind in [ENTRA, ISSUER] {
            let (_, key) = stage.begun(0, kind, "new").await;
            let gone = stage.end(stage.last(), "alpha", kind, &key).await;
            assert_eq!((gone.status, gone.text.as_str(), gone.header("cache-control")), (204, "", "no-store"));
            for key in [&*key, OWN] {
                assert_eq!(stage.end(0, "alpha", kind, key).await.status, 204);
            }
            stage.is_over(kind, &key).await;
        }
        if stage.redis.is_some() {
            assert_eq!(stage.keys("}:a").await, [""; 0]);
            // Nobody has to know any more where it was.
            assert_eq!(stage.keys("}:g").await, [""; 0]);
        }
    }
}

#[tokio::test]
async fn signing_out_the_account_ends_all_its_sessions_and_nobody_elses() {
    for stage in Stage::both().await {
        let last = stage.last();
        for kind in [ENTRA, ISSUER] {
            let (first, own) = stage.begun(0, kind, OWN).await;
            let (_, new) = stage.begun(last, kind, "new").await;
            let others = stage.start(0, kind, kind.users[1], "new").await;
            let bearer = stage.bearer(kind, kind.users[0]).await;
            let foreign = stage.start_as(0, "beta", kind, &bearer, json!({"session": "new"})).await;
            // Continued where it did not begin, with another token and another refresh token.
            assert_eq!(stage.forced(last, kind, &own).await.source(), "identity_provider");
            assert_eq!(stage.sign_out(last, "alpha", kind, id(&first)).await.status, 204);
            for key in [&own, &new] {
                stage.is_over(kind, key).await;
            }
            for replica in [0, last] {
                assert_eq!(stage.go_on(replica, kind, others.member("session")).await.token(), others.token());
                let session = json!({"session": foreign.member("session")});
                assert_eq!(stage.go_on_as(replica, "beta", kind, session).await.token(), foreign.token());
            }
            // Whoever begins one now has one, and it outlives its token.
            let (_, key) = stage.begun(0, kind, OWN).await;
            stage.later(EXPIRED);
            assert_eq!(stage.go_on(last, kind, &key).await.source(), "identity_provider");
            assert_eq!(stage.sign_out(0, "desk", kind, id(&first)).await.status, 204);
            stage.is_over(kind, &key).await;
        }
    }
}

/// Long after all tokens of the account have ended, and at a replica that knows nothing of it.
#[tokio::test]
async fn a_sign_out_reaches_an_old_session_from_a_replica_that_knows_nothing() {
    let mut stage = Stage::sharing(2).await;
    for kind in [ENTRA, ISSUER] {
        let (first, key) = stage.begun(0, kind, "new").await;
        for _ in 0..4 {
            stage.later(20 * 24 * 3600);
            assert_eq!(stage.go_on(1, kind, &key).await.source(), "identity_provider");
        }
        let new = stage.join().await;
        assert_eq!(stage.sign_out(new, "alpha", kind, id(&first)).await.status, 204);
        stage.is_over(kind, &key).await;
    }
}

#[tokio::test]
async fn a_guests_session_ends_with_the_account_at_home() {
    for stage in Stage::both().await {
        let info = URL_SAFE_NO_PAD.encode(json!({"uid": "home-oid", "utid": "home-tid"}).to_string());
        let rule = json!({"on": {"endpoint": "token", "user": ANA}, "times": 1, "do": {"set": {"client_info": info}}});
        stage.emulator.script(rule).await;
        let (guest, key) = stage.begun(0, ENTRA, "new").await;
        assert_eq!(id(&guest), "home-oid.home-tid");
        assert_eq!(stage.sign_out(stage.last(), "alpha", ENTRA, id(&guest)).await.status, 204);
        stage.is_over(ENTRA, &key).await;
    }
}

/// The authority answers when the user has signed out: the token is given, and there is no session.
#[tokio::test]
async fn a_start_that_a_sign_out_overtakes_is_no_session() {
    for stage in Stage::both().await {
        for kind in [ENTRA, ISSUER] {
            for known in [false, true] {
                let (before, _) = stage.begun(0, kind, "new").await;
                let account = id(&before).to_owned();
                if !known {
                    assert_eq!(stage.sign_out(0, "alpha", kind, &account).await.status, 204);
                }
                let calls = stage.calls().await;
                stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"hold": true}})).await;
                let (answer, ()) = tokio::join!(stage.start(0, kind, kind.users[0], OWN), async {
                    stage.emulator.asked_times("token", calls + 1).await;
                    assert_eq!(stage.sign_out(stage.last(), "alpha", kind, &account).await.status, 204);
                    stage.emulator.release().await;
                });
                assert_eq!((answer.source(), &answer.json["session"]), ("identity_provider", &json!(null)), "{}", answer.text);
                stage.is_over(kind, OWN).await;
            }
        }
    }
}

/// So it is where the session itself is ended, whether there was one of its key or not.
#[tokio::test]
async fn a_start_that_its_own_end_overtakes_is_no_session() {
    for stage in Stage::both().await {
        for kind in [ENTRA, ISSUER] {
            for known in [false, true] {
                if known {
                    stage.begun(0, kind, OWN).await;
                }
                let calls = stage.calls().await;
                stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"hold": true}})).await;
                let (answer, ()) = tokio::join!(stage.start(0, kind, kind.users[0], OWN), async {
                    stage.emulator.asked_times("token", calls + 1).await;
                    assert_eq!(stage.end(stage.last(), "alpha", kind, OWN).await.status, 204);
                    stage.emulator.release().await;
                });
                assert_eq!((answer.source(), &answer.json["session"]), ("identity_provider", &json!(null)), "{}", answer.text);
                stage.is_over(kind, OWN).await;
            }
        }
    }
}

#[tokio::test]
async fn a_refresh_that_an_end_overtakes_brings_nothing_back() {
    for stage in Stage::both().await {
        for kind in [ENTRA, ISSUER] {
            for by_account in [false, true] {
                let (begun, key) = stage.begun(0, kind, "new").await;
                let calls = stage.calls().await;
                stage.emulator.script(json!({"on": {"grant_type": "refresh_token"}, "times": 1, "do": {"hold": true}})).await;
                let (answer, ()) = tokio::join!(stage.forced(0, kind, &key), async {
                    stage.emulator.asked_times("token", calls + 1).await;
                    let ended = if by_account {
                        stage.sign_out(stage.last(), "alpha", kind, id(&begun)).await
                    } else {
                        stage.end(stage.last(), "alpha", kind, &key).await
                    };
                    assert_eq!(ended.status, 204, "{}", ended.text);
                    stage.emulator.release().await;
                });
                super::is_unknown(&answer);
                stage.is_over(kind, &key).await;
            }
        }
    }
}

/// Two replicas, the first of which reaches Redis through a relay.
async fn relayed() -> (Stage, Fault) {
    let redis = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", redis.port())).await;
    let urls = vec![format!("redis://{}", fault.address()), redis.url()];
    (Stage::made(Plan { redis: Some(redis), urls, ..Plan::default() }).await, fault)
}

#[tokio::test]
async fn an_end_without_redis_is_never_done_and_memory_forgets() {
    let (stage, fault) = relayed().await;
    for kind in [ENTRA, ISSUER] {
        for by_account in [false, true] {
            let (begun, key) = stage.begun(0, kind, "new").await;
            fault.cut();
            let end = async || {
                if by_account {
                    stage.sign_out(0, "alpha", kind, id(&begun)).await
                } else {
                    stage.end(0, "alpha", kind, &key).await
                }
            };
            assert_eq!(stage.go_on(0, kind, &key).await.token(), begun.token(), "memory goes on");
            let refused = end().await;
            refused.refused(503, "cache_unavailable", "");
            assert_eq!(refused.json["retryable"], true);
            stage.go_on(0, kind, &key).await.refused(503, "cache_unavailable", "");
            assert_eq!(stage.go_on(1, kind, &key).await.token(), begun.token(), "there nothing happened yet");
            fault.pass();
            eventually(PATIENCE, async || {
                stage.tick();
                end().await.status == 204
            })
            .await;
            stage.is_over(kind, &key).await;
        }
    }
}

/// The sign-out is said elsewhere while the replica that has the session cannot be reached.
#[tokio::test]
async fn a_sign_out_while_redis_is_away_ends_what_is_brought_there_later() {
    let (stage, fault) = relayed().await;
    for kind in [ENTRA, ISSUER] {
        let (begun, stored) = stage.begun(0, kind, "new").await;
        fault.cut();
        let (_, waiting) = stage.begun(0, kind, "new").await;
        assert_eq!(stage.sign_out(1, "alpha", kind, id(&begun)).await.status, 204);
        stage.later(1);
        fault.pass();
        eventually(PATIENCE, async || {
            stage.tick();
            stage.metric(0, "tokend_cache_push_back_waiting").await < 1.0
        })
        .await;
        for key in [&stored, &waiting] {
            stage.is_over(kind, key).await;
        }
        assert_eq!(stage.keys("}:a").await, [""; 0]);
    }
}

/// The replica that has the session signs its account out while it cannot reach Redis, where the session never was.
#[tokio::test]
async fn a_sign_out_forgets_what_waits_to_be_stored() {
    let (stage, fault) = relayed().await;
    for kind in [ENTRA, ISSUER] {
        fault.cut();
        let (begun, key) = stage.begun(0, kind, "new").await;
        stage.sign_out(0, "alpha", kind, id(&begun)).await.refused(503, "cache_unavailable", "");
        fault.pass();
        eventually(PATIENCE, async || {
            stage.tick();
            stage.sign_out(0, "alpha", kind, id(&begun)).await.status == 204
        })
        .await;
        stage.is_over(kind, &key).await;
        assert_eq!(stage.keys("}:a").await, [""; 0]);
    }
}

/// A user who has more sessions than are remembered: the oldest end, and none escapes a sign-out.
#[tokio::test]
async fn a_users_sessions_are_bounded() {
    let stage = Stage::sharing(1).await;
    let (first, oldest) = stage.begun(0, ENTRA, "new").await;
    let bearer = stage.bearer(ENTRA, ANA).await;
    let mut keys = Vec::new();
    for _ in 0..1024 / 32 {
        stage.later(1);
        let starts = (0..32).map(|_| stage.start_as(0, "alpha", ENTRA, &bearer, json!({"session": "new"})));
        let answers = futures_util::future::join_all(starts).await;
        keys.extend(answers.iter().map(|answer| answer.member("session").to_owned()));
    }
    assert!(keys.iter().all(|key| key.len() == 43), "{keys:?}");
    eventually(PATIENCE, async || {
        stage.tick();
        stage.metric(0, "tokend_cache_push_back_waiting").await < 1.0 && stage.keys("}:a").await.len() == 1024
    })
    .await;
    super::is_unknown(&stage.forced(0, ENTRA, &oldest).await);
    assert_eq!(stage.forced(0, ENTRA, &keys[1023]).await.source(), "identity_provider");
    assert_eq!(stage.keys("}:a").await.len(), 1024);
    assert_eq!(stage.sign_out(0, "alpha", ENTRA, id(&first)).await.status, 204);
    assert_eq!(stage.keys("}:a").await, [""; 0]);
}
