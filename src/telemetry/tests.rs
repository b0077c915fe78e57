//! The whole of telemetry, with a log in memory and spans kept instead of sent.

use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use opentelemetry::Value;
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SimpleSpanProcessor, SpanData, SpanExporter};

use super::{
    Came, Context, Format, Level, Otlp, Sampler, Settings, Trace, assemble, call_answered, call_failed, call_span, finish_flow,
    finish_request, flow_span, joined, otlp, outgoing, redis_span, request_span, subscriber,
};
use crate::reload::{Place, Source};
use crate::secret::Secret;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("a lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().expect("a lock").extend(batch);
        Ok(())
    }
}

/// Runs `work` under a subscriber with an exporter, and returns the log and the spans.
pub(super) fn observe(level: Level, format: Format, work: impl FnOnce()) -> (String, Vec<SpanData>) {
    let (log, kept) = (Log::default(), Kept::default());
    let provider = otlp::with_processor(SimpleSpanProcessor::new(kept.clone()));
    let writer = {
        let log = log.clone();
        move || log.clone()
    };
    let (subscriber, telemetry) = assemble(&Settings { level, format, otlp: None }, writer, Some(provider));
    tracing::subscriber::with_default(subscriber, work);
    telemetry.flush();
    let text = String::from_utf8(log.0.lock().expect("a lock").clone()).expect("UTF-8");
    let spans = kept.0.lock().expect("a lock").clone();
    (text, spans)
}

fn context(trace: Trace) -> Context {
    Context { trace, ..Context::untraced(uuid::Uuid::nil()) }
}

fn attribute(span: &SpanData, key: &str) -> Option<Value> {
    span.attributes.iter().find(|pair| pair.key.as_str() == key).map(|pair| pair.value.clone())
}

#[test]
fn a_line_is_one_flat_json_object_without_spans() {
    let (log, _) = observe(Level::Info, Format::Json, || {
        let trace = Sampler::new(Some(1.0)).decide(None);
        let span = request_span(&context(trace), "/obo", "POST");
        span.in_scope(|| tracing::warn!(error = "invalid_grant", status = 401, "a request failed"));
    });
    let line: serde_json::Value = serde_json::from_str(log.trim()).expect("one JSON object");
    let mut names: Vec<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["error", "level", "message", "status", "target", "timestamp"]);
    assert_eq!((&line["level"], &line["message"], &line["status"]), (&"WARN".into(), &"a request failed".into(), &401.into()));
}

#[test]
fn text_is_for_people_and_has_no_control_sequences() {
    let (log, _) = observe(Level::Info, Format::Text, || tracing::info!(answer = 42, "it is\u{1b}[31m"));
    assert!(log.contains("INFO") && log.contains("answer=42"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[test]
fn nothing_of_a_dependency_is_logged_below_warn() {
    let (log, spans) = observe(Level::Trace, Format::Json, || {
        let root = request_span(&context(Sampler::new(Some(1.0)).decide(None)), "/obo", "POST");
        let _entered = root.enter();
        let _theirs = tracing::info_span!(target: "reqwest::connect", "canary").entered();
        tracing::trace!(target: "tokend::flow", "ours-trace");
        for canary in ["h2::codec", "hyper", "rustls::client", "tower", "tokendish"] {
            // Targets are fixed where an event stands, so each level has one line for them all.
            tracing::info!(target: "hyper::proto", canary, "canary");
            tracing::debug!(target: "reqwest::connect", canary, "canary");
            tracing::trace!(target: "tokendish", canary, "canary");
        }
        tracing::warn!(target: "hyper::proto", "theirs-warn");
    });
    assert!(log.contains("ours-trace") && log.contains("theirs-warn"), "{log}");
    assert!(!log.contains("canary"), "{log}");
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert!(spans[0].events.is_empty(), "log lines are not span events");
}

#[test]
fn a_higher_threshold_holds_for_all() {
    let (log, _) = observe(Level::Error, Format::Json, || {
        tracing::warn!("quiet");
        tracing::warn!(target: "hyper", "quiet");
        tracing::error!("loud");
    });
    assert!(log.contains("loud") && !log.contains("quiet"), "{log}");
}

#[test]
fn an_unsampled_request_makes_no_span() {
    let unsampled = Trace { sampled: false, ..Trace::parse(CALLER).expect("a traceparent") };
    let (_, spans) = observe(Level::Trace, Format::Json, || {
        for trace in [unsampled, Sampler::new(Some(0.0)).decide(None)] {
            let context = context(trace);
            let span = request_span(&context, "/obo", "POST");
            assert!(span.is_none() && flow_span(&context, "silent", "orders", false).is_none());
            let _entered = span.enter();
            assert!(call_span(&context, "login.example", "POST", "client_credentials", 0).is_none());
            assert!(redis_span("read").is_none());
            // An inner span of ours without a traced request must not become a trace of its own.
            drop(tracing::info_span!(target: "tokend::flow", "orphan").entered());
            assert_eq!(outgoing(trace, &tracing::Span::current()), trace);
        }
    });
    assert!(spans.is_empty(), "{spans:?}");
}

#[test]
fn a_sampled_request_hangs_below_its_caller_and_its_way_below_it() {
    let caller = Sampler::new(Some(0.0)).decide(Some(CALLER));
    let mut sent = Trace::default();
    let (_, spans) = observe(Level::Info, Format::Json, || {
        let asked = Context { state: Some("vendor=1".into()), ..context(caller) };
        let request = request_span(&asked, "/obo", "POST");
        let inside = asked.inside(outgoing(caller, &request));
        let flow = flow_span(&inside, "on_behalf_of", "orders", false);
        let inside = inside.inside(outgoing(inside.trace, &flow));
        flow.in_scope(|| {
            drop(redis_span("read"));
            let call = call_span(&inside, "login.example", "POST", "urn:ietf:params:oauth:grant-type:jwt-bearer", 1);
            sent = outgoing(inside.trace, &call);
            call_answered(&call, 400);
            call_failed(&call, "invalid_grant");
        });
        let came = Came { source: None, level: None, error: Some("authority_refused"), failed: false };
        finish_flow(&flow, &came);
        joined(&request);
        drop(flow);
        finish_request(&request, 502);
    });
    let [redis, call, flow, request] = spans.as_slice() else { panic!("{spans:?}") };
    let names = [redis, call, flow, request].map(|span| span.name.as_ref());
    assert_eq!(names, ["redis read", "jwt-bearer", "on_behalf_of", "POST /obo"]);
    let kinds = [redis, call, flow, request].map(|span| span.span_kind.clone());
    assert_eq!(kinds, [SpanKind::Client, SpanKind::Client, SpanKind::Internal, SpanKind::Server]);
    assert_eq!(u64::from_be_bytes(request.parent_span_id.to_bytes()), caller.span_id);
    assert!(request.parent_span_is_remote && !flow.parent_span_is_remote && !call.parent_span_is_remote);
    assert_eq!(flow.parent_span_id, request.span_context.span_id());
    assert!([redis, call].iter().all(|span| span.parent_span_id == flow.span_context.span_id()));
    assert!([redis, call, flow].iter().all(|span| span.span_context.trace_state().header() == "vendor=1"));
    assert_eq!(sent.trace_id, caller.trace_id);
    assert_eq!(sent.span_id.to_be_bytes(), call.span_context.span_id().to_bytes());
    assert_eq!((&request.status, &call.status, &flow.status), (&Status::error(""), &Status::error(""), &Status::Unset));
    for (span, key, value) in [
        (request, "http.response.status_code", Value::I64(502)),
        (request, "http.route", "/obo".into()),
        (request, "tokend.flight", "joined".into()),
        (flow, "tokend.app", "orders".into()),
        (flow, "error.type", "authority_refused".into()),
        (call, "server.address", "login.example".into()),
        (call, "http.request.resend_count", Value::I64(1)),
        (call, "tokend.grant", "jwt-bearer".into()),
        (call, "error.type", "invalid_grant".into()),
        (redis, "db.system.name", "redis".into()),
        (redis, "db.operation.name", "read".into()),
    ] {
        assert_eq!(attribute(span, key), Some(value), "{key}");
    }
    assert_eq!(attribute(flow, "tokend.token_source"), None);
}

#[test]
fn a_detached_way_is_linked_by_value_and_does_not_hold_the_request_open() {
    let (_, spans) = observe(Level::Info, Format::Json, || {
        let new = context(Sampler::new(Some(1.0)).decide(None));
        let request = request_span(&new, "/client-credentials", "BREW");
        let inside = new.inside(outgoing(new.trace, &request));
        assert!(inside.trace.is_some() && inside.trace.sampled);
        let flow = request.in_scope(|| flow_span(&inside, "client_credentials", "orders", true));
        drop(request);
        drop(call_span(&inside, "login.example", "POST", "client_credentials", 0));
        drop(flow);
        // Sampled, but the ids never came along: better no span than an orphan.
        assert!(call_span(&new, "login.example", "POST", "client_credentials", 0).is_none());
        assert!(flow_span(&new, "client_credentials", "orders", false).is_none());
    });
    let [request, call, flow] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!(request.name, "_OTHER /client-credentials");
    assert_eq!(attribute(flow, "tokend.renewal"), Some(Value::Bool(true)));
    for below in [call, flow] {
        assert_eq!(below.parent_span_id, request.span_context.span_id());
        assert_eq!(below.span_context.trace_id(), request.span_context.trace_id());
    }
}

#[test]
fn inner_spans_of_ours_are_kept_below_a_traced_request() {
    let (_, spans) = observe(Level::Info, Format::Json, || {
        let request = request_span(&context(Sampler::new(Some(1.0)).decide(None)), "/obo", "POST").entered();
        let inner = tracing::info_span!(target: "tokend::flow", "inner").entered();
        drop(inner);
        drop(request);
    });
    let [inner, request] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!(inner.parent_span_id, request.span_context.span_id());
}

/// Settings for a collector on a port of this machine.
fn exporting(listener: &TcpListener) -> Settings {
    let endpoint = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
    let place = Place::Value(Secret::new("x-key=a%2Cb"));
    let headers = Some(Source { key: "otlp.headers".to_owned(), file: None, place });
    Settings { otlp: Some(Otlp { endpoint, sample_ratio: 1.0, headers }), ..Settings::default() }
}

/// Makes one span for the collector, flushes, and returns how long that took. Inside a runtime, as `serve` does.
async fn export_one(settings: &Settings) -> std::time::Duration {
    let (subscriber, telemetry) = subscriber(settings, io::sink).expect("an exporter");
    let trace = telemetry.sampler.decide(None);
    tracing::subscriber::with_default(subscriber, || drop(request_span(&context(trace), "/obo", "POST")));
    let started = tokio::time::Instant::now();
    telemetry.flush();
    started.elapsed()
}

#[tokio::test]
async fn spans_reach_the_collector_with_its_headers() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let settings = exporting(&listener);
    let collector = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut bytes = [0; 8192];
        let length = stream.read(&mut bytes).expect("a request");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("an answer");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    });
    export_one(&settings).await;
    let request = collector.join().expect("a request");
    assert!(request.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("x-key: a,b\r\n") && request.contains("application/x-protobuf"), "{request}");
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_the_end_up_for_two_seconds_at_most() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let took = export_one(&exporting(&listener)).await;
    assert!(took < std::time::Duration::from_secs(3), "{took:?}");
}

#[test]
fn the_service_is_named() {
    let provider = otlp::with_processor(SimpleSpanProcessor::new(Kept::default()));
    assert!(format!("{provider:?}").contains("tokend"));
}
