//! The device code flow (RFC 8628): its start, the page where a user approves, and the poll.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    ask::{Ask, client, needed},
    client::comes_public,
    home::{self, Home},
    scopes,
};
use crate::{
    answer::Answer,
    call::{Call, Place},
    fault::{Fault, Outcome},
    issued::{Decision, Session},
    page,
    pairing::{self, DeviceProblem, LIFETIME},
    world::World,
};

/// Seconds between two questions, which nobody is held to here.
const INTERVAL: i64 = 5;

/// Nobody is asked for a credential here, whatever kind of client it is.
pub(crate) fn start(world: &World, call: &Call) -> Outcome<Value> {
    let home = home::home(world, call)?;
    let client = client(world, call, home)?;
    let scope = needed(call, "scope")?;
    let place = match home {
        Home::Tenant(tenant) => Some(tenant.id.clone()),
        Home::Many => None,
    };
    if let Home::Tenant(tenant) = home {
        scopes::parse(world, &tenant.id, scope)?;
    }
    let codes = pairing::begin(world, &client.client_id, place, scope, None);
    let origin = if matches!(call.place, Place::External(_)) { call.origin() } else { world.origin.clone() };
    let uri = format!("{origin}/{}/deviceapprove", call.tenant().unwrap_or("common"));
    // As at Entra, there is no `verification_uri_complete`.
    Ok(json!({
        "user_code": codes.user_code,
        "device_code": codes.device_code,
        "verification_uri": uri,
        "expires_in": LIFETIME,
        "interval": INTERVAL,
        "message": format!("To sign in, open the page {uri} and enter the code {}.", codes.user_code),
    }))
}

/// One poll, by a public client or by one that proves itself.
pub(crate) fn poll(ask: &Ask<'_>) -> Outcome<Value> {
    let public = comes_public(ask.client, ask.proof)?;
    let code = needed(ask.call, "device_code")?;
    let session = pairing::redeem(ask.world, code, &ask.client.client_id).map_err(|problem| match problem {
        DeviceProblem::Unknown => Fault::aadsts(70018),
        DeviceProblem::Expired => Fault::aadsts(70020),
        DeviceProblem::Pending | DeviceProblem::Early => Fault::aadsts(70016),
        DeviceProblem::Denied => Fault::plain("authorization_declined", "The user declined the request of the device."),
        DeviceProblem::Redeemed => Fault::says(54005, "The device code was already redeemed."),
    })?;
    ask.at_home(&session)?;
    ask.user_answer(&Session { public, ..session })
}

/// The page where a user enters the code and says who they are.
pub(crate) fn page(world: &World, call: &Call) -> Answer {
    let home = match home::home(world, call) {
        Ok(home) => home,
        Err(fault) => return page::problem(&fault.description(world, call)),
    };
    if call.method == Method::GET {
        let query = call.query_or_form();
        let code = query.iter().find(|(name, _)| name == "user_code").map_or("", |(_, value)| value);
        return page::device(code, &home::people(world, home));
    }
    let code = call.param("user_code").unwrap_or_default();
    let decision = match call.param("user").and_then(|name| home::user_at(world, home, name)) {
        _ if call.param("action") == Some("deny") => Decision::Denied,
        Some(user) => Decision::Approved(home::person(user)),
        None => return page::problem("No such user here."),
    };
    match decide(world, code, decision) {
        Ok(()) => page::note(StatusCode::OK, "Thank you", "You may close this page and go back to the device."),
        Err(text) => page::problem(text),
    }
}

/// Writes a decision. Approving is consenting too: the page says so.
pub(crate) fn decide(world: &World, user_code: &str, decision: Decision) -> Result<(), &'static str> {
    let asked = world.issued().pending(user_code);
    let Some((client_id, scope)) = asked else { return Err("No such code waits for a decision.") };
    if let (Decision::Approved(person), Some(client)) = (&decision, world.directory.app(&client_id))
        && let Ok(asked) = scopes::parse(world, &person.tenant, &scope)
    {
        asked.consent(world, client, person);
    }
    if world.issued().decide(user_code, decision) { Ok(()) } else { Err("No such code waits for a decision.") }
}
