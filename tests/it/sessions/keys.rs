//! What a session's key has to be, and what a request says that names a wrong one. Nothing is sent for any of it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::json;

use super::{ANA, ENTRA, ISSUER, OWN, Plan, Stage, body, is_unknown};
use crate::support::Client;

#[tokio::test]
async fn a_key_that_is_none_is_refused_wherever_it_stands() {
    let stage = Stage::memory().await;
    let bearer = stage.bearer(ENTRA, ANA).await;
    let long = "a".repeat(257);
    for key in ["", "short", "a-key-of-21-charactrs", "a key with a space in it, twice", "a-key-with-\u{e9}-that-is-none", &long] {
        let more = json!({"session": key});
        stage.start_as(0, "alpha", ENTRA, &bearer, more.clone()).await.refused(400, "invalid_request", "`session`");
        stage.go_on_as(0, "alpha", ENTRA, more).await.refused(400, "invalid_request", "write `new`");
        stage.end(0, "alpha", ENTRA, key).await.refused(400, "invalid_request", "`session`");
    }
    stage.go_on(0, ENTRA, "new").await.refused(401, "token_missing", "Bearer");
    stage.end(0, "alpha", ENTRA, "new").await.refused(400, "invalid_request", "no key");
    stage.end_with(0, "alpha", &json!({"app": ENTRA.app})).await.refused(400, "invalid_request", "`session` is missing");
    stage.end_with(0, "alpha", &json!({"app": ENTRA.app, "session": OWN, "scopes": "a"})).await.refused(
        400,
        "invalid_request",
        "scopes",
    );
    stage.end_with(0, "alpha", &json!({"app": "nobody", "session": OWN})).await.refused(404, "unknown_app", "app");
    assert_eq!(stage.calls().await, 0);
}

#[tokio::test]
async fn what_is_far_too_long_is_refused_before_it_is_looked_at() {
    let stage = Stage::memory().await;
    let bearer = stage.bearer(ENTRA, ANA).await;
    let answer = stage.start_as(0, "alpha", ENTRA, &bearer, json!({"session": "a".repeat(9000)})).await;
    answer.refused(400, "invalid_request", "`session` is longer than 8192 bytes");
    let client = stage.client(0, "alpha");
    let whole = body(ENTRA, json!({"session": "a".repeat(64 * 1024)})).to_string();
    for request in [client.raw("/obo").bearer_auth(&bearer), client.http.delete(format!("{}/obo", client.base))] {
        let answer = Client::send(request.header("content-type", "application/json").body(whole.clone())).await;
        assert!([400, 413].contains(&answer.status), "{}", answer.text);
        assert!(!answer.text.contains("aaaaaaaa"), "{}", answer.text);
    }
    assert_eq!(stage.calls().await, 0);
}

#[tokio::test]
async fn no_hash_of_the_users_token_is_a_key() {
    let stage = Stage::memory().await;
    let bearer = stage.bearer(ENTRA, ANA).await;
    let hash = digest(&SHA256, bearer.as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    for key in [hex.clone(), hex.to_uppercase(), URL_SAFE_NO_PAD.encode(hash), URL_SAFE.encode(hash)] {
        let answer = stage.start_as(0, "alpha", ENTRA, &bearer, json!({"session": key})).await;
        answer.refused(400, "invalid_request", "random key");
    }
    // Another token's hash is as good as any other key: who knows it knows nothing of this session.
    let other = digest(&SHA256, b"another token");
    let more = json!({"session": URL_SAFE_NO_PAD.encode(other)});
    assert_eq!(stage.start_as(0, "alpha", ENTRA, &bearer, more).await.status, 200);
    assert_eq!(stage.calls().await, 1);
}

#[tokio::test]
async fn who_is_not_known_chooses_no_key_of_their_own() {
    let stage = Stage::made(Plan { open: true, ..Plan::default() }).await;
    for kind in [ENTRA, ISSUER] {
        let bearer = stage.bearer(kind, kind.users[0]).await;
        stage.start_as(0, "", kind, &bearer, json!({"session": OWN})).await.refused(400, "invalid_request", "configure `callers`");
        let begun = stage.start_as(0, "", kind, &bearer, json!({"session": "new"})).await;
        let key = begun.member("session").to_owned();
        assert_eq!(stage.go_on_as(0, "", kind, json!({"session": key})).await.token(), begun.token());
        is_unknown(&stage.go_on_as(0, "", kind, json!({"session": OWN})).await);
        assert_eq!(stage.end(0, "", kind, &key).await.status, 204);
        is_unknown(&stage.go_on_as(0, "", kind, json!({"session": key})).await);
    }
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
async fn a_start_needs_what_on_behalf_of_needs_and_sends_nothing_else() {
    let stage = Stage::memory().await;
    let bearer = stage.bearer(ENTRA, ANA).await;
    let start = async |more| stage.start_as(0, "alpha", ENTRA, &bearer, more).await;
    start(json!({"session": "new", "scopes": null})).await.refused(400, "invalid_request", "scopes");
    start(json!({"session": "new", "tenant": "fabrikam.example"})).await.refused(403, "tenant_not_allowed", "tenants");
    start(json!({"session": "new", "claims": "x"})).await.refused(400, "invalid_request", "claims");
    start(json!({"session": "new", "subject_token_type": "urn:x"})).await.refused(400, "invalid_request", "subject_token_type");
    start(json!({"session": "new", "app": "web"})).await.refused(403, "flow_not_allowed", "inbound");
    start(json!({"session": 7})).await.refused(400, "invalid_request", "`session` has to be a string");
    stage.start_as(0, "alpha", ENTRA, "no.such.token", json!({"session": "new"})).await.refused(401, "invalid_token", "");
    let more = json!({"session": OWN, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"});
    stage.go_on_as(0, "alpha", ISSUER, more).await.refused(400, "invalid_request", "subject_token_type");
    assert_eq!(stage.calls().await, 0);
    // `null` is as good as absent.
    let plain = start(json!({"session": null})).await;
    assert_eq!((plain.source(), plain.json.get("session")), ("identity_provider", None));
}

/// Names and values in Redis, as whoever can read it there sees them.
#[tokio::test]
async fn nothing_of_a_session_can_be_read_in_redis() {
    let stage = Stage::sharing(2).await;
    let mut hidden = vec![OWN.to_owned(), ANA.to_owned()];
    for kind in [ENTRA, ISSUER] {
        stage.begun(0, kind, OWN).await;
        hidden.push(stage.begun(1, kind, "new").await.1);
        stage.later(super::EXPIRED);
        stage.go_on(1, kind, OWN).await.token();
    }
    hidden.extend(stage.sent().await);
    assert_eq!(hidden.len(), 6);
    let dump = stage.redis().dump().await;
    assert!(dump.len() >= 8, "{}", dump.len());
    for text in dump.iter().flat_map(|(name, value)| [name, value]) {
        for secret in &hidden {
            let hash = digest(&SHA256, secret.as_bytes());
            for form in [secret.as_bytes(), hash.as_ref(), URL_SAFE_NO_PAD.encode(hash).as_bytes()] {
                assert!(!text.windows(form.len()).any(|part| part == form), "in {}", String::from_utf8_lossy(text));
            }
        }
    }
}

#[tokio::test]
async fn a_key_may_have_any_visible_character_and_comes_back_as_it_is() {
    let stage = Stage::memory().await;
    let key = r#"!"\#$%&'()*+,-./:;<=>?@[]^_`{|}~"#;
    let (begun, _) = stage.begun(0, ENTRA, key).await;
    assert_eq!(begun.member("session"), key);
    let again = stage.go_on(0, ENTRA, key).await;
    assert_eq!((again.token(), again.member("session")), (begun.token(), key));
    is_unknown(&stage.go_on(0, ENTRA, &key.to_uppercase().replace('~', "-")).await);
}
