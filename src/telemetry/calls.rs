//! The client spans of a traced request: a call to an authority, a call to Redis.
//! Like all spans, they exist for sampled requests only.

use tracing::field::Empty;
use tracing::{Level, Span};

use super::spans::{LINKED, answered, ids_of, link};
use super::trace::Context;

/// A client span for one call to an authority, below the current span if that belongs to the same trace, else below the span that
/// the context names. The grant is that, or what is fetched: a word of ours. `resend`: how often it was sent before.
pub fn call_span(context: &Context, host: &str, method: &str, grant: &str, resend: i64) -> Span {
    let trace = context.trace;
    let current = Span::current();
    let inside = ids_of(&current).is_some_and(|here| !trace.is_some() || here.trace_id == trace.trace_id);
    if !trace.sampled || !(inside || trace.is_some()) {
        return Span::none();
    }
    let parent = if inside { current } else { Span::none() };
    // Grants of extensions are URNs.
    let grant = grant.rsplit(':').next().unwrap_or_default();
    let span = tracing::span!(
        target: LINKED,
        parent: &parent,
        Level::INFO,
        "call",
        otel.name = grant,
        otel.kind = "client",
        server.address = host,
        http.request.method = method,
        http.request.resend_count = (resend > 0).then_some(resend),
        http.response.status_code = Empty,
        tokend.grant = grant,
        tokend.suberror = Empty,
        tokend.error_codes = Empty,
        tokend.authority_trace_id = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    );
    if !inside {
        link(&span, context, false);
    }
    span
}

/// Notes the status of a call's answer.
pub fn call_answered(span: &Span, status: u16) {
    answered(span, status, 400);
}

/// Notes why a call failed, by a value of a closed list.
pub fn call_failed(span: &Span, error: &'static str) {
    if span.is_disabled() {
        return;
    }
    span.record("error.type", error);
    span.record("otel.status_code", "ERROR");
}

/// Notes what an authority said beside its error: values of closed lists, numbers, and the id of the request in its own logs if
/// that is a UUID.
pub fn call_explained(span: &Span, suberror: Option<&'static str>, codes: &[u64], trace_id: Option<&str>) {
    if span.is_disabled() {
        return;
    }
    if let Some(suberror) = suberror {
        span.record("tokend.suberror", suberror);
    }
    if !codes.is_empty() {
        span.record("tokend.error_codes", tracing::field::debug(codes));
    }
    if let Some(id) = trace_id.and_then(|text| uuid::Uuid::try_parse(text).ok()) {
        span.record("tokend.authority_trace_id", tracing::field::display(id));
    }
}

/// A client span for one call to Redis, below the current span; none where nothing is traced.
pub fn redis_span(operation: &'static str) -> Span {
    let current = Span::current();
    if current.is_disabled() {
        return Span::none();
    }
    tracing::span!(
        target: LINKED,
        parent: &current,
        Level::INFO,
        "redis",
        otel.name = format_args!("redis {operation}"),
        otel.kind = "client",
        db.system.name = "redis",
        db.operation.name = operation,
        error.type = Empty,
        otel.status_code = Empty,
    )
}
