//! The door of proxies that ask by a sub-request whether a request may pass.

use std::sync::Arc;

use super::super::fault::Fault;
use super::{DoorInput, FlowCall, Rare};
use crate::flow::AuthRequest;

/// `/auth/{api}` and every path below it.
pub(in crate::http) fn ask<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    // As it stands: no api's name needs to be encoded.
    let api = given.path.split('/').nth(2).unwrap_or_default();
    let unusable = given.rare.as_deref().and_then(|rare| match rare {
        Rare::Unusable(refusal) => Some(Arc::clone(refusal)),
        Rare::Sidecar(_) => None,
    });
    Ok(FlowCall::AuthRequest(AuthRequest { api, bearer: given.bearer, unusable, is_trusted: given.head.is_trusted }))
}
