//! What becomes of tokens after they were issued: introspection (RFC 7662) and revocation (RFC 7009), each for clients that prove
//! themselves as at the token endpoint.

use serde_json::{Value, json};

use super::{ask::needed, client, realm::issuer, tokens};
use crate::{
    call::Call,
    fault::{Fault, Outcome},
    issued::Session,
    registration::{Client, Realm},
    world::World,
};

/// Whether a token is good, and what it says. About one that is not, and about another client's refresh token, nothing.
pub(crate) fn introspect(world: &World, call: &Call, realm: &Realm) -> Outcome<Value> {
    let client = client::prove(world, call, realm)?;
    let token = needed(call, "token")?;
    if let Some(session) = refresh_token(world, realm, client, token) {
        return Ok(json!({
            "active": true, "scope": session.scope, "client_id": session.client_id, "username": session.person.username,
            "sub": session.person.id, "iss": issuer(world, realm),
        }));
    }
    let Some(jws) = tokens::read(world, realm, token) else { return Ok(json!({"active": false})) };
    let mut body = json!({"active": true, "token_type": "Bearer"});
    for name in ["scope", "client_id", "sub", "aud", "iss", "exp", "iat", "jti"] {
        body[name] = jws.claims.get(name).cloned().unwrap_or_default();
    }
    if let Some(username) = jws.claims.get("preferred_username") {
        body["username"] = username.clone();
    }
    Ok(body)
}

/// Ends an access token, or with a refresh token all that came of its sign-in. One that is not known is as good as ended.
pub(crate) fn revoke(world: &World, call: &Call, realm: &Realm) -> Outcome<()> {
    let client = client::prove(world, call, realm)?;
    let token = needed(call, "token")?;
    if let Some(session) = refresh_token(world, realm, client, token) {
        world.issued().revoke(&session.sid);
        return Ok(());
    }
    let Some(jws) = tokens::read(world, realm, token) else { return Ok(()) };
    if jws.text("client_id") != client.client_id {
        return Err(Fault::plain("unauthorized_client", "The token is another client's."));
    }
    world.issued().revoke(jws.text("jti"));
    Ok(())
}

/// The sign-in of a refresh token that may still be used, if it is this client's and of this realm.
fn refresh_token(world: &World, realm: &Realm, client: &Client, token: &str) -> Option<Session> {
    let session = world.issued().live(token, &client.client_id)?;
    (session.place == format!("oidc/{}", realm.name)).then_some(session)
}
