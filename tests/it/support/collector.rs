//! A collector of spans: OTLP over HTTP on loopback, read by the code that OpenTelemetry generates from its own description.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running collector; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) endpoint: String,
    received: Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>,
    _stop: DropGuard,
}

/// Spans, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct Spans(pub(crate) Vec<Span>);

#[derive(Clone, Debug)]
struct Desk {
    received: Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>,
    /// How long it takes before it answers.
    answers_after: Duration,
}

// === impl Collector ===

impl Collector {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        Self::slow(Duration::ZERO).await
    }

    /// Starts one that answers after a while.
    #[expect(clippy::disallowed_methods, reason = "the collector is no part of the sidecar")]
    pub(crate) async fn slow(answers_after: Duration) -> Self {
        let received = Arc::default();
        let desk = Desk { received: Arc::clone(&received), answers_after };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let routes = Router::new().route("/v1/traces", post(take)).with_state(desk);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(async { axum::serve(listener, routes).await }).await });
        Self { endpoint, received, _stop: stop.drop_guard() }
    }

    /// The configuration that sends this part of all requests here.
    pub(crate) fn yaml(&self, ratio: &str) -> String {
        format!("otlp: {{endpoint: \"{}\", sample_ratio: {ratio}}}\n", self.endpoint)
    }

    /// Everything that came, with the headers that it came with.
    pub(crate) fn received(&self) -> Vec<(HeaderMap, ExportTraceServiceRequest)> {
        self.received.lock().expect("no panic").clone()
    }

    /// All spans that came.
    pub(crate) fn spans(&self) -> Spans {
        let all = self.received().into_iter().flat_map(|(_, request)| request.resource_spans);
        let mut spans: Vec<Span> = all.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        Spans(spans)
    }
}

async fn take(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
    let request = ExportTraceServiceRequest::decode(body).expect("an export");
    desk.received.lock().expect("no panic").push((headers, request));
    tokio::time::sleep(desk.answers_after).await;
    (StatusCode::OK, "")
}

// === impl Spans ===

impl Spans {
    /// Those of this name.
    pub(crate) fn named(&self, name: &str) -> Vec<&Span> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    /// The only one of this name.
    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> &Span {
        let [one] = self.named(name)[..] else { panic!("not one {name}: {}", self.tree()) };
        one
    }

    /// Those below a span.
    pub(crate) fn below(&self, parent: &Span) -> Vec<&Span> {
        self.0.iter().filter(|span| span.parent_span_id == parent.span_id).collect()
    }

    /// The names of those below a span, oldest first.
    pub(crate) fn names_below(&self, parent: &Span) -> Vec<&str> {
        self.below(parent).into_iter().map(|span| span.name.as_str()).collect()
    }

    /// All of them with their ids, for a failure's message.
    pub(crate) fn tree(&self) -> String {
        let line = |span: &Span| {
            let (trace, id, parent) = (hex(&span.trace_id), hex(&span.span_id), hex(&span.parent_span_id));
            format!("{trace} {parent} > {id} {} {:?}\n", span.name, attributes(span))
        };
        self.0.iter().map(line).collect()
    }
}

/// An attribute of a span as text; empty if it is not there.
pub(crate) fn attribute(span: &Span, name: &str) -> String {
    attributes(span).into_iter().find_map(|(key, value)| (key == name).then_some(value)).unwrap_or_default()
}

/// The attributes of a span as texts.
pub(crate) fn attributes(span: &Span) -> Vec<(String, String)> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = span.attributes.iter().cloned();
    pairs.map(|pair| (pair.key, text(pair.value.and_then(|value| value.value)))).collect()
}

/// Ids as `traceparent` writes them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
