//! Why a call failed: the line of the request that failed says it, so that its correlation id leads there.

use std::future::Future;

use serde_json::{Value, json};
use tokend::telemetry::{self, Format, Level, Settings};

use crate::secrets::kept::Kept;
use crate::support::{Client, GRAPH, Relay, World};

pub(super) const ID: &str = "6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f";

/// The lines that are logged with [`ID`]. All runs on one thread, so that every task logs where this can see it.
pub(super) fn logged(work: impl Future<Output = ()>) -> Vec<Value> {
    let lines = Kept::default();
    let writer = lines.clone();
    let settings = Settings { level: Level::Info, format: Format::Json, otlp: None };
    let (subscriber, _) = telemetry::subscriber(&settings, move || writer.clone()).expect("a subscriber");
    // While one subscriber alone is alive, whatever another test's thread reaches first would be switched off for this one as well.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work);
    });
    let text = String::from_utf8(lines.bytes()).expect("a text");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| line["correlation_id"] == ID).collect()
}

/// The cause that the line of the failed request gives.
pub(super) fn cause(lines: &[Value]) -> &str {
    let line = lines.iter().find(|line| line["message"] == "request failed").unwrap_or_else(|| panic!("{lines:?}"));
    line["cause"].as_str().unwrap_or_else(|| panic!("{line}"))
}

async fn asked(world: &World) {
    let body = json!({"app": "daemon", "scopes": [GRAPH]});
    let request = world.sidecar.client.request("/client-credentials", &body).header("x-correlation-id", ID);
    assert!(Client::send(request).await.status >= 500);
}

#[test]
fn the_line_of_a_failed_request_names_a_closed_port() {
    let lines = logged(async {
        let relay = Relay::new();
        let world = World::changed(|yaml, _| {
            let origin = yaml.split("authority: \"https://").nth(1).and_then(|rest| rest.split('/').next()).expect("an origin");
            yaml.replace(origin, &relay.address.to_string())
        })
        .await;
        asked(&world).await;
        // What is remembered of it is told with its cause.
        asked(&world).await;
    });
    let failed: Vec<_> = lines.iter().filter(|line| line["message"] == "request failed").collect();
    assert_eq!(failed.len(), 2, "{lines:?}");
    for line in failed {
        assert!(cause(std::slice::from_ref(line)).contains("refused"), "{line}");
    }
    let call = lines.iter().find(|line| line["message"] == "a call to an authority failed").expect("a line of the call");
    assert!(call["causes"].as_str().is_some_and(|causes| causes.contains("refused")), "{call}");
}

#[test]
fn the_line_of_a_failed_request_names_what_is_no_answer_and_what_came_too_late() {
    for (effect, expected) in [
        (json!({"close": true}), "the connection broke: "),
        (json!({"hang": true}), "no answer came in time"),
        (json!({"raw": {"status": 200, "body": "canary"}}), "the answer cannot be used: "),
        (json!({"aadsts": 7_000_215}), ""),
    ] {
        let lines = logged(async {
            let world = World::calling_within("500ms").await;
            world.failing(effect.clone()).await;
            asked(&world).await;
        });
        if expected.is_empty() {
            assert!(lines.iter().all(|line| line["cause"].is_null()), "the authority's answer says it: {lines:?}");
        } else {
            assert!(cause(&lines).starts_with(expected), "{effect}: {lines:?}");
        }
        assert!(!format!("{lines:?}").contains("canary"), "{lines:?}");
    }
}
