//! What the configuration says of authorities, and how calls to them are bounded.

mod address;
mod given;
mod region;

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

pub use self::address::{Address, AuthorityKind, is_loopback};
pub use self::given::GivenMetadata;
pub use self::region::{RegionName, RegionSource, RegionWish};
use crate::reload::Source;

/// One app's authority.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration key of the app (`apps.orders`).
    pub key: String,
    /// The file that the key stands in.
    pub file: Option<String>,
    /// Which kind of authority, and where.
    pub address: Address,
    /// Trusted for this authority beside the system's roots.
    pub ca_file: Option<PathBuf>,
    /// Overrides the `aud` of client assertions at OIDC issuers.
    pub assertion_audience: AssertionAudience,
    /// The region whose endpoint apps' own tokens are asked for at.
    pub region: Option<RegionWish>,
    /// What its metadata document would say (RFC 8414), where none can be had.
    pub metadata: Option<GivenMetadata>,
}

/// What a client assertion at an OIDC issuer names as its audience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AssertionAudience {
    /// The issuer, as one string: what current servers ask for.
    #[default]
    Issuer,
    /// The token endpoint: what RFC 7523 suggested, for old servers.
    TokenEndpoint,
}

/// Where the keys of an issuer are that is no app's authority.
#[derive(Clone, Debug)]
pub enum KeyPlace {
    /// Where its metadata document says.
    Discovered,
    /// At this URL.
    Url(Url),
    /// In a file: nothing is asked of anybody.
    File(Source),
}

/// How calls to authorities are bounded (`authority:` in the configuration).
#[derive(Clone, Debug)]
pub struct CallSettings {
    /// For a connection with its TLS handshake.
    pub connect_timeout: Duration,
    /// For one call with its retries.
    pub timeout: Duration,
    /// Calls at one authority at a time; further ones wait their turn.
    pub concurrency: usize,
    /// Before the one retry of a call that ended in a 5xx.
    pub retry_delay: Duration,
}

// === impl CallSettings ===

impl CallSettings {
    /// Before a repetition: never so long that no time is left for it.
    pub fn pause(&self) -> Duration {
        self.retry_delay.min(self.timeout / 4)
    }

    /// What an attempt has of the time-out, so that one that hangs leaves time for its repetition (ERR-2).
    pub fn half(&self) -> Duration {
        self.timeout.saturating_sub(self.pause()) / 2
    }
}

impl Default for CallSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(8),
            concurrency: 64,
            retry_delay: Duration::from_secs(1),
        }
    }
}
