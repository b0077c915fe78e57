//! What clients need to know of this server (RFC 8414).

use serde::Serialize;
use utoipa::ToSchema;

use crate::oauth::{GRANT_DEVICE_CODE, GRANT_JWT_BEARER, GRANT_REFRESH_TOKEN, GRANT_TOKEN_EXCHANGE};

/// What clients need to know of this server (RFC 8414 §2).
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ServerMetadata {
    /// `public_url` and the app.
    issuer: String,
    token_endpoint: String,
    revocation_endpoint: String,
    introspection_endpoint: String,
    /// RFC 8628 §4.
    device_authorization_endpoint: String,
    /// None: users sign in at the authority.
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 5],
    token_endpoint_auth_methods_supported: [&'static str; 3],
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 10],
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
}

// === impl ServerMetadata ===

impl ServerMetadata {
    /// Of one app, at this public URL, which ends in no slash.
    pub(in crate::http) fn of(public_url: &str, app: &str) -> Self {
        const SECRETS: [&str; 2] = ["client_secret_basic", "client_secret_post"];
        let at = |path: &str| format!("{public_url}{path}");
        Self {
            issuer: at(&format!("/{app}")),
            token_endpoint: at("/oauth2/token"),
            revocation_endpoint: at("/oauth2/revoke"),
            introspection_endpoint: at("/introspect"),
            device_authorization_endpoint: at("/oauth2/device_authorization"),
            response_types_supported: [],
            grant_types_supported: [
                "client_credentials",
                GRANT_REFRESH_TOKEN,
                GRANT_JWT_BEARER,
                GRANT_TOKEN_EXCHANGE,
                GRANT_DEVICE_CODE,
            ],
            token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "private_key_jwt"],
            token_endpoint_auth_signing_alg_values_supported: [
                "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
            ],
            revocation_endpoint_auth_methods_supported: SECRETS,
            introspection_endpoint_auth_methods_supported: SECRETS,
        }
    }
}
