//! The dialects of clients that ask for a managed identity's token.
//!
//! SDKs repeat a 404 and a 5xx many times: what will not get better by itself is 400, whatever else would say it better.

use axum::response::Response;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::doors::FlowReply;
use super::super::fault::FaultKind;
use super::super::refusal::{RequestFailure, Trouble};
use super::answer::{DIGITS, decimal};
use super::body::{About, json, written};
use crate::flow::Answer;
use crate::token::Turn;

/// A token as Azure App Service gives it.
#[derive(Serialize, ToSchema)]
#[schema(as = AppServiceToken)]
pub(in crate::http) struct AppServiceToken<'a> {
    access_token: &'a str,
    /// In seconds since 1970, as a string.
    expires_on: String,
    /// What was asked for.
    resource: &'a str,
    token_type: &'static str,
    /// The app's.
    client_id: &'a str,
}

/// A token as the instance metadata service gives it: every member is a string.
#[derive(Serialize, ToSchema)]
#[schema(as = ImdsToken)]
pub(in crate::http) struct ImdsToken<'a> {
    access_token: &'a str,
    client_id: &'a str,
    /// In seconds.
    expires_in: String,
    /// In seconds since 1970.
    expires_on: String,
    /// As `expires_in`.
    ext_expires_in: String,
    /// In seconds since 1970.
    not_before: String,
    resource: &'a str,
    token_type: &'static str,
}

/// An error as Azure App Service gives it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct AppServiceError {
    status_code: u16,
    /// What is wrong, the remedy, and the request's id.
    message: String,
}

/// An error as the instance metadata service gives it.
#[derive(Serialize, ToSchema)]
#[schema(as = ImdsError)]
pub(in crate::http) struct ImdsError<'a> {
    error: &'a str,
    /// What is wrong, the remedy, and the request's id.
    error_description: String,
}

/// A token, for App Service's clients.
pub(super) fn app_service(reply: &FlowReply) -> Response {
    let FlowReply::ManagedIdentity(reply) = reply else { return json(Vec::new()) };
    let (answer, app, asked) = &**reply;
    let expires_on = answer.head.expires_on.unwrap_or(0);
    if let Some(token) = answer.head.token() {
        return json(plain(token, expires_on, &asked.resource, &app.client_id));
    }
    with_token(answer, |access_token| {
        json(written(&AppServiceToken {
            access_token,
            expires_on: expires_on.to_string(),
            resource: &asked.resource,
            token_type: "Bearer",
            client_id: &app.client_id,
        }))
    })
}

/// [`AppServiceToken`] around a token that stands plainly in the written part of the answer, and so needs no escaping here either.
fn plain(token: &str, expires_on: i64, resource: &str, client_id: &str) -> Vec<u8> {
    let (mut digits, [resource, client_id]) = ([0; DIGITS], [resource, client_id].map(|text| written(&text)));
    let parts: [&[u8]; 9] = [
        b"{\"access_token\":\"",
        token.as_bytes(),
        b"\",\"expires_on\":\"",
        decimal(expires_on.max(0).unsigned_abs(), &mut digits),
        b"\",\"resource\":",
        &resource,
        b",\"token_type\":\"Bearer\",\"client_id\":",
        &client_id,
        b"}",
    ];
    let mut body = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| body.extend_from_slice(part));
    body
}

/// A token, for the instance metadata service's clients.
pub(super) fn imds(reply: &FlowReply, about: About) -> Response {
    let FlowReply::ManagedIdentity(reply) = reply else { return json(Vec::new()) };
    let (answer, app, asked) = &**reply;
    let expires_on = answer.head.expires_on.unwrap_or(0);
    let expires_in = expires_on.saturating_sub(about.now).max(0).to_string();
    with_token(answer, |access_token| {
        json(written(&ImdsToken {
            access_token,
            client_id: &app.client_id,
            ext_expires_in: expires_in.clone(),
            expires_in: expires_in.clone(),
            expires_on: expires_on.to_string(),
            not_before: about.now.to_string(),
            resource: &asked.resource,
            token_type: "Bearer",
        }))
    })
}

/// The answer with the token, which stands in the written part of the answer.
fn with_token(answer: &Answer, write: impl Fn(&str) -> Response) -> Response {
    if let Some(token) = answer.head.token() {
        return write(token);
    }
    let whole = [&answer.head.text[..], b"}"].concat();
    let value: serde_json::Value = serde_json::from_slice(&whole).unwrap_or_default();
    write(value.get("access_token").and_then(serde_json::Value::as_str).unwrap_or_default())
}

/// A request that failed, for App Service's clients.
pub(super) fn app_service_failure(failure: &RequestFailure<'_>, about: About) -> Response {
    let status = status(failure);
    answered(status, failure, written(&AppServiceError { status_code: status.as_u16(), message: message(failure, about) }))
}

/// A request that failed, for the instance metadata service's clients.
pub(super) fn imds_failure(failure: &RequestFailure<'_>, about: About) -> Response {
    let status = status(failure);
    let error = match status {
        StatusCode::BAD_REQUEST => "invalid_request",
        StatusCode::UNAUTHORIZED => "unauthorized_client",
        _ => "temporarily_unavailable",
    };
    answered(status, failure, written(&ImdsError { error, error_description: message(failure, about) }))
}

fn answered(status: StatusCode, failure: &RequestFailure<'_>, body: Vec<u8>) -> Response {
    let mut response = json(body);
    *response.status_mut() = status;
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) {
        // Some clients wait for as long as this says, and not at all without.
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(failure.retry_after.unwrap_or(1)));
    }
    response
}

fn message(failure: &RequestFailure<'_>, about: About) -> String {
    format!("{} (correlation id {})", failure.detail, about.correlation_id)
}

fn status(failure: &RequestFailure<'_>) -> StatusCode {
    match failure.trouble {
        Trouble::Fault(FaultKind::CallerNotAuthenticated) => StatusCode::UNAUTHORIZED,
        Trouble::Fault(FaultKind::Overloaded | FaultKind::CallerKeysUnavailable) => StatusCode::SERVICE_UNAVAILABLE,
        Trouble::Fault(FaultKind::RequestTimeout) => StatusCode::GATEWAY_TIMEOUT,
        Trouble::Fault(_) => StatusCode::BAD_REQUEST,
        Trouble::Refusal(refusal) => match refusal.turn {
            Turn::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Turn::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Turn::OutOfTime => StatusCode::GATEWAY_TIMEOUT,
            Turn::Caller | Turn::User | Turn::Rights | Turn::Configuration | Turn::Operator => StatusCode::BAD_REQUEST,
        },
    }
}
