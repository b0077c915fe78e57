//! Answers that are no OAuth answer: a redirect, a firewall's page, nothing at all. Who gave them and what they look like is told,
//! of what they say nothing.

use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, StatusCode};
use url::Url;

use super::answer::AuthorityError;
use super::strange::{StrangeAnswer, host_of};
use crate::oauth::ErrorBody;
use crate::secret::redact;
use crate::transport::{Reply, TransportError};

/// The most of a content type or a host that is told, in bytes.
const LONGEST: usize = 128;

/// What of a reply is told if it turns out to be none.
#[derive(Debug)]
pub(super) struct ReplyLook {
    status: StatusCode,
    content_type: Option<String>,
    location: Option<String>,
    is_blank: bool,
}

// === impl ReplyLook ===

impl ReplyLook {
    /// A look at a reply from `url`, before it is read; `None`: there is no reply.
    pub(super) fn at(reply: &Result<Reply, TransportError>, url: &Url) -> Option<Self> {
        let Reply { status, headers, body } = reply.as_ref().ok()?;
        Some(Self {
            status: *status,
            content_type: content_type(headers),
            location: location(headers, url),
            is_blank: body.trim_ascii().is_empty(),
        })
    }

    /// Says of an answer that cannot be used what it was: an answer to `purpose` from `url`. `secrets` are the request's, which
    /// must not come back.
    pub(super) fn named(&self, failure: AuthorityError, (url, purpose): (&Url, &str), secrets: &[&str]) -> AuthorityError {
        let AuthorityError::Invalid(why) = failure else { return failure };
        let clean = |text: &str| redact(text, LONGEST, secrets).into_boxed_str();
        AuthorityError::Strange(Box::new(StrangeAnswer {
            why,
            status: self.status.as_u16(),
            content_type: self.content_type.as_deref().map(clean),
            host: host_of(url).unwrap_or_default().into(),
            // Grants of extensions are URNs: their last part says which.
            purpose: purpose.rsplit(':').next().unwrap_or_default().into(),
            location: self.location.as_deref().map(clean),
        }))
    }

    /// What a token endpoint means that says 401 and nothing else: it knows the client by nothing that was sent (RFC 6749 §5.2).
    pub(super) fn refused(&self, failure: AuthorityError) -> AuthorityError {
        match failure {
            AuthorityError::Strange(_) if self.status == StatusCode::UNAUTHORIZED && self.is_blank => {
                let body = ErrorBody { error: "invalid_client".to_owned(), ..ErrorBody::default() };
                AuthorityError::Refused { status: self.status.as_u16(), body: Box::new(body), retry_after: None }
            }
            failure => failure,
        }
    }
}

/// Type and subtype, without parameters.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/+-.*".contains(&byte);
    (!text.is_empty() && text.bytes().all(plain)).then(|| text.to_ascii_lowercase())
}

/// The host that a redirect leads to: the rest of its URL is the answerer's, and may hold what was sent.
fn location(headers: &HeaderMap, url: &Url) -> Option<String> {
    host_of(&url.join(headers.get(LOCATION)?.to_str().ok()?).ok()?)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
    use url::Url;

    use super::{AuthorityError, ReplyLook};
    use crate::transport::Reply;

    fn named(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> AuthorityError {
        let url = Url::parse("https://login.example:8443/t/token").unwrap();
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        let headers: HeaderMap = headers.iter().map(header).collect();
        let reply = Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::from_static(body.as_bytes()) };
        let look = ReplyLook::at(&Ok(reply), &url).unwrap();
        let purpose = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        look.refused(look.named(AuthorityError::Invalid("it is none"), (&url, purpose), &["s3cr3t-canary"]))
    }

    #[test]
    fn status_content_type_host_and_purpose_are_told_and_nothing_else() {
        for (status, headers, expected) in [
            (204, &[][..], "it is none (status 204, no content type, from login.example:8443 to jwt-bearer)"),
            (
                200,
                &[("content-type", "Text/HTML; charset=canary")],
                "it is none (status 200, text/html, from login.example:8443 to jwt-bearer)",
            ),
            (403, &[("content-type", "é")], "it is none (status 403, no content type, from login.example:8443 to jwt-bearer)"),
            (
                302,
                &[("location", "https://u:canary@sso.example/canary?code=canary")],
                "it is none (status 302, no content type, from login.example:8443 to jwt-bearer, with a redirect to sso.example)",
            ),
            (
                302,
                &[("location", "/elsewhere"), ("content-type", "text/s3cr3t-canary")],
                "it is none (status 302, text/[redacted], from login.example:8443 to jwt-bearer, with a redirect to \
                 login.example:8443)",
            ),
        ] {
            let AuthorityError::Strange(strange) = named(status, headers, "<html>canary") else { panic!("{status}") };
            assert_eq!(strange.to_string(), expected);
        }
    }

    #[test]
    fn what_has_to_be_mended_first_is_final_and_has_its_remedy() {
        for (status, is_final, word) in [
            (301, true, "redirects"),
            (308, true, "redirects"),
            (404, true, "no such endpoint"),
            (407, true, "proxy"),
            (403, false, "firewall"),
            (401, false, "firewall"),
            (200, false, "sign-in page"),
            (204, false, "sign-in page"),
        ] {
            let AuthorityError::Strange(strange) = named(status, &[], "<html>") else { panic!("{status}") };
            assert_eq!((strange.is_final(), strange.remedy().contains(word)), (is_final, true), "{status}: {}", strange.remedy());
        }
    }

    #[test]
    fn an_empty_401_of_a_token_endpoint_is_a_refused_credential() {
        for blank in ["", " ", "\r\n"] {
            let AuthorityError::Refused { status: 401, body, .. } = named(401, &[], blank) else { panic!("{blank:?}") };
            assert_eq!(body.error, "invalid_client");
        }
        assert!(matches!(named(401, &[], "<html>"), AuthorityError::Strange(_)));
        assert!(matches!(named(403, &[], ""), AuthorityError::Strange(_)));
    }
}
