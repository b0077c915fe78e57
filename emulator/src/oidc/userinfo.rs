//! What an access token tells of its user (OpenID Connect Core §5.3).

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::{realm::person, tokens};
use crate::{
    answer::Answer,
    call::Call,
    fault::{Fault, Outcome},
    jose::put,
    registration::Realm,
    world::World,
};

pub(crate) fn serve(world: &World, call: &Call, realm: &Realm) -> Answer {
    match claims(world, call, realm) {
        Ok(body) => Answer::ok(body).no_store(),
        Err(fault) => fault.answer(world, call, false).no_store(),
    }
}

fn claims(world: &World, call: &Call, realm: &Realm) -> Outcome<Value> {
    let header = call.header("authorization").and_then(|header| header.split_once(' '));
    let token = header.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let jws = token.and_then(|token| tokens::read(world, realm, token));
    let jws = jws.ok_or_else(|| refused(StatusCode::UNAUTHORIZED, "invalid_token", "The access token is missing or not good."))?;
    let has = |scope: &str| jws.text("scope").split_whitespace().any(|one| one == scope);
    let user = realm.user(jws.text("sub")).map(person).filter(|_| has("openid"));
    let user = user.ok_or_else(|| refused(StatusCode::FORBIDDEN, "insufficient_scope", "The token is of no user with openid."))?;
    let mut body = Map::new();
    put(&mut body, "sub", &user.id);
    if has("profile") {
        put(&mut body, "name", &user.name);
        put(&mut body, "preferred_username", &user.username);
    }
    if has("email") {
        put(&mut body, "email", &user.email);
        body.insert("email_verified".to_owned(), json!(true));
    }
    Ok(Value::Object(body))
}

/// As RFC 6750 §3 has it.
fn refused(status: StatusCode, error: &str, text: &str) -> Box<Fault> {
    let mut fault = Fault::plain(error, text);
    fault.status = status;
    fault.headers.push(("www-authenticate".to_owned(), format!("Bearer error=\"{error}\"")));
    fault
}
