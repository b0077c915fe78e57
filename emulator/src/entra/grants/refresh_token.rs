//! The refresh token, which Entra lets be used again.

use serde_json::Value;

use crate::{
    entra::{
        ask::{Ask, needed},
        client,
    },
    fault::{Fault, Outcome},
    issued::Session,
};

pub(crate) fn redeem(ask: &Ask<'_>) -> Outcome<Value> {
    let public = client::comes_public(ask.client, ask.proof)?;
    let token = needed(ask.call, "refresh_token")?;
    let session = ask.world.issued().session(token, &ask.client.client_id);
    let session =
        session.ok_or_else(|| Fault::says(70000, "The provided value for the 'refresh_token' parameter is not valid."))?;
    // It is redeemed in the way in which it was got: a client that may come either way is of one kind for each session.
    if !ask.client.public && session.public != public {
        return Err(Fault::aadsts(if session.public { 700_025 } else { 7_000_218 }));
    }
    ask.at_home(&session)?;
    ask.may(&session.person, "refresh")?;
    ask.again(Session { nonce: None, ..session })
}
