//! The dialect of OAuth 2.0: nothing but the members that its specifications have, and none of them null.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::doors::{FlowReply, OAuthShape};
use super::super::fault::FaultKind;
use super::super::refusal::{RequestFailure, Trouble};
use super::answer::{DIGITS, decimal};
use super::body::{About, json, written};
use crate::flow::{Answer, DeviceAuthorization, Refusal, RefusalKind};
use crate::oauth::TOKEN_TYPE_ACCESS;
use crate::token::Turn;

/// A token (RFC 6749 §5.1, RFC 8693 §2.2.1, OpenID Connect Core §3.1.3.3).
#[derive(Serialize, ToSchema)]
#[schema(as = OAuthToken)]
pub(in crate::http) struct OAuthToken<'a> {
    /// The token; absent where a policy of Azure AD B2C gave an id token alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    /// `Bearer`; `N_A` where what was exchanged is no access token.
    token_type: &'a str,
    /// In seconds; absent where the authority does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<i64>,
    /// What was granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    /// A handle, which only tokend takes: after a sign-in, and after each refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    /// After a sign-in, if `scope` has `openid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    /// Of a token exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'a str>,
}

/// A device that begins to wait for its user (RFC 8628 §3.2).
#[derive(Serialize, ToSchema)]
#[schema(as = OAuthDevice)]
pub(in crate::http) struct OAuthDevice<'a> {
    /// What the token endpoint is polled with.
    device_code: &'a str,
    /// What the user enters.
    user_code: &'a str,
    /// Where the user enters it.
    verification_uri: &'a str,
    /// The page with the code in it, where the authority has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_uri_complete: Option<&'a str>,
    /// In how many seconds both codes end.
    expires_in: i64,
    /// How many seconds there have to be between two polls.
    interval: u32,
}

/// An error (RFC 6749 §5.2), with Entra's members where the user has to act.
#[derive(Serialize, ToSchema)]
#[schema(as = OAuthError)]
pub(in crate::http) struct OAuthError<'a> {
    /// What happened: a value of RFC 6749 §5.2 or RFC 8693 §2.2.2, or the authority's own where it is the user's turn.
    error: &'a str,
    /// What is wrong, and the remedy.
    error_description: String,
    /// Entra: a finer reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    suberror: Option<&'a str>,
    /// A claims challenge as JSON text: the user has to satisfy it.
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<&'a str>,
}

/// The first part of an answer, as it was written.
#[derive(Deserialize)]
struct WrittenHead<'a> {
    #[serde(borrow, default)]
    access_token: Option<Plain<'a>>,
    #[serde(borrow)]
    token_type: Plain<'a>,
    #[serde(borrow, default)]
    scope: Option<Plain<'a>>,
    #[serde(borrow, default)]
    id_token: Option<Plain<'a>>,
    #[serde(borrow, default)]
    issued_token_type: Option<Plain<'a>>,
}

/// A string, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Plain<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

/// A request that got what it asked for.
pub(super) fn success(reply: &FlowReply, about: About) -> Response {
    let mut response = match reply {
        FlowReply::OAuthToken(answer, shape) => token(answer, *shape, about.now),
        FlowReply::Device(device) => json(written(&OAuthDevice::of(device))),
        FlowReply::Introspection(claims) => json(written(claims)),
        FlowReply::Metadata(metadata) => json(written(metadata)),
        // RFC 7009 §2.2: nothing but a status.
        _ => Response::new(Body::empty()),
    };
    // RFC 6749 §5.1. `Cache-Control` is on every answer.
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

fn token(answer: &Answer, shape: OAuthShape, now: i64) -> Response {
    // What few answers have is not written by hand.
    if !shape.is_exchange
        && !shape.has_openid
        && let Some(first) = answer.head.first_members()
    {
        return json(plain(answer, first, now));
    }
    let whole = [&answer.head.text[..], b"}"].concat();
    let Ok(head) = serde_json::from_slice::<WrittenHead<'_>>(&whole) else {
        // What was written has no token.
        return error(StatusCode::BAD_GATEWAY, &OAuthError::plain("server_error", "the answer has no token"));
    };
    let [access_token, scope, id_token, issued] = [&head.access_token, &head.scope, &head.id_token, &head.issued_token_type]
        .map(|member| member.as_ref().map(|plain| &*plain.0));
    let issued = shape.is_exchange.then(|| issued.unwrap_or(TOKEN_TYPE_ACCESS));
    json(written(&OAuthToken {
        access_token,
        token_type: &head.token_type.0,
        expires_in: answer.head.expires_on.map(|ends| ends.saturating_sub(now).max(0)),
        scope: scope.filter(|scope| !scope.is_empty()),
        refresh_token: answer.handle.as_ref().map(crate::secret::Secret::expose),
        id_token: id_token.filter(|_| shape.has_openid),
        issued_token_type: issued,
    }))
}

/// The body where the written head's first members are all that is taken of it: nothing is parsed and nothing escaped.
fn plain(answer: &Answer, first: &[u8], now: i64) -> Vec<u8> {
    let mut digits = [0; DIGITS];
    let expires_in = answer.head.expires_on.map(|ends| ends.saturating_sub(now).max(0).unsigned_abs());
    // A handle has no characters that JSON escapes.
    let handle = answer.handle.as_ref().map(crate::secret::Secret::expose);
    let mut body = Vec::with_capacity(first.len() + handle.map_or(0, str::len) + 64);
    body.extend_from_slice(first);
    if let Some(expires_in) = expires_in {
        body.extend_from_slice(b",\"expires_in\":");
        body.extend_from_slice(decimal(expires_in, &mut digits));
    }
    if let Some(handle) = handle {
        body.extend_from_slice(b",\"refresh_token\":\"");
        body.extend_from_slice(handle.as_bytes());
        body.push(b'"');
    }
    body.push(b'}');
    body
}

/// A request that failed.
pub(super) fn failure(failure: &RequestFailure<'_>) -> Response {
    let answer = failure.answer();
    let (status, code) = match failure.trouble {
        Trouble::Fault(fault) => of_fault(fault, failure.status),
        Trouble::Refusal(refusal) => of_refusal(refusal, failure),
    };
    // What the operator has to mend is said in our words: the authority's are for the operator.
    let is_told = failure.refusal.is_some_and(|refusal| matches!(refusal.turn, Turn::User | Turn::Caller | Turn::Rights));
    let theirs = answer.filter(|_| is_told).and_then(|answer| answer.error_description.as_deref());
    let description = theirs.unwrap_or(failure.detail);
    let body = OAuthError {
        suberror: answer.and_then(|answer| answer.suberror.as_deref()),
        claims: answer.and_then(|answer| answer.claims.as_deref()),
        ..OAuthError::plain(code, description)
    };
    let mut response = error(status, &body);
    let headers = response.headers_mut();
    let is_to_wait =
        matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
    if let Some(seconds) = failure.retry_after.or(is_to_wait.then_some(1)) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if failure.is_basic && status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"tokend\", charset=\"UTF-8\""));
    }
    response
}

fn error(status: StatusCode, body: &OAuthError<'_>) -> Response {
    let mut response = json(written(body));
    *response.status_mut() = status;
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What the edge found, in RFC 6749's words.
fn of_fault(kind: FaultKind, status: StatusCode) -> (StatusCode, &'static str) {
    match kind {
        FaultKind::CallerNotAuthenticated => (StatusCode::UNAUTHORIZED, "invalid_client"),
        FaultKind::UnsupportedGrantType => (status, "unsupported_grant_type"),
        FaultKind::InvalidScope => (status, "invalid_scope"),
        FaultKind::InvalidTarget => (status, "invalid_target"),
        FaultKind::CallerNotAllowed => (StatusCode::BAD_REQUEST, "unauthorized_client"),
        FaultKind::Overloaded | FaultKind::RequestTimeout | FaultKind::CallerKeysUnavailable => (status, "temporarily_unavailable"),
        FaultKind::InvalidRequest
        | FaultKind::ForwardedHeader
        | FaultKind::HostNotAllowed
        | FaultKind::OriginNotAllowed
        | FaultKind::NotFound
        | FaultKind::MethodNotAllowed
        | FaultKind::PayloadTooLarge
        | FaultKind::UnsupportedMediaType
        | FaultKind::HeaderTooLarge => (status, "invalid_request"),
    }
}

/// What a flow refused, in RFC 6749's words.
fn of_refusal<'a>(refusal: &'a Refusal, failure: &RequestFailure<'a>) -> (StatusCode, &'a str) {
    let bad = StatusCode::BAD_REQUEST;
    match (refusal.turn, refusal.kind) {
        (_, RefusalKind::CallerNotAllowed) if refusal.about_target => (bad, "invalid_scope"),
        (_, RefusalKind::UnknownApi) => (bad, "invalid_scope"),
        // A document of an app that is not there: clients look elsewhere then.
        (Turn::Configuration, _) if failure.is_open => (StatusCode::NOT_FOUND, "invalid_request"),
        (
            _,
            RefusalKind::CallerNotAllowed | RefusalKind::UnknownApp | RefusalKind::FlowNotAllowed | RefusalKind::FlowNotAvailable,
        ) => (bad, "unauthorized_client"),
        (_, RefusalKind::TenantNotAllowed | RefusalKind::PolicyNotAllowed) => (bad, "invalid_request"),
        (
            _,
            RefusalKind::InvalidToken
            | RefusalKind::InvalidAssertion
            | RefusalKind::InsufficientScope
            | RefusalKind::NoTokensFound
            | RefusalKind::UnknownAccount
            | RefusalKind::InvalidHandle
            | RefusalKind::SessionNotFound
            | RefusalKind::SessionOfAnother,
        ) => (bad, "invalid_grant"),
        // RFC 8628 §3.5.
        (_, RefusalKind::AuthorizationPending | RefusalKind::SlowDown | RefusalKind::ExpiredToken | RefusalKind::AccessDenied) => {
            (bad, refusal.kind.as_str())
        }
        (_, RefusalKind::TokenMissing) => (bad, "invalid_request"),
        // The authority's own word, where it is a word that clients of a token endpoint may act upon.
        (Turn::Caller | Turn::User | Turn::Rights, RefusalKind::Refused) => match failure.error {
            "invalid_client" | "unauthorized_client" => (bad, "unauthorized_client"),
            word => (bad, word),
        },
        (Turn::Caller, _) => (bad, "invalid_request"),
        (Turn::User | Turn::Rights, _) => (bad, "invalid_grant"),
        (Turn::Configuration, _) => (bad, "unauthorized_client"),
        (Turn::Throttled | Turn::Unavailable | Turn::OutOfTime, _) => (failure.status, "temporarily_unavailable"),
        (Turn::Operator, _) => (failure.status, "server_error"),
    }
}

// === impl OAuthDevice ===

impl<'a> OAuthDevice<'a> {
    fn of(device: &'a DeviceAuthorization) -> Self {
        Self {
            device_code: &device.device_code,
            user_code: &device.user_code,
            verification_uri: &device.verification_uri,
            verification_uri_complete: device.verification_uri_complete.as_deref(),
            expires_in: device.expires_in,
            interval: device.interval,
        }
    }
}

// === impl OAuthError ===

impl<'a> OAuthError<'a> {
    /// A code, and what is wrong. RFC 6749 §5.2 has no quotes and backslashes in a description, and ASCII alone.
    fn plain(error: &'a str, description: &str) -> Self {
        let plain = |c: char| match c {
            ' '..='!' | '#'..='[' | ']'..='~' => c,
            '"' | '\u{2018}' | '\u{2019}' => '\'',
            _ => ' ',
        };
        let error_description = description.replace('\u{a7}', "section ").replace('\u{2026}', "...").chars().map(plain).collect();
        Self { error, error_description, suberror: None, claims: None }
    }
}
