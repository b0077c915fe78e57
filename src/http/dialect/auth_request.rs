//! The dialect of proxies that ask by a sub-request: what they pass on, or hand to their client, has to be a status that they know
//! and headers. The bodies of refusals reach browsers, and say next to nothing.

use std::fmt::Write as _;

use axum::body::Body;
use axum::response::Response;
use http::header::{AUTHORIZATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::doors::FlowReply;
use super::super::fault::FaultKind;
use super::super::refusal::{RequestFailure, Trouble};
use super::body::{About, json, written};
use super::challenge::challenge;
use crate::flow::{Authorized, RefusalKind, loggable};
use crate::token::Turn;

/// The longest value of a header that has a claim, in bytes. A part of an identity might be another identity: what is longer is
/// left empty, as if there were no such claim.
const LONGEST: usize = 1024;

/// In how many seconds a proxy's client may try again where nothing gets better by itself.
const LATER: u64 = 30;

/// A request that may not pass.
#[derive(Serialize, ToSchema)]
#[schema(as = PassageError)]
pub(in crate::http) struct PassageError<'a> {
    /// What happened: tokend's own value, or the authority's.
    error: &'a str,
    /// The request's id: tokend's log has the rest.
    correlation_id: String,
}

/// A request that may pass.
pub(super) fn success(reply: &FlowReply, about: About) -> Response {
    let FlowReply::Authorized(authorized) = reply else { return refused(StatusCode::SERVICE_UNAVAILABLE, "internal_error", about) };
    let Authorized { answer, identity } = authorized;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    if let Some(answer) = answer {
        let value = answer.head.authorization().and_then(|value| HeaderValue::from_maybe_shared(value).ok());
        let Some(mut value) = value else { return refused(StatusCode::SERVICE_UNAVAILABLE, "invalid_authority_response", about) };
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    for (name, claim) in identity {
        headers.insert(name.clone(), said(claim.as_ref()));
    }
    headers.insert(VARY, HeaderValue::from_static("Authorization"));
    response
}

/// A request that may not.
pub(super) fn failure(failure: &RequestFailure<'_>, about: About) -> Response {
    let status = status_of(failure);
    let mut response = refused(status, loggable(failure.error), about);
    let headers = response.headers_mut();
    let challenge = match (status, failure.trouble) {
        (StatusCode::UNAUTHORIZED, Trouble::Refusal(refusal)) => Some(challenge(refusal)),
        (StatusCode::FORBIDDEN, Trouble::Refusal(refusal)) if refusal.kind == RefusalKind::InsufficientScope => {
            Some(challenge(refusal))
        }
        _ => None,
    };
    if let Some(challenge) = challenge {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        let usual = if failure.retryable { 1 } else { LATER };
        headers.insert(RETRY_AFTER, HeaderValue::from(failure.retry_after.unwrap_or(usual)));
    }
    headers.insert(VARY, HeaderValue::from_static("Authorization"));
    response
}

/// Statuses that proxies hand on: the user's turn, a right that is missing, and what may be otherwise later. That the operator has
/// to do something is no business of whoever sits behind a proxy.
fn status_of(failure: &RequestFailure<'_>) -> StatusCode {
    match failure.trouble {
        Trouble::Refusal(refusal) => match refusal.turn {
            Turn::User => StatusCode::UNAUTHORIZED,
            Turn::Rights => StatusCode::FORBIDDEN,
            Turn::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Turn::Caller | Turn::Configuration | Turn::Operator | Turn::Unavailable | Turn::OutOfTime => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        },
        Trouble::Fault(FaultKind::CallerNotAuthenticated | FaultKind::CallerNotAllowed) => StatusCode::FORBIDDEN,
        Trouble::Fault(FaultKind::NotFound | FaultKind::HeaderTooLarge) => failure.status,
        Trouble::Fault(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn refused(status: StatusCode, error: &str, about: About) -> Response {
    let mut response = json(written(&PassageError { error, correlation_id: about.correlation_id.to_string() }));
    *response.status_mut() = status;
    response
}

/// A claim as a header has it: visible ASCII, with `%` and everything else percent-encoded as UTF-8. A comma stands between the
/// entries of a list alone, and is encoded elsewhere. What is no text, whole number, switch or list of these is left empty.
fn said(claim: Option<&Value>) -> HeaderValue {
    let mut text = String::new();
    let is_plain = match claim {
        Some(Value::Array(entries)) => entries.iter().enumerate().all(|(index, entry)| {
            if index > 0 {
                text.push(',');
            }
            put(entry, &mut text)
        }),
        Some(value) => put(value, &mut text),
        None => true,
    };
    let fits = is_plain && text.len() <= LONGEST;
    HeaderValue::try_from(if fits { text } else { String::new() }).unwrap_or(EMPTY)
}

const EMPTY: HeaderValue = HeaderValue::from_static("");

/// Whether it could be written. Nothing is written far beyond the bound.
fn put(value: &Value, text: &mut String) -> bool {
    let own;
    let plain = match value {
        Value::String(plain) => plain,
        Value::Bool(_) => {
            own = value.to_string();
            &own
        }
        // Others were rounded when they were read, and two users' numbers may have become one.
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            own = number.to_string();
            &own
        }
        Value::Number(_) | Value::Null | Value::Array(_) | Value::Object(_) => return false,
    };
    for byte in plain.bytes() {
        if text.len() > LONGEST {
            return false;
        }
        if byte.is_ascii_graphic() && byte != b'%' && byte != b',' {
            text.push(char::from(byte));
        } else {
            // A `String` takes all that is written to it.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::said;

    fn text(claim: Value) -> String {
        said(Some(&claim)).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_claim_becomes_visible_ascii_of_which_every_byte_can_be_told() {
        for (claim, want) in [
            (json!("oid-1"), "oid-1"),
            (json!("ana@contoso.example"), "ana@contoso.example"),
            (json!("Ana Ábc"), "Ana%20%C3%81bc"),
            (json!("100%"), "100%25"),
            (json!("a\r\nx-admin: 1"), "a%0D%0Ax-admin:%201"),
            (json!("a\u{0}\u{7f}\t"), "a%00%7F%09"),
            (json!("a,b"), "a%2Cb"),
            (json!(7), "7"),
            (json!(true), "true"),
            (json!(["a", "b,c", "d e", 1]), "a,b%2Cc,d%20e,1"),
            (json!([]), ""),
            (json!(["only"]), "only"),
        ] {
            assert_eq!(text(claim.clone()), want, "{claim}");
        }
        assert_eq!(said(None), "");
    }

    #[test]
    fn what_cannot_be_said_whole_is_not_said() {
        for claim in
            [json!(1.5), json!(1e30), json!(null), json!({"a": 1}), json!(["a", ["b"]]), json!(["a", {"b": 1}]), json!(["a", null])]
        {
            assert_eq!(text(claim.clone()), "", "{claim}");
        }
        assert_eq!(text(json!("x".repeat(1024))).len(), 1024);
        assert_eq!(text(json!("x".repeat(1025))), "");
        assert_eq!(text(json!("é".repeat(171))), "", "it is longer when it is encoded");
        assert_eq!(text(json!(vec!["x"; 5000])), "");
    }
}
