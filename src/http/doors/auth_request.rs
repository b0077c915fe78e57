//! The door of proxies that ask by a sub-request whether a request may pass.

use super::super::fault::Fault;
use super::{DoorInput, FlowCall};
use crate::flow::AuthRequest;

/// `/auth/{api}` and every path below it.
pub(in crate::http) fn ask<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    // As it stands: no api's name needs to be encoded.
    Ok(FlowCall::AuthRequest(AuthRequest { api: given.segment, bearer: given.bearer, is_trusted: given.head.is_trusted }))
}
