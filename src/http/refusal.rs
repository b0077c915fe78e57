//! From a refusal to its answer: the one place that chooses a status, writes the problem, and logs the request that failed.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::asked::Asked;
use super::challenge::challenge;
use super::problem::{Fault, FaultKind, Problem};
use super::schemas::ErrorValue;
use crate::clock::Clock;
use crate::flow::{Kind, Refusal, loggable};
use crate::token::{Retry, Turn};

/// `application/problem+json` (RFC 9457), with the members of an OAuth error beside it. What does not apply is left out.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document<'a> {
    /// `urn:tokend:error:` and tokend's own value for what happened, also where `error` is the authority's.
    #[serde(rename = "type")]
    kind: String,
    /// The same for every occurrence of a type.
    title: &'static str,
    /// The answer's status.
    status: u16,
    /// What is wrong with this request, and the remedy. Where nobody was asked because the same failed a moment ago, it ends in
    /// `(remembered from an earlier call; asked again after N s)`.
    detail: &'a str,
    #[schema(value_type = ErrorValue)]
    error: &'a str,
    /// The authority's own words where it was asked, else `detail`: for people, not for programs.
    error_description: &'a str,
    /// Entra: a finer reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    suberror: Option<&'a str>,
    /// Entra: AADSTS numbers.
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    #[schema(value_type = Vec<u64>)]
    error_codes: &'a [u64],
    /// Entra: how it classifies the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    classification: Option<&'a str>,
    /// A claims challenge as JSON text: the user has to satisfy it.
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<&'a str>,
    /// Whether the same request can succeed later; `Retry-After` says when, where that is known.
    retryable: bool,
    /// The request's id.
    correlation_id: String,
    /// Entra: the id of its own request in its logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

/// Answers a request that failed, and logs it, with its caller's name: once, here.
pub(super) fn respond(asked: &Asked, caller: Option<&str>, problem: &Problem, clock: &Clock) -> Response {
    let (status, document) = match problem {
        Problem::Refused(refusal) => (status_of(refusal.turn), of_refusal(refusal)),
        Problem::Fault(fault) => (fault.kind.status(), of_fault(fault)),
    };
    let document = Document { status: status.as_u16(), correlation_id: asked.correlation_id.to_string(), ..document };
    log(asked, caller, &document);
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(seconds) = retry_after(problem, clock) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Problem::Refused(refusal) = problem
        && status == StatusCode::UNAUTHORIZED
    {
        headers.insert(WWW_AUTHENTICATE, challenge(refusal));
    }
    response
}

/// Whose turn it is, as a status.
fn status_of(turn: Turn) -> StatusCode {
    match turn {
        Turn::Caller => StatusCode::BAD_REQUEST,
        Turn::User => StatusCode::UNAUTHORIZED,
        Turn::Rights => StatusCode::FORBIDDEN,
        Turn::Configuration => StatusCode::NOT_FOUND,
        Turn::Throttled => StatusCode::TOO_MANY_REQUESTS,
        Turn::Operator => StatusCode::BAD_GATEWAY,
        Turn::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Turn::OutOfTime => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// The title of a flow's refusal: the same for every occurrence (RFC 9457 §3.1.3).
fn title_of(kind: Kind) -> &'static str {
    match kind {
        Kind::InvalidRequest => FaultKind::InvalidRequest.title(),
        Kind::UnknownApp => "There is no such app",
        Kind::UnknownApi => "There is no such api",
        Kind::CallerNotAllowed => "The caller may not do this",
        Kind::FlowNotAllowed => "The app does not allow this flow",
        Kind::TenantNotAllowed => "The app does not allow this tenant",
        Kind::TokenMissing => "The request carries no user's token",
        Kind::InvalidToken => "The user's token is not accepted",
        Kind::InsufficientScope => "The user's token lacks a scope",
        Kind::NoTokensFound => "There are no tokens of the account",
        Kind::UnknownAccount => "There is no such account",
        Kind::InvalidIdToken => "The authority's id token is not accepted",
        Kind::Refused => "The authority refused",
        Kind::Throttled => "The authority asks for fewer requests",
        Kind::AuthorityUnavailable => "The authority cannot be reached",
        Kind::AuthorityTimeout => "The authority did not answer in time",
        Kind::InvalidAuthorityResponse => "The authority's answer is malformed",
        Kind::KeysUnavailable => "The authority's keys cannot be had",
        Kind::CredentialUnusable => "The app's credential cannot be used",
        Kind::CacheUnavailable => "The shared cache cannot be asked",
        Kind::Overloaded => FaultKind::Overloaded.title(),
        Kind::InternalError => "tokend failed",
    }
}

fn of_refusal(refusal: &Refusal) -> Document<'_> {
    let answer = refusal.answer.as_deref();
    Document {
        kind: type_of(refusal.kind.as_str()),
        title: title_of(refusal.kind),
        detail: &refusal.detail,
        error: refusal.error(),
        error_description: answer.and_then(|answer| answer.error_description.as_deref()).unwrap_or(&refusal.detail),
        suberror: answer.and_then(|answer| answer.suberror.as_deref()),
        error_codes: answer.map_or(&[], |answer| &answer.error_codes),
        classification: answer.and_then(|answer| answer.classification.as_deref()),
        claims: answer.and_then(|answer| answer.claims.as_deref()),
        retryable: refusal.retry != Retry::Never,
        trace_id: answer.and_then(|answer| answer.trace_id.as_deref()),
        ..Document::default()
    }
}

fn of_fault(fault: &Fault) -> Document<'_> {
    Document {
        kind: type_of(fault.kind.as_str()),
        title: fault.kind.title(),
        detail: &fault.detail,
        error: fault.kind.as_str(),
        error_description: &fault.detail,
        retryable: fault.kind.retryable(),
        ..Document::default()
    }
}

/// tokend's own word for what happened, also where `error` is the authority's.
fn type_of(kind: &str) -> String {
    format!("urn:tokend:error:{kind}")
}

/// Whole seconds, rounded up: a caller that comes too early is refused again.
fn retry_after(problem: &Problem, clock: &Clock) -> Option<u64> {
    match problem {
        Problem::Refused(refusal) => match refusal.retry {
            Retry::At(moment) => {
                Some(u64::try_from(moment.since(clock.moment()).as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1))
            }
            Retry::Never | Retry::Backoff => None,
        },
        Problem::Fault(fault) => (fault.kind == FaultKind::Overloaded).then_some(1),
    }
}

/// The one line of a failed request. Never a description: it is the authority's text, and may name a user.
fn log(asked: &Asked, caller: Option<&str>, document: &Document<'_>) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                correlation_id = %document.correlation_id,
                route = asked.route.template,
                caller,
                status = document.status,
                error = loggable(document.error),
                suberror = document.suberror.map(loggable),
                error_codes = (!document.error_codes.is_empty()).then(|| tracing::field::debug(document.error_codes)),
                authority_trace_id = document.trace_id.map(loggable),
                "request failed"
            )
        };
    }
    // From 500 on it is somebody else's turn than the caller's.
    if document.status >= 500 { line!(warn) } else { line!(info) }
}
