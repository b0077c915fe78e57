//! A server's metadata document.

use serde::Deserialize;

/// OpenID Connect Discovery §3, as far as tokend reads it.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    /// The issuer of its tokens; Entra's multi-tenant documents say `{tenantid}` in it.
    pub issuer: String,
    /// RFC 6749 §3.1.
    #[serde(default)]
    pub authorization_endpoint: Option<String>,
    /// RFC 6749 §3.2.
    #[serde(default)]
    pub token_endpoint: Option<String>,
    /// RFC 7517.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// How clients may prove themselves; absent means `client_secret_basic`.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// What client assertions may be signed with.
    #[serde(default)]
    pub token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
}
