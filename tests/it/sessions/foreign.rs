//! A session belongs to an app, a tenant, a user and a caller: to all others it is as if it did not exist.

use futures_util::future::join_all;
use serde_json::json;

use super::{ANA, BEN, ENTRA, EXPIRED, ISSUER, Kind, OWN, PATIENCE, Stage, TYPED, USER_READ, id, is_unknown};
use crate::support::eventually;

const FABRIKAM: &str = "3f1c7a52-6d0b-4c8e-9a47-51e2d8b6f0c3";

#[tokio::test]
async fn another_callers_session_is_none_whatever_that_caller_may_see() {
    for stage in Stage::both().await {
        for kind in [ENTRA, ISSUER] {
            let (begun, _) = stage.begun(0, kind, OWN).await;
            let more = || json!({"session": OWN});
            for replica in [0, stage.last()] {
                for caller in ["beta", "desk"] {
                    is_unknown(&stage.go_on_as(replica, caller, kind, more()).await);
                    assert_eq!(stage.end(replica, caller, kind, OWN).await.status, 204);
                }
                assert_eq!(stage.go_on(replica, kind, OWN).await.token(), begun.token());
            }
            // One key of two callers is two sessions, of two users even.
            let bearer = stage.bearer(kind, kind.users[1]).await;
            let other = stage.start_as(0, "beta", kind, &bearer, more()).await;
            assert_ne!(id(&other), id(&begun));
            for replica in [0, stage.last()] {
                assert_eq!(stage.go_on_as(replica, "beta", kind, more()).await.token(), other.token());
                assert_eq!(stage.go_on(replica, kind, OWN).await.token(), begun.token());
            }
            assert_eq!(stage.end(0, "beta", kind, OWN).await.status, 204);
            assert_eq!(stage.go_on(stage.last(), kind, OWN).await.token(), begun.token());
        }
    }
}

#[tokio::test]
async fn no_other_apps_session_is_continued() {
    for stage in Stage::both().await {
        stage.begun(0, ENTRA, OWN).await;
        for other in ["billing", "partner", "web", "shop-session"] {
            let kind = Kind { app: other, ..ENTRA };
            is_unknown(&stage.go_on(stage.last(), kind, OWN).await);
            assert_eq!(stage.end(0, "alpha", kind, OWN).await.status, 204);
        }
        assert_eq!(stage.go_on(stage.last(), ENTRA, OWN).await.source(), "cache");
    }
}

#[tokio::test]
async fn another_users_token_is_refused_and_changes_nothing() {
    for stage in Stage::both().await {
        for kind in [ENTRA, ISSUER, TYPED] {
            let (begun, key) = stage.begun(0, kind, "new").await;
            let calls = stage.calls().await;
            for replica in [0, stage.last()] {
                let refused = stage.start(replica, kind, kind.users[1], &key).await;
                refused.refused(403, "session_of_another_user", "each user");
            }
            assert_eq!(stage.calls().await, calls);
            assert_eq!(stage.go_on(stage.last(), kind, &key).await.token(), begun.token());
            stage.later(EXPIRED);
            assert_eq!(id(&stage.go_on(stage.last(), kind, &key).await), id(&begun));
            // When it has ended the key is anybody's.
            assert_eq!(stage.end(0, "alpha", kind, &key).await.status, 204);
            let next = stage.start(stage.last(), kind, kind.users[1], &key).await;
            assert_ne!(id(&next), id(&begun));
            for replica in [0, stage.last()] {
                let own = async || stage.go_on(replica, kind, &key).await.member("access_token") == next.token();
                eventually(PATIENCE, own).await;
            }
        }
    }
}

/// Whoever comes second with the same key has nothing of it, and never the other one's token.
#[tokio::test]
async fn two_users_who_begin_one_session_at_the_same_time_never_mix() {
    for stage in [Stage::memory().await, Stage::sharing(3).await] {
        for kind in [ENTRA, ISSUER] {
            for round in 0..6 {
                let key = format!("{OWN}-{}-{round}", kind.app);
                let bearers = [stage.bearer(kind, kind.users[0]).await, stage.bearer(kind, kind.users[1]).await];
                let alone =
                    join_all(bearers.iter().map(|bearer| stage.start_as(0, "beta", kind, bearer, json!({"session": "new"})))).await;
                let calls = stage.calls().await;
                stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hold": true}})).await;
                let starts = (0..2).map(|user| {
                    let replica = (round + user) % stage.replicas.len();
                    stage.start_as(replica, "alpha", kind, &bearers[user], json!({"session": key}))
                });
                let (answers, ()) = tokio::join!(join_all(starts), async {
                    stage.emulator.asked_times("token", calls + 2).await;
                    stage.emulator.unscript().await;
                });
                let won: Vec<usize> = (0..2).filter(|user| answers[*user].status == 200).collect();
                for user in &won {
                    assert_eq!(id(&answers[*user]), id(&alone[*user]), "each has their own");
                }
                assert_eq!(won.len(), 1, "{} {}", answers[0].text, answers[1].text);
                answers[1 - won[0]].refused(403, "session_of_another_user", "");
                for replica in 0..stage.replicas.len() {
                    assert_eq!(id(&stage.forced(replica, kind, &key).await), id(&alone[won[0]]));
                }
            }
        }
    }
}

/// A token that is left under a key when its session is gone is of no use to the next one.
#[tokio::test]
async fn what_is_left_of_a_session_is_nobody_elses() {
    let stage = Stage::sharing(2).await;
    let (begun, _) = stage.begun(0, ENTRA, OWN).await;
    // As an eviction would: the record alone, and no replica remembers it any more.
    stage.later(16 * 60);
    for key in stage.keys("}:a").await {
        stage.redis().admin().ask::<()>(&["DEL", &key]).await.expect("gone");
    }
    let next = stage.start(1, ENTRA, BEN, OWN).await;
    if next.status == 200 {
        assert_ne!(id(&next), id(&begun));
        for replica in [0, 1] {
            eventually(PATIENCE, async || stage.go_on(replica, ENTRA, OWN).await.member("access_token") == next.token()).await;
        }
    } else {
        next.refused(403, "session_of_another_user", "");
    }
}

#[tokio::test]
async fn a_session_is_one_tenants() {
    for stage in Stage::both().await {
        // The users' own tenants are asked, each by the token that began the session.
        let partner = Kind { app: "partner", scopes: USER_READ, others: USER_READ, users: [ANA, "fay@fabrikam.example"] };
        let bearer = stage.emulator.mint(json!({"app": "partner", "user": ANA})).await;
        let begun = stage.start_as(0, "alpha", partner, &bearer, json!({"session": OWN})).await;
        let tenant = begun.member("tenant_id").to_owned();
        assert_eq!((begun.status, tenant.len()), (200, 36), "{}", begun.text);
        for replica in [0, stage.last()] {
            assert_eq!(stage.go_on(replica, partner, OWN).await.token(), begun.token());
            let named = stage.go_on_as(replica, "alpha", partner, json!({"session": OWN, "tenant": tenant})).await;
            assert_eq!(named.token(), begun.token());
            is_unknown(&stage.go_on_as(replica, "alpha", partner, json!({"session": OWN, "tenant": FABRIKAM})).await);
        }
        stage.later(EXPIRED);
        let renewed = stage.go_on(stage.last(), partner, OWN).await;
        assert_eq!((renewed.source(), renewed.member("tenant_id")), ("identity_provider", &*tenant));
        let asked = stage.emulator.asked("token").await;
        assert!(asked.iter().all(|call| call["path"].as_str().is_some_and(|path| path.contains(&tenant))), "{asked:?}");
        // Where the app has one of its own, that is meant.
        stage.begun(0, ENTRA, OWN).await;
        let other = json!({"session": OWN, "tenant": FABRIKAM});
        stage.go_on_as(0, "alpha", ENTRA, other.clone()).await.refused(403, "tenant_not_allowed", "tenants");
        stage.begun(0, ISSUER, OWN).await;
        stage.go_on_as(0, "alpha", ISSUER, other).await.refused(400, "invalid_request", "tenant");
    }
}

/// A caller that was renamed goes on with what it began under its former name.
#[tokio::test]
async fn a_renamed_caller_keeps_its_sessions() {
    let mut stage = Stage::sharing(1).await;
    let (begun, _) = stage.begun(0, ENTRA, OWN).await;
    stage.yaml = stage.yaml.replace("name: alpha,", "name: gamma, former_names: [alpha],");
    let renamed = stage.join().await;
    for _ in 0..2 {
        assert_eq!(stage.go_on(renamed, ENTRA, OWN).await.token(), begun.token());
        stage.start(renamed, ENTRA, BEN, OWN).await.refused(403, "session_of_another_user", "");
    }
    assert_eq!(stage.end(renamed, "alpha", ENTRA, OWN).await.status, 204);
    stage.is_over(ENTRA, OWN).await;
}

/// A caller with certain apis may begin and continue sessions for those alone.
#[tokio::test]
async fn callers_with_apis_are_judged_at_the_start_and_each_time() {
    let mut stage = Stage::memory().await;
    stage.yaml = stage.yaml.replace("{name: beta,", "{name: beta, apis: [graph-user],");
    let replica = stage.join().await;
    let bearer = stage.bearer(ENTRA, ANA).await;
    let by_api = |session: &str| json!({"scopes": null, "app": null, "api": "graph-user", "session": session});
    // What the user has consented to is more than the api.
    let more = json!({"on": {"endpoint": "token"}, "times": 1, "do": {"set": {"scope": "https://graph.microsoft.com/User.Read api://billing/invoices.read"}}});
    stage.emulator.script(more.clone()).await;
    let beyond = stage.start_as(replica, "beta", ENTRA, &bearer, by_api("new")).await;
    beyond.refused(403, "caller_not_allowed", "good for more");
    assert_eq!(stage.sent().await, [""; 0]);
    stage.start_as(replica, "beta", ENTRA, &bearer, json!({"session": "new"})).await.refused(403, "caller_not_allowed", "apis");
    stage.later(10);
    let only = json!({"on": {"endpoint": "token"}, "times": 2, "do": {"set": {"scope": USER_READ}}});
    stage.emulator.script(only).await;
    let begun = stage.start_as(replica, "beta", ENTRA, &bearer, by_api("new")).await;
    let key = begun.member("session").to_owned();
    assert_eq!(stage.go_on_as(replica, "beta", ENTRA, by_api(&key)).await.token(), begun.token());
    stage.go_on_as(replica, "beta", ENTRA, json!({"session": key})).await.refused(403, "caller_not_allowed", "apis");
    stage.later(EXPIRED);
    assert_eq!(stage.go_on_as(replica, "beta", ENTRA, by_api(&key)).await.source(), "identity_provider");
    // And when the user agrees to more, it is no token for this caller.
    stage.later(EXPIRED);
    stage.emulator.script(more).await;
    stage.go_on_as(replica, "beta", ENTRA, by_api(&key)).await.refused(403, "caller_not_allowed", "good for more");
    assert_eq!(stage.end(replica, "beta", ENTRA, &key).await.status, 204);
}

#[tokio::test]
async fn who_may_not_act_on_behalf_of_users_has_no_sessions() {
    let mut stage = Stage::memory().await;
    stage.yaml = stage.yaml.replace("{name: beta,", "{name: beta, flows: [silent, auth_code],");
    let replica = stage.join().await;
    let bearer = stage.bearer(ENTRA, ANA).await;
    stage.start_as(replica, "beta", ENTRA, &bearer, json!({"session": "new"})).await.refused(403, "caller_not_allowed", "flows");
    stage.go_on_as(replica, "beta", ENTRA, json!({"session": OWN})).await.refused(403, "caller_not_allowed", "flows");
    assert_eq!(stage.calls().await, 0);
}

#[tokio::test]
async fn an_app_without_a_credential_has_no_sessions() {
    let mut stage = Stage::memory().await;
    let origin = &stage.emulator.origin;
    let open = format!("  open: {{authority: \"{origin}/common\", client_id: x, credential: {{public: true}}}}\napis:\n");
    stage.yaml = stage.yaml.replacen("apis:\n", &open, 1);
    let replica = stage.join().await;
    let open = Kind { app: "open", ..ENTRA };
    stage.start(replica, open, ANA, "new").await.refused(403, "flow_not_available", "credential");
    stage.go_on(replica, open, OWN).await.refused(403, "flow_not_available", "credential");
}
