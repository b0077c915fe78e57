//! What an authority's answer means: pure functions from a reply to a document, a token or a failure (RSP-6).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::strange::StrangeAnswer;
use super::throttle::retry_after;
use crate::oauth::{ErrorBody, TokenResponse};
use crate::secret::redact;
use crate::transport::{Cause, Reply, TransportError, causes};

/// The most of an authority's text that is passed on, in bytes.
const TEXT_LIMIT: usize = 2048;

/// The most of its numbers: what it says is remembered, and must not be of any size.
const CODES_LIMIT: usize = 16;

/// Why there is no token, no key and no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// An OAuth error.
    #[error("the authority refused, with status {status}")]
    Refused {
        /// The status: 401 says that the client did not prove itself, 400 that the request is wrong (RFC 6749 §5.2).
        status: u16,
        /// What it said, cut and cleared of the request's secrets.
        body: Box<ErrorBody>,
        /// A pause that it asked for.
        retry_after: Option<Duration>,
    },
    /// 429.
    #[error("the authority asks for fewer requests")]
    Throttled {
        /// What it said, if it was JSON.
        body: Option<Box<ErrorBody>>,
        /// The pause that it asked for.
        retry_after: Option<Duration>,
    },
    /// 5xx.
    #[error("the authority cannot serve, with status {status}")]
    Unavailable {
        /// The status.
        status: u16,
        /// What it said, if it was JSON.
        body: Option<Box<ErrorBody>>,
        /// The pause that it asked for.
        retry_after: Option<Duration>,
    },
    /// No connection was made: nothing was sent.
    #[error("no connection was made")]
    NotSent(#[source] Cause),
    /// The connection broke before the answer was complete.
    #[error("the connection broke")]
    Broken(#[source] Cause),
    /// No turn came in time: nothing was sent.
    #[error("no turn came in time")]
    Busy,
    /// No answer in time.
    #[error("no answer came in time")]
    TimedOut,
    /// An answer that is none.
    #[error("the answer cannot be used: {0}")]
    Invalid(&'static str),
    /// A metadata document of another issuer than the one that is configured (AUT-6).
    #[error(
        "the metadata document says that it is the issuer `{said}`, and `issuer` in the configuration is `{configured}`: find out \
         which is right, and write it letter by letter as the document does"
    )]
    OtherIssuer {
        /// As the document says.
        said: Box<str>,
        /// As the configuration says.
        configured: Box<str>,
    },
    /// A token that only the app itself could use: it is bound to the certificate of its connection (RFC 8705 §3).
    #[error("the access token is bound to the app's certificate (`cnf`)")]
    Bound,
    /// An answer that is none, with what it looks like.
    #[error("the answer cannot be used: {0}")]
    Strange(Box<StrangeAnswer>),
}

// === impl AuthorityError ===

impl AuthorityError {
    /// Whether the same call may succeed at once: 5xx without a pause, a broken connection, a time-out (ERR-1, ERR-2).
    pub fn is_worth_repeating(&self) -> bool {
        matches!(self, Self::Unavailable { retry_after: None, .. } | Self::NotSent(_) | Self::Broken(_) | Self::TimedOut)
    }

    /// The pause that the authority asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::Throttled { retry_after, .. } | Self::Unavailable { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// This failure told later: what is left of its pause.
    #[must_use]
    pub(super) fn told_after(mut self, waited: Duration) -> Self {
        if let Self::Refused { retry_after: Some(pause), .. }
        | Self::Throttled { retry_after: Some(pause), .. }
        | Self::Unavailable { retry_after: Some(pause), .. } = &mut self
        {
            *pause = pause.saturating_sub(waited);
        }
        self
    }

    /// Why the authority said nothing that can be read, as the log may tell it: what it did say speaks for itself.
    pub fn causes(&self) -> Option<String> {
        match self {
            Self::Refused { .. } | Self::Throttled { .. } | Self::Unavailable { .. } => None,
            _ => Some(causes(self)),
        }
    }

    /// Why the network brought no answer, in one word, where that is known.
    pub(super) fn why(&self) -> Option<&'static str> {
        match self {
            Self::NotSent(cause) | Self::Broken(cause) => Some(cause.why().as_str()),
            _ => None,
        }
    }

    /// A fetch that ended without an outcome: it panicked, or shutdown dropped it.
    pub(super) fn broken_off() -> Self {
        Self::Broken(Cause::new("the call was broken off"))
    }

    /// Whether it says that the user of a device has not come to an end yet (RFC 8628 §3.5): the call did what it was made for.
    pub(super) fn is_pending(&self) -> bool {
        let (Self::Refused { body, .. } | Self::Throttled { body: Some(body), .. }) = self else { return false };
        matches!(body.error.as_str(), "authorization_pending" | "slow_down")
    }

    /// Whether the authority said something.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::NotSent(_) | Self::Broken(_) | Self::Busy | Self::TimedOut)
    }
}

impl From<TransportError> for AuthorityError {
    fn from(failure: TransportError) -> Self {
        match failure {
            TransportError::Connect(cause) => Self::NotSent(cause),
            TransportError::Broken(cause) => Self::Broken(cause),
            TransportError::TimedOut => Self::TimedOut,
            TransportError::TooLarge => Self::Invalid("the answer is larger than 1 MiB"),
        }
    }
}

/// Reads a metadata document or a key set.
pub(super) fn document<T: DeserializeOwned>(reply: Result<Reply, TransportError>, now: SystemTime) -> Result<T, AuthorityError> {
    let reply = reply?;
    let retry_after = pause(&reply.headers, now);
    match reply.status {
        status if status.is_success() => {
            serde_json::from_slice(text(&reply.body)).map_err(|_| AuthorityError::Invalid("the document is no JSON object"))
        }
        StatusCode::TOO_MANY_REQUESTS => Err(AuthorityError::Throttled { body: None, retry_after }),
        status if status.is_server_error() => Err(AuthorityError::Unavailable { status: status.as_u16(), body: None, retry_after }),
        _ => Err(AuthorityError::Invalid("the document is not there: check the address of the authority")),
    }
}

/// What an answer is that is no error.
///
/// # Errors
/// It is none.
pub type ReadAnswer<T> = fn(&[u8]) -> Result<T, AuthorityError>;

/// Reads an answer that may be an OAuth error (RFC 6749 §5.2). `secrets` are the request's, which must not come back in any text.
pub(super) fn answered<T>(
    reply: Result<Reply, TransportError>,
    secrets: &[&str],
    now: SystemTime,
    read: ReadAnswer<T>,
) -> Result<T, AuthorityError> {
    let Reply { status, headers, body } = reply?;
    let body = text(&body);
    let error = error_body(body, secrets);
    let retry_after = pause(&headers, now);
    match (status, error) {
        (StatusCode::TOO_MANY_REQUESTS, body) => Err(AuthorityError::Throttled { body, retry_after }),
        (status, body) if status.is_server_error() => {
            Err(AuthorityError::Unavailable { status: status.as_u16(), body, retry_after })
        }
        // Entra says this with 400 at times; whose turn it is does not depend on that.
        (status, Some(body)) if matches!(body.error.as_str(), "temporarily_unavailable" | "server_error") => {
            Err(AuthorityError::Unavailable { status: status.as_u16(), body: Some(body), retry_after })
        }
        // Also with 200: some servers report errors so.
        (status, Some(body)) => Err(AuthorityError::Refused { status: status.as_u16(), body, retry_after }),
        (status, None) if status.is_success() => read(body),
        _ => Err(AuthorityError::Invalid("the answer is no OAuth answer")),
    }
}

/// A token endpoint's.
///
/// # Errors
/// It is none.
pub fn token_answer(body: &[u8]) -> Result<TokenResponse, AuthorityError> {
    let response: TokenResponse =
        serde_json::from_slice(body).map_err(|_| AuthorityError::Invalid("the answer is no JSON object"))?;
    // Whether an id token alone is enough is for whoever knows what was asked.
    if response.access_token.is_none() && response.id_token.is_none() {
        return Err(AuthorityError::Invalid("the answer has no access_token"));
    }
    Ok(response)
}

/// A byte order mark is no part of the text.
fn text(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)
}

fn error_body(body: &[u8], secrets: &[&str]) -> Option<Box<ErrorBody>> {
    let body: ErrorBody = serde_json::from_slice(body).ok()?;
    let clean = |text: String| redact(&text, TEXT_LIMIT, secrets);
    Some(Box::new(ErrorBody {
        error: redact(&body.error, 128, secrets),
        error_description: body.error_description.map(clean),
        suberror: body.suberror.map(clean),
        error_codes: body.error_codes.iter().take(CODES_LIMIT).copied().collect(),
        classification: body.classification.map(clean),
        // A challenge that is cut is none: it is passed on whole or not at all.
        claims: body.claims.filter(|claims| claims.len() <= 4 * TEXT_LIMIT).map(|claims| redact(&claims, usize::MAX, secrets)),
        trace_id: body.trace_id.map(clean),
        correlation_id: body.correlation_id.map(clean),
    }))
}

fn pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    retry_after(headers.get(http::header::RETRY_AFTER)?.to_str().ok()?, now)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::{AuthorityError, answered, token_answer};
    use crate::transport::Reply;

    fn read(status: u16, body: &str, secrets: &[&str]) -> Result<(), AuthorityError> {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = Reply { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body.as_bytes()) };
        answered(Ok(reply), secrets, SystemTime::UNIX_EPOCH, token_answer).map(|_| ())
    }

    #[test]
    fn rsp_6_every_shape_of_answer() {
        assert!(read(200, r#"{"access_token":"t"}"#, &[]).is_ok());
        assert!(read(200, "\u{feff}{\"access_token\":\"t\"}", &[]).is_ok());
        for status in [201, 202, 203, 206, 299] {
            assert!(read(status, r#"{"access_token":"t"}"#, &[]).is_ok(), "{status}");
            assert!(matches!(read(status, "", &[]), Err(AuthorityError::Invalid(_))), "{status}");
        }
        for nothing in [r#""""#, r#"" ""#, "null", "[]", "{}", "false"] {
            let body = format!(r#"{{"error":{nothing},"access_token":"t"}}"#);
            assert!(read(200, &body, &[]).is_ok(), "{body}");
            assert!(matches!(read(400, &body, &[]), Err(AuthorityError::Invalid(_))), "{body}");
        }
        let twice = r#"{"error":"invalid_request","error":"invalid_grant","error_description":"a","error_description":"b"}"#;
        let refused = read(400, twice, &[]);
        assert!(matches!(&refused, Err(AuthorityError::Refused { body, .. }) if body.error == "invalid_grant"), "{refused:?}");
        assert!(matches!(read(200, "<html>", &[]), Err(AuthorityError::Invalid(_))));
        assert!(matches!(read(200, "{}", &[]), Err(AuthorityError::Invalid(_))));
        assert!(matches!(read(200, r#"{"error":"invalid_grant"}"#, &[]), Err(AuthorityError::Refused { .. })));
        assert!(matches!(read(400, "<html>", &[]), Err(AuthorityError::Invalid(_))));
        assert!(matches!(read(302, "", &[]), Err(AuthorityError::Invalid(_))));
        assert!(matches!(read(502, "<html>", &[]), Err(AuthorityError::Unavailable { status: 502, body: None, .. })));
        assert!(matches!(read(400, r#"{"error":"temporarily_unavailable"}"#, &[]), Err(AuthorityError::Unavailable { .. })));
        assert!(matches!(read(429, "slow down", &[]), Err(AuthorityError::Throttled { body: None, .. })));
    }

    #[test]
    fn req_14_the_requests_secrets_do_not_come_back() {
        let body = r#"{"error":"invalid_client","error_description":"bad s3cr3t+canary= and s3cr3t%2Bcanary%3D","claims":"s3cr3t+canary="}"#;
        let failure = read(401, body, &["s3cr3t+canary="]);
        assert!(!format!("{failure:?}").contains("s3cr3t"), "{failure:?}");
    }
}
