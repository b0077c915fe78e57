//! The resource owner's password, and the states of an account that refuse it.

use serde_json::Value;

use crate::{
    entra::{
        ask::{Ask, needed},
        client,
        home::{person, user_at},
    },
    fault::{Fault, Outcome},
    registration::UserState,
};

pub(crate) fn redeem(ask: &Ask<'_>) -> Outcome<Value> {
    let public = client::comes_public(ask.client, ask.proof)?;
    // Only the tenant's own page can tell a personal account's password, and `common` may mean either.
    let segment = ask.call.tenant().unwrap_or_default();
    if ["common", "consumers"].iter().any(|name| segment.eq_ignore_ascii_case(name)) {
        return Err(Fault::aadsts(9_001_023));
    }
    let username = needed(ask.call, "username")?;
    let given = needed(ask.call, "password")?;
    let scope = needed(ask.call, "scope")?.to_owned();
    let user = user_at(ask.world, ask.home, username)
        .ok_or_else(|| Fault::says(50034, format!("The user account {username} does not exist in the directory.")))?;
    match user.state {
        UserState::Enabled if user.password == given => {}
        UserState::Enabled => return Err(Fault::aadsts(50126)),
        UserState::Disabled => return Err(Fault::aadsts(50057)),
        UserState::Locked => return Err(Fault::aadsts(50053)),
        UserState::PasswordExpired => return Err(Fault::aadsts(50055)),
    }
    let person = person(user);
    ask.may(&person, "password")?;
    ask.new_session(person, scope, public)
}
