//! What Entra publishes about itself. URLs are absolute and keep the port.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::home::{Home, home};
use crate::{
    call::Call,
    fault::{Fault, Outcome},
    world::World,
};

/// The OpenID configuration of a tenant (either version), of or of `common` and the like.
pub(crate) fn configuration(world: &World, call: &Call) -> Outcome<Value> {
    let origin = &world.origin;
    let v2 = call.is_v2();
    let (base, issuer) = match home(world, call)? {
        Home::Tenant(tenant) => (tenant.id.clone(), tenant.id.as_str()),
        Home::Many => (call.tenant().unwrap_or("common").to_ascii_lowercase(), "{tenantid}"),
    };
    let at = format!("{origin}/{base}");
    let issuer = if v2 { format!("{origin}/{issuer}/v2.0") } else { format!("{origin}/{issuer}/") };
    let keys = if v2 { "discovery/v2.0/keys" } else { "discovery/keys" };
    let keys = match named_app(call) {
        Some(app) => format!("{keys}?appid={app}"),
        None => keys.to_owned(),
    };
    Ok(json!({
        "token_endpoint": format!("{at}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{at}/{keys}"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer,
        "authorization_endpoint": format!("{at}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{at}/oauth2/v2.0/devicecode"),
        "end_session_endpoint": format!("{at}/oauth2/v2.0/logout"),
        "request_uri_parameter_supported": false,
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "name", "tid", "ver", "oid"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": world.host,
    }))
}

/// The key set. Only the v2 form says whose issuer a key is for, and only there is the key of a single tenant.
pub(crate) fn keys(world: &World, call: &Call) -> Outcome<Value> {
    home(world, call)?;
    let is_v2 = call.is_v2();
    let shared = is_v2.then(|| format!("{}/{{tenantid}}/v2.0", world.origin));
    let first = world.directory.tenants.first().filter(|_| is_v2);
    let tenant = first.map(|tenant| format!("{}/{}/v2.0", world.origin, tenant.id));
    let mut set = world.keys().jwks(shared.as_deref(), tenant.as_deref());
    let mapped = named_app(call).and_then(|app| world.keys().mapped_jwk(&app, shared.as_deref()));
    if let (Some(keys), Some(mapped)) = (set["keys"].as_array_mut(), mapped) {
        keys.push(mapped);
    }
    Ok(set)
}

/// The app whose own keys are asked for too.
fn named_app(call: &Call) -> Option<String> {
    call.query_or_form().into_iter().find(|(name, _)| name == "appid").map(|(_, value)| value)
}

/// Which host names are one cloud. Only this host is a known one, with its port or, as some clients ask (msal4j), without.
pub(crate) fn instance(world: &World, call: &Call) -> Outcome<Value> {
    let query = call.query_or_form();
    let asked = query.iter().find(|(name, _)| name == "authorization_endpoint").map(|(_, value)| value.as_str());
    let asked =
        asked.ok_or_else(|| Fault::says(900_144, "The request must contain the following parameter: 'authorization_endpoint'."))?;
    let names: Vec<&str> =
        world.origins.iter().chain([&world.origin]).filter_map(|origin| origin.strip_prefix("https://")).collect();
    let bare: Vec<&str> = names.iter().map(|name| without_port(name)).collect();
    let mut parts = asked.strip_prefix("https://").unwrap_or_default().split('/');
    let host = parts.next().unwrap_or_default();
    if !names.iter().chain(&bare).any(|name| name.eq_ignore_ascii_case(host)) {
        return Err(Fault::says(50049, format!("Unknown or invalid instance: {asked}.")));
    }
    let tenant = parts.next().filter(|tenant| !tenant.is_empty()).unwrap_or("common");
    let mut aliases: Vec<&str> = names.into_iter().chain(bare).collect();
    let mut seen = HashSet::new();
    aliases.retain(|name| seen.insert(*name));
    Ok(json!({
        "tenant_discovery_endpoint": format!("{}/{tenant}/v2.0/.well-known/openid-configuration", world.origin),
        "api-version": "1.1",
        "metadata": [{
            "preferred_network": world.host,
            "preferred_cache": world.host,
            "aliases": aliases,
        }],
    }))
}

fn without_port(host: &str) -> &str {
    host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(name, _)| name)
}

/// Whether a user's domain signs in here or elsewhere. Nobody is federated in this world.
pub(crate) fn user_realm(world: &World, call: &Call) -> Value {
    let user = call.path.rsplit('/').next().unwrap_or_default();
    let user: String = url::form_urlencoded::parse(format!("u={}", user.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    let domain = user.rsplit('@').next().unwrap_or_default();
    match world.directory.tenant(domain) {
        Some(_) => json!({
            "ver": "1.0", "account_type": "Managed", "domain_name": domain, "cloud_instance_name": world.host,
            "cloud_audience_urn": "urn:federation:MicrosoftOnline",
        }),
        None => json!({"ver": "1.0", "account_type": "Unknown", "cloud_instance_name": world.host}),
    }
}
