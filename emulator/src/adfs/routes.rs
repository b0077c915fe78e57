//! The routes of a farm.

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::{authorize, device, grants, logout, metadata};
use crate::{
    answer::Answer,
    call::{Call, Endpoint},
    fault::Outcome,
    world::World,
};

pub(crate) fn serve(world: &World, call: &Call) -> Answer {
    let Some(farm) = &world.directory.adfs else { return Answer::not_found() };
    match (call.endpoint, &call.method) {
        (Endpoint::Discovery, &Method::GET) => Answer::ok(metadata::configuration(call)),
        (Endpoint::Keys, &Method::GET) => Answer::ok(world.keys().jwks(None, None)),
        (Endpoint::Token, &Method::POST) => answered(world, call, grants::redeem(world, call, farm)),
        (Endpoint::DeviceCode, &Method::POST) => answered(world, call, device::start(world, call, farm)),
        (Endpoint::Authorize, &Method::GET | &Method::POST) => authorize::serve(world, call, farm),
        (Endpoint::DeviceApprove, &Method::GET | &Method::POST) => device::page(world, call, farm),
        (Endpoint::EndSession, &Method::GET | &Method::POST) => logout::serve(call, farm),
        (Endpoint::Other, _) => Answer::not_found(),
        _ => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
    }
}

fn answered(world: &World, call: &Call, outcome: Outcome<Value>) -> Answer {
    match outcome {
        Ok(body) => Answer::ok(body).no_store(),
        Err(fault) => fault.answer(world, call, false).no_store(),
    }
}
