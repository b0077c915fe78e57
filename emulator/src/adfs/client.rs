//! How a client proves itself to a farm: a secret in the form or by HTTP Basic, or an assertion.

use super::{
    ask::{msis, needed},
    assertion,
    registration::{Farm, FarmClient},
};
use crate::{
    basic,
    call::Call,
    fault::{Fault, Outcome},
    world::World,
};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The client, and whether it proved itself; what it cannot prove is refused.
pub(super) fn prove<'a>(world: &World, call: &Call, farm: &'a Farm) -> Outcome<(&'a FarmClient, bool)> {
    let basic = basic::sent(call);
    let id = match &basic {
        Some((id, _)) => id.as_str(),
        None => needed(call, "client_id")?,
    };
    let client = farm.client(id).ok_or_else(|| {
        let text = "Received invalid Client credentials. The OAuth client is not configured to authenticate to AD FS using passed in \
                    client credentials.";
        msis(9607, "invalid_client", text)
    })?;
    let secret = basic.map(|(_, secret)| secret).or_else(|| call.param("client_secret").map(str::to_owned));
    match (secret, call.param("client_assertion")) {
        (Some(secret), None) if client.secrets.contains(&secret) => Ok((client, true)),
        (None, Some(text)) if call.param("client_assertion_type") == Some(ASSERTION_TYPE) => {
            assertion::check(world, call, client, text).map(|()| (client, true))
        }
        (None, None) => Ok((client, false)),
        _ => Err(refused()),
    }
}

/// A client that has a credential and shows none, or has none and needs one.
pub(super) fn refused() -> Box<Fault> {
    msis(
        9622,
        "invalid_client",
        "Client authentication failed. Please verify the credential provided for client authentication is valid.",
    )
}
