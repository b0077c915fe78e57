//! An answer that is no OAuth answer, as it is told: who gave it, what it looks like, and what to do about it.

use std::fmt;

use url::{Host, Url};

/// An answer that cannot be used: why, what it looks like, where it came from and what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrangeAnswer {
    pub(super) why: &'static str,
    pub(super) status: u16,
    pub(super) content_type: Option<Box<str>>,
    pub(super) host: Box<str>,
    pub(super) purpose: Box<str>,
    pub(super) location: Option<Box<str>>,
}

/// A URL's host, with its port if that is not the usual one.
pub(super) fn host_of(url: &Url) -> Option<String> {
    let host: Host<&str> = url.host()?;
    Some(url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}")))
}

// === impl StrangeAnswer ===

impl StrangeAnswer {
    /// Whether asking again brings nothing else: an address or a proxy has to be mended first.
    pub fn is_final(&self) -> bool {
        matches!(self.status, 300..=399 | 404 | 405 | 407 | 410)
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self.status {
            300..=399 => "redirects are not followed: name in `authority` or `issuer` where they lead, if that is the authority",
            404 | 405 | 410 => "there is no such endpoint: check `authority` or `issuer`",
            407 => "a proxy wants a user and a password: write them into `outbound.proxy` or HTTPS_PROXY",
            401 | 403 => "something refuses in front of the authority, such as a firewall: have this machine allowed there",
            200..=299 if self.content_type.as_deref().is_some_and(|kind| kind.ends_with("json")) => {
                "check `authority` or `issuer`, and what the authority has to say"
            }
            _ => "something else answers, such as a firewall, a proxy or a sign-in page: check `authority` or `issuer`",
        }
    }
}

impl fmt::Display for StrangeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { why, status, content_type, host, purpose, location } = self;
        write!(f, "{why} (status {status}, {}, from {host} to {purpose}", content_type.as_deref().unwrap_or("no content type"))?;
        if let Some(location) = location {
            write!(f, ", with a redirect to {location}")?;
        }
        f.write_str(")")
    }
}
