//! The spans of a traced request: the request itself, and its way past memory where memory has nothing.
//! What it calls is in `calls`.
//!
//! Attributes come from closed sets: route templates, methods, names of apps, flows, sources, error values. Never a token, a user,
//! a scope or a tenant.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId};
use tracing::field::Empty;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::trace::{Context, Trace};

/// The target of spans that know their own trace, and so are kept without a parent in this process.
pub(super) const LINKED: &str = "tokend::telemetry::linked";

/// What came of a request for a token, for the request's span and for that of its way past memory.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// As the answer's `token_source`.
    pub source: Option<&'static str>,
    /// As the answer's `cache_level`.
    pub level: Option<&'static str>,
    /// tokend's own error value.
    pub error: Option<&'static str>,
    /// Whether the failure is tokend's or somebody's behind it, and not the caller's or the user's.
    pub failed: bool,
}

/// The root span of a request, below the caller's span if there is one; none at all if the request is not sampled.
///
/// What travels on through the request is [`outgoing`] of this span: the same value as an argument is cheaper than a current span,
/// and work that outlives the request (a detached flight) must not keep its span open.
pub fn request_span(context: &Context, route: &'static str, method: &str) -> Span {
    if !context.trace.sampled {
        return Span::none();
    }
    let method = known_method(method);
    let span = tracing::span!(
        target: LINKED,
        parent: None,
        Level::INFO,
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        tokend.app = Empty,
        tokend.flow = Empty,
        tokend.token_source = Empty,
        tokend.cache_level = Empty,
        tokend.flight = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    );
    link(&span, context, true);
    span
}

/// Closes the books on a request's span: its status, and whether that is a failure of tokend.
pub fn finish_request(span: &Span, status: u16) {
    answered(span, status, 500);
}

/// Notes the status of an answer, which is a failure from `failure` on.
pub(super) fn answered(span: &Span, status: u16, failure: u16) {
    if span.is_disabled() {
        return;
    }
    // Unsigned numbers would be exported as text.
    span.record("http.response.status_code", i64::from(status));
    if status >= failure {
        span.record("otel.status_code", "ERROR");
    }
}

/// The way of a flow past memory: the shared cache, the wait for others, the authority. It hangs below the request by value,
/// because a flight may outlive it. A renewal in the background hangs there too: it is in the trace of the request that found it
/// due, and marked.
pub fn flow_span(context: &Context, flow: &'static str, app: &str, renewal: bool) -> Span {
    if !context.trace.sampled || !context.trace.is_some() {
        return Span::none();
    }
    let span = tracing::span!(
        target: LINKED,
        parent: None,
        Level::INFO,
        "flow",
        otel.name = flow,
        otel.kind = "internal",
        tokend.app = app,
        tokend.flow = flow,
        tokend.renewal = renewal.then_some(true),
        tokend.token_source = Empty,
        tokend.cache_level = Empty,
        tokend.flight = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    );
    link(&span, context, false);
    span
}

/// Notes on a request's span for which app and by which flow it asks for a token.
pub fn asked_for(span: &Span, flow: &'static str, app: &str) {
    if !span.is_disabled() {
        span.record("tokend.app", app);
        span.record("tokend.flow", flow);
    }
}

/// Notes what came of a request for a token. Once per span: what is recorded twice is exported twice.
pub fn finish_flow(span: &Span, came: &Came) {
    if span.is_disabled() {
        return;
    }
    for (name, value) in [("tokend.token_source", came.source), ("tokend.cache_level", came.level), ("error.type", came.error)] {
        if let Some(value) = value {
            span.record(name, value);
        }
    }
    if came.failed {
        span.record("otel.status_code", "ERROR");
    }
}

/// Notes that a request waited for what somebody else had begun.
pub fn joined(span: &Span) {
    if !span.is_disabled() {
        span.record("tokend.flight", "joined");
    }
}

/// The trace context for calls made inside `span`: its own ids if it is traced, else those that came in.
pub fn outgoing(trace: Trace, span: &Span) -> Trace {
    if trace.sampled { ids_of(span).unwrap_or(trace) } else { trace }
}

pub(super) fn ids_of(span: &Span) -> Option<Trace> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let ids = span.span_context();
    ids.is_valid().then(|| Trace {
        trace_id: u128::from_be_bytes(ids.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(ids.span_id().to_bytes()),
        sampled: ids.is_sampled(),
    })
}

/// Hangs a span below the one that the context names.
pub(super) fn link(span: &Span, context: &Context, remote: bool) {
    let trace = context.trace;
    if span.is_disabled() || !trace.is_some() {
        return;
    }
    let parent = SpanContext::new(
        TraceId::from_bytes(trace.trace_id.to_be_bytes()),
        SpanId::from_bytes(trace.span_id.to_be_bytes()),
        TraceFlags::SAMPLED,
        remote,
        // A state that OpenTelemetry cannot read is passed on all the same, but not exported.
        context.state.as_deref().and_then(|state| state.parse().ok()).unwrap_or_default(),
    );
    // It fails only where no layer exports spans, or for a span that has started: neither is so here.
    let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
}

/// Methods are chosen by callers: what is not one of HTTP's own becomes OpenTelemetry's word for the rest.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}
