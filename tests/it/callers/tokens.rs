//! Who is known: by one token in one header, on every route of the token listener, and nowhere else.

use std::collections::BTreeMap;

use serde_json::json;
use tokend::config::{Format, parse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::{Stage, THREE, requests, token};
use crate::support::{Client, GRAPH, NOW, Sidecar, World, soon};

const TOKEN: &str = "x-tokend-token";

/// Every route, and what is none.
fn all(client: &Client) -> Vec<reqwest::RequestBuilder> {
    let mut all: Vec<_> = requests(client).into_iter().map(|(_, request)| request).collect();
    all.extend([
        client.http.get(format!("{}/nowhere", client.base)),
        client.http.get(format!("{}/obo", client.base)),
        client.request("/client-credentials", &json!({"canary": 1})),
        client.request("/client-credentials", &json!({"app": "x".repeat(1 << 20)})),
    ]);
    all
}

#[tokio::test]
async fn without_a_token_no_route_does_anything() {
    let stage = Stage::memory(&THREE).await;
    for request in all(stage.nobody(0)) {
        Client::send(request).await.refused(403, "caller_not_authenticated", "missing");
    }
    assert_eq!(stage.calls().await, 0);
    assert!(
        stage.emulator.requests().await.iter().all(|request| request["endpoint"] != "keys"),
        "no token of a user was looked at"
    );
}

#[tokio::test]
async fn what_is_not_the_token_is_no_token() {
    let stage = Stage::memory(&THREE).await;
    let good = token("alpha");
    let wrong = [
        String::new(),
        good[..good.len() - 1].to_owned(),
        good[1..].to_owned(),
        format!("{good}x"),
        good.to_uppercase(),
        format!("{good},{good}"),
        format!("{good} {good}"),
        format!("Bearer {good}"),
        "canary-of-nobody-0123456789-abcdefghij".to_owned(),
        "x".repeat(5000),
    ];
    for wrong in &wrong {
        for request in all(stage.nobody(0)) {
            let answer = Client::send(request.header(TOKEN, wrong)).await;
            answer.refused(403, "caller_not_authenticated", "no caller");
            assert!(!answer.text.contains("canary"), "{}", answer.text);
        }
    }
    for request in all(stage.nobody(0)) {
        let twice = request.header(TOKEN, &good).header(TOKEN, &good);
        Client::send(twice).await.refused(403, "caller_not_authenticated", "twice");
    }
    let client = stage.nobody(0);
    let body = json!({"app": "daemon", "scopes": [GRAPH]});
    for request in [
        client.request("/client-credentials", &body).bearer_auth(&good),
        client.request(&format!("/client-credentials?token={good}"), &body),
        client.request("/client-credentials", &body).header("cookie", format!("{TOKEN}={good}")),
        client.request("/client-credentials", &body).header("x-identity-header", &good),
    ] {
        Client::send(request).await.refused(403, "caller_not_authenticated", "missing");
    }
    assert_eq!(stage.calls().await, 0);
}

#[tokio::test]
async fn with_its_token_each_caller_is_served() {
    let stage = Stage::memory(&THREE).await;
    for caller in ["alpha", "beta", "desk"] {
        for (flow, request) in requests(&stage.client(0, caller)) {
            let answer = Client::send(request).await;
            // What is had by name only is not theirs.
            let is_named = !flow.is_empty() && !tokend::caller::USUAL_FLOWS.contains(&flow);
            assert_eq!(answer.member("error").starts_with("caller_"), is_named, "{caller}: {}", answer.text);
        }
    }
    // Whatever is not the caller's affair comes after.
    let client = stage.client(0, "alpha");
    client.get("/nowhere").await.refused(404, "not_found", "route");
    client.get("/obo").await.refused(405, "method_not_allowed", "method");
}

#[tokio::test]
async fn a_web_page_does_not_learn_whether_its_token_is_good() {
    let stage = Stage::memory(&THREE).await;
    for token in [&token("alpha"), "canary"] {
        let request = stage.nobody(0).request("/client-credentials", &json!({})).header(TOKEN, token);
        Client::send(request.header("origin", "https://evil.example")).await.refused(403, "origin_not_allowed", "web page");
    }
}

#[tokio::test]
async fn without_callers_the_header_means_nothing() {
    let world = World::new().await;
    for value in ["", "canary"] {
        let request = world.sidecar.client.request("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]}));
        Client::send(request.header(TOKEN, value).header(TOKEN, value)).await.token();
    }
    assert!(!world.sidecar.admin.get("/metrics").await.text.contains("caller_requests_total"));
}

#[tokio::test]
async fn the_admin_listener_asks_nobody() {
    let stage = Stage::memory(&THREE).await;
    for path in ["/livez", "/readyz", "/metrics", "/status"] {
        assert_eq!(stage.replicas[0].admin.get(path).await.status, 200, "{path}");
    }
}

/// The answer to a request over a Unix socket.
async fn over(path: &std::path::Path, more: &str) -> String {
    let body = json!({"app": "daemon", "scopes": [GRAPH]}).to_string();
    let mut stream = UnixStream::connect(path).await.expect("a connection");
    let head = format!(
        "POST /client-credentials HTTP/1.1\r\nhost: tokend\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n{more}\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("written");
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.expect("an answer");
    answer
}

#[tokio::test]
async fn a_unix_socket_is_no_exception() {
    let mut stage = Stage::empty(None).await;
    let socket = stage.files.path().join("tokend.sock");
    stage.base += &format!("listen: [\"127.0.0.1:0\", \"unix:{}\"]\n", socket.display());
    stage.add(&THREE).await;
    let without = over(&socket, "").await;
    assert!(without.starts_with("HTTP/1.1 403 ") && without.contains("caller_not_authenticated"), "{without}");
    let wrong = over(&socket, "X-Tokend-Token: canary-of-nobody-0123456789\r\n").await;
    assert!(wrong.starts_with("HTTP/1.1 403 ") && !wrong.contains("canary"), "{wrong}");
    let good = over(&socket, &format!("X-Tokend-Token: {}\r\n", token("beta"))).await;
    assert!(good.starts_with("HTTP/1.1 200 ") && good.contains("access_token"), "{good}");
}

#[tokio::test]
async fn each_caller_is_counted() {
    let stage = Stage::memory(&[("alpha", ", flows: [silent]"), ("beta", "")]).await;
    let sidecar: &Sidecar = &stage.replicas[0];
    let count = async |caller: &str, outcome: &str| {
        sidecar.metric(&format!("tokend_caller_requests_total{{caller=\"{caller}\",outcome=\"{outcome}\"}}")).await as u64
    };
    let body = json!({"app": "daemon", "scopes": [GRAPH]});
    stage.nobody(0).post("/client-credentials", &body).await;
    stage.nobody(0).calling("wrong").post("/client-credentials", &body).await;
    for caller in ["alpha", "beta", "beta"] {
        stage.client(0, caller).post("/client-credentials", &body).await;
    }
    for (caller, outcome, expected) in
        [("alpha", "authenticated", 1), ("alpha", "not_allowed", 1), ("beta", "authenticated", 2), ("beta", "not_allowed", 0)]
    {
        assert_eq!(count(caller, outcome).await, expected, "{caller} {outcome}");
    }
    assert_eq!(count("-", "not_authenticated").await, 2);
    let refusals = sidecar.metric("tokend_http_refusals_total{error=\"caller_not_authenticated\"}").await;
    assert!((refusals - 2.0).abs() < f64::EPSILON, "{refusals}");
}

#[tokio::test]
async fn files_that_are_no_good_keep_it_from_starting() {
    let stage = Stage::empty(None).await;
    let (alpha, beta) = (stage.token_file("alpha"), stage.token_file("beta"));
    let yaml = format!(
        "{}callers:\n  - {{name: alpha, token: {{file: {}}}}}\n  - {{name: beta, token: {{file: {}}}}}\n",
        stage.base,
        alpha.display(),
        beta.display()
    );
    let (good, other) = (token("alpha"), token("beta"));
    for (first, second, key, word) in [
        (Some(&*good), None, "callers[1].token.file", "cannot be read"),
        (Some("canary-too-short"), Some(&*other), "callers[0].token.file", "line 1"),
        (Some(&format!("{good}\ncanary canary canary canary")), Some(&other), "callers[0].token.file", "line 2"),
        (Some(""), Some(&other), "callers[0].token.file", "no token"),
        (Some(&good), Some(&format!("{other}\n{good}\n")), "callers[1].token.file", "`alpha`"),
    ] {
        for (file, contents) in [(&alpha, first), (&beta, second)] {
            match contents {
                Some(text) => std::fs::write(file, text).expect("a file"),
                None => drop(std::fs::remove_file(file)),
            }
        }
        let (settings, _) = parse(&yaml, Format::Yaml, "test.yaml", &BTreeMap::new());
        let (prepared, findings) = tokend::sidecar::prepare(settings.expect("settings"), &tokend::clock::Clock::manual(NOW));
        assert!(prepared.is_none());
        let found: Vec<_> = findings.iter().collect();
        assert!(matches!(found.as_slice(), [one] if one.key == key && one.reason.contains(word)), "{findings:#?}");
        assert!(!format!("{findings:?}").contains("canary"), "{findings:?}");
    }
}
