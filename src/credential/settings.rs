//! Which credential an app has, as the configuration says.

use crate::reload::Source;

/// One app's credential.
#[derive(Clone, Debug)]
pub enum Settings {
    /// `credential.secret`.
    Secret(Source),
    /// `credential.certificate`: PEM with the private key and the chain.
    Certificate {
        /// Where the PEM text is.
        source: Source,
        /// RS256 + `x5t` instead of PS256 + `x5t#S256` at Entra-style authorities.
        sha1: bool,
        /// `kid` of the assertion's header, where the server knows the key by a name.
        kid: Option<String>,
    },
    /// `credential.federated_token`: a token of another issuer that trusts the workload (RFC 7523 §2.2).
    FederatedToken(Source),
}

// === impl Settings ===

impl Settings {
    /// Where its text comes from.
    pub fn source(&self) -> &Source {
        match self {
            Self::Secret(source) | Self::Certificate { source, .. } | Self::FederatedToken(source) => source,
        }
    }
}
