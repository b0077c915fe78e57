//! The two spans of a traced request: the request itself, and a call to the authority below it.
//!
//! Attributes come from closed sets: route templates, methods, hosts of the configuration, purposes of calls, status codes. Never a token,
//! a user, a scope or a tenant.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::field::Empty;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::trace::Trace;

/// The target of spans that know their own trace, and so are kept without a parent in this process.
pub(super) const LINKED: &str = "tokend::telemetry::linked";

/// The root span of a request, below the caller's span if there is one; none at all if the request is not sampled.
///
/// What travels on through the request is [`outgoing`] of this span: the same value as an argument is cheaper than a current span,
/// and work that outlives the request (a detached flight) must not keep its span open.
pub fn request_span(trace: Trace, route: &'static str, method: &str) -> Span {
    if !trace.sampled {
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
        otel.status_code = Empty,
    );
    link(&span, trace, true);
    span
}

/// Closes the books on a request's span: its status, and whether that is a failure of tokend.
pub fn finish_request(span: &Span, status: u16) {
    finish(span, status, 500);
}

/// A client span for one call to an authority, below the current span if that belongs to `trace`, else below the span that `trace`
/// names. The purpose is a grant, or what is fetched: a word of ours.
pub fn call_span(trace: Trace, host: &str, purpose: &str) -> Span {
    let current = Span::current();
    let inside = context_of(&current).is_some_and(|here| !trace.is_some() || here.trace_id == trace.trace_id);
    if !trace.sampled || !(inside || trace.is_some()) {
        return Span::none();
    }
    let parent = if inside { current } else { Span::none() };
    let span = tracing::span!(
        target: LINKED,
        parent: &parent,
        Level::INFO,
        "call",
        otel.name = purpose,
        otel.kind = "client",
        server.address = host,
        tokend.purpose = purpose,
        http.response.status_code = Empty,
        otel.status_code = Empty,
    );
    if !inside {
        link(&span, trace, false);
    }
    span
}

/// Closes the books on a call's span. A caller takes every answer from 400 on as a failure.
pub fn finish_call(span: &Span, status: u16) {
    finish(span, status, 400);
}

/// The trace context for calls made inside `span`: its own ids if it is traced, else those that came in.
pub fn outgoing(trace: Trace, span: &Span) -> Trace {
    if trace.sampled { context_of(span).unwrap_or(trace) } else { trace }
}

fn finish(span: &Span, status: u16, failure: u16) {
    if span.is_disabled() {
        return;
    }
    // Unsigned numbers would be exported as text.
    span.record("http.response.status_code", i64::from(status));
    if status >= failure {
        span.record("otel.status_code", "ERROR");
    }
}

fn context_of(span: &Span) -> Option<Trace> {
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

fn link(span: &Span, trace: Trace, remote: bool) {
    if span.is_disabled() || !trace.is_some() {
        return;
    }
    let parent = SpanContext::new(
        TraceId::from_bytes(trace.trace_id.to_be_bytes()),
        SpanId::from_bytes(trace.span_id.to_be_bytes()),
        TraceFlags::SAMPLED,
        remote,
        TraceState::default(),
    );
    // It fails only where no layer exports spans, or for a span that has started: neither is so here.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}

/// Methods are chosen by callers: what is not one of HTTP's own becomes OpenTelemetry's word for the rest.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}
