//! One request from bytes to bytes: parse, record, ask the script, dispatch, dress the answer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming};
use tokio_util::sync::CancellationToken;

use crate::{
    adfs,
    answer::{Answer, Dress},
    b2c, basic,
    call::{Call, Endpoint, Place},
    ciam, control, entra,
    jose::Jws,
    oidc, replacement,
    saml::Received,
    script::{Effects, Facts},
    world::World,
};

const BODY_LIMIT: usize = 4 << 20;

/// Answers one request. `connection` is cancelled to drop the connection instead; `shown` is the client's certificate with its
/// chain.
pub(crate) async fn serve(
    world: Arc<World>,
    request: Request<Incoming>,
    connection: CancellationToken,
    shown: Arc<[Vec<u8>]>,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return Answer::text(StatusCode::PAYLOAD_TOO_LARGE, "too large or cut short\n").finish(Dress::default());
    };
    let call = Call::new(parts, body.to_bytes().to_vec(), &world.hosts).over(&shown);
    if call.endpoint == Endpoint::Control {
        return control::serve(&world, &call).finish(Dress::default());
    }
    let seq = world.record().add(&call, world.now_precise());
    let response = scripted(&world, call, &connection).await;
    world.record().answered(seq, response.status().as_u16());
    tracing::debug!(target: "tokend::emulator", seq, status = response.status().as_u16(), "answered");
    response
}

async fn scripted(world: &World, mut call: Call, connection: &CancellationToken) -> Response<Full<Bytes>> {
    // Without a script nobody asks for the facts, and a load test should not pay for them.
    let taken = if world.script().is_empty() { None } else { match_rule(world, &call) };
    let Some((effects, released)) = taken else {
        return dispatch(world, &call).finish(Dress::default());
    };
    if effects.hold {
        released.cancelled().await;
    }
    if let Some(delay) = effects.delay_ms {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if effects.close {
        connection.cancel();
    }
    if effects.hang || effects.close {
        std::future::pending::<()>().await;
    }
    call.lifetime = effects.expires_in;
    call.refuse_replay = effects.refuse_replay;
    let mut answer = match replacement::of(&effects, world, &call) {
        Some(answer) => identified(&call, answer),
        None => dispatch(world, &call),
    };
    effects.change(&mut answer);
    answer.finish(effects.dress())
}

fn match_rule(world: &World, call: &Call) -> Option<(Effects, CancellationToken)> {
    let facts = facts(world, call);
    world.script().take(&facts)
}

fn dispatch(world: &World, call: &Call) -> Answer {
    let answer = match &call.place {
        Place::Entra(_) => entra::routes::serve(world, call),
        Place::External(_) => ciam::routes::serve(world, call),
        Place::Policy { .. } => b2c::routes::serve(world, call),
        Place::Adfs => adfs::routes::serve(world, call),
        Place::Realm(name) => oidc::routes::serve(world, call, name),
        Place::None => Answer::not_found(),
    };
    identified(call, answer)
}

/// The ids that Entra puts on every answer.
fn identified(call: &Call, answer: Answer) -> Answer {
    let answer = match call.place {
        Place::Entra(_) | Place::External(_) | Place::Policy { .. } | Place::Adfs => {
            answer.header("x-ms-request-id", &call.trace_id)
        }
        Place::Realm(_) | Place::None => return answer,
    };
    if call.header("return-client-request-id").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        answer.header("client-request-id", &call.correlation_id)
    } else {
        answer
    }
}

fn facts(world: &World, call: &Call) -> Facts {
    let tenant = call.tenant().map(str::to_owned);
    let resolved = match &call.place {
        Place::Entra(name) => world.directory.tenant(name),
        _ => None,
    };
    let names = resolved
        .into_iter()
        .flat_map(|tenant| [tenant.id.clone(), tenant.name.clone()].into_iter().chain(tenant.domains.iter().cloned()));
    let parameters = call.query_or_form();
    let find = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    Facts {
        endpoint: call.endpoint,
        grant_type: call.param("grant_type").map(str::to_owned),
        tenant: tenant.into_iter().chain(names).collect(),
        client_id: find("client_id").or_else(|| authenticated_as(call)),
        user: users(world, call, find("login_hint")),
        scope: find("scope").unwrap_or_default(),
        path: call.path.clone(),
    }
}

/// The client of a request that names it only in its credential.
fn authenticated_as(call: &Call) -> Option<String> {
    let basic = basic::sent(call).map(|(id, _)| id);
    basic.or_else(|| Some(Jws::parse(call.param("client_assertion")?)?.text("sub").to_owned()))
}

/// Whom the request is about, by every name. Nothing is verified here: a script may match what will be refused.
fn users(world: &World, call: &Call, login_hint: Option<String>) -> Vec<String> {
    let mut names: Vec<String> = login_hint.into_iter().chain(call.param("username").map(str::to_owned)).collect();
    for token in ["assertion", "subject_token"].iter().filter_map(|name| call.param(name)) {
        if let Some(jws) = Jws::parse(token) {
            let claims = ["oid", "preferred_username", "upn", "sub", "unique_name"];
            names.extend(claims.iter().filter_map(|claim| jws.claims.get(*claim)?.as_str()).map(str::to_owned));
        } else if let Some(received) = Received::decode(token) {
            names.push(received.said.subject);
        }
    }
    names.extend(world.issued().users_of(call));
    let known: Vec<String> = names
        .iter()
        .filter_map(|name| world.directory.user(name))
        .flat_map(|user| [user.username.clone(), user.object_id.clone()])
        .collect();
    names.extend(known);
    names
}
