//! The resource owner's password at a realm (RFC 6749 §4.3).

use serde_json::Value;

use super::{
    ask::{RealmAsk, needed},
    realm::person,
};
use crate::{
    fault::{Fault, Outcome},
    issued::Session,
    jose,
};

pub(crate) fn redeem(ask: &RealmAsk<'_>) -> Outcome<Value> {
    let (username, given) = (needed(ask.call, "username")?, needed(ask.call, "password")?);
    let scope = ask.scope("")?;
    // Nobody is told which of the two was wrong.
    let user = ask.realm.users.iter().find(|user| user.username == username && user.password == given);
    let user = user.ok_or_else(|| Fault::plain("invalid_grant", "Invalid user credentials."))?;
    ask.begin(&Session {
        client_id: ask.client.client_id.clone(),
        place: format!("oidc/{}", ask.realm.name),
        person: person(user),
        scope,
        sid: jose::random(),
        ..Session::default()
    })
}
