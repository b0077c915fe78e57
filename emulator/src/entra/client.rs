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
