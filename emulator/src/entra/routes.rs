//! The Entra-like authority: its routes. In a region it has a token endpoint and nothing else.

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
    if call.region.is_some() && call.endpoint != Endpoint::Token {
        return Answer::not_found();
    }
    match (call.endpoint, &call.method) {
        (Endpoint::Discovery, &Method::GET) => answered(world, call, metadata::configuration(world, call)),
        (Endpoint::Keys, &Method::GET) => answered(world, call, metadata::keys(world, call)),
        (Endpoint::Instance, &Method::GET) => answered(world, call, metadata::instance(world, call)),
        (Endpoint::UserRealm, &Method::GET) => Answer::ok(metadata::user_realm(world, call)),
        (Endpoint::Token, &Method::POST) => answered(world, call, grants::redeem(world, call)).no_store(),
        (Endpoint::DeviceCode, &Method::POST) => answered(world, call, device::start(world, call)).no_store(),
        (Endpoint::Authorize, &Method::GET | &Method::POST) => authorize::serve(world, call),
        (Endpoint::DeviceApprove, &Method::GET | &Method::POST) => device::page(world, call),
        (Endpoint::EndSession, &Method::GET | &Method::POST) => logout::serve(world, call),
        (Endpoint::Other, _) => Answer::not_found(),
        _ => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
    }
}

fn answered(world: &World, call: &Call, outcome: Outcome<Value>) -> Answer {
    match outcome {
        Ok(body) => Answer::ok(body),
        Err(fault) => fault.answer(world, call, true),
    }
}
