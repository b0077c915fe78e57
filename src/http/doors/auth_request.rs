//! The door of proxies that ask by a sub-request whether a request may pass.

use super::super::fault::Fault;
use super::super::rows::AUTH_REQUEST;
use super::{DoorInput, FlowCall};
use crate::flow::AuthRequest;

/// `/auth/{api}` and every path below it.
pub(in crate::http) fn ask<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    // As it stands: no api's name needs to be encoded.
    let api = AUTH_REQUEST.path.segment(given.path);
    Ok(FlowCall::AuthRequest(AuthRequest { api, bearer: given.bearer, is_trusted: given.head.is_trusted }))
}
