//! What a realm publishes about itself.

use serde_json::{Value, json};

use super::{
    grants::EXCHANGE,
    realm::{COMMON, issuer},
};
use crate::{registration::Realm, world::World};

pub(crate) fn configuration(world: &World, realm: &Realm) -> Value {
    let issuer = issuer(world, realm);
    let scopes: Vec<&str> = COMMON.into_iter().chain(realm.scopes.iter().map(String::as_str)).collect();
    let mut body = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token", EXCHANGE],
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
    body
}
