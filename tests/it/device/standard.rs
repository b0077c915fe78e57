//! The standard endpoints (RFC 8628): `/oauth2/device_authorization`, the token endpoint, and what the metadata says of them.

use serde_json::json;

use super::{ANA, ORDERS, approve, poll_code};
use crate::doors::form;
use crate::support::{Answer, Client, World};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn open() -> World {
    World::with("doors: [oauth2]\npublic_url: https://tokend.example\n").await
}

async fn begin(client: &Client, scope: &str) -> Answer {
    let answer = form(client, "/oauth2/device_authorization", &[("client_id", "web"), ("scope", scope)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

async fn poll(client: &Client, code: &str) -> Answer {
    form(client, "/oauth2/token", &[("grant_type", GRANT), ("client_id", "web"), ("device_code", code)]).await
}

#[tokio::test]
async fn req_6_a_standard_client_begins_polls_and_gets_a_handle() {
    let world = open().await;
    let client = &world.sidecar.client;
    for (scope, has_id_token) in [(ORDERS.to_owned(), false), (format!("openid {ORDERS}"), true)] {
        let started = begin(client, &scope).await;
        let members: Vec<&str> = started.json.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(
            members,
            ["device_code", "expires_in", "interval", "user_code", "verification_uri"],
            "nothing else: {members:?}"
        );
        assert_eq!((started.header("pragma"), started.header("cache-control")), ("no-cache", "no-store"));
        let code = started.member("device_code");
        poll(client, code).await.oauth_error(400, "authorization_pending", "");
        world.later(1);
        poll(client, code).await.oauth_error(400, "slow_down", "five seconds");
        approve(&world.emulator, &started, ANA).await;
        world.later(10);
        let answer = poll(client, code).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json["id_token"].is_string(), has_id_token, "{}", answer.text);
        let handle = answer.member("refresh_token").to_owned();
        assert!(handle.starts_with("tkd1."), "{}", answer.text);
        // Who lost the answer gets another, with a handle of its own.
        let again = poll(client, code).await;
        assert_eq!(again.member("access_token"), answer.member("access_token"), "{}", again.text);
        assert!(again.member("refresh_token").starts_with("tkd1."), "{}", again.text);
        let refresh = [("grant_type", "refresh_token"), ("client_id", "web"), ("refresh_token", &*handle)];
        let refreshed = form(client, "/oauth2/token", &refresh).await;
        assert_eq!(refreshed.member("access_token"), answer.member("access_token"), "{}", refreshed.text);
        // The one is none of the other.
        poll(client, &handle).await.oauth_error(400, "expired_token", "");
        let refresh = [("grant_type", "refresh_token"), ("client_id", "web"), ("refresh_token", code)];
        form(client, "/oauth2/token", &refresh).await.oauth_error(400, "invalid_grant", "");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_words_of_oauth() {
    let world = open().await;
    let client = &world.sidecar.client;
    form(client, "/oauth2/token", &[("grant_type", GRANT), ("client_id", "web")]).await.oauth_error(
        400,
        "invalid_request",
        "`device_code` is missing",
    );
    poll(client, "anything").await.oauth_error(400, "expired_token", "start again");
    let other = [
        ("client_id", "daemon"),
        ("grant_type", GRANT),
        ("device_code", &*begin(client, ORDERS).await.member("device_code").to_owned()),
    ];
    form(client, "/oauth2/token", &other).await.oauth_error(400, "expired_token", "");
    for (name, value) in [("request", "x"), ("authorization_details", "[]"), ("policy", "p")] {
        let pairs = [("client_id", "web"), ("scope", ORDERS), (name, value)];
        form(client, "/oauth2/device_authorization", &pairs).await.oauth_error(400, "invalid_request", name);
    }
    let pairs = [("client_id", "nowhere"), ("scope", ORDERS)];
    form(client, "/oauth2/device_authorization", &pairs).await.oauth_error(400, "unauthorized_client", "");
    let pairs = [("client_id", "web")];
    form(client, "/oauth2/device_authorization", &pairs).await.oauth_error(400, "invalid_request", "scopes");
    let json = client.post("/oauth2/device_authorization", &json!({"client_id": "web", "scope": ORDERS})).await;
    json.oauth_error(415, "invalid_request", "");
    // The REST route takes what either start has given.
    let started = begin(client, ORDERS).await;
    poll_code(client, started.member("device_code")).await.refused(400, "authorization_pending", "");
}

#[tokio::test]
async fn the_metadata_names_the_endpoint_and_the_grant() {
    let world = open().await;
    let metadata = world.sidecar.client.get("/.well-known/oauth-authorization-server/web").await;
    assert_eq!(metadata.member("device_authorization_endpoint"), "https://tokend.example/oauth2/device_authorization");
    assert!(metadata.json["grant_types_supported"].as_array().is_some_and(|grants| grants.contains(&json!(GRANT))));
}
