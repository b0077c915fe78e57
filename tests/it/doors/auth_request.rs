//! `/auth/{api}`: what a proxy gets that asks by a sub-request, whatever its client has sent.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::support::{Answer, Client, World};

const DOOR: &str = "doors: [auth_request]\n";
const APIS: &str = r#"
  files: {app: orders, scopes: ["https://graph.microsoft.com/User.Read"], doors: [auth_request],
          identity_headers: {x-user-id: oid, x-user-name: name, x-roles: roles, x-missing: nothing, x-user-again: oid}}
  judged: {app: orders, doors: [auth_request], exchange: false, identity_headers: {x-user-id: oid}}
  hidden: {app: orders, scopes: ["https://graph.microsoft.com/User.Read"]}
"#;
const OWN: &str = r#"
  machine: {app: daemon, scopes: ["https://graph.microsoft.com/.default"], doors: [auth_request], identity: app}
"#;

/// The usual world with the door open; the second text goes below `apis`.
async fn open(more: &str, apis: &str) -> World {
    World::changed(|yaml, _| {
        yaml.replacen("apis:\n", &format!("apis:{APIS}{apis}"), 1).replace("\n\n  files", "\n  files") + DOOR + more
    })
    .await
}

fn asking(client: &Client, path: &str, bearer: Option<&str>) -> reqwest::RequestBuilder {
    let request = client.http.get(format!("{}{path}", client.base));
    bearer.into_iter().fold(request, |request, token| request.bearer_auth(token))
}

async fn ask(client: &Client, path: &str, bearer: Option<&str>) -> Answer {
    Client::send(asking(client, path, bearer)).await
}

/// Checks a refusal: its body has two members and says nothing.
#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, answer.member("error")), (status, error), "{}", answer.text);
    let members: Vec<&str> = answer.json.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!((members, answer.member("correlation_id")), (vec!["correlation_id", "error"], answer.header("x-correlation-id")));
    assert_eq!(
        (answer.header("cache-control"), answer.header("vary"), answer.header("authorization")),
        ("no-store", "Authorization", "")
    );
    let waits = matches!(status, 429 | 503);
    assert_eq!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), waits, "{:?}", answer.headers);
    assert_eq!(answer.header("www-authenticate").is_empty(), status != 401 && error != "insufficient_scope");
}

#[tokio::test]
async fn a_request_with_a_users_token_passes_with_one_for_the_api() {
    let world = open("", "").await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let client = &world.sidecar.client;
    let answer = ask(client, "/auth/files", Some(&user)).await;
    assert_eq!((answer.status, &*answer.text), (200, ""), "{:?}", answer.headers);
    let same = world.obo(&user).await;
    assert_eq!(same.source(), "cache", "one cache with the other doors");
    assert_eq!(answer.header("authorization"), format!("Bearer {}", same.token()));
    assert_eq!((answer.header("cache-control"), answer.header("vary")), ("no-store", "Authorization"));
    assert_eq!(
        answer.header("x-user-id"),
        same.json["account"]["home_account_id"].as_str().expect("an id").split('.').next().unwrap()
    );
    assert_eq!(answer.header("x-user-id"), answer.header("x-user-again"));
    for empty in ["x-roles", "x-missing"] {
        assert!(answer.headers.get(empty).is_some_and(|value| value.is_empty()), "{empty} has to be there, or a forged one stays");
    }
    // Any method, any path below, any query, and a scheme in any case.
    for method in [reqwest::Method::POST, reqwest::Method::OPTIONS, reqwest::Method::from_bytes(b"PROPFIND").expect("a method")] {
        let request = client.http.request(method.clone(), format!("{}/auth/files/a//b/%2e%2e/c?api=hidden&x=%ff", client.base));
        let answer = Client::send(request.header("authorization", format!("bearer {user}"))).await;
        assert_eq!((answer.status, answer.header("authorization").is_empty()), (200, false), "{method}: {}", answer.text);
    }
    let head = Client::send(client.http.head(format!("{}/auth/files", client.base)).bearer_auth(&user)).await;
    assert_eq!((head.status, head.header("authorization").is_empty(), &*head.text), (200, false, ""));
    assert_eq!(world.calls().await, 1);
    let ok = "tokend_door_requests_total{door=\"auth_request\",outcome=\"ok\"}";
    assert_eq!(world.sidecar.metric(ok).await, 5.0);
}

#[tokio::test]
async fn a_token_may_be_judged_and_not_exchanged() {
    let world = open("", "").await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let answer = ask(&world.sidecar.client, "/auth/judged/x", Some(&user)).await;
    assert_eq!((answer.status, answer.headers.contains_key("authorization")), (200, false), "{}", answer.text);
    assert!(!answer.header("x-user-id").is_empty() && world.calls().await == 0);
    refused(&ask(&world.sidecar.client, "/auth/judged", None).await, 401, "token_missing");
    let narrow = world
        .emulator
        .mint(json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user", "claims": {"scp": "other"}}))
        .await;
    refused(&ask(&world.sidecar.client, "/auth/judged", Some(&narrow)).await, 403, "insufficient_scope");
}

#[tokio::test]
async fn what_is_no_users_token_is_401_and_asks_nobody() {
    let world = open("", "").await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token("ana@contoso.example").await;
    refused(&ask(client, "/auth/files", None).await, 401, "token_missing");
    assert_eq!(ask(client, "/auth/files", None).await.header("www-authenticate"), "Bearer");
    for (value, error) in [
        ("Basic dTpw", "token_missing"),
        ("", "token_missing"),
        (&*format!("Token {user}"), "token_missing"),
        ("Bearer", "invalid_token"),
        ("Bearer a b", "invalid_token"),
        ("Bearer canary", "invalid_token"),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", "invalid_token"),
    ] {
        let answer = Client::send(asking(client, "/auth/files", None).header("authorization", value)).await;
        refused(&answer, 401, error);
        assert!(!answer.text.contains("canary"));
    }
    let twice = asking(client, "/auth/files", Some(&user)).header("authorization", format!("Bearer {user}"));
    refused(&Client::send(twice).await, 401, "invalid_token");
    let narrow = world
        .emulator
        .mint(json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user", "claims": {"scp": "other"}}))
        .await;
    let answer = ask(client, "/auth/files", Some(&narrow)).await;
    refused(&answer, 403, "insufficient_scope");
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"insufficient_scope\"");
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn an_api_that_is_not_served_is_503_and_in_the_log() {
    let world = open("", "").await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    for path in ["/auth/hidden", "/auth/graph", "/auth/nothing", "/auth/FILES", "/auth/fil%65s", "/auth//files"] {
        refused(&ask(&world.sidecar.client, path, Some(&user)).await, 503, "unknown_api");
    }
    let closed = World::new().await;
    assert_eq!(ask(&closed.sidecar.client, "/auth/graph", Some(&user)).await.status, 404, "the door is closed");
}

#[tokio::test]
async fn claims_that_are_no_headers_do_not_become_any() {
    let world = open("", "").await;
    let of = async |claims: Value| {
        let order = json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user", "claims": claims});
        let token = world.emulator.mint(order).await;
        ask(&world.sidecar.client, "/auth/files", Some(&token)).await
    };
    let answer = of(json!({"name": "Ana\r\nx-admin: yes\u{0}\u{e9}%", "roles": ["a b", "c,d"]})).await;
    assert_eq!(answer.header("x-user-name"), "Ana%0D%0Ax-admin:%20yes%00%C3%A9%25");
    assert_eq!((answer.header("x-roles"), answer.headers.contains_key("x-admin")), ("a%20b,c%2Cd", false));
    let answer = of(json!({"name": "x".repeat(1025), "roles": {"a": 1}})).await;
    assert_eq!((answer.status, answer.header("x-user-name"), answer.header("x-roles")), (200, "", ""));
}

#[tokio::test]
async fn what_a_browser_or_a_proxy_adds_is_not_looked_at() {
    let world = open("", "").await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let mut request = asking(&world.sidecar.client, "/auth/files", Some(&user));
    for (name, value) in [
        ("host", "shop.example"),
        ("origin", "https://shop.example"),
        ("sec-fetch-site", "cross-site"),
        ("forwarded", "for=192.0.2.1;host=other.example"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-host", "other.example"),
        ("x-forwarded-uri", "/auth/hidden"),
        ("x-real-ip", "192.0.2.1"),
        ("x-user-id", "forged"),
        ("x-correlation-id", "not an id"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("cookie", &"c".repeat(8000)),
    ] {
        request = request.header(name, value);
    }
    let answer = Client::send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.header("x-user-id") != "forged" && !answer.headers.contains_key("upgrade"));
    let long = format!("/auth/files/{}", "p".repeat(8 * 1024));
    assert_eq!(ask(&world.sidecar.client, &long, Some(&user)).await.status, 200);
    let huge = asking(&world.sidecar.client, "/auth/files", Some(&user)).header("cookie", "c".repeat(66 * 1024));
    assert_eq!(Client::send(huge).await.status, 431, "`limits.header` stands");
}

#[tokio::test]
async fn whose_turn_it_is_becomes_a_status_that_proxies_know() {
    let world = open("", "").await;
    let client = &world.sidecar.client;
    for (index, (rule, status, error)) in [
        (
            json!({"error": {"status": 400, "error": "interaction_required", "claims": "{\"access_token\":{}}"}}),
            401,
            "interaction_required",
        ),
        (json!({"error": {"status": 400, "error": "invalid_grant"}}), 401, "invalid_grant"),
        (json!({"raw": {"status": 429, "headers": {"retry-after": "7"}, "body": "{}"}}), 429, "throttled"),
        (json!({"error": {"status": 400, "error": "invalid_scope"}}), 503, "invalid_scope"),
        (json!({"error": {"status": 401, "error": "invalid_client"}}), 503, "invalid_client"),
        (json!({"raw": {"status": 503, "headers": {"retry-after": "9"}, "body": "{}"}}), 503, "authority_unavailable"),
        (json!({"raw": {"status": 200, "body": "garbage"}}), 503, "invalid_authority_response"),
    ]
    .into_iter()
    .enumerate()
    {
        // What was remembered of the failure before is over.
        world.later(3600);
        world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 2, "do": rule})).await;
        let order = json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user", "claims": {"n": index}});
        let token = world.emulator.mint(order).await;
        let answer = ask(client, "/auth/files", Some(&token)).await;
        refused(&answer, status, error);
        if error == "interaction_required" {
            assert!(answer.header("www-authenticate").contains("insufficient_claims"), "{:?}", answer.headers);
        }
        if let "throttled" = error {
            assert!((1..=7).contains(&answer.header("retry-after").parse::<u64>().expect("seconds")));
        }
        world.emulator.unscript().await;
    }
}

#[tokio::test]
async fn a_long_token_is_passed_on_whole() {
    let world = open("", "").await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let body = json!({"access_token": "t".repeat(6 * 1024), "token_type": "Bearer", "expires_in": 3600, "scope": "User.Read"});
    let rule = json!({"raw": {"status": 200, "headers": {"content-type": "application/json"}, "body": body.to_string()}});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": rule})).await;
    let answer = ask(&world.sidecar.client, "/auth/files", Some(&user)).await;
    assert_eq!((answer.status, answer.header("authorization").len()), (200, "Bearer ".len() + 6 * 1024), "{}", answer.text);
}

const CALLERS: &str = "
callers:
  - {name: proxy, token: {env: PROXY}, doors: [auth_request]}
  - {name: bound, token: {env: BOUND}, doors: [auth_request], apis: [files]}
  - {name: other, token: {env: OTHER}}
  - {name: flowless, token: {env: FLOWLESS}, doors: [auth_request], flows: [silent]}
";

async fn with_callers() -> World {
    World::changed(|yaml, files| {
        let mut callers = CALLERS.to_owned();
        for name in ["PROXY", "BOUND", "OTHER", "FLOWLESS"] {
            let file = files.join(name);
            std::fs::write(&file, proof(name)).expect("a file");
            callers = callers.replace(&format!("env: {name}"), &format!("file: {}", file.display()));
        }
        yaml.replacen("apis:\n", &format!("apis:{APIS}{OWN}"), 1).replace("\n\n  machine", "\n  machine") + DOOR + &callers
    })
    .await
}

fn proof(name: &str) -> String {
    format!("{name}-0123456789-0123456789-0123456789")
}

#[tokio::test]
async fn a_proxy_proves_itself_and_has_what_its_caller_may() {
    let world = with_callers().await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let by = |name: &str| world.sidecar.client.calling(&proof(name));
    for (name, path, status, error) in [
        ("PROXY", "/auth/files", 200, ""),
        ("PROXY", "/auth/judged", 200, ""),
        ("PROXY", "/auth/machine", 200, ""),
        ("BOUND", "/auth/files", 200, ""),
        ("BOUND", "/auth/judged", 403, "caller_not_allowed"),
        ("BOUND", "/auth/machine", 403, "caller_not_allowed"),
        ("OTHER", "/auth/files", 403, "caller_not_allowed"),
        ("OTHER", "/auth/nothing", 403, "caller_not_allowed"),
        ("BOUND", "/auth/nothing", 403, "caller_not_allowed"),
        ("BOUND", "/auth/hidden", 403, "caller_not_allowed"),
        ("PROXY", "/auth/nothing", 503, "unknown_api"),
        ("FLOWLESS", "/auth/files", 403, "caller_not_allowed"),
        ("FLOWLESS", "/auth/judged", 403, "caller_not_allowed"),
        ("NOBODY", "/auth/files", 403, "caller_not_authenticated"),
        ("NOBODY", "/auth/nothing", 403, "caller_not_authenticated"),
    ] {
        let answer = ask(&by(name), path, Some(&user)).await;
        assert_eq!(answer.status, status, "{name} {path}: {}", answer.text);
        if status != 200 {
            refused(&answer, status, error);
        }
    }
    refused(&ask(&world.sidecar.client, "/auth/files", Some(&user)).await, 403, "caller_not_authenticated");
    // The app's own token is not the user's, whatever stands where a bearer would: such a proxy knows its users by itself.
    let own = ask(&by("PROXY"), "/auth/machine/x", None).await;
    for value in ["Bearer canary", "Basic dTpw", "Bearer", "Bearer a b"] {
        let request = asking(&by("PROXY"), "/auth/machine", None).header("authorization", value);
        assert_eq!(own.header("authorization"), Client::send(request).await.header("authorization"), "{value}");
    }
    assert_ne!(own.header("authorization"), ask(&by("PROXY"), "/auth/files", Some(&user)).await.header("authorization"));
}

#[tokio::test]
async fn the_apps_own_token_goes_to_known_callers_and_over_a_socket_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("tokend.sock");
    let listen = format!("listen: [\"127.0.0.1:0\", \"unix:{}\"]\n", socket.display());
    let world = open(&listen, OWN.trim_start_matches('\n')).await;
    refused(&ask(&world.sidecar.client, "/auth/machine", None).await, 403, "caller_not_allowed");
    assert_eq!(world.calls().await, 0);
    let mut stream = UnixStream::connect(&socket).await.expect("a connection");
    stream.write_all(b"GET /auth/machine HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("\r\nauthorization: Bearer "), "{text}");
}

#[tokio::test]
async fn a_page_that_reaches_a_callers_own_address_gets_no_token_of_the_app() {
    let legacy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let more = |files: &std::path::Path| {
        let file = files.join("PROXY");
        std::fs::write(&file, proof("PROXY")).expect("a file");
        let legacy = format!("{{name: legacy, listener: \"{legacy}\", doors: [auth_request]}}");
        format!("callers: [{legacy}, {{name: proxy, token: {{file: {}}}, doors: [auth_request]}}]\n", file.display())
    };
    let world = World::changed(|yaml, files| {
        yaml.replacen("apis:\n", &format!("apis:{APIS}{OWN}"), 1).replace("\n\n  machine", "\n  machine") + DOOR + &more(files)
    })
    .await;
    let client = Client::new(&format!("http://{legacy}"), None);
    let rebound = asking(&client, "/auth/machine", None).header("host", "evil.example").header("origin", "http://evil.example");
    refused(&Client::send(rebound).await, 403, "caller_not_allowed");
    refused(&ask(&client, "/auth/machine", None).await, 403, "caller_not_allowed");
    let user = world.emulator.user_token("ana@contoso.example").await;
    assert_eq!(ask(&client, "/auth/files", Some(&user)).await.status, 200, "a user's token is no page's to have");
}

#[tokio::test]
async fn a_token_that_no_header_can_have_is_not_taken() {
    let world = open("", "").await;
    let order = json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user", "lifetime": 90000});
    let user = world.emulator.mint(order).await;
    for token in ["abc\ndef", "abc\u{7f}", "abc\u{0}", "ab\u{e9}"] {
        world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"set": {"access_token": token}}})).await;
        refused(&ask(&world.sidecar.client, "/auth/files", Some(&user)).await, 503, "invalid_authority_response");
        // What was remembered of it is over, and nothing of it is kept.
        world.later(3600);
        assert_eq!(ask(&world.sidecar.client, "/auth/files", Some(&user)).await.status, 200);
        world.later(7200);
    }
}

/// What comes back for these bytes until the connection ends; fails after ten seconds.
async fn spoken(world: &World, bytes: &str) -> String {
    let address = world.sidecar.client.base.trim_start_matches("http://").to_owned();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(bytes.as_bytes()).await.expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        text
    };
    tokio::time::timeout(Duration::from_secs(10), exchange).await.expect("an answer that waits for nothing, and an end")
}

#[tokio::test]
async fn a_body_is_never_waited_for_and_never_taken_for_a_request() {
    let world = open("", "").await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let head = format!("host: x\r\nauthorization: Bearer {user}\r\n");
    for (version, length) in [
        ("HTTP/1.0", "content-length: 10000000\r\n"),
        ("HTTP/1.1", "content-length: 10000000\r\n"),
        ("HTTP/1.1", "content-length: 5\r\n"),
        ("HTTP/1.1", "transfer-encoding: chunked\r\n"),
        ("HTTP/1.1", "content-length: 10000000\r\nexpect: 100-continue\r\n"),
    ] {
        let text = spoken(&world, &format!("GET /auth/files {version}\r\n{head}{length}\r\n")).await;
        assert!(
            text.starts_with(&format!("{version} 200 ")) && text.contains("authorization: Bearer "),
            "{version} {length}: {text}"
        );
        assert!(text.to_lowercase().contains("connection: close") || version == "HTTP/1.0", "{text}");
    }
    // What comes in the place of the body is no second request.
    let smuggled =
        format!("POST /auth/files HTTP/1.1\r\n{head}content-length: 70000\r\n\r\nGET /auth/files/second HTTP/1.1\r\n{head}\r\n");
    let text = spoken(&world, &smuggled).await;
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    // Without a body a connection stays.
    let two = format!("GET /auth/files HTTP/1.1\r\n{head}\r\nGET /auth/files HTTP/1.1\r\n{head}connection: close\r\n\r\n");
    assert_eq!(spoken(&world, &two).await.matches("HTTP/1.1 200 ").count(), 2);
}
