//! What every proxy of the page has to do. Where they differ, the page says so, and so does the test.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::api::SAID;
use super::proxy::Proxy;
use super::stage::{OTHER_CALLER, Stage};
use super::wire::{Answer, Exchange, ask};
use crate::clients::{ANA, claims};
use crate::support::eventually;

/// Names that only the proxy may say to the application, and as many applications read them.
const OURS: [&str; 4] = ["x-tokend-token", "x-user-id", "x-tenant-id", "x-user-roles"];
/// A head of a client without a token.
const BARE: &str = "GET /orders HTTP/1.1\nHost: orders\nConnection: close";

/// Nothing of a refused request may reach the application.
#[track_caller]
fn refused(stage: &Stage, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{:?}: {answer:?}", stage.proxy);
    assert!(!answer.body.contains(SAID));
    let seen = stage.api.take();
    assert!(seen.is_empty(), "{:?}: {seen:?}", stage.proxy);
}

/// The application answered, and what it got.
#[track_caller]
fn passed(stage: &Stage, answer: &Answer) -> super::api::Seen {
    assert_eq!((answer.status, answer.body.as_str()), (200, SAID), "{:?}: {answer:?}", stage.proxy);
    stage.api.one()
}

/// The claims of the token that the application got.
#[track_caller]
fn token(seen: &super::api::Seen) -> Value {
    let [authorization] = seen.header("authorization")[..] else { panic!("{seen:?}") };
    claims(authorization.strip_prefix("Bearer ").expect("a bearer"))
}

/// A user's object id, and the tenant's.
fn identity(stage: &Stage) -> (&str, &str) {
    let users = stage.emulator.directory["users"].as_array().expect("users");
    let ana = users.iter().find(|user| user["username"] == ANA).expect("a user");
    let tenant = stage.emulator.directory["tenants"][0]["id"].as_str();
    (ana["object_id"].as_str().expect("an id"), tenant.expect("a tenant"))
}

pub(super) async fn the_token_and_the_identity_arrive(stage: &Stage) {
    let answer = stage.asked_as(&stage.user_token().await, "\nCookie: a=b\nX-Of-The-Client: 1").await;
    let seen = passed(stage, &answer);
    let claims = token(&seen);
    let (user, tenant) = identity(stage);
    assert_eq!((&claims["aud"], &claims["oid"]), (&json!("https://graph.microsoft.com"), &json!(user)), "{claims:#}");
    assert_eq!((seen.header("x-user-id"), seen.header("x-tenant-id")), (vec![user], vec![tenant]));
    // What else the client says goes to the application, and nothing of tokend's to the client.
    assert_eq!((seen.target.as_str(), seen.header("x-of-the-client")), ("/orders", vec!["1"]));
    assert!(OURS.iter().chain(&["authorization"]).all(|name| answer.header(name).is_empty()), "{answer:?}");
}

pub(super) async fn no_bearer_is_401_with_the_challenge(stage: &Stage) {
    let answer = ask(stage.port, &format!("{BARE}\nOrigin: https://shop.example")).await;
    refused(stage, &answer, 401);
    let challenge = answer.header("www-authenticate");
    assert!(matches!(challenge[..], [one] if one.starts_with("Bearer")), "{:?}: {answer:?}", stage.proxy);
    // A page of the shop may read the status.
    assert_eq!(answer.header("access-control-allow-origin"), ["https://shop.example"], "{:?}", stage.proxy);
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let is_own = stage.proxy == Proxy::Nginx;
    assert_eq!(body["error"].is_null(), is_own, "{:?}: {answer:?}", stage.proxy);
    // The body of one that is refused is not waited for.
    let head = "POST /orders HTTP/1.1\nHost: orders\nConnection: close\nContent-Length: 10485760";
    refused(stage, &ask(stage.port, head).await, 401);
}

pub(super) async fn other_schemes_and_two_bearers_are_refused(stage: &Stage) {
    let token = stage.user_token().await;
    for line in ["Basic YTpi", "Negotiate YTpi", "Bearer", "Bearer a b", "Bearer canary"] {
        let answer = ask(stage.port, &format!("{BARE}\nAuthorization: {line}")).await;
        refused(stage, &answer, 401);
        assert_eq!(answer.header("www-authenticate").len(), 1, "{:?}: {answer:?}", stage.proxy);
    }
    let two = ask(stage.port, &format!("{BARE}\nAuthorization: Bearer {token}\nAuthorization: Bearer {token}")).await;
    // nginx does not even ask.
    refused(stage, &two, if stage.proxy == Proxy::Nginx { 400 } else { 401 });
    // A scheme's name has no case (RFC 9110 §11.1).
    let lower = ask(stage.port, &format!("{BARE}\nAuthorization: bearer {token}")).await;
    assert_eq!(token_audience(&passed(stage, &lower)), "https://graph.microsoft.com", "{:?}", stage.proxy);
}

pub(super) async fn a_missing_scope_is_403_with_the_challenge(stage: &Stage) {
    let token = stage.emulator.mint(json!({"app": "orders-api", "user": ANA, "scopes": "orders.export"})).await;
    let answer = stage.asked_as(&token, "").await;
    refused(stage, &answer, 403);
    let challenge = answer.header("www-authenticate");
    assert!(matches!(challenge[..], [one] if one.contains("insufficient_scope")), "{:?}: {answer:?}", stage.proxy);
}

pub(super) async fn what_the_proxy_may_not_have_is_403(stage: &Stage) {
    let greedy = stage.another(&[("/auth/graph", "/auth/mail")]).await;
    let head = format!("{BARE}\nAuthorization: Bearer {}", stage.user_token().await);
    // Others may have it: that helps nobody who says he is one of them.
    for more in [String::new(), format!("\nX-Tokend-Token: {OTHER_CALLER}")] {
        let answer = ask(greedy.port, &format!("{head}{more}")).await;
        refused(stage, &answer, 403);
        assert!(answer.header("www-authenticate").is_empty(), "{:?}: {answer:?}", stage.proxy);
    }
}

pub(super) async fn throttling_is_429_with_its_time(stage: &Stage) {
    let token = stage.user_token().await;
    stage.authority(json!({"throttle": {"retry_after": "7"}})).await;
    let answer = stage.asked_as(&token, "").await;
    refused(stage, &answer, 429);
    assert_eq!(answer.header("retry-after"), ["7"], "{:?}: {answer:?}", stage.proxy);
}

pub(super) async fn an_authority_that_is_away_is_503(stage: &Stage) {
    let token = stage.user_token().await;
    let error = json!({"status": 503, "error": "temporarily_unavailable", "headers": {"retry-after": "9"}});
    stage.authority(json!({"error": error})).await;
    let answer = stage.asked_as(&token, "").await;
    refused(stage, &answer, 503);
    // Envoy says a time of its own.
    let time = if stage.proxy == Proxy::Envoy { "5" } else { "9" };
    assert_eq!(answer.header("retry-after"), [time], "{:?}: {answer:?}", stage.proxy);
}

pub(super) async fn without_tokend_nobody_passes(stage: &Stage) {
    let alone = stage.without_tokend().await;
    let status = match stage.proxy {
        Proxy::Nginx | Proxy::Caddy => 502,
        Proxy::Envoy => 503,
        Proxy::Traefik => 500,
    };
    let head = format!("{BARE}\nAuthorization: Bearer {}", stage.user_token().await);
    refused(stage, &ask(alone.port, &head).await, status);
    refused(stage, &ask(alone.port, BARE).await, status);
}

pub(super) async fn long_tokens_pass(stage: &Stage) {
    let groups: Vec<String> = (0..110).map(|n| format!("{n:08}-52d8-4e6f-83a9-c4d0e7f21b01")).collect();
    let order = json!({"app": "orders-api", "user": ANA, "scopes": "access_as_user", "claims": {"groups": groups}});
    let long = stage.emulator.mint(order).await;
    let answered = "x".repeat(6 * 1024);
    stage.authority(json!({"set": {"access_token": answered}})).await;
    assert!(long.len() > 6 * 1024, "{}", long.len());
    let seen = passed(stage, &stage.asked_as(&long, "").await);
    assert!(seen.header("authorization") == [format!("Bearer {answered}")], "{:?}: another token", stage.proxy);
}

pub(super) async fn a_long_body_arrives_whole_and_tokend_does_not_wait_for_it(stage: &Stage) {
    let body: Vec<u8> = (0..10 * 1024 * 1024_u32).map(|n| (n % 251) as u8).collect();
    let token = stage.user_token().await;
    let before = stage.answered().await;
    let head = format!(
        "POST /orders HTTP/1.1\nHost: orders\nConnection: close\nAuthorization: Bearer {token}\nContent-Length: {}",
        body.len()
    );
    let mut exchange = Exchange::begin(stage.port, &head).await;
    eventually(std::time::Duration::from_secs(20), async || stage.answered().await > before).await;
    exchange.send(&body).await;
    let seen = passed(stage, &exchange.answer().await);
    assert_eq!((seen.method.as_str(), seen.length), ("POST", body.len()), "{:?}", stage.proxy);
    assert_eq!(seen.digest, digest(&SHA256, &body).as_ref(), "{:?}", stage.proxy);
    assert_eq!(token_audience(&seen), "https://graph.microsoft.com");
    assert_eq!(stage.answered().await, before + 1.0, "{:?}", stage.proxy);
}

fn token_audience(seen: &super::api::Seen) -> String {
    token(seen)["aud"].as_str().expect("an audience").to_owned()
}

pub(super) async fn what_an_outsider_says_it_is_counts_for_nothing(stage: &Stage) {
    let forged = "\nX-Tokend-Token: TOKEN\nX-TOKEND-TOKEN: again\nX_Tokend_Token: TOKEN\nX-User-Id: forged\nX-User-Id: forged\n\
                  x-user-id: forged\nX_User_Id: forged\nx-tenant-id: forged\nX_TENANT_ID: forged\nX-User-Roles: forged\n\
                  x_user_roles: forged";
    let (user, tenant) = identity(stage);
    for known in [OTHER_CALLER, "a-token-that-nobody-has"] {
        let forged = forged.replace("TOKEN", known);
        let seen = passed(stage, &stage.asked_as(&stage.user_token().await, &forged).await);
        for (name, value) in &seen.headers {
            let ours = OURS.contains(&name.as_str().replace('_', "-").as_str());
            let text = value.to_str().expect("text");
            assert!(!ours || [user, tenant, ""].contains(&text), "{:?}: {name}: {text}", stage.proxy);
            assert!(!text.contains("forged") && !text.contains(known), "{:?}: {name}: {text}", stage.proxy);
        }
        assert_eq!((seen.header("x-user-id"), seen.header("x-tenant-id")), (vec![user], vec![tenant]), "{:?}", stage.proxy);
        assert!(seen.header("x-tokend-token").is_empty(), "{:?}: {seen:?}", stage.proxy);
        // Nor do they stand in for a user's token.
        refused(stage, &ask(stage.port, &format!("{BARE}{forged}")).await, 401);
    }
}

pub(super) async fn a_header_that_has_no_claim_arrives_as_nobodys(stage: &Stage) {
    let seen = passed(stage, &stage.asked_as(&stage.user_token().await, "\nX-User-Roles: Administrator").await);
    let roles = seen.header("x-user-roles");
    assert!(roles.iter().all(|value| value.is_empty()), "{:?}: {roles:?}", stage.proxy);
    let endless = "a".repeat(1025);
    for (claim, arrives) in [
        (json!(["Clerk", "Größe, 1"]), "Clerk,Gr%C3%B6%C3%9Fe%2C%201"),
        (json!("Clerk\r\nX-User-Id: forged"), "Clerk%0D%0AX-User-Id:%20forged"),
        (json!([endless]), ""),
    ] {
        let order = json!({"app": "orders-api", "user": ANA, "scopes": "access_as_user", "claims": {"roles": claim}});
        let token = stage.emulator.mint(order).await;
        let seen = passed(stage, &stage.asked_as(&token, "\nX-User-Roles: Administrator").await);
        let roles = seen.header("x-user-roles").concat();
        assert_eq!(roles, arrives, "{:?}: {claim}", stage.proxy);
        assert_eq!(seen.header("x-user-id"), [identity(stage).0], "{:?}: {claim}", stage.proxy);
    }
}

/// `Connection` names headers that go no further than the next server. What the proxy sets has to arrive all the same.
pub(super) async fn a_connection_header_takes_nothing_away(stage: &Stage) {
    let (user, _) = identity(stage);
    let token = stage.user_token().await;
    for named in ["X-User-Id", "x-user-id, keep-alive", "Authorization", "X-Tokend-Token", "X-Tenant-Id"] {
        let head =
            format!("GET / HTTP/1.1\nHost: orders\nAuthorization: Bearer {token}\nX-User-Id: forged\nConnection: close, {named}");
        let answer = ask(stage.port, &head).await;
        let seen = stage.api.take();
        let whole = |seen: &super::api::Seen| seen.header("x-user-id") == [user] && seen.header("authorization").len() == 1;
        assert!(seen.iter().all(whole), "{:?}: {named}: {seen:?}", stage.proxy);
        let refuses = matches!(answer.status, 400 | 401);
        assert!(refuses == seen.is_empty() && (refuses || answer.status == 200), "{:?}: {named}: {answer:?}", stage.proxy);
    }
}

pub(super) async fn preflights_are_answered_by_the_proxy(stage: &Stage) {
    let before = stage.answered().await;
    let head = |origin: &str| {
        format!(
            "OPTIONS /orders HTTP/1.1\nHost: orders\nConnection: close\nOrigin: {origin}\nAccess-Control-Request-Method: PUT\n\
             Access-Control-Request-Headers: authorization"
        )
    };
    let answer = ask(stage.port, &head("https://shop.example")).await;
    assert!(matches!(answer.status, 200 | 204), "{:?}: {answer:?}", stage.proxy);
    assert_eq!(answer.header("access-control-allow-origin"), ["https://shop.example"], "{:?}", stage.proxy);
    let allowed = |name: &str, what: &str| answer.header(name).concat().to_ascii_lowercase().contains(what);
    assert!(allowed("access-control-allow-methods", "put"), "{:?}: {answer:?}", stage.proxy);
    assert!(allowed("access-control-allow-headers", "authorization"), "{:?}: {answer:?}", stage.proxy);
    assert_eq!(stage.answered().await, before, "{:?} asked tokend", stage.proxy);
    let answer = ask(stage.port, &head("https://elsewhere.example")).await;
    assert!(answer.header("access-control-allow-origin").is_empty(), "{:?}: {answer:?}", stage.proxy);
    assert!(stage.api.take().is_empty());
}

pub(super) async fn old_clients_are_served(stage: &Stage) {
    let token = stage.user_token().await;
    // Neither Host nor Connection.
    let seen = passed(stage, &ask(stage.port, &format!("GET /orders HTTP/1.0\nAuthorization: Bearer {token}")).await);
    assert_eq!(token_audience(&seen), "https://graph.microsoft.com");
    refused(stage, &ask(stage.port, "GET /orders HTTP/1.0").await, 401);
    let head = format!("POST /orders HTTP/1.0\nHost: orders\nAuthorization: Bearer {token}\nContent-Length: 5");
    let mut exchange = Exchange::begin(stage.port, &head).await;
    exchange.send(b"hello").await;
    assert_eq!(passed(stage, &exchange.answer().await).length, 5, "{:?}", stage.proxy);
}

pub(super) async fn head_and_options_pass(stage: &Stage) {
    let token = stage.user_token().await;
    for method in ["HEAD", "OPTIONS", "DELETE"] {
        let head = format!("{method} /orders HTTP/1.1\nHost: orders\nConnection: close");
        refused(stage, &ask(stage.port, &head).await, 401);
        let answer = ask(stage.port, &format!("{head}\nAuthorization: Bearer {token}")).await;
        assert_eq!(answer.status, 200, "{:?}: {method}: {answer:?}", stage.proxy);
        assert_eq!(stage.api.one().method.as_str(), method, "{:?}", stage.proxy);
    }
}

pub(super) async fn what_is_only_judged_keeps_its_token(stage: &Stage) {
    let judging = stage.another(&[stage.proxy.judges(), &[("/auth/graph", "/auth/judged")]].concat()).await;
    let token = stage.user_token().await;
    let head = format!("{BARE}\nAuthorization: Bearer {token}\nX-User-Id: forged\nX-Tenant-Id: forged");
    let seen = passed(stage, &ask(judging.port, &head).await);
    assert!(seen.header("authorization") == [format!("Bearer {token}")], "{:?}: another token", stage.proxy);
    assert_eq!(seen.header("x-user-id"), [identity(stage).0], "{:?}", stage.proxy);
    // No claim is asked for under this name, and what the client says of it is worth nothing all the same.
    assert!(!seen.header("x-tenant-id").contains(&"forged"), "{:?}: {seen:?}", stage.proxy);
    refused(stage, &ask(judging.port, BARE).await, 401);
}

/// For nginx alone.
pub(super) async fn a_length_without_a_body_is_not_waited_for(stage: &Stage) {
    let careless = stage
        .another(&[
            ("            proxy_pass_request_headers off;\n", ""),
            ("            proxy_set_header Content-Length \"\";\n", ""),
            (
                "            proxy_http_version 1.1;\n            # Nothing",
                "            proxy_http_version 1.0;\n            # Nothing",
            ),
        ])
        .await;
    let token = stage.user_token().await;
    for origin in ["https://shop.example", "https://elsewhere.example"] {
        let head = format!(
            "POST /orders HTTP/1.1\nHost: elsewhere.example\nConnection: close\nAuthorization: Bearer {token}\nOrigin: {origin}\n\
             Sec-Fetch-Site: cross-site\nX-Forwarded-For: 203.0.113.7\nForwarded: for=203.0.113.7\nContent-Length: 5"
        );
        let mut exchange = Exchange::begin(careless.port, &head).await;
        exchange.send(b"hello").await;
        let answer = exchange.answer().await;
        assert_eq!((answer.status, stage.api.one().length), (200, 5), "{answer:?}");
    }
}

pub(super) async fn an_upgrade_passes(stage: &Stage) {
    let upgrade = "GET /socket HTTP/1.1\nHost: orders\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    refused(stage, &ask(stage.port, upgrade).await, 401);
    let head = format!("{upgrade}\nAuthorization: Bearer {}", stage.user_token().await);
    let mut exchange = Exchange::begin(stage.port, &head).await;
    let answer = exchange.answer().await;
    assert_eq!(answer.status, 101, "{:?}: {answer:?}", stage.proxy);
    exchange.send(b"through").await;
    assert_eq!(exchange.read(7).await, b"through", "{:?}", stage.proxy);
    let seen = stage.api.one();
    assert_eq!((token_audience(&seen).as_str(), seen.header("upgrade")), ("https://graph.microsoft.com", vec!["websocket"]));
}

pub(super) async fn a_long_path_arrives_whole(stage: &Stage) {
    let path = format!("/{}?{}", "path/".repeat(1440), "q=1&".repeat(256));
    assert!(path.len() > 8 * 1024, "{}", path.len());
    let token = stage.user_token().await;
    let head = format!("GET {path} HTTP/1.1\nHost: orders\nConnection: close");
    let seen = passed(stage, &ask(stage.port, &format!("{head}\nAuthorization: Bearer {token}")).await);
    assert_eq!(
        (token_audience(&seen).as_str(), seen.target.len()),
        ("https://graph.microsoft.com", path.len()),
        "{:?}",
        stage.proxy
    );
    refused(stage, &ask(stage.port, &head).await, 401);
}
