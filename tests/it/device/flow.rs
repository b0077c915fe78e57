//! From a start to a token, and what is kept of it.

use serde_json::{Value, json};

use super::{ANA, EVA, ORDERS, STOCK, approve, deny, poll, polled, start, world};
use crate::support::World;

/// The forms of the refreshes that an authority was sent.
async fn refreshes(world: &World) -> Vec<Value> {
    let asked = world.emulator.asked("token").await.into_iter().map(|call| call["form"].clone());
    asked.filter(|form| form["grant_type"] == "refresh_token").collect()
}

#[tokio::test]
async fn req_6_a_device_waits_for_its_user_and_gets_a_token_at_both_kinds_of_authority() {
    let world = world().await;
    let client = &world.sidecar.client;
    for (app, scopes, user, is_public) in [
        ("web", ORDERS, ANA, true),
        ("web-device", ORDERS, ANA, false),
        ("desktop", ORDERS, ANA, true),
        ("till", STOCK, EVA, true),
        ("shop-device", STOCK, EVA, false),
    ] {
        let started = start(client, app, scopes).await;
        assert!(started.member("device_code").starts_with("tkdd1."), "{}", started.text);
        assert_eq!((&started.json["interval"], &started.json["expires_in"]), (&json!(5), &json!(900)), "{app}");
        let (uri, code) = (started.member("verification_uri"), started.member("user_code"));
        assert!(started.member("message").contains(uri) && started.member("message").contains(code), "{}", started.text);
        let is_issuer = scopes == STOCK;
        assert_eq!(started.member("verification_uri_complete").contains(code), is_issuer, "{}", started.text);
        assert!(!world.emulator.asked("devicecode").await.is_empty());
        let begun = world.emulator.asked("devicecode").await.pop().expect("a start")["form"].clone();
        let proves = |form: &Value, header: &Value| form["client_secret"].is_string() || header.is_string();
        // At Entra-style authorities never, elsewhere where it does when it polls.
        let header = world.emulator.asked("devicecode").await.pop().expect("a start")["headers"]["authorization"].clone();
        assert_eq!(proves(&begun, &header), is_issuer && !is_public, "{app}: {begun}");
        let scope = begun["scope"].as_str().unwrap_or_default();
        assert!(["openid", "offline_access", scopes].iter().all(|one| scope.split(' ').any(|had| had == *one)), "{scope}");
        poll(client, &started).await.refused(400, "authorization_pending", "`interval`");
        approve(&world.emulator, &started, user).await;
        world.later(5);
        let answer = poll(client, &started).await;
        let token = answer.token().to_owned();
        assert_eq!(answer.member("token_source"), "identity_provider", "{}", answer.text);
        assert!(!answer.text.contains("refresh_token"), "{}", answer.text);
        let call = world.emulator.asked("token").await.pop().expect("a poll");
        assert_eq!(proves(&call["form"], &call["headers"]["authorization"]), !is_public, "{app}: {call}");
        let account = answer.json["account"]["home_account_id"].clone();
        let silent = json!({"app": app, "scopes": scopes, "account": account});
        let cached = client.post("/silent", &silent).await;
        assert_eq!((cached.token(), cached.member("cache_level")), (&*token, "memory"), "{app}: {}", cached.text);
        // Its refreshes go as the client that polled.
        world.later(4000);
        let renewed = client.post("/silent", &silent).await;
        assert_eq!(renewed.source(), "identity_provider", "{app}");
        let call = world.emulator.asked("token").await.pop().expect("a refresh");
        assert_eq!(proves(&call["form"], &call["headers"]["authorization"]), !is_public, "{app}: {call}");
    }
    assert_eq!(refreshes(&world).await.len(), 5);
}

#[tokio::test]
async fn who_polls_again_gets_what_the_code_became_until_it_ends() {
    let world = world().await;
    let client = &world.sidecar.client;
    for (app, scopes, user) in [("web", ORDERS, ANA), ("shop-device", STOCK, EVA)] {
        let started = start(client, app, scopes).await;
        approve(&world.emulator, &started, user).await;
        let first = poll(client, &started).await;
        let calls = world.calls().await;
        // At once: whoever has the token need not wait.
        let again = poll(client, &started).await;
        assert_eq!((again.token(), again.member("token_source")), (first.token(), "cache"), "{}", again.text);
        assert_eq!(again.json["account"], first.json["account"]);
        assert_eq!(world.calls().await, calls, "nobody was asked");
        world.later(901);
        poll(client, &started).await.refused(400, "expired_token", "start again");
        assert_eq!(world.calls().await, calls);
    }
}

#[tokio::test]
async fn a_token_that_is_over_before_its_code_is_renewed_for_who_polls_again() {
    let world = world().await;
    let client = &world.sidecar.client;
    let started = start(client, "web", ORDERS).await;
    approve(&world.emulator, &started, ANA).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"expires_in": 300}})).await;
    let first = poll(client, &started).await.token().to_owned();
    world.later(299);
    let again = poll(client, &started).await;
    assert_ne!(again.token(), first);
    assert_eq!((again.member("token_source"), refreshes(&world).await.len()), ("identity_provider", 1), "{}", again.text);
}

#[tokio::test]
async fn a_user_who_signs_out_takes_the_code_with_the_account() {
    let world = world().await;
    let client = &world.sidecar.client;
    let started = start(client, "web", ORDERS).await;
    approve(&world.emulator, &started, ANA).await;
    let answer = poll(client, &started).await;
    let account = answer.json["account"]["home_account_id"].as_str().expect("an account").to_owned();
    let path = format!("{}/accounts/{account}?app=web", client.base);
    assert_eq!(crate::support::Client::send(client.http.delete(path)).await.status, 204);
    let calls = world.calls().await;
    poll(client, &started).await.refused(400, "expired_token", "signed out");
    assert_eq!(world.calls().await, calls);
}

#[tokio::test]
async fn an_answer_that_says_nobodys_name_is_given_and_given_again_and_nothing_else_is_kept() {
    let world = world().await;
    let client = &world.sidecar.client;
    let started = start(client, "shop-device", STOCK).await;
    approve(&world.emulator, &started, EVA).await;
    let bare = json!({"access_token": "of-nobody", "token_type": "Bearer", "expires_in": 600, "scope": STOCK});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"raw": {"body": bare}}})).await;
    let answer = poll(client, &started).await;
    assert_eq!((answer.token(), &answer.json["account"]), ("of-nobody", &Value::Null), "{}", answer.text);
    let again = poll(client, &started).await;
    assert_eq!((again.token(), again.member("token_source")), ("of-nobody", "cache"), "{}", again.text);
    assert_eq!(polled(&world.emulator).await.len(), 1);
    let accounts = client.get("/accounts?app=shop-device").await;
    assert_eq!(accounts.json["accounts"], json!([]), "{}", accounts.text);
}

#[tokio::test]
async fn req_6_a_user_who_says_no_and_a_code_that_is_over_end_it() {
    let world = world().await;
    let client = &world.sidecar.client;
    for (app, scopes) in [("web", ORDERS), ("shop-device", STOCK)] {
        let started = start(client, app, scopes).await;
        deny(&world.emulator, &started).await;
        poll(client, &started).await.refused(400, "access_denied", "the user said no");
        let calls = world.calls().await;
        // It stays so, and nobody is asked again.
        poll(client, &started).await.refused(400, "access_denied", "the user said no");
        assert_eq!(world.calls().await, calls);
        let over = start(client, app, scopes).await;
        world.later(899);
        poll(client, &over).await.refused(400, "authorization_pending", "");
        world.later(1);
        let calls = world.calls().await;
        poll(client, &over).await.refused(400, "expired_token", "is over");
        assert_eq!(world.calls().await, calls, "nobody is asked about what is over");
    }
}

#[tokio::test]
async fn what_the_authority_says_of_a_code_is_told_in_the_words_of_the_rfc() {
    let world = world().await;
    let client = &world.sidecar.client;
    for (said, told) in [
        ("authorization_declined", "access_denied"),
        ("access_denied", "access_denied"),
        ("bad_verification_code", "expired_token"),
        ("code_expired", "expired_token"),
        ("expired_token", "expired_token"),
    ] {
        let started = start(client, "web", ORDERS).await;
        let error = json!({"error": said, "error_description": "AADSTS1: because", "error_codes": [70020]});
        world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"error": error}})).await;
        let answer = poll(client, &started).await;
        answer.refused(400, told, "");
        assert_eq!((answer.member("error_description"), &answer.json["error_codes"]), ("AADSTS1: because", &json!([70020])));
        assert_eq!(answer.json["retryable"], false);
        assert_eq!(poll(client, &started).await.member("error"), told);
    }
}

#[tokio::test]
async fn other_refusals_are_as_those_of_every_flow() {
    let world = world().await;
    let client = &world.sidecar.client;
    let refuse = async |status: u16, error: Value| {
        let mut error = error;
        error["status"] = json!(status);
        world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"error": error}})).await;
        let started = start(client, "web", ORDERS).await;
        let answer = poll(client, &started).await;
        world.later(61);
        answer
    };
    refuse(400, json!({"error": "invalid_grant"})).await.refused(401, "invalid_grant", "");
    let claims = json!({"error": "interaction_required", "claims": "{\"access_token\":{}}"});
    assert_eq!(refuse(400, claims).await.status, 401);
    // A public client that should be none, and the reverse: the key is named.
    for code in [7_000_218, 700_025] {
        let error = json!({"error": "invalid_client", "error_codes": [code]});
        refuse(401, error).await.refused(502, "invalid_client", "`apps.*.device_code.client`");
    }
    refuse(503, json!({"error": "temporarily_unavailable"})).await.refused(503, "temporarily_unavailable", "poll once more");
}

#[tokio::test]
async fn a_public_poll_that_is_refused_says_nothing_of_the_credential() {
    let world = world().await;
    let client = &world.sidecar.client;
    let started = start(client, "web", ORDERS).await;
    let error = json!({"status": 401, "error": "invalid_client", "error_codes": [7_000_218]});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"error": error}})).await;
    assert_eq!(poll(client, &started).await.status, 502);
    let calls = world.calls().await;
    world.later(10);
    assert_eq!(poll(client, &started).await.status, 502, "that is remembered for public calls");
    assert_eq!(world.calls().await, calls);
    let code = world.code("web", ORDERS, ANA).await;
    world.redeem(&code).await.token();
}
