//! Which credential an app has, as the configuration says.

use crate::reload::Source;

/// One app's credential.
#[derive(Clone, Debug)]
pub enum Settings {
    /// `credential.secret`.
    Secret {
        /// Where it is.
        source: Source,
        /// Where it stands in a request; `None`: as the server announces.
        method: Option<SecretMethod>,
    },
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
    /// `credential.public`: there is none (RFC 6749 §2.1).
    Public,
}

/// Where a client secret stands in a request, as the app is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretMethod {
    /// `client_secret_basic`: in the header `Authorization`.
    Basic,
    /// `client_secret_post`: in the form.
    Post,
}

// === impl Settings ===

impl Settings {
    /// Where its text comes from; a public client has none.
    pub fn source(&self) -> Option<&Source> {
        match self {
            Self::Secret { source, .. } | Self::Certificate { source, .. } | Self::FederatedToken(source) => Some(source),
            Self::Public => None,
        }
    }
}
