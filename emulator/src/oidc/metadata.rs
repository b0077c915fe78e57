//! What a realm publishes about itself.

use serde_json::{Value, json};

use super::{
    exchange::EXCHANGE,
    grants::DEVICE,
    realm::{COMMON, issuer},
};
use crate::{
    call::{Endpoint, MTLS},
    registration::Realm,
    world::World,
};

/// What stands in the metadata only if the realm has it.
const ENDPOINTS: [(Endpoint, &str); 6] = [
    (Endpoint::UserInfo, "userinfo_endpoint"),
    (Endpoint::Revocation, "revocation_endpoint"),
    (Endpoint::Introspection, "introspection_endpoint"),
    (Endpoint::DeviceCode, "device_authorization_endpoint"),
    (Endpoint::EndSession, "end_session_endpoint"),
    (Endpoint::Pushed, "pushed_authorization_request_endpoint"),
];

pub(crate) fn configuration(world: &World, realm: &Realm) -> Value {
    let issuer = issuer(world, realm);
    let scopes: Vec<&str> = COMMON.into_iter().chain(realm.scopes.iter().map(String::as_str)).collect();
    let mut body = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "introspection_endpoint": format!("{issuer}/introspect"),
        "device_authorization_endpoint": format!("{issuer}/device"),
        "end_session_endpoint": format!("{issuer}/logout"),
        "pushed_authorization_request_endpoint": format!("{issuer}/par"),
        "require_pushed_authorization_requests": realm.require_pushed_authorization_requests,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token", "password", DEVICE, EXCHANGE],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": scopes,
        "code_challenge_methods_supported": ["plain", "S256"],
        "authorization_response_iss_parameter_supported": true,
        "token_endpoint_auth_methods_supported": realm.token_endpoint_auth_methods_supported,
    });
    if !realm.token_endpoint_auth_signing_alg_values_supported.is_empty() {
        body["token_endpoint_auth_signing_alg_values_supported"] = json!(realm.token_endpoint_auth_signing_alg_values_supported);
    }
    if realm.takes_client_certificates() {
        let alias = |name: &str| format!("{issuer}/{MTLS}/{name}");
        body["mtls_endpoint_aliases"] = json!({
            "token_endpoint": alias("token"),
            "device_authorization_endpoint": alias("device"),
            "revocation_endpoint": alias("revoke"),
            "introspection_endpoint": alias("introspect"),
            "userinfo_endpoint": alias("userinfo"),
        });
        body["tls_client_certificate_bound_access_tokens"] = json!(true);
    }
    for (endpoint, name) in ENDPOINTS {
        if let Some(body) = body.as_object_mut().filter(|_| realm.without.contains(&endpoint)) {
            body.remove(name);
        }
    }
    body
}
