//! A generic OpenID Connect issuer, `/oidc/{realm}`: its routes.

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::{authorize, device, grants, inspect, logout, metadata::configuration, pushed, userinfo};
use crate::{
    answer::Answer,
    call::{Call, Endpoint},
    fault::Outcome,
    world::World,
};

pub(crate) fn serve(world: &World, call: &Call, name: &str) -> Answer {
    let Some(realm) = world.directory.realm(name) else { return Answer::not_found() };
    if realm.without.contains(&call.endpoint) {
        return Answer::not_found();
    }
    match (call.endpoint, &call.method) {
        (Endpoint::Discovery, &Method::GET) => Answer::ok(configuration(world, realm)),
        (Endpoint::Keys, &Method::GET) => Answer::ok(world.keys().jwks(None, None)),
        (Endpoint::Authorize, &Method::GET | &Method::POST) => authorize::serve(world, call, realm),
        (Endpoint::EndSession, &Method::GET | &Method::POST) => logout::serve(world, call, realm),
        (Endpoint::UserInfo, &Method::GET | &Method::POST) => userinfo::serve(world, call, realm),
        (Endpoint::DeviceApprove, &Method::GET | &Method::POST) => device::approve(world, call, realm),
        (Endpoint::Token, &Method::POST) => answered(world, call, grants::redeem(world, call, realm)),
        (Endpoint::DeviceCode, &Method::POST) => answered(world, call, device::start(world, call, realm)),
        (Endpoint::Pushed, &Method::POST) => pushed::serve(world, call, realm),
        (Endpoint::Introspection, &Method::POST) => answered(world, call, inspect::introspect(world, call, realm)),
        (Endpoint::Revocation, &Method::POST) => match inspect::revoke(world, call, realm) {
            Ok(()) => Answer::bytes(StatusCode::OK, Vec::new()),
            Err(fault) => fault.answer(world, call, false).no_store(),
        },
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
