//! The device code flow (RFC 8628) of a farm: its start, the page where a user approves, and the poll.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    ask::{FarmAsk, PLACE, msis, needed},
    registration::Farm,
};
use crate::{
    answer::Answer,
    call::Call,
    fault::{Fault, Outcome},
    issued::{Decision, Session},
    page,
    pairing::{self, DeviceProblem, LIFETIME},
    world::World,
};

/// Seconds between two questions, which nobody is held to here.
const INTERVAL: i64 = 5;

/// Nobody is asked for a credential here, whatever kind of client it is.
pub(super) fn start(world: &World, call: &Call, farm: &Farm) -> Outcome<Value> {
    let client = farm.client(needed(call, "client_id")?);
    let client = client.ok_or_else(|| msis(9223, "invalid_client", "No such client is registered."))?;
    let scope = call.param("scope").unwrap_or("openid");
    let codes = pairing::begin(world, &client.client_id, Some(PLACE.to_owned()), scope, None);
    let uri = format!("{}/adfs/deviceapprove", call.origin());
    Ok(json!({
        "user_code": codes.user_code,
        "device_code": codes.device_code,
        "verification_uri": uri,
        "verification_url": uri,
        "expires_in": LIFETIME,
        "interval": INTERVAL,
        "message": format!("To sign in, open the page {uri} and enter the code {}.", codes.user_code),
    }))
}

pub(super) fn poll(ask: &FarmAsk<'_>) -> Outcome<Value> {
    let code = needed(ask.call, "device_code")?;
    let session = pairing::redeem(ask.world, code, &ask.client.client_id).map_err(|problem| match problem {
        DeviceProblem::Pending | DeviceProblem::Early => Fault::plain("authorization_pending", "The user has not come yet."),
        DeviceProblem::Expired => Fault::plain("expired_token", "The device code has expired."),
        DeviceProblem::Denied => Fault::plain("access_denied", "The user said no."),
        DeviceProblem::Unknown | DeviceProblem::Redeemed => Fault::plain("invalid_grant", "The device code is not known."),
    })?;
    let scope = session.scope.clone();
    ask.user_answer(&Session { public: !ask.is_proven, ..session }, &scope)
}

/// The page where a user enters the code and says who they are.
pub(super) fn page(world: &World, call: &Call, farm: &Farm) -> Answer {
    if call.method == Method::GET {
        let query = call.query_or_form();
        let code = query.iter().find(|(name, _)| name == "user_code").map_or("", |(_, value)| value);
        let people: Vec<_> = farm.users.iter().map(|user| (user.upn.clone(), user.name.clone())).collect();
        return page::device(code, &people);
    }
    let code = call.param("user_code").unwrap_or_default();
    let decision = match call.param("user").and_then(|upn| farm.user(upn)) {
        _ if call.param("action") == Some("deny") => Decision::Denied,
        Some(user) => Decision::Approved(user.person()),
        None => return page::problem("No such user here."),
    };
    if world.issued().decide(code, decision) {
        page::note(StatusCode::OK, "Thank you", "You may close this page and go back to the device.")
    } else {
        page::problem("No such code waits for a decision.")
    }
}
