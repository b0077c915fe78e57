//! The doors of accounts: who is signed in, and signing out. No id leaves the path: logs and spans have the route's template only.

use std::borrow::Cow;

use super::super::fault::Fault;
use super::super::members::{Number, form};
use super::{DoorInput, FlowCall, text};
use crate::flow::Listing;

/// What templates call the id of an account.
pub(in crate::http) const HOME_ACCOUNT_ID: &str = "home_account_id";

/// `GET /accounts`.
pub(in crate::http) fn list<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let members = &given.members;
    let limit = members.limit.and_then(Number::get);
    Ok(FlowCall::ListAccounts(Listing { app: text(&members.app), cursor: text(&members.cursor), limit }))
}

/// `GET /accounts/{home_account_id}`.
pub(in crate::http) fn one<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    Ok(FlowCall::GetAccount { app: text(&given.members.app), id: id(given.path)? })
}

/// `DELETE /accounts/{home_account_id}`.
pub(in crate::http) fn sign_out<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    Ok(FlowCall::SignOut { app: text(&given.members.app), id: id(given.path)? })
}

fn id(path: &str) -> Result<Cow<'_, str>, Fault> {
    form::last_segment(path, HOME_ACCOUNT_ID)
}
