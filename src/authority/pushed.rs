//! Authorization requests that are pushed to the authority before the browser goes there (RFC 9126).

use std::sync::Arc;

use serde::Deserialize;
use url::Url;

use super::answer::AuthorityError;
use super::server::{Authority, TokenVersion};
use crate::telemetry::Context;

/// The longest name of a pushed request, in bytes: it stands in a URL.
const LONGEST: usize = 2048;

/// A request that was pushed: what names it in the browser's URL.
#[derive(Debug)]
pub struct PushedRequest {
    /// RFC 9126 §2.2 `request_uri`.
    pub request_uri: String,
}

#[derive(Deserialize)]
struct PushedAnswer {
    #[serde(default)]
    request_uri: String,
}

// === impl PushedRequest ===

impl PushedRequest {
    /// Reads an answer.
    ///
    /// # Errors
    /// It names no request.
    pub fn read(body: &[u8]) -> Result<Self, AuthorityError> {
        let invalid = AuthorityError::Invalid;
        let answer: PushedAnswer = serde_json::from_slice(body).map_err(|_| invalid("the answer is no JSON object"))?;
        let request_uri = answer.request_uri;
        if request_uri.is_empty() || request_uri.len() > LONGEST || !request_uri.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid("the answer has no request_uri that could stand in a URL"));
        }
        Ok(Self { request_uri })
    }
}

// === impl Authority ===

impl Authority {
    /// Whether its metadata takes no authorization requests but those that are pushed.
    ///
    /// # Errors
    /// The metadata document cannot be had.
    pub async fn wants_pushed_requests(self: &Arc<Self>, context: Context) -> Result<bool, AuthorityError> {
        if !self.profile().pushed_requests {
            return Ok(false);
        }
        let document = self.document(TokenVersion::Current, context).await?;
        Ok(document.metadata.require_pushed_authorization_requests)
    }

    /// Where authorization requests are pushed to; `None`: the authority names no such place.
    ///
    /// # Errors
    /// The metadata document cannot be had, or what it names is no URL that may be called.
    pub async fn pushed_request_endpoint(self: &Arc<Self>, context: Context) -> Result<Option<Url>, AuthorityError> {
        let document = self.document(TokenVersion::Current, context).await?;
        let Some(named) = document.metadata.pushed_authorization_request_endpoint.as_deref() else { return Ok(None) };
        self.named(Some(named), "the metadata document has no usable `pushed_authorization_request_endpoint`").map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::PushedRequest;

    #[test]
    fn a_pushed_request_has_a_name_for_a_url() {
        let read = |body: &str| PushedRequest::read(body.as_bytes()).map(|pushed| pushed.request_uri).ok();
        assert_eq!(read(r#"{"request_uri":"urn:x:1","expires_in":60}"#).as_deref(), Some("urn:x:1"));
        let long = format!(r#"{{"request_uri":"{}"}}"#, "x".repeat(2049));
        for bad in ["", "[]", "{}", r#"{"request_uri":""}"#, r#"{"request_uri":"a b"}"#, r#"{"request_uri":7}"#, &long] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
