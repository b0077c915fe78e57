//! tokend's own dialect: what succeeds is JSON with status 200, what fails is a problem.

use std::borrow::Cow;

use super::super::doors::FlowReply;
use super::super::fault::FaultKind;
use super::super::refusal::RequestFailure;
use super::answer;
use super::body::{About, json, written};
use super::challenge::challenge;
use crate::flow::RefusalKind;
use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::schema::{AnyOfBuilder, Schema};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

/// `application/problem+json` (RFC 9457), with the members of an OAuth error beside it. What does not apply is left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(in crate::http) struct Document<'a> {
    /// `urn:tokend:error:` and tokend's own value for what happened, also where `error` is the authority's.
    #[serde(rename = "type")]
    kind: String,
    /// What `type` means, for people; one text for each type, but at the routes of Microsoft's sidecar, where it is `detail`.
    title: &'a str,
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

/// `error` of a problem.
pub(in crate::http) struct ErrorValue;

/// A request that got what it asked for.
pub(super) fn success(reply: &FlowReply, about: About) -> Response {
    match reply {
        FlowReply::Token(answer) => json(answer::body(answer, about.correlation_id, about.now)),
        FlowReply::Url(url) => json(written(url)),
        FlowReply::SignOutUrl(url) => json(written(url)),
        FlowReply::Device(device) => json(written(device)),
        FlowReply::Accounts(accounts) => json(written(accounts)),
        FlowReply::Account(account) => json(written(account)),
        // No door whose answers look so asks for anything else.
        _ => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
    }
}

/// A request that failed.
pub(super) fn failure(failure: &RequestFailure<'_>, about: About) -> Response {
    titled(failure, failure.title, about)
}

/// A request that failed, under this title.
pub(super) fn titled(failure: &RequestFailure<'_>, title: &str, about: About) -> Response {
    let document = Document { title, ..Document::of(failure, about) };
    let mut response = Response::new(Body::from(written(&document)));
    *response.status_mut() = failure.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(seconds) = failure.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(refusal) = failure.refusal
        // RFC 6750 §3.1: the status of a missing scope is 403, and it has a challenge all the same.
        && (failure.status == StatusCode::UNAUTHORIZED
            || (failure.status == StatusCode::FORBIDDEN && refusal.kind == RefusalKind::InsufficientScope))
    {
        headers.insert(WWW_AUTHENTICATE, challenge(refusal));
    }
    response
}

// === impl Document ===

impl<'a> Document<'a> {
    fn of(failure: &RequestFailure<'a>, about: About) -> Self {
        let answer = failure.answer();
        Self {
            // tokend's own word for what happened, also where `error` is the authority's.
            kind: format!("urn:tokend:error:{}", failure.kind),
            title: failure.title,
            status: failure.status.as_u16(),
            detail: failure.detail,
            error: failure.error,
            error_description: answer.and_then(|answer| answer.error_description.as_deref()).unwrap_or(failure.detail),
            suberror: answer.and_then(|answer| answer.suberror.as_deref()),
            error_codes: answer.map_or(&[], |answer| &answer.error_codes),
            classification: answer.and_then(|answer| answer.classification.as_deref()),
            claims: answer.and_then(|answer| answer.claims.as_deref()),
            retryable: failure.retryable,
            correlation_id: about.correlation_id.to_string(),
            trace_id: answer.and_then(|answer| answer.trace_id.as_deref()),
        }
    }
}

// === impl ErrorValue ===

impl PartialSchema for ErrorValue {
    fn schema() -> RefOr<Schema> {
        let mut values: Vec<&str> = FaultKind::ALL.iter().map(|kind| kind.as_str()).collect();
        values.extend(RefusalKind::ALL.iter().map(|kind| kind.as_str()));
        // Said by the admin listener alone.
        values.push("peer_not_allowed");
        values.sort_unstable();
        values.dedup();
        let own = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("tokend's own values."))
            .enum_values(Some(values.into_iter().map(Value::from)));
        let theirs =
            ObjectBuilder::new().schema_type(Type::String).description(Some("The authority's own `error`, where it refused."));
        AnyOfBuilder::new().item(own).item(theirs).description(Some("What happened.")).into()
    }
}

impl ToSchema for ErrorValue {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ErrorValue")
    }
}
