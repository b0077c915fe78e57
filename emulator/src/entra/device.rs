//! The device code flow (RFC 8628): its start, the page where a user approves, and the poll.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    ask::{Ask, client, needed},
    home::{self, Home},
    scopes,
};
use crate::{
    answer::Answer,
    call::Call,
    fault::{Fault, Outcome},
    issued::{Decision, Device, Session},
    jose, page,
    world::World,
};

const LIFETIME: i64 = 900;
/// Letters that nobody mistakes for others.
const LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

pub(crate) fn start(world: &World, call: &Call) -> Outcome<Value> {
    let home = home::home(world, call)?;
    let client = client(world, call, home)?;
    let scope = needed(call, "scope")?;
    let place = match home {
        Home::Tenant(tenant) => Some(tenant.id.clone()),
        Home::Many => None,
        Home::Adfs => Some("adfs".to_owned()),
    };
    if let Home::Tenant(tenant) = home {
        scopes::parse(world, &tenant.id, scope)?;
    }
    let user_code = user_code();
    let now = world.now();
    let device = Device {
        client_id: client.client_id.clone(),
        place,
        scope: scope.to_owned(),
        user_code: user_code.clone(),
        expires: now + LIFETIME,
        decision: Decision::Pending,
    };
    let device_code = world.issued().add_device(device, now);
    let uri = format!("{}/{}/deviceapprove", world.origin, call.tenant().unwrap_or("common"));
    Ok(json!({
        "user_code": user_code,
        "device_code": device_code,
        "verification_uri": uri,
        "verification_uri_complete": format!("{uri}?user_code={user_code}"),
        "expires_in": LIFETIME,
        "interval": 5,
        "message": format!("To sign in, open the page {uri} and enter the code {user_code}."),
    }))
}

fn user_code() -> String {
    let letter = |byte: u8| LETTERS.get(usize::from(byte) % LETTERS.len()).copied().map_or('B', char::from);
    rand::random::<[u8; 9]>().map(letter).into_iter().collect()
}

/// One poll. Nobody is asked for a credential here, but one that is sent must be good.
pub(crate) fn poll(ask: &Ask<'_>) -> Outcome<Value> {
    let code = needed(ask.call, "device_code")?;
    let now = ask.world.now();
    let session = {
        let mut grants = ask.world.issued();
        let device = grants.device(code).filter(|device| device.client_id == ask.client.client_id);
        let device = device.ok_or_else(|| Fault::aadsts(70018))?;
        if device.expires <= now {
            return Err(Fault::aadsts(70020));
        }
        let person = match &device.decision {
            Decision::Pending => return Err(Fault::aadsts(70016)),
            Decision::Denied => return Err(Fault::aadsts(70025)),
            Decision::Redeemed => return Err(Fault::says(54005, "The device code was already redeemed.")),
            Decision::Approved(person) => person.clone(),
        };
        let place = device.place.clone().unwrap_or_else(|| person.tenant.clone());
        device.decision = Decision::Redeemed;
        Session {
            client_id: device.client_id.clone(),
            place,
            person,
            scope: device.scope.clone(),
            nonce: None,
            sid: jose::random(),
        }
    };
    ask.at_home(&session)?;
    ask.user_answer(&session)
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
