//! Which requests are traced, and with which headers spans are sent.

use super::{SAMPLED, Stage, UNSAMPLED};
use crate::support::{Collector, hex};

#[tokio::test(flavor = "multi_thread")]
async fn an_unsampled_request_makes_no_span_and_its_trace_goes_on() {
    let mut stage = Stage::new("").await;
    let headers = [("traceparent", UNSAMPLED), ("tracestate", "a=1"), ("tracestate", " b=2 ")];
    stage.graph(&headers).await.token();
    let ana = stage.emulator.user_token("ana@contoso.example").await;
    stage.obo(&ana, &[]).await.token();
    stage.obo("canary", &[("traceparent", UNSAMPLED)]).await.refused(401, "invalid_token", "");
    let asked = stage.emulator.asked("token").await;
    assert_eq!((&asked[0]["headers"]["traceparent"], &asked[0]["headers"]["tracestate"]), (&UNSAMPLED.into(), &"a=1,b=2".into()));
    assert!(asked[1]["headers"]["traceparent"].is_null(), "nobody's trace: {}", asked[1]);
    let spans = stage.spans().await;
    assert!(spans.0.is_empty(), "{}", spans.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_without_a_trace_means_nothing() {
    let mut stage = Stage::new("").await;
    stage.graph(&[("traceparent", "garbage"), ("tracestate", "a=1")]).await.token();
    let asked = stage.emulator.asked("token").await;
    assert!(asked[0]["headers"]["tracestate"].is_null(), "{}", asked[0]);
    assert!(stage.spans().await.0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn new_requests_are_traced_by_ratio() {
    for (ratio, least, most) in [("1.0", 200, 200), ("0.5", 60, 140), ("0", 0, 0)] {
        let mut stage = Stage::of(1, Collector::start().await, |collector| collector.yaml(ratio)).await;
        for _ in 0..200 {
            stage.graph(&[]).await.token();
        }
        let spans = stage.spans().await;
        let requests = spans.named("POST /client-credentials");
        assert!((least..=most).contains(&requests.len()), "{ratio}: {}", requests.len());
        assert!(requests.iter().all(|request| request.parent_span_id.is_empty()), "each begins a trace");
        let traces: std::collections::BTreeSet<_> = requests.iter().map(|request| hex(&request.trace_id)).collect();
        assert_eq!(traces.len(), requests.len(), "of its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collector_gets_its_headers_and_the_name_of_the_service() {
    let collector = Collector::start().await;
    let files = tempfile::tempdir().expect("a folder");
    let headers = files.path().join("headers");
    std::fs::write(&headers, "x-collector-key=a%2Cb\nx-scope=orders\n").expect("a file");
    let mut stage = Stage::of(1, collector, |collector| {
        let headers = headers.display();
        format!("otlp: {{endpoint: \"{}\", sample_ratio: 0, headers: {{file: {headers}}}}}\n", collector.endpoint)
    })
    .await;
    stage.graph(&[("traceparent", SAMPLED)]).await.token();
    assert!(!stage.spans().await.0.is_empty());
    for (headers, request) in stage.collector.received() {
        assert_eq!((&headers["x-collector-key"], &headers["x-scope"]), (&"a,b".parse().unwrap(), &"orders".parse().unwrap()));
        let resource = format!("{:?}", request.resource_spans[0].resource);
        assert!(resource.contains("service.name") && resource.contains("\"tokend\""), "{resource}");
        assert!(resource.contains(env!("CARGO_PKG_VERSION")), "{resource}");
    }
}
