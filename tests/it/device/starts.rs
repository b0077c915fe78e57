//! Starts: what is asked for, and what an authority answers that no device can use.

use serde_json::{Value, json};

use super::{ORDERS, STOCK, poll, start, world, world_with};
use crate::support::World;

/// The next start is answered so.
async fn answers(world: &World, body: Value) {
    world.emulator.script(json!({"on": {"endpoint": "devicecode"}, "do": {"raw": {"body": body}}})).await;
}

async fn ask(world: &World, body: Value) -> crate::support::Answer {
    world.sidecar.client.post("/device-code", &body).await
}

fn good() -> Value {
    json!({
        "device_code": "authority-code", "user_code": "ABC-DEF", "verification_uri": "https://id.example/device", "expires_in": 600,
        "interval": 7
    })
}

#[tokio::test]
async fn the_members_are_those_of_every_flow() {
    let world = world().await;
    ask(&world, json!({"app": "web"})).await.refused(400, "invalid_request", "`scopes` is missing");
    ask(&world, json!({"app": "web", "scopes": ORDERS, "audience": "x"})).await.refused(400, "invalid_request", "`audience`");
    ask(&world, json!({"app": "web", "scopes": ORDERS, "tenant": "fabrikam.example"})).await.refused(403, "tenant_not_allowed", "");
    ask(&world, json!({"app": "web", "scopes": ORDERS, "claims": "{"})).await.refused(400, "invalid_request", "`claims`");
    ask(&world, json!({"app": "nowhere", "scopes": ORDERS})).await.refused(404, "unknown_app", "");
    let long = "s".repeat(100);
    let many: Vec<String> = (0..40).map(|number| format!("{long}{number}")).collect();
    ask(&world, json!({"app": "web", "scopes": many})).await.refused(400, "invalid_request", "ask for less");
    assert!(world.emulator.asked("devicecode").await.is_empty());
    // An issuer has scopes of its own where none are named.
    start_plain(&world).await;
    let claims = json!({"app": "web", "scopes": ORDERS, "claims": "{\"access_token\":{\"a\":null}}"});
    let challenged = ask(&world, claims).await;
    assert_eq!(challenged.status, 200, "{}", challenged.text);
    let sent = world.emulator.asked("devicecode").await.pop().expect("a start");
    assert!(sent["form"]["claims"].as_str().is_some_and(|claims| claims.contains("\"a\"")), "{sent}");
    poll(&world.sidecar.client, &challenged).await.refused(400, "authorization_pending", "");
    let sent = world.emulator.asked("token").await.pop().expect("a poll");
    assert!(sent["form"]["claims"].as_str().is_some_and(|claims| claims.contains("\"a\"")), "with the poll too: {sent}");
}

async fn start_plain(world: &World) {
    let answer = ask(world, json!({"app": "shop-device"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let sent = world.emulator.asked("devicecode").await.pop().expect("a start");
    assert_eq!(sent["form"]["scope"], "openid offline_access", "{sent}");
}

#[tokio::test]
async fn an_authority_without_a_device_endpoint_is_403_and_says_why() {
    let mut directory = crate::support::Emulator::built_in();
    directory["realms"][0]["without"] = json!(["devicecode"]);
    let stage = crate::support::Stage { apps: super::APPS, directory: Some(directory), ..crate::support::Stage::default() };
    let world = World::staged(stage).await;
    ask(&world, json!({"app": "shop-device", "scopes": STOCK})).await.refused(
        403,
        "flow_not_available",
        "`device_authorization_endpoint`",
    );
}

#[tokio::test]
async fn an_answer_that_no_device_can_use_is_502_and_says_what_is_wrong() {
    let world = world().await;
    for (member, value, word) in [
        ("device_code", Value::Null, "device_code"),
        ("device_code", json!("x".repeat(2049)), "device_code"),
        ("user_code", Value::Null, "user_code"),
        ("user_code", json!("ABC\u{1b}[2J"), "user_code"),
        ("verification_uri", Value::Null, "verification_uri"),
        ("verification_uri", json!("javascript:alert(1)"), "verification_uri"),
        ("expires_in", Value::Null, "expires_in"),
        ("expires_in", json!(0), "expires_in"),
    ] {
        let mut body = good();
        body[member] = value.clone();
        answers(&world, body).await;
        ask(&world, json!({"app": "web", "scopes": ORDERS})).await.refused(502, "invalid_authority_response", word);
        world.later(6);
    }
    answers(&world, json!("<html>")).await;
    ask(&world, json!({"app": "web", "scopes": ORDERS})).await.refused(502, "invalid_authority_response", "no JSON object");
}

#[tokio::test]
async fn numbers_that_make_no_sense_are_not_believed() {
    let world = world().await;
    for (interval, expected) in [(json!(0), 5), (json!(-1), 5), (Value::Null, 5), (json!("9"), 9), (json!(100_000_000), 300)] {
        let mut body = good();
        body["interval"] = interval.clone();
        answers(&world, body).await;
        let started = start(&world.sidecar.client, "web", ORDERS).await;
        assert_eq!(started.json["interval"], expected, "{interval}");
        assert_eq!(started.member("message"), "To sign in, open the page https://id.example/device and enter the code ABC-DEF.");
    }
    let mut long = good();
    long["expires_in"] = json!(10_000_000_000_i64);
    long["verification_uri_complete"] = json!("data:text/html,x");
    answers(&world, long).await;
    let started = start(&world.sidecar.client, "web", ORDERS).await;
    assert_eq!((&started.json["expires_in"], &started.json["verification_uri_complete"]), (&json!(86_400), &Value::Null));
}

#[tokio::test]
async fn an_error_is_one_also_with_200_and_is_not_asked_again_at_once() {
    let world = world().await;
    for status in [200, 400] {
        let error = json!({"error": "invalid_scope", "error_description": "no"});
        let raw = json!({"raw": {"status": status, "body": error}});
        world.emulator.script(json!({"on": {"endpoint": "devicecode"}, "do": raw})).await;
        let body = json!({"app": "web", "scopes": ORDERS});
        ask(&world, body.clone()).await.refused(400, "invalid_scope", "");
        let asked = world.emulator.asked("devicecode").await.len();
        ask(&world, body.clone()).await.refused(400, "invalid_scope", "remembered");
        assert_eq!(world.emulator.asked("devicecode").await.len(), asked);
        world.later(6);
        assert_eq!(ask(&world, body).await.status, 200);
    }
}

#[tokio::test]
async fn a_pause_that_the_authority_asks_for_is_kept_and_an_outage_backs_off() {
    let world = world().await;
    let body = json!({"app": "web", "scopes": ORDERS});
    let throttle = json!({"throttle": {"retry_after": "30"}});
    world.emulator.script(json!({"on": {"endpoint": "devicecode"}, "do": throttle})).await;
    let paused = ask(&world, body.clone()).await;
    paused.refused(429, "temporarily_unavailable", "Retry-After");
    assert_eq!(paused.header("retry-after"), "30");
    world.later(29);
    ask(&world, body.clone()).await.refused(429, "throttled", "remembered");
    assert_eq!(world.emulator.asked("devicecode").await.len(), 1);
    world.later(1);
    // Once more, since a code of which nobody hears ends by itself.
    world.emulator.script(json!({"on": {"endpoint": "devicecode"}, "times": 1, "do": {"close": true}})).await;
    assert_eq!(ask(&world, body.clone()).await.status, 200);
    assert_eq!(world.emulator.asked("devicecode").await.len(), 3);
    world.emulator.script(json!({"on": {"endpoint": "devicecode"}, "times": 0, "do": {"close": true}})).await;
    assert_eq!(ask(&world, body.clone()).await.status, 503);
    let asked = world.emulator.asked("devicecode").await.len();
    assert_eq!(ask(&world, body).await.status, 503);
    assert_eq!(world.emulator.asked("devicecode").await.len(), asked);
}

#[tokio::test]
async fn a_refused_credential_holds_starts_at_an_issuer() {
    let world = world_with("").await;
    let error = json!({"status": 401, "error": "invalid_client"});
    world.emulator.script(json!({"on": {"endpoint": "devicecode"}, "times": 0, "do": {"error": error}})).await;
    let body = json!({"app": "shop-device", "scopes": STOCK});
    ask(&world, body.clone()).await.refused(502, "invalid_client", "");
    let asked = world.emulator.asked("devicecode").await.len();
    ask(&world, body).await.refused(502, "invalid_client", "remembered");
    assert_eq!(world.emulator.asked("devicecode").await.len(), asked);
}
