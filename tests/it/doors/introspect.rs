//! `POST /introspect`: what an app accepts is active, with its claims; of everything else nothing is said.

use serde_json::{Value, json};

use super::{form, formed, open};
use crate::support::{Client, World};

async fn ask(world: &World, app: &str, token: &str) -> Value {
    let answer = form(&world.sidecar.client, "/introspect", &[("client_id", app), ("token", token)]).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{}", answer.text);
    answer.json
}

#[tokio::test]
async fn what_the_app_accepts_is_active_with_its_claims() {
    let world = open().await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let seen = ask(&world, "orders", &user).await;
    assert_eq!((&seen["active"], &seen["token_type"], &seen["scope"]), (&json!(true), &json!("Bearer"), &json!("access_as_user")));
    assert_eq!(seen["username"], "ana@contoso.example", "{seen}");
    assert!(seen["iss"].is_string() && seen["exp"].is_i64() && seen["oid"].is_string() && seen["aud"].is_string(), "{seen}");
    let eva = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
    let shop = ask(&world, "shop", &world.emulator.mint(eva).await).await;
    assert_eq!((&shop["active"], &shop["scope"]), (&json!(true), &json!("orders.read")), "{shop}");
    // An app's own token is a token too, where no scope of a user is asked for.
    let app = json!({"app": "billing-api", "claims": {"idtyp": "app", "roles": ["all"], "scp": null}});
    let app = ask(&world, "billing", &world.emulator.mint(app).await).await;
    assert_eq!((&app["active"], &app["roles"]), (&json!(true), &json!(["all"])), "{app}");
    assert_eq!(world.calls().await, 0, "nobody is asked but for keys");
    let metrics = world.sidecar.admin.get("/metrics").await.text;
    assert!(metrics.contains("tokend_introspections_total{app=\"orders\",outcome=\"active\"} 1"), "{metrics}");
    assert!(metrics.contains("tokend_door_requests_total{door=\"oauth2\",outcome=\"ok\"} 3"), "{metrics}");
}

#[tokio::test]
async fn claims_do_not_say_what_the_answer_says() {
    let world = open().await;
    let claims = json!({"active": false, "username": "mallory", "token_type": "pop", "client_id": ["x"], "scope": {"a": 1}});
    let order = json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user", "claims": claims});
    let seen = ask(&world, "orders", &world.emulator.mint(order).await).await;
    // A claim of another shape than it may have is no good token at all.
    let plain = json!({"active": false, "username": "mallory", "token_type": "pop"});
    let order = json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user", "claims": plain});
    let other = ask(&world, "orders", &world.emulator.mint(order).await).await;
    assert_eq!(seen, json!({"active": false}));
    assert_eq!(
        (&other["active"], &other["username"], &other["token_type"]),
        (&json!(true), &json!("ana@contoso.example"), &json!("Bearer"))
    );
}

#[tokio::test]
async fn of_what_is_not_active_nothing_is_said() {
    let world = open().await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let minted = async |claims: Value| {
        let order = json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user", "claims": claims});
        world.emulator.mint(order).await
    };
    let forged = format!("{}x", &user[..user.len() - 1]);
    let ended = minted(json!({"exp": 1_000_000_000})).await;
    let bound = minted(json!({"cnf": {"jkt": "x"}})).await;
    let elsewhere = world.emulator.mint(json!({"app": "billing-api", "user": "ana@contoso.example", "scopes": "read"})).await;
    let id_token = minted(json!({"scp": null})).await;
    for token in [
        forged.as_str(),
        &ended,
        &bound,
        &elsewhere,
        &id_token,
        "opaque",
        "a.b.c",
        "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a.b.c.d",
        "eyJhbGciOiJub25lIn0.e30.",
        "tkd1.canary",
        "PHNhbWw6QXNzZXJ0aW9uPg==",
        "\0",
    ] {
        assert_eq!(ask(&world, "orders", token).await, json!({"active": false}), "{token}");
    }
    // Good for one app is good for no other.
    assert_eq!(ask(&world, "billing", &user).await, json!({"active": false}));
    let metrics = world.sidecar.admin.get("/metrics").await.text;
    assert!(metrics.contains("tokend_introspections_total{app=\"orders\",outcome=\"inactive\"} 12"), "{metrics}");
}

#[tokio::test]
async fn bad_requests_and_keys_that_are_away() {
    let world = open().await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token("ana@contoso.example").await;
    for (pairs, error, word) in [
        (&[("client_id", "orders")][..], "invalid_request", "`token` is missing"),
        (&[("client_id", "orders"), ("token", "a"), ("token", "b")], "invalid_request", "`token` stands twice"),
        (&[("client_id", "daemon"), ("token", "a")], "unauthorized_client", "inbound"),
        (&[("client_id", "nobody"), ("token", "a")], "unauthorized_client", "no app"),
    ] {
        form(client, "/introspect", pairs).await.oauth_error(400, error, word);
    }
    Client::send(client.http.get(format!("{}/introspect?token=a", client.base))).await.oauth_error(
        405,
        "invalid_request",
        "method",
    );
    Client::send(client.request("/introspect", &json!({"token": "a"}))).await.oauth_error(415, "invalid_request", "form");
    world.emulator.script(json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"raw": {"status": 503, "body": "no"}}})).await;
    let away = Client::send(formed(client, "/introspect", &[("client_id", "orders"), ("token", &user)])).await;
    away.oauth_error(503, "temporarily_unavailable", "keys");
    assert!(away.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{:?}", away.headers);
}

#[tokio::test]
async fn a_closed_door_has_no_introspection() {
    let world = World::with("doors: [msi]\nmsi: {imds: {apps: [daemon]}}\n").await;
    form(&world.sidecar.client, "/introspect", &[("token", "a")]).await.oauth_error(404, "invalid_request", "no such route");
}
