//! The routes of a policy.

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::{
    authorize, grants, logout, metadata,
    registration::{PolicyTenant, UserFlow},
};
use crate::{
    answer::Answer,
    call::{Call, Endpoint, Place},
    fault::{Fault, Outcome},
    world::World,
};

/// The policy that is asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) world: &'a World,
    pub(super) call: &'a Call,
    pub(super) tenant: &'a PolicyTenant,
    pub(super) policy: &'a UserFlow,
}

/// An error of B2C's, with its number.
pub(super) fn aadb2c(number: u32, error: &str, text: &str) -> Box<Fault> {
    Fault::plain(error, format!("AADB2C{number}: {text}"))
}

// === impl Asked ===

impl Asked<'_> {
    /// Where its codes and refresh tokens are good, which is nowhere else.
    pub(super) fn place(&self) -> String {
        place(&self.tenant.id, &self.policy.name)
    }
}

/// Where a policy's codes and refresh tokens are good.
pub(crate) fn place(tenant: &str, policy: &str) -> String {
    format!("b2c/{tenant}/{}", policy.to_ascii_lowercase())
}

pub(crate) fn serve(world: &World, call: &Call) -> Answer {
    let Place::Policy { tenant, policy, .. } = &call.place else { return Answer::not_found() };
    let found = world.directory.policy_tenant(&call.host, tenant).and_then(|tenant| Some((tenant, tenant.policy(policy)?)));
    let Some((tenant, policy)) = found else { return Answer::not_found() };
    let asked = Asked { world, call, tenant, policy };
    match (call.endpoint, &call.method) {
        (Endpoint::Discovery, &Method::GET) => Answer::ok(metadata::configuration(call, tenant, policy)),
        // One key for all policies.
        (Endpoint::Keys, &Method::GET) => Answer::ok(world.keys().jwks(None, None)),
        (Endpoint::Token, &Method::POST) => answered(world, call, grants::redeem(asked)),
        (Endpoint::Authorize, &Method::GET | &Method::POST) => authorize::serve(asked),
        (Endpoint::EndSession, &Method::GET | &Method::POST) => logout::serve(asked),
        (Endpoint::Other | Endpoint::DeviceCode | Endpoint::DeviceApprove, _) => Answer::not_found(),
        _ => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
    }
}

fn answered(world: &World, call: &Call, outcome: Outcome<Value>) -> Answer {
    match outcome {
        Ok(body) => Answer::ok(body).no_store(),
        Err(fault) => fault.answer(world, call, false).no_store(),
    }
}
