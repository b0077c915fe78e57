//! What a session's life is: it begins with a user's token, goes on without one, and outlives it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{ENTRA, EXPIRED, ISSUER, OWN, Stage, TYPED, id};

#[tokio::test]
async fn cch_9_on_behalf_of_without_a_session_keeps_no_refresh_token() {
    let stage = Stage::sharing(2).await;
    for kind in [ENTRA, ISSUER] {
        let bearer = stage.bearer(kind, kind.users[0]).await;
        let answer = stage.start_as(0, "alpha", kind, &bearer, json!({})).await;
        assert_eq!((answer.source(), answer.json.get("session")), ("identity_provider", None));
        assert!(!answer.text.contains("refresh_token"), "{}", answer.text);
        assert_eq!(stage.keys("}:a").await, [""; 0], "{kind:?}");
        let silent = json!({"app": kind.app, "account": id(&answer), "scopes": kind.scopes});
        stage.client(0, "alpha").post("/silent", &silent).await.refused(401, "no_tokens_found", "");
    }
    // Entra gave one, which is asked for with every grant of a user's.
    let asked = stage.emulator.asked("token").await;
    assert!(asked[0]["form"]["scope"].as_str().is_some_and(|scope| scope.contains("offline_access")), "{}", asked[0]);
    let forms = asked[1]["form"].to_string();
    assert!(!forms.contains("offline_access") && !forms.contains("refresh_token"), "{forms}");
}

#[tokio::test]
async fn cch_10_a_session_begins_goes_on_is_renewed_and_ends() {
    for stage in Stage::both().await {
        let last = stage.last();
        for kind in [ENTRA, ISSUER, TYPED] {
            let (first, key) = stage.begun(0, kind, "new").await;
            assert_eq!((key.len(), first.member("refresh_reason")), (43, "not_applicable"));
            let calls = stage.calls().await;
            for replica in [0, last] {
                let again = stage.go_on(replica, kind, &key).await;
                assert_eq!((again.token(), again.member("session")), (first.token(), &*key));
                assert_eq!(id(&again), id(&first));
            }
            assert_eq!(stage.calls().await, calls);
            // The user's token has ended long ago, as has what it was exchanged for.
            for reason in ["no_cached_access_token", "expired"] {
                stage.later(EXPIRED);
                let renewed = stage.go_on(last, kind, &key).await;
                assert_eq!(renewed.source(), "identity_provider");
                assert!([reason, "expired", "no_cached_access_token"].contains(&renewed.member("refresh_reason")));
                assert_eq!((renewed.member("session"), id(&renewed)), (&*key, id(&first)));
                assert_ne!(renewed.token(), first.token());
                assert_eq!(stage.go_on(0, kind, &key).await.token(), renewed.token());
            }
            let others = stage.go_on_as(0, "alpha", kind, json!({"session": key, "scopes": kind.others})).await;
            assert_eq!(others.source(), "identity_provider", "{}", others.text);
            assert!(!others.text.contains("refresh_token"), "{}", others.text);
            assert_eq!(stage.end(last, "alpha", kind, &key).await.status, 204);
            stage.is_over(kind, &key).await;
        }
        assert_eq!(stage.sent().await.len(), 3 * 3);
    }
}

#[tokio::test]
async fn a_session_is_asked_for_in_the_words_of_its_server() {
    let stage = Stage::memory().await;
    for kind in [ENTRA, ISSUER, TYPED] {
        let (answer, _) = stage.begun(0, kind, "new").await;
        assert_eq!(answer.json.get("issued_token_type").map(|kind| kind.to_string().contains("refresh")), expected(kind));
    }
    let forms: Vec<Value> = stage.emulator.asked("token").await.into_iter().map(|call| call["form"].clone()).collect();
    let access = "urn:ietf:params:oauth:token-type:access_token";
    let wanted = [
        (&Value::Null, format!("{} openid profile offline_access", ENTRA.scopes)),
        (&json!(access), format!("{} offline_access", ISSUER.scopes)),
        (&json!(access.replace("access_token", "refresh_token")), TYPED.scopes.to_owned()),
    ];
    for (form, (kind, scope)) in forms.iter().zip(wanted) {
        assert_eq!((&form["requested_token_type"], &form["scope"]), (kind, &json!(scope)));
    }
    assert_eq!(forms.len(), 3);
}

fn expected(kind: super::Kind) -> Option<bool> {
    // What is said is never a refresh token's, and nothing is said where it would be.
    if kind.app == ISSUER.app { Some(false) } else { None }
}

#[tokio::test]
async fn a_start_always_asks_the_authority_and_goes_over_the_old_one() {
    for stage in Stage::both().await {
        for kind in [ENTRA, ISSUER] {
            let (first, _) = stage.begun(0, kind, OWN).await;
            assert_eq!(first.member("session"), OWN);
            let calls = stage.calls().await;
            let (second, _) = stage.begun(stage.last(), kind, OWN).await;
            assert_eq!(stage.calls().await, calls + 1);
            assert_ne!(second.token(), first.token());
            for replica in [0, stage.last()] {
                crate::support::eventually(super::PATIENCE, async || {
                    stage.tick();
                    stage.go_on(replica, kind, OWN).await.token() == second.token()
                })
                .await;
            }
            stage.later(EXPIRED);
            assert_eq!(stage.go_on(0, kind, OWN).await.source(), "identity_provider");
        }
        let sent = stage.sent().await;
        assert_eq!(sent.len(), 2, "one for each kind");
    }
}

#[tokio::test]
async fn starts_of_one_key_at_the_same_time_are_one_call_and_new_ones_are_not() {
    for kind in [ENTRA, ISSUER] {
        let stage = Stage::memory().await;
        let bearer = stage.bearer(kind, kind.users[0]).await;
        stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hold": true}})).await;
        let named = |session: &'static str| {
            let (stage, bearer) = (&stage, &bearer);
            async move { stage.start_as(0, "alpha", kind, bearer, json!({"session": session})).await }
        };
        let all = join_all([OWN, OWN, "new", OWN, "new"].map(named));
        let (answers, ()) = tokio::join!(all, async {
            stage.emulator.asked_times("token", 3).await;
            stage.emulator.release().await;
        });
        let of = |at: usize| (answers[at].token().to_owned(), answers[at].member("session").to_owned());
        assert!(of(0) == of(1) && of(0) == of(3) && of(0).1 == OWN);
        assert!(of(2).1 != of(4).1 && of(2).0 != of(4).0 && of(2).0 != of(0).0);
        assert_eq!(stage.calls().await, 3);
    }
}

#[tokio::test]
async fn where_the_server_gives_no_refresh_token_there_is_nothing_to_continue_with() {
    for stage in Stage::both().await {
        let silent = super::Kind { app: "shop", ..ISSUER };
        let answer = stage.start(0, silent, "eva", "new").await;
        assert_eq!((answer.source(), answer.json.get("session")), ("identity_provider", Some(&Value::Null)));
        let own = stage.start(0, silent, "eva", OWN).await;
        assert_eq!(own.json.get("session"), Some(&Value::Null));
        super::is_unknown(&stage.go_on(stage.last(), silent, OWN).await);
        if stage.redis.is_some() {
            assert_eq!(stage.keys("}:a").await, [""; 0]);
        }
    }
}

/// What says that it is a refresh token may be the only one there is (RFC 8693 §2.2.1).
#[tokio::test]
async fn a_refresh_token_in_the_place_of_the_access_token_is_never_shown() {
    let stage = Stage::memory().await;
    let refresh = "urn:ietf:params:oauth:token-type:refresh_token";
    for (access, other) in [("the-refresh-token", None), ("the-refresh-token", Some("the-refresh-token"))] {
        let body = json!({"access_token": access, "token_type": "Bearer", "expires_in": 600, "issued_token_type": refresh,
                          "refresh_token": other});
        stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"raw": {"body": body}}})).await;
        let answer = stage.start(0, TYPED, "eva", "new").await;
        answer.refused(502, "invalid_authority_response", "refresh token");
        assert!(!answer.text.contains(access), "{}", answer.text);
        stage.later(10);
    }
    // And nobody but tokend itself may ask for one.
    let bearer = stage.bearer(TYPED, "eva").await;
    for session in [json!({}), json!({"session": "new"})] {
        let mut more = json!({"requested_token_type": refresh});
        more.as_object_mut().expect("an object").extend(session.as_object().expect("an object").clone());
        stage.start_as(0, "alpha", TYPED, &bearer, more).await.refused(400, "invalid_request", "requested_token_type");
    }
    let more = json!({"session": "new", "requested_token_type": "urn:ietf:params:oauth:token-type:saml2"});
    stage.start_as(0, "alpha", TYPED, &bearer, more).await.refused(400, "invalid_request", "session");
}

#[tokio::test]
async fn a_session_that_was_renewed_asks_for_no_more_than_was_granted() {
    let stage = Stage::memory().await;
    let (_, key) = stage.begun(0, ISSUER, "new").await;
    stage.later(EXPIRED);
    stage.go_on(0, ISSUER, &key).await.token();
    let refused = stage.go_on_as(0, "alpha", ISSUER, json!({"session": key, "scopes": "orders.write"})).await;
    refused.refused(400, "invalid_scope", "scopes");
    let part = stage.go_on_as(0, "alpha", ISSUER, json!({"session": key, "scopes": "stock.read"})).await;
    assert_eq!(part.member("scope").replace(" offline_access", ""), "stock.read");
    let asked = stage.emulator.asked("token").await;
    let refreshes: Vec<&Value> = asked.iter().filter(|call| call["grant_type"] == "refresh_token").collect();
    assert_eq!(refreshes[0]["form"].get("scope"), None, "its own");
    assert_eq!(refreshes[1]["form"]["scope"], "stock.read offline_access");
}

#[tokio::test]
async fn a_session_whose_refresh_token_has_ended_is_none() {
    for stage in Stage::both().await {
        let (_, key) = stage.begun(0, ENTRA, "new").await;
        stage.later(91 * 24 * 3600);
        for replica in [0, stage.last()] {
            super::is_unknown(&stage.go_on(replica, ENTRA, &key).await);
        }
        assert_eq!(stage.sent().await, [""; 0]);
    }
}

#[tokio::test]
async fn an_answer_about_somebody_else_is_no_sessions() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let stage = Stage::memory().await;
    let info = |uid: &str, utid: &str| URL_SAFE_NO_PAD.encode(json!({"uid": uid, "utid": utid}).to_string());
    let (first, key) = stage.begun(0, ENTRA, "new").await;
    let (oid, tid) = id(&first).split_once('.').expect("two ids");
    let set = async |info: String| {
        stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"set": {"client_info": info}}})).await;
    };
    // A start about another user of the tenant.
    set(info("somebody-else", tid)).await;
    stage.start(0, ENTRA, super::BEN, "new").await.refused(502, "invalid_authority_response", "somebody else");
    // A refresh about another one.
    set(info("somebody-else", tid)).await;
    stage.forced(0, ENTRA, &key).await.refused(502, "invalid_authority_response", "somebody else");
    stage.later(10);
    // A guest is at home elsewhere, from the beginning to the end.
    set(info("home-oid", "home-tid")).await;
    let (guest, key) = stage.begun(0, ENTRA, "new").await;
    assert_eq!(id(&guest), "home-oid.home-tid");
    set(info("home-oid", "home-tid")).await;
    assert_eq!(id(&stage.forced(0, ENTRA, &key).await), "home-oid.home-tid");
    set(info(oid, tid)).await;
    stage.forced(0, ENTRA, &key).await.refused(502, "invalid_authority_response", "somebody else");
}
