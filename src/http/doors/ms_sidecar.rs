//! The doors of clients of Microsoft's sidecar.

use super::super::fault::Fault;
use super::super::members::form;
use super::{DoorInput, FlowCall, Rare, Validation};
use crate::flow::SidecarRequest;

/// What templates call the api.
const API: &str = "apiName";

/// `/AuthorizationHeader/{apiName}`.
pub(in crate::http) fn header<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    call(given, true)
}

/// `/AuthorizationHeaderUnauthenticated/{apiName}`.
pub(in crate::http) fn header_without_user<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    call(given, false)
}

/// `/Validate`.
pub(in crate::http) fn validate<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    Ok(FlowCall::Validate(Validation { app: given.settings.ms_sidecar.app.as_deref(), token: given.bearer }))
}

/// `/healthz`.
pub(in crate::http) fn health<'a>(_: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    Ok(FlowCall::Health)
}

fn call<'a>(given: &'a DoorInput<'_>, for_user: bool) -> Result<FlowCall<'a>, Fault> {
    let settings = &given.settings.ms_sidecar;
    // Its names have no case, and ours are written in lower case.
    let api = form::last_segment(given.path, API)?.to_ascii_lowercase();
    let overrides = match given.rare.as_deref() {
        Some(Rare::Sidecar(query)) => query.overrides()?,
        _ => crate::flow::Overrides::default(),
    };
    let app = settings.app.as_deref();
    let request = SidecarRequest { api, app, for_user, bearer: given.bearer, anyone: settings.anyone, overrides };
    Ok(FlowCall::AuthorizationHeader(Box::new(request)))
}
