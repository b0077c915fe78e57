//! How a client proves itself at Entra's token endpoint: a secret in the form or by HTTP Basic, or an assertion.

use super::{assertion, tokens::Proof};
use crate::{
    basic,
    call::Call,
    fault::{Fault, Outcome},
    registration::App,
    world::World,
};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The grants that a public client may use.
const OF_USERS: [&str; 5] =
    ["authorization_code", "refresh_token", "password", "device_code", "urn:ietf:params:oauth:grant-type:device_code"];

/// A public client has nothing to prove itself by, and must not try at a user's grant.
pub(crate) fn may_present(call: &Call, client: &App, grant: &str) -> Outcome<()> {
    let basic = basic::sent(call).is_some_and(|(_, secret)| !secret.is_empty());
    let presents = basic || call.param("client_secret").is_some() || call.param("client_assertion").is_some();
    if client.public && presents && OF_USERS.contains(&grant) { Err(Fault::aadsts(700_025)) } else { Ok(()) }
}

/// Whether a client comes to a user's grant as a public one; refused if it may not and proved nothing.
pub(crate) fn comes_public(client: &App, proof: Proof) -> Outcome<bool> {
    if !client.public && !client.allow_public_client_flows {
        required(proof)?;
    }
    Ok(proof == Proof::None)
}

/// Checks what was sent. Nothing sent is [`Proof::None`], which [`required`] refuses where it must.
pub(crate) fn prove(world: &World, call: &Call, client: &App) -> Outcome<Proof> {
    // An empty one is none, as in the form.
    let basic = basic::sent(call).map(|(_, secret)| secret).filter(|secret| !secret.is_empty());
    if basic.is_some() && call.param("client_secret").is_some() {
        return Err(Fault::says(9_002_313, "A secret was sent in the Authorization header and in client_secret."));
    }
    match (basic.as_deref().or(call.param("client_secret")), call.param("client_assertion")) {
        (Some(_), Some(_)) => Err(Fault::says(9_002_313, "Both a secret and client_assertion were sent.")),
        (Some(secret), None) => check_secret(client, secret).map(|()| Proof::Secret),
        (None, Some(text)) => {
            let kind = call.param("client_assertion_type").unwrap_or_default();
            if kind != ASSERTION_TYPE {
                return Err(Fault::says(9_002_313, format!("client_assertion_type must be {ASSERTION_TYPE}, not '{kind}'.")));
            }
            assertion::check(world, call, client, text).map(|()| Proof::Assertion)
        }
        (None, None) => Ok(Proof::None),
    }
}

/// Refuses a client that did not prove itself.
pub(crate) fn required(proof: Proof) -> Outcome<()> {
    if proof == Proof::None {
        return Err(Fault::says(
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        ));
    }
    Ok(())
}

fn check_secret(client: &App, secret: &str) -> Outcome<()> {
    let is_in = |list: &[String]| list.iter().any(|one| one == secret);
    if is_in(&client.secrets) {
        Ok(())
    } else if is_in(&client.expired_secrets) {
        Err(Fault::says(7_000_222, format!("The provided client secret keys for app '{}' are expired.", client.client_id)))
    } else {
        Err(Fault::says(
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
                 not the client secret ID, for a secret added to app '{}'.",
                client.client_id
            ),
        ))
    }
}
