//! What an authority's metadata document would say, where it is said by hand: in closed networks, and of servers that publish none.

use crate::oauth::{ClientEndpoints, Metadata};

/// The members of RFC 8414 §2 that tokend reads, and AD FS's `access_token_issuer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenMetadata {
    /// The issuer of its tokens.
    pub issuer: Option<String>,
    /// AD FS: the issuer of its access tokens.
    pub access_token_issuer: Option<String>,
    /// RFC 6749 §3.1.
    pub authorization_endpoint: Option<String>,
    /// RFC 6749 §3.2.
    pub token_endpoint: Option<String>,
    /// RFC 7517.
    pub jwks_uri: Option<String>,
    /// RFC 8628 §4.
    pub device_authorization_endpoint: Option<String>,
    /// RP-Initiated Logout 1.0 §2.1.
    pub end_session_endpoint: Option<String>,
    /// OpenID Connect Core §5.3.
    pub userinfo_endpoint: Option<String>,
    /// RFC 9126 §5.
    pub pushed_authorization_request_endpoint: Option<String>,
    /// RFC 9126 §5.
    pub require_pushed_authorization_requests: bool,
    /// How clients may prove themselves.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// What client assertions may be signed with.
    pub token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
}

// === impl GivenMetadata ===

impl GivenMetadata {
    /// As a document says it.
    pub(in crate::authority) fn document(&self) -> Metadata {
        let given = self.clone();
        let endpoints = ClientEndpoints {
            token_endpoint: given.token_endpoint,
            device_authorization_endpoint: given.device_authorization_endpoint,
        };
        Metadata {
            issuer: given.issuer,
            access_token_issuer: given.access_token_issuer,
            authorization_endpoint: given.authorization_endpoint,
            mtls_endpoints: endpoints.clone(),
            client_endpoints: endpoints,
            jwks_uri: given.jwks_uri,
            end_session_endpoint: given.end_session_endpoint,
            userinfo_endpoint: given.userinfo_endpoint,
            pushed_authorization_request_endpoint: given.pushed_authorization_request_endpoint,
            require_pushed_authorization_requests: given.require_pushed_authorization_requests,
            token_endpoint_auth_methods_supported: given.token_endpoint_auth_methods_supported,
            token_endpoint_auth_signing_alg_values_supported: given.token_endpoint_auth_signing_alg_values_supported,
        }
    }
}
