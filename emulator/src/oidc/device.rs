//! The device flow of a realm (RFC 8628): its start, the page where a user approves, and the poll.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    ask::{RealmAsk, needed},
    client,
    realm::{check_scopes, issuer, person},
};
use crate::{
    answer::Answer,
    call::Call,
    fault::{Fault, Outcome},
    issued::Decision,
    page,
    pairing::{self, DeviceProblem, LIFETIME},
    registration::Realm,
    world::World,
};

pub(crate) fn start(world: &World, call: &Call, realm: &Realm) -> Outcome<Value> {
    let client = client::identify(world, call, realm)?;
    let scope = call.param("scope").unwrap_or_default();
    check_scopes(realm, scope)?;
    let codes = pairing::begin(world, &client.client_id, Some(format!("oidc/{}", realm.name)), scope, Some(realm.device_interval));
    let uri = format!("{}/deviceapprove", issuer(world, realm));
    Ok(json!({
        "user_code": codes.user_code,
        "device_code": codes.device_code,
        "verification_uri": uri,
        "verification_uri_complete": format!("{uri}?user_code={}", codes.user_code),
        "expires_in": LIFETIME,
        "interval": realm.device_interval,
    }))
}

/// One question of the device.
pub(crate) fn poll(ask: &RealmAsk<'_>) -> Outcome<Value> {
    let code = needed(ask.call, "device_code")?;
    let session = pairing::redeem(ask.world, code, &ask.client.client_id).map_err(|problem| match problem {
        DeviceProblem::Unknown => Fault::plain("invalid_grant", "The device code is not known."),
        DeviceProblem::Redeemed => Fault::plain("invalid_grant", "The device code was used before."),
        DeviceProblem::Expired => Fault::plain("expired_token", "The device code has expired."),
        DeviceProblem::Pending => Fault::plain("authorization_pending", "The user has not decided yet."),
        DeviceProblem::Early => Fault::plain("slow_down", "The device asks too often: it has to wait five seconds longer."),
        DeviceProblem::Denied => Fault::plain("access_denied", "The user said no."),
    })?;
    ask.begin(&session)
}

/// The page where a user enters the code and says who they are.
pub(crate) fn approve(world: &World, call: &Call, realm: &Realm) -> Answer {
    if call.method == Method::GET {
        let query = call.query_or_form();
        let code = query.iter().find(|(name, _)| name == "user_code").map_or("", |(_, value)| value);
        let people: Vec<_> = realm.users.iter().map(|user| (user.username.clone(), user.name.clone())).collect();
        return page::device(code, &people);
    }
    let decision = match call.param("user").and_then(|name| realm.user(name)) {
        _ if call.param("action") == Some("deny") => Decision::Denied,
        Some(user) => Decision::Approved(person(user)),
        None => return page::problem("No such user here."),
    };
    if world.issued().decide(call.param("user_code").unwrap_or_default(), decision) {
        page::note(StatusCode::OK, "Thank you", "You may close this page and go back to the device.")
    } else {
        page::problem("No such code waits for a decision.")
    }
}
