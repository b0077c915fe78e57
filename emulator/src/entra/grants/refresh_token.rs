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
    if !ask.client.public {
        client::required(ask.proof)?;
    }
    let token = needed(ask.call, "refresh_token")?;
    let session = ask.world.issued().session(token, &ask.client.client_id);
    let session =
        session.ok_or_else(|| Fault::says(70000, "The provided value for the 'refresh_token' parameter is not valid."))?;
    ask.at_home(&session)?;
    ask.may(&session.person, "refresh")?;
    ask.again(Session { nonce: None, ..session })
}
