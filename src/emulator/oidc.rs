//! A generic OpenID Connect issuer, `/oidc/{realm}`: what any standard server does, and nothing of Entra's.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    answer::Answer,
    authorize,
    call::{Call, Endpoint},
    fault::{Fault, Outcome},
    oidc_auth, oidc_grants,
    registration::Realm,
    world::World,
};

/// Scopes that every realm knows.
const COMMON: [&str; 4] = ["openid", "profile", "email", "offline_access"];

pub(super) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

pub(super) fn serve(world: &World, call: &Call, name: &str) -> Answer {
    let Some(realm) = world.directory.realm(name) else { return Answer::not_found() };
    match (call.endpoint, &call.method) {
        (Endpoint::Discovery, &Method::GET) => Answer::ok(configuration(world, realm)),
        (Endpoint::Keys, &Method::GET) => Answer::ok(world.keys().jwks(None, None)),
        (Endpoint::Authorize, &Method::GET | &Method::POST) => authorize::realm(world, call, realm),
        (Endpoint::Token, &Method::POST) => match token(world, call, realm) {
            Ok(body) => Answer::ok(body).no_store(),
            Err(fault) => fault.answer(world, call, false).no_store(),
        },
        (Endpoint::Other, _) => Answer::not_found(),
        _ => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
    }
}

pub(super) fn issuer(world: &World, realm: &Realm) -> String {
    format!("{}/oidc/{}", world.origin, realm.name)
}

fn configuration(world: &World, realm: &Realm) -> Value {
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

fn token(world: &World, call: &Call, realm: &Realm) -> Outcome<Value> {
    if let Some(name) = call.repeated() {
        return Err(Fault::plain("invalid_request", format!("The parameter {name} came more than once.")));
    }
    let client = oidc_auth::prove(world, call, realm)?;
    let ask = oidc_grants::Ask { world, call, realm, client };
    match needed(call, "grant_type")? {
        "client_credentials" => ask.client_credentials(),
        "authorization_code" => ask.authorization_code(),
        "refresh_token" => ask.refresh_token(),
        EXCHANGE => ask.token_exchange(),
        other => Err(Fault::plain("unsupported_grant_type", format!("The grant {other} is not supported."))),
    }
}

pub(super) fn needed<'a>(call: &'a Call, name: &str) -> Outcome<&'a str> {
    call.param(name).ok_or_else(|| Fault::plain("invalid_request", format!("The parameter {name} is missing.")))
}

/// Scopes are compared letter by letter here (RFC 6749 §3.3).
pub(super) fn check_scopes(realm: &Realm, scope: &str) -> Outcome<()> {
    let known = |one: &str| COMMON.contains(&one) || realm.scopes.iter().any(|scope| scope == one);
    match scope.split_whitespace().find(|one| !known(one)) {
        Some(unknown) => Err(Fault::plain("invalid_scope", format!("The scope {unknown} is not known."))),
        None => Ok(()),
    }
}
