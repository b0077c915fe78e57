//! What a farm publishes about itself. Its access tokens have another issuer than its id tokens, and that one is http.

use serde_json::{Value, json};

use crate::call::Call;

/// The issuer of id tokens.
pub(crate) fn issuer(call: &Call) -> String {
    format!("{}/adfs", call.origin())
}

/// The issuer of access tokens.
pub(crate) fn trust(call: &Call) -> String {
    format!("http://{}/adfs/services/trust", call.host)
}

pub(crate) fn configuration(call: &Call) -> Value {
    let at = issuer(call);
    json!({
        "issuer": at,
        "access_token_issuer": trust(call),
        "authorization_endpoint": format!("{at}/oauth2/authorize/"),
        "token_endpoint": format!("{at}/oauth2/token/"),
        "device_authorization_endpoint": format!("{at}/oauth2/devicecode"),
        "end_session_endpoint": format!("{at}/oauth2/logout"),
        "jwks_uri": format!("{at}/discovery/keys"),
        "token_endpoint_auth_methods_supported":
            ["client_secret_post", "client_secret_basic", "private_key_jwt", "windows_client_authentication"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials",
            "urn:ietf:params:oauth:grant-type:jwt-bearer", "implicit", "password",
            "srv_challenge", "urn:ietf:params:oauth:grant-type:device_code", "device_code"],
        "subject_types_supported": ["pairwise"],
        "scopes_supported": ["openid", "profile", "email", "allatclaims", "user_impersonation", "aza"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["aud", "iss", "iat", "exp", "auth_time", "nonce", "at_hash", "c_hash", "sub", "upn", "unique_name"],
        "microsoft_multi_refresh_token": true,
        "capabilities": ["winhello_cert"],
    })
}
