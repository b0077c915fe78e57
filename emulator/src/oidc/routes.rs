//! A generic OpenID Connect issuer, `/oidc/{realm}`: its routes.

use hyper::{Method, StatusCode};

use super::{authorize, grants, metadata::configuration};
use crate::{
    answer::Answer,
    call::{Call, Endpoint},
    world::World,
};

pub(crate) fn serve(world: &World, call: &Call, name: &str) -> Answer {
    let Some(realm) = world.directory.realm(name) else { return Answer::not_found() };
    match (call.endpoint, &call.method) {
        (Endpoint::Discovery, &Method::GET) => Answer::ok(configuration(world, realm)),
        (Endpoint::Keys, &Method::GET) => Answer::ok(world.keys().jwks(None, None)),
        (Endpoint::Authorize, &Method::GET | &Method::POST) => authorize::serve(world, call, realm),
        (Endpoint::Token, &Method::POST) => match grants::redeem(world, call, realm) {
            Ok(body) => Answer::ok(body).no_store(),
            Err(fault) => fault.answer(world, call, false).no_store(),
        },
        (Endpoint::Other, _) => Answer::not_found(),
        _ => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
    }
}
