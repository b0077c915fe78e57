//! What the metrics say of all this: what happened, and never to whom.

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{BILLING, USER_READ, eva};
use crate::support::{GRAPH, World, soon};

/// Checks samples, by their names and labels without the prefix.
async fn counted(world: &World, samples: &[(&str, f64)]) {
    for (sample, expected) in samples {
        let value = world.sidecar.metric(&format!("tokend_{sample}")).await;
        assert_eq!(value, *expected, "{sample} in {}", world.sidecar.admin.get("/metrics").await.text);
    }
}

#[tokio::test]
async fn requests_are_counted_by_flow_app_outcome_and_source() {
    let world = World::new().await;
    let (ana, mia) = (world.ana().await, world.emulator.user_token("mia@contoso.example").await);
    for _ in 0..3 {
        world.graph().await.token();
    }
    world.obo(&ana).await.token();
    assert_eq!(world.obo(&mia).await.status, 401);
    assert_eq!(world.obo("not-a-token").await.status, 401);
    world.failing(json!({"throttle": {"retry_after": "60"}})).await;
    assert_eq!(world.app_token(json!({"app": "orders", "scopes": "api://billing/.default"})).await.status, 429);
    counted(
        &world,
        &[
            (r#"requests_total{app="daemon",flow="client_credentials",outcome="ok",source="authority"}"#, 1.0),
            (r#"requests_total{app="daemon",flow="client_credentials",outcome="ok",source="memory"}"#, 2.0),
            (r#"requests_total{app="orders",flow="on_behalf_of",outcome="ok",source="authority"}"#, 1.0),
            (r#"requests_total{app="orders",flow="on_behalf_of",outcome="user",source="none"}"#, 2.0),
            (r#"requests_total{app="orders",flow="client_credentials",outcome="throttled",source="none"}"#, 1.0),
            (r#"request_duration_seconds_count{flow="client_credentials",source="memory"}"#, 2.0),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_request_that_the_edge_gives_up_is_counted_and_one_that_nobody_waits_for_is_not() {
    let world = World::with("limits: {request_timeout: 3s}\n").await;
    world.failing(json!({"delay_ms": 20_000})).await;
    let timed_out = r#"requests_total{app="daemon",flow="client_credentials",outcome="timeout",source="none"}"#;
    // Its caller goes away before the time is up.
    let (leaver, graph) = (world.leaver().await, json!({"app": "daemon", "scopes": [GRAPH]}));
    let leaving = leaver.client.post("/client-credentials", &graph);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), leaving).await.is_err());
    world.sidecar.idle().await;
    counted(&world, &[(timed_out, 0.0)]).await;
    let later = async {
        crate::support::eventually(std::time::Duration::from_secs(20), async || {
            world.sidecar.metric("tokend_http_requests_in_flight").await == 1.0
        })
        .await;
        world.later(3);
    };
    let (answer, ()) = tokio::join!(world.graph(), later);
    assert_eq!(answer.status, 504, "{}", answer.text);
    counted(&world, &[(timed_out, 1.0)]).await;
}

#[tokio::test]
async fn the_time_of_a_request_that_the_edge_gives_up_begins_before_its_body() {
    // The clock stands still but for the time that the body takes, which is all of it.
    let world = World::with("limits: {request_timeout: 5s}\n").await;
    world.failing(json!({"hold": true})).await;
    let body = json!({"app": "daemon", "scopes": [crate::support::GRAPH]}).to_string();
    let address = world.sidecar.client.base.trim_start_matches("http://");
    let mut connection = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let head = "POST /client-credentials HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let head = format!("{head}content-length: {}\r\n\r\n", body.len());
    connection.write_all(head.as_bytes()).await.expect("a head");
    world.sidecar.answering(1).await;
    world.later(5);
    connection.write_all(body.as_bytes()).await.expect("a body");
    let mut answer = String::new();
    soon(connection.read_to_string(&mut answer)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(world.calls().await > 0, "it reached its flow in time");
    let timed_out = r#"requests_total{app="daemon",flow="client_credentials",outcome="timeout",source="none"}"#;
    counted(&world, &[(timed_out, 1.0)]).await;
}

#[tokio::test]
async fn calls_are_counted_by_grant_status_and_error() {
    let world = World::new().await;
    world.failing_once(json!({"aadsts": 90033})).await;
    world.graph().await.token();
    let mia = world.emulator.user_token("mia@contoso.example").await;
    assert_eq!(world.obo(&mia).await.status, 401);
    world.failing_once(json!({"error": {"status": 400, "error": "an_error_nobody_knows"}})).await;
    assert_eq!(world.obo(&world.ana().await).await.status, 502);
    world.failing_once(json!({"throttle": {"retry_after": "1"}})).await;
    assert_eq!(world.app_token(json!({"app": "shop", "scopes": "stock.read"})).await.status, 429);
    counted(
        &world,
        &[
            (r#"authority_calls_total{error="temporarily_unavailable",grant="client_credentials",status="5xx"}"#, 1.0),
            (r#"authority_calls_total{error="none",grant="client_credentials",status="2xx"}"#, 1.0),
            (r#"authority_calls_total{error="interaction_required",grant="jwt-bearer",status="4xx"}"#, 1.0),
            (r#"authority_calls_total{error="other",grant="jwt-bearer",status="4xx"}"#, 1.0),
            (r#"authority_calls_total{error="throttled",grant="client_credentials",status="429"}"#, 1.0),
            (r#"authority_calls_total{error="none",grant="discovery",status="2xx"}"#, 2.0),
            (r#"authority_calls_total{error="none",grant="keys",status="2xx"}"#, 1.0),
            (r#"authority_call_duration_seconds_count{grant="client_credentials"}"#, 3.0),
        ],
    )
    .await;
}

#[tokio::test]
async fn requests_that_a_remembered_failure_answers_are_counted() {
    let world = World::new().await;
    let mia = world.emulator.user_token("mia@contoso.example").await;
    for _ in 0..4 {
        assert_eq!(world.obo(&mia).await.status, 401);
    }
    counted(
        &world,
        &[
            (r#"held_requests_total{app="orders",flow="on_behalf_of"}"#, 3.0),
            (r#"requests_total{app="orders",flow="on_behalf_of",outcome="user",source="none"}"#, 4.0),
        ],
    )
    .await;
}

#[tokio::test]
async fn renewals_are_counted_once_each() {
    let world = World::new().await;
    let short = json!({"on": {"endpoint": "token"}, "do": {"expires_in": 10_000, "set": {"refresh_in": 1000}}});
    world.emulator.script(short).await;
    world.graph().await.token();
    world.later(1000);
    world.failing(json!({"hold": true})).await;
    join_all((0..10).map(|_| world.graph())).await;
    world.emulator.asked_times("token", 2).await;
    world.emulator.release().await;
    let sample = r#"refreshes_total{app="daemon",flow="client_credentials",outcome="ok"}"#;
    for _ in 0..500 {
        if world.sidecar.metric(&format!("tokend_{sample}")).await > 0.0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    counted(&world, &[(sample, 1.0)]).await;
    counted(&world, &[(r#"requests_total{app="daemon",flow="client_credentials",outcome="ok",source="memory"}"#, 10.0)]).await;
}

/// A request of every kind, with every kind of end.
async fn everything(world: &World) -> Vec<String> {
    let mut tokens = Vec::new();
    let apps = ["daemon", "daemon-cert", "orders", "orders-secret", "web", "web-cert", "billing", "shop", "shop-cert", "shop-web"];
    let effects = [
        json!({"delay_ms": 0}),
        json!({"aadsts": 50076}),
        json!({"aadsts": 7_000_215}),
        json!({"aadsts": 90033}),
        json!({"close": true}),
        json!({"raw": {"status": 200, "body": "<html>"}}),
        json!({"error": {"status": 400, "error": "an-error-of-their-own-1"}}),
        json!({"error": {"status": 400, "error": "an-error-of-their-own-2"}}),
        json!({"throttle": {"retry_after": "1"}}),
    ];
    for effect in effects {
        world.failing(effect).await;
        let (ana, eva) = (world.ana().await, eva(&world.emulator).await);
        for app in apps {
            let (bearer, scopes) = if app.starts_with("shop") { (&eva, "stock.read") } else { (&ana, "api://billing/.default") };
            world.app_token(json!({"app": app, "scopes": scopes})).await;
            for scopes in [scopes, USER_READ, BILLING] {
                world.obo_as(app, scopes, bearer).await;
            }
            let code = json!({"app": app, "scopes": scopes, "code": "c", "redirect_uri": "http://localhost:3000/callback"});
            world.redeem(&code).await;
        }
        world.emulator.unscript().await;
        world.later(61);
        tokens.extend([ana, eva]);
    }
    world.app_token(json!({"app": "daemon", "scopes": "x", "tenant": "somewhere.example"})).await;
    world.app_token(json!({"app": "an-app-that-is-none", "scopes": "x"})).await;
    world.sidecar.client.get("/a-path-that-is-none").await;
    world.sidecar.client.post("/obo", &json!({"a-member-that-is-none": 1})).await;
    tokens
}

/// The values of labels that are names of this configuration, or values of the API document: what `metrics` cannot know.
fn named(world: &World, label: &str) -> Vec<String> {
    let of = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
    match label {
        "app" => {
            let apps = crate::support::configuration(&world.emulator, &world.files);
            let names = apps.lines().filter_map(|line| {
                line.strip_prefix("  ")?.split_once(": {authority").or(line.strip_prefix("  ")?.split_once(": {issuer"))
            });
            names.map(|(name, _)| name.to_owned()).chain(["_unknown".to_owned()]).collect()
        }
        "error" => {
            let document = tokend::sidecar::api_document().expect("a document");
            let document: serde_json::Value = yaml_serde::from_str(&document).expect("YAML");
            let values = document["components"]["schemas"]["ErrorValue"]["anyOf"][0]["enum"].as_array().expect("values");
            values.iter().map(|value| value.as_str().expect("a text").to_owned()).collect()
        }
        "version" => of(&[env!("CARGO_PKG_VERSION")]),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn every_label_has_a_value_of_a_closed_list_and_names_nobody() {
    let world = World::new().await;
    let tokens = everything(&world).await;
    let text = world.sidecar.admin.get("/metrics").await.text;
    crate::metrics::check(&text, |label| named(&world, label));
    let series = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
    assert!((100..1500).contains(&series), "{series} series");
    let directory = &world.emulator.directory;
    let mut names: Vec<String> = ["their-own", "is-none", "somewhere", "graph.microsoft", "api://", "stock.read", "User.Read"]
        .into_iter()
        .chain(["ana@", "Ana ", "eva", "127.0.0.1", "contoso", "fabrikam", "eyJ", "/_emulator", "redirect"])
        .map(str::to_owned)
        .collect();
    names.extend([&directory["tenants"][0]["id"], &directory["users"][0]["object_id"]].map(|id| id.as_str().unwrap().to_owned()));
    names.extend(tokens);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        for name in &names {
            assert!(!line.contains(name.as_str()), "{name} in {line}");
        }
    }
    // All of it again makes series of further combinations at most: which tokens are renewed is left to chance.
    everything(&world).await;
    crate::metrics::check(&world.sidecar.admin.get("/metrics").await.text, |label| named(&world, label));
}
