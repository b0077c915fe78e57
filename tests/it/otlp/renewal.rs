//! A renewal in the background: in the trace of the request that found it due, below that request, and marked.

use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::json;

use super::{SAMPLED, Stage, TRACE, UNSAMPLED};
use crate::support::{attribute, eventually, hex};

const SOON: Duration = Duration::from_secs(10);

/// One token that is due for renewal as soon as its first second is over.
async fn due() -> Stage {
    let stage = Stage::new("").await;
    let rule = json!({"on": {"endpoint": "token"}, "do": {"expires_in": 10_000, "set": {"refresh_in": 1}}});
    stage.emulator.script(rule).await;
    stage.graph(&[("traceparent", UNSAMPLED)]).await.token();
    stage
}

/// Asks until the token at hand is being renewed; returns after the call for it was made.
async fn renewed(stage: &Stage) {
    let headers = [("traceparent", SAMPLED)];
    eventually(SOON, async || stage.graph(&headers).await.member("refresh_reason") == "proactively_refreshed").await;
    stage.emulator.asked_times("token", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_hangs_below_the_request_that_found_it_due() {
    let mut stage = due().await;
    renewed(&stage).await;
    let counted = "tokend_refreshes_total{app=\"daemon\",flow=\"client_credentials\",outcome=\"ok\"}";
    eventually(SOON, async || stage.fleet.metric(0, counted).await > 0.0).await;
    let spans = stage.spans().await;
    let flows = spans.0.iter().filter(|span| span.kind == SpanKind::Internal as i32).collect::<Vec<_>>();
    let [renewal] = flows[..] else { panic!("{}", spans.tree()) };
    assert_eq!((hex(&renewal.trace_id), attribute(renewal, "tokend.renewal")), (TRACE.to_owned(), "true".to_owned()));
    assert_eq!(attribute(renewal, "tokend.token_source"), "identity_provider");
    let found = spans.0.iter().find(|span| span.span_id == renewal.parent_span_id).expect("a request");
    assert_eq!((found.name.as_str(), attribute(found, "tokend.token_source")), ("POST /client-credentials", "cache".to_owned()));
    assert!(found.end_time_unix_nano < renewal.end_time_unix_nano, "the request did not wait");
    assert_eq!(spans.names_below(renewal), ["client_credentials"], "{}", spans.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_dropped_at_shutdown_is_in_the_trace_all_the_same() {
    let mut stage = due().await;
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hang": true}})).await;
    renewed(&stage).await;
    let spans = stage.spans().await;
    let renewal = spans.0.iter().find(|span| attribute(span, "tokend.renewal") == "true").expect("the renewal");
    assert_eq!(attribute(renewal, "tokend.token_source"), "", "it came to no end");
    let [call] = spans.below(renewal)[..] else { panic!("{}", spans.tree()) };
    assert_eq!(attribute(call, "error.type"), "cancelled");
    assert_eq!(
        (attribute(call, "tokend.grant"), attribute(call, "http.response.status_code")),
        ("client_credentials".into(), String::new())
    );
}
