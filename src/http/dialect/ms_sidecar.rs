//! The dialect of Microsoft's sidecar. What fails is a problem as in tokend's own, but its title says the reason: the title is all
//! that such clients show.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, EXPIRES, PRAGMA};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::doors::FlowReply;
use super::super::refusal::{RequestFailure, Trouble};
use super::body::{About, json, written};
use super::problem;
use crate::flow::RefusalKind;

/// A token as a header.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuthorizationHeader)]
pub(in crate::http) struct AuthorizationHeader<'a> {
    /// What `Authorization` is to have: the scheme and the token.
    authorization_header: &'a str,
}

/// What a token says.
#[derive(Serialize, ToSchema)]
#[schema(as = ValidatedToken)]
pub(in crate::http) struct ValidatedToken<'a> {
    /// `Bearer`.
    protocol: &'static str,
    /// The token that came.
    token: &'a str,
    /// Its claims as they stand in it.
    #[schema(value_type = Object)]
    claims: &'a Map<String, Value>,
}

/// A request that got what it asked for.
pub(super) fn success(reply: &FlowReply, about: About) -> Response {
    let mut response = match reply {
        FlowReply::AuthorizationHeader(answer) => {
            let Some(header) = answer.head.authorization() else { return json(Vec::new()) };
            let authorization_header = std::str::from_utf8(&header).unwrap_or_default();
            json(written(&AuthorizationHeader { authorization_header }))
        }
        FlowReply::Validated(validated, token) => {
            json(written(&ValidatedToken { protocol: "Bearer", token, claims: &validated.claims }))
        }
        FlowReply::Health => {
            let mut response = Response::new(Body::from("Healthy"));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            response
        }
        other => problem::success(other, about),
    };
    let headers = response.headers_mut();
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(EXPIRES, HeaderValue::from_static("0"));
    response
}

/// A request that failed.
pub(super) fn failure(failure: &RequestFailure<'_>, about: About) -> Response {
    let is_unknown = matches!(failure.trouble, Trouble::Refusal(refusal) if refusal.kind == RefusalKind::UnknownApi);
    // There, an api that is not known has no scopes, and that is an error of the request: clients take 404 for a wrong address.
    let status = if is_unknown { StatusCode::BAD_REQUEST } else { failure.status };
    let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
    let retry_after = failure.retry_after.or(waits.then_some(1));
    problem::titled(&RequestFailure { status, retry_after, ..*failure }, failure.detail, about)
}
