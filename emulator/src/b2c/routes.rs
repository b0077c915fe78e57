//! The routes of a policy.

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::{asked::AskedPolicy, authorize, grants, logout, metadata};
use crate::{
    answer::Answer,
    call::{Call, Endpoint, Place},
    fault::Outcome,
    world::World,
};

pub(crate) fn serve(world: &World, call: &Call) -> Answer {
    let Place::Policy { tenant, policy, .. } = &call.place else { return Answer::not_found() };
    let found = world.directory.policy_tenant(&call.host, tenant).and_then(|tenant| Some((tenant, tenant.policy(policy)?)));
    let Some((tenant, policy)) = found else { return Answer::not_found() };
    let asked = AskedPolicy { world, call, tenant, policy };
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
