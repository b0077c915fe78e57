//! The Entra-like authority (and AD FS, which speaks almost the same): routes, and its token endpoint.

use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    answer::Answer,
    authorize,
    call::{Call, Endpoint, Place},
    client_auth, device, entra_grants,
    fault::{Fault, Outcome},
    grants::Person,
    metadata, obo,
    registration::{App, Tenant, User},
    tokens::Proof,
    world::World,
};

/// Whose token endpoint this is.
#[derive(Clone, Copy)]
pub(super) enum Home<'a> {
    Tenant(&'a Tenant),
    /// `common`, `organizations` or `consumers`: the user says which tenant.
    Many,
    Adfs,
}

/// A token request whose client is known.
pub(super) struct Ask<'a> {
    pub(super) world: &'a World,
    pub(super) call: &'a Call,
    pub(super) home: Home<'a>,
    pub(super) client: &'a App,
    pub(super) proof: Proof,
    /// Claims of the access token that `claims` asks for.
    pub(super) requested: Map<String, Value>,
}

pub(super) fn serve(world: &World, call: &Call) -> Answer {
    match (call.endpoint, &call.method) {
        (Endpoint::Discovery, &Method::GET) => answered(world, call, metadata::configuration(world, call)),
        (Endpoint::Keys, &Method::GET) => answered(world, call, metadata::keys(world, call)),
        (Endpoint::Instance, &Method::GET) => answered(world, call, metadata::instance(world, call)),
        (Endpoint::UserRealm, &Method::GET) => Answer::ok(metadata::user_realm(world, call)),
        (Endpoint::Token, &Method::POST) => answered(world, call, token(world, call)).no_store(),
        (Endpoint::DeviceCode, &Method::POST) => answered(world, call, device::start(world, call)).no_store(),
        (Endpoint::Authorize, &Method::GET | &Method::POST) => authorize::entra(world, call),
        (Endpoint::DeviceApprove, &Method::GET | &Method::POST) => device::page(world, call),
        (Endpoint::Other, _) => Answer::not_found(),
        _ => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
    }
}

fn answered(world: &World, call: &Call, outcome: Outcome<Value>) -> Answer {
    match outcome {
        Ok(body) => Answer::ok(body),
        Err(fault) => fault.answer(world, call, true),
    }
}

fn token(world: &World, call: &Call) -> Outcome<Value> {
    if let Some(name) = call.repeated() {
        return Err(Fault::says(
            9_000_411,
            format!("The request is not properly formatted. The parameter '{name}' is duplicated."),
        ));
    }
    let home = home(world, call)?;
    let grant = needed(call, "grant_type")?;
    let client = client(world, call, home)?;
    let proof = client_auth::prove(world, call, client)?;
    let requested = requested(call)?;
    let ask = Ask { world, call, home, client, proof, requested };
    match grant {
        "client_credentials" => entra_grants::client_credentials(&ask),
        "authorization_code" => entra_grants::authorization_code(&ask),
        "refresh_token" => entra_grants::refresh_token(&ask),
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => obo::redeem(&ask),
        "device_code" | "urn:ietf:params:oauth:grant-type:device_code" => device::poll(&ask),
        "password" => entra_grants::password(&ask),
        other => Err(Fault::says(70003, format!("The app requested an unsupported grant type '{other}'."))),
    }
}

/// The tenant that the path names.
pub(super) fn home<'a>(world: &'a World, call: &Call) -> Outcome<Home<'a>> {
    match &call.place {
        Place::Entra(segment) if ["common", "organizations", "consumers"].contains(&segment.as_str()) => Ok(Home::Many),
        Place::Entra(segment) => match world.directory.tenant(segment) {
            Some(tenant) => Ok(Home::Tenant(tenant)),
            None => Err(Fault::says(
                90002,
                format!(
                    "Tenant '{segment}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
                ),
            )),
        },
        _ => Ok(Home::Adfs),
    }
}

/// A parameter that must be there.
pub(super) fn needed<'a>(call: &'a Call, name: &str) -> Outcome<&'a str> {
    call.param(name)
        .ok_or_else(|| Fault::says(900_144, format!("The request body must contain the following parameter: '{name}'.")))
}

/// The registration that `client_id` names, if it may be used here.
pub(super) fn client<'a>(world: &'a World, call: &Call, home: Home<'a>) -> Outcome<&'a App> {
    known_client(world, needed(call, "client_id")?, home)
}

pub(super) fn known_client<'a>(world: &'a World, client_id: &str, home: Home<'a>) -> Outcome<&'a App> {
    let (place, client) = match home {
        Home::Tenant(tenant) => (tenant.name.as_str(), world.directory.app(client_id).filter(|app| app.is_in(&tenant.id))),
        Home::Many => ("common", world.directory.app(client_id)),
        Home::Adfs => ("adfs", world.directory.app(client_id)),
    };
    let client = client.ok_or_else(|| {
        Fault::says(700_016, format!("Application with identifier '{client_id}' was not found in the directory '{place}'."))
    })?;
    if matches!(home, Home::Many) && !client.multi_tenant {
        return Err(Fault::says(
            50194,
            format!(
                "Application '{client_id}'({}) is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such apps.",
                client.name
            ),
        ));
    }
    Ok(client)
}

/// What `claims` asks for of the access token: client capabilities and authentication contexts.
fn requested(call: &Call) -> Outcome<Map<String, Value>> {
    let mut claims = Map::new();
    let Some(text) = call.param("claims") else { return Ok(claims) };
    let value: Value = serde_json::from_str(text).map_err(|_| Fault::aadsts(9_000_410))?;
    if !value.is_object() {
        return Err(Fault::aadsts(9_000_410));
    }
    let wanted = |name: &str| {
        let request = value.get("access_token")?.get(name)?;
        request.get("values").cloned().or_else(|| Some(json!([request.get("value")?])))
    };
    for name in ["xms_cc", "acrs"] {
        if let Some(values) = wanted(name) {
            claims.insert(name.to_owned(), values);
        }
    }
    Ok(claims)
}

/// A user that signs in here: of this tenant, or of any at `common`.
pub(super) fn user_at<'a>(world: &'a World, home: Home<'_>, name: &str) -> Option<&'a User> {
    let user = world.directory.user(name)?;
    match home {
        Home::Tenant(tenant) => (user.tenant == tenant.id).then_some(user),
        Home::Many | Home::Adfs => Some(user),
    }
}

pub(super) fn person(user: &User) -> Person {
    Person {
        id: user.object_id.clone(),
        username: user.username.clone(),
        name: user.name.clone(),
        email: user.username.clone(),
        tenant: user.tenant.clone(),
        mfa: user.mfa.clone(),
        strong: false,
    }
}
