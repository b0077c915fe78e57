//! `POST /oauth2/token`: each grant, what its answers have, and what a request that is none gets.

use serde_json::json;

use super::{OPEN, form, formed, open};
use crate::support::{Client, GRAPH, REDIRECT_URI, World, code};

const ACCESS: &str = "api://orders/access_as_user";
const USER_READ: &str = "https://graph.microsoft.com/User.Read";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

#[tokio::test]
async fn the_door_is_closed_until_it_is_opened() {
    let world = World::new().await;
    let client = &world.sidecar.client;
    for path in ["/oauth2/token", "/oauth2/revoke", "/introspect"] {
        form(client, path, &[("grant_type", "client_credentials")]).await.oauth_error(404, "invalid_request", "no such route");
    }
    assert_eq!(client.get("/msi/token").await.status, 400);
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn client_credentials_by_name_and_by_client_id() {
    let world = open().await;
    let client = &world.sidecar.client;
    let daemon = world.emulator.app("daemon")["client_id"].as_str().expect("an id").to_owned();
    let answer =
        form(client, "/oauth2/token", &[("grant_type", "client_credentials"), ("client_id", "daemon"), ("scope", GRAPH)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let members: Vec<&str> = answer.json.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, ["access_token", "expires_in", "scope", "token_type"], "RFC 6749's alone");
    assert_eq!((answer.member("token_type"), answer.header("pragma")), ("Bearer", "no-cache"));
    // It is the token that the other door has.
    let rest = world.graph().await;
    assert_eq!((rest.token(), rest.source()), (answer.member("access_token"), "cache"));
    // Two apps have this client id.
    let twice =
        form(client, "/oauth2/token", &[("grant_type", "client_credentials"), ("client_id", &daemon), ("scope", GRAPH)]).await;
    twice.oauth_error(400, "invalid_request", "several apps");
    let web = world.emulator.app("billing-api")["client_id"].as_str().expect("an id").to_owned();
    let by_id = form(client, "/oauth2/token", &[("grant_type", "client_credentials"), ("client_id", &web), ("scope", GRAPH)]).await;
    assert_eq!(by_id.status, 200, "{}", by_id.text);
    let basic = formed(client, "/oauth2/token", &[("grant_type", "client_credentials"), ("scope", GRAPH)]);
    assert_eq!(Client::send(basic.basic_auth("daemon", Some("whatever"))).await.member("access_token"), rest.token());
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn on_behalf_of_by_either_grant_at_either_authority() {
    let world = open().await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let shop = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
    let shop = world.emulator.mint(shop).await;
    for (app, token, scope) in [("orders", &user, USER_READ), ("shop", &shop, "stock.read")] {
        let bearer = [("grant_type", JWT_BEARER), ("client_id", app), ("assertion", token), ("scope", scope)];
        let first = form(client, "/oauth2/token", &bearer).await;
        assert_eq!(first.status, 200, "{}", first.text);
        assert!(first.json["issued_token_type"].is_null() && first.json["refresh_token"].is_null(), "{}", first.text);
        let exchange = [
            ("grant_type", EXCHANGE),
            ("client_id", app),
            ("subject_token", token),
            ("subject_token_type", ACCESS_TOKEN),
            ("scope", scope),
        ];
        let second = form(client, "/oauth2/token", &exchange).await;
        assert_eq!((second.status, second.member("issued_token_type")), (200, ACCESS_TOKEN), "{}", second.text);
        assert_eq!(second.member("access_token"), first.member("access_token"), "one flow, one token");
        let entra = [&bearer[..], &[("requested_token_use", "on_behalf_of")]].concat();
        assert_eq!(form(client, "/oauth2/token", &entra).await.member("access_token"), first.member("access_token"));
    }
    assert_eq!(world.calls().await, 2);
    let bad = [("grant_type", JWT_BEARER), ("client_id", "orders"), ("assertion", "eyJ.a.b"), ("scope", USER_READ)];
    form(client, "/oauth2/token", &bad).await.oauth_error(400, "invalid_grant", "not accepted");
}

/// A code for an app, and what redeems it as a form.
async fn redemption(world: &World, app: &str, scope: &str) -> Vec<(String, String)> {
    let body = code(&world.emulator, &world.sidecar.client, app, scope, "ana@contoso.example").await;
    let text = |name: &str| body[name].as_str().expect("a text").to_owned();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        pair("grant_type", "authorization_code"),
        pair("client_id", app),
        pair("code", &text("code")),
        pair("code_verifier", &text("code_verifier")),
        pair("redirect_uri", REDIRECT_URI),
        pair("scope", &format!("openid offline_access {scope}")),
    ]
}

async fn redeemed(client: &Client, pairs: &[(String, String)]) -> crate::support::Answer {
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    form(client, "/oauth2/token", &pairs).await
}

#[tokio::test]
async fn a_code_brings_a_handle_and_the_handle_brings_the_next() {
    let world = open().await;
    let client = &world.sidecar.client;
    let signed = redeemed(client, &redemption(&world, "web", ACCESS).await).await;
    assert_eq!(signed.status, 200, "{}", signed.text);
    let handle = signed.member("refresh_token").to_owned();
    assert!(handle.starts_with("tkd1.") && !signed.member("id_token").is_empty(), "{}", signed.text);
    assert!(handle.len() <= 2048);
    let refresh = async |handle: &str, more: &[(&str, &str)]| {
        let pairs = [&[("grant_type", "refresh_token"), ("client_id", "web"), ("refresh_token", handle)], more].concat();
        form(client, "/oauth2/token", &pairs).await
    };
    let again = refresh(&handle, &[]).await;
    assert_eq!((again.status, again.member("access_token")), (200, signed.member("access_token")), "{}", again.text);
    let next = again.member("refresh_token").to_owned();
    assert!(next.starts_with("tkd1.") && next != handle);
    assert!(again.json["id_token"].is_null(), "not asked for: {}", again.text);
    // The old one stays good, and each for other scopes too.
    for (handle, scope) in [(&handle, USER_READ), (&next, ACCESS)] {
        let other = refresh(handle, &[("scope", scope)]).await;
        assert_eq!(other.status, 200, "{}", other.text);
    }
    assert!(world.emulator.requests().await.iter().all(|request| !request.to_string().contains(&handle)), "it is ours alone");
}

#[tokio::test]
async fn what_would_change_the_meaning_is_refused() {
    let world = open().await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let good = [("grant_type", "client_credentials"), ("client_id", "daemon"), ("scope", GRAPH)];
    for (name, value) in [
        ("actor_token", "canary"),
        ("authorization_details", "canary"),
        ("request", "canary"),
        ("req_cnf", "canary"),
        ("token_type", "canary"),
        ("policy", "canary"),
        ("session", "canary"),
        ("requested_token_use", "canary"),
    ] {
        let answer = form(client, "/oauth2/token", &[&good[..], &[(name, value)]].concat()).await;
        answer.oauth_error(400, "invalid_request", name);
        assert!(!answer.text.contains("canary"), "{}", answer.text);
    }
    let refresh = [&good[..], &[("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")]].concat();
    form(client, "/oauth2/token", &refresh).await.oauth_error(400, "invalid_request", "never handed out");
    let other_use = [
        ("grant_type", JWT_BEARER),
        ("client_id", "orders"),
        ("assertion", &user),
        ("scope", USER_READ),
        ("requested_token_use", "canary"),
    ];
    form(client, "/oauth2/token", &other_use).await.oauth_error(400, "invalid_request", "requested_token_use");
    let dpop = Client::send(formed(client, "/oauth2/token", &good).header("dpop", "eyJ.a.b")).await;
    dpop.oauth_error(400, "invalid_request", "DPoP");
    // What says nothing to tokend is ignored (RFC 6749 §3.2), and what is empty is absent.
    let other = [&good[..], &[("foo", "canary"), ("foo", "twice"), ("audience", ""), ("tenant", "")]].concat();
    assert_eq!(form(client, "/oauth2/token", &other).await.status, 200);
    assert_eq!(world.calls().await, 1);
}

/// A form, the error that it gets, and a word of what is said about it; no error: it is served.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

#[tokio::test]
async fn bad_requests_have_the_shape_of_oauth() {
    let world = open().await;
    let client = &world.sidecar.client;
    let long = "a".repeat(9 * 1024);
    let cc = ("grant_type", "client_credentials");
    let cases: &[Case<'_>] = &[
        (&[], "invalid_request", "grant_type"),
        (&[("grant_type", "")], "invalid_request", "grant_type"),
        (&[("grant_type", "magic")], "unsupported_grant_type", "client_credentials"),
        (&[("grant_type", "password"), ("client_id", "web"), ("scope", "a")], "invalid_request", "`username` is missing"),
        (&[("grant_type", "urn:ietf:params:oauth:grant-type:device_code")], "invalid_request", "`device_code` is missing"),
        (&[("grant_type", "urn:ietf:params:oauth:grant-type:saml1_1-bearer")], "unsupported_grant_type", "saml2-bearer"),
        (&[("grant_type", "implicit")], "unsupported_grant_type", "authorization_code"),
        (&[cc, cc], "invalid_request", "`grant_type` stands twice"),
        (&[cc, ("client_id", "daemon"), ("client_id", "daemon")], "invalid_request", "`client_id` stands twice"),
        (&[cc, ("client_id", "nobody"), ("scope", GRAPH)], "unauthorized_client", "no app"),
        (&[cc, ("client_id", "da\0emon"), ("scope", GRAPH)], "unauthorized_client", "no app"),
        (&[cc, ("scope", GRAPH)], "unauthorized_client", "several apps"),
        (&[cc, ("client_id", "daemon"), ("scope", &long)], "invalid_request", "`scope` is longer"),
        (&[cc, ("client_id", "daemon"), ("scope", "a\"b")], "invalid_scope", "`scope` has a character"),
        (&[cc, ("client_id", "daemon")], "invalid_request", "scopes"),
        (&[cc, ("client_id", "daemon"), ("resource", "a"), ("resource", "b")], "invalid_target", "`resource` stands twice"),
        (&[cc, ("client_id", "daemon"), ("audience", "a"), ("audience", "b")], "invalid_target", "`audience` stands twice"),
        (&[cc, ("client_id", "daemon"), ("scope", GRAPH), ("force_refresh", "yes")], "invalid_request", "force_refresh"),
        (&[cc, ("client_id", "daemon"), ("scope", GRAPH), ("tenant", "a b")], "invalid_request", "tenant"),
        (&[cc, ("api", "nothing")], "invalid_scope", "no such `api`"),
        (&[("grant_type", "authorization_code"), ("client_id", "web"), ("scope", ACCESS)], "invalid_request", "`code` is missing"),
        (&[("grant_type", "refresh_token"), ("client_id", "web")], "invalid_request", "`refresh_token` is missing"),
        (&[("grant_type", JWT_BEARER), ("client_id", "orders")], "invalid_request", "`assertion` is missing"),
        (&[("grant_type", EXCHANGE), ("client_id", "orders")], "invalid_request", "`subject_token` is missing"),
        (&[("grant_type", EXCHANGE), ("client_id", "orders"), ("subject_token", "x")], "invalid_request", "subject_token_type"),
        (&[cc, ("client_id", "daemon"), ("scope", GRAPH), ("client_assertion", "eyJ.a.b"), ("client_assertion_type", "x")], "", ""),
    ];
    for (pairs, error, word) in cases {
        let answer = form(client, "/oauth2/token", pairs).await;
        if error.is_empty() {
            assert_eq!(answer.status, 200, "without callers nobody asks: {}", answer.text);
            continue;
        }
        answer.oauth_error(400, error, word);
    }
    let raw = |body: &'static [u8], kind: &str| client.raw("/oauth2/token").header("content-type", kind).body(body);
    const FORM: &str = "application/x-www-form-urlencoded";
    for (request, status, word) in [
        (client.raw("/oauth2/token"), 400, "grant_type"),
        (raw(b"{\"grant_type\":\"client_credentials\"}", "application/json"), 415, "form"),
        (raw(b"grant_type=client_credentials", "multipart/form-data"), 415, "form"),
        (raw(b"grant_type=\xff", FORM), 400, "UTF-8"),
        (raw(b"grant_type=%ff", FORM), 400, "UTF-8"),
        (raw(b"grant_type=%zz", FORM), 400, "percent"),
        (client.raw("/oauth2/token?grant_type=client_credentials").header("content-type", FORM), 400, "query"),
        (client.http.get(format!("{}/oauth2/token", client.base)), 405, "method"),
        (client.raw("/oauth2/token").header("content-type", FORM).header("origin", "https://evil.example"), 403, "web page"),
        (client.raw("/oauth2/token").header("content-type", FORM).header("x-forwarded-for", "1.2.3.4"), 400, "proxy"),
        (client.raw("/oauth2/token").header("content-type", FORM).bearer_auth("canary"), 400, "Basic"),
        (client.raw("/oauth2/token").header("content-type", FORM).body("x".repeat(300 * 1024)), 413, "limits.body"),
    ] {
        Client::send(request).await.oauth_error(status, "invalid_request", word);
    }
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("a", "b"), 65).collect();
    form(client, "/oauth2/token", &many).await.oauth_error(400, "invalid_request", "64 parameters");
    let both = formed(client, "/oauth2/token", &[cc, ("client_secret", "canary")]).basic_auth("daemon", Some("canary"));
    Client::send(both).await.oauth_error(400, "invalid_request", "send it once");
    let other = formed(client, "/oauth2/token", &[cc, ("client_id", "web")]).basic_auth("daemon", Some("canary"));
    Client::send(other).await.oauth_error(400, "invalid_request", "client_id");
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn the_users_turn_is_told_with_what_the_authority_said() {
    let world = open().await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let claims = json!({"access_token": {"acrs": {"essential": true, "value": "c1"}}}).to_string();
    let refusal = json!({
        "status": 400, "error": "interaction_required", "error_description": "AADSTS50076: more", "error_codes": [50076],
        "suberror": "basic_action", "claims": claims,
    });
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"error": refusal}})).await;
    let pairs = [("grant_type", JWT_BEARER), ("client_id", "orders"), ("assertion", &*user), ("scope", USER_READ)];
    let answer = form(client, "/oauth2/token", &pairs).await;
    answer.oauth_error(400, "interaction_required", "AADSTS50076");
    assert_eq!((answer.member("claims"), answer.member("suberror")), (claims.as_str(), "basic_action"));
}

#[tokio::test]
async fn a_refusal_of_the_apps_own_credential_is_not_the_clients() {
    let world = open().await;
    let refusal =
        json!({"status": 401, "error": "invalid_client", "error_description": "AADSTS7000215: no", "error_codes": [7000215]});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"error": refusal}})).await;
    let pairs = [("grant_type", "client_credentials"), ("client_id", "daemon"), ("scope", GRAPH)];
    let answer = form(&world.sidecar.client, "/oauth2/token", &pairs).await;
    answer.oauth_error(502, "server_error", "credential");
    assert!(!answer.text.contains("AADSTS7000215: no"), "{}", answer.text);
}

#[tokio::test]
async fn what_is_kept_is_kept_by_every_door() {
    let world = World::with(&format!("{OPEN}public_url: https://tokens.example\n")).await;
    let client = &world.sidecar.client;
    let signed = redeemed(client, &redemption(&world, "web", ACCESS).await).await;
    assert_eq!(signed.status, 200, "{}", signed.text);
    let listed = client.get("/accounts?app=web").await;
    let id = listed.json["accounts"][0]["home_account_id"].as_str().expect("an account").to_owned();
    let silent = client.post("/silent", &json!({"app": "web", "account": id, "scopes": [ACCESS]})).await;
    assert_eq!((silent.token(), silent.source()), (signed.member("access_token"), "cache"));
}
