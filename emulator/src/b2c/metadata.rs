//! What a policy publishes about itself.

use serde_json::{Value, json};

use super::registration::{PolicyTenant, UserFlow};
use crate::call::{Call, Place};

/// The issuer of a policy's tokens, with a slash at its end: one of the tenant's, or one that names the policy.
pub(crate) fn issuer(call: &Call, tenant: &PolicyTenant, policy: &UserFlow) -> String {
    let origin = call.origin();
    if policy.issuer_names_policy {
        format!("{origin}/tfp/{}/{}/v2.0/", tenant.id, policy.name.to_ascii_lowercase())
    } else {
        format!("{origin}/{}/v2.0/", tenant.id)
    }
}

pub(crate) fn configuration(call: &Call, tenant: &PolicyTenant, policy: &UserFlow) -> Value {
    let (origin, name) = (call.origin(), policy.name.to_ascii_lowercase());
    // As it was asked: with the word or without.
    let base = match &call.place {
        Place::Policy { tenant, tfp: true, .. } => format!("{origin}/tfp/{tenant}/{name}"),
        Place::Policy { tenant, .. } => format!("{origin}/{tenant}/{name}"),
        _ => format!("{origin}/{}/{name}", tenant.id),
    };
    json!({
        "issuer": issuer(call, tenant, policy),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "response_types_supported": ["code", "code id_token", "code token", "code id_token token", "id_token", "token"],
        "scopes_supported": ["openid"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "claims_supported": ["name", "emails", "sub", "tfp", "iss", "iat", "exp", "aud", "acr", "nonce", "auth_time"],
    })
}
