//! A farm's tokens. Access tokens are its token service's, and say of a user by which name it signs in, but no `sub`; id tokens
//! have one, and another issuer.

use serde_json::{Map, Value, json};

use super::{metadata, registration::FarmClient};
use crate::{
    call::Call,
    issued::{Person, Session},
    jose::{self, put},
    world::World,
};

/// All that an access token is made of.
pub(crate) struct FarmAccess<'a> {
    pub(crate) client: &'a FarmClient,
    /// None: the client itself.
    pub(crate) person: Option<&'a Person>,
    pub(crate) resource: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) lifetime: i64,
}

// === impl FarmAccess ===

impl FarmAccess<'_> {
    pub(crate) fn claims(&self, world: &World, call: &Call) -> Map<String, Value> {
        let mut claims = dated(world, &metadata::trust(call), self.lifetime);
        put(&mut claims, "aud", self.resource);
        put(&mut claims, "apptype", if self.client.public { "Public" } else { "Confidential" });
        put(&mut claims, "appid", &self.client.client_id);
        put(&mut claims, "authmethod", "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport");
        put(&mut claims, "auth_time", "2026-11-21T00:00:00.000Z");
        put(&mut claims, "ver", "1.0");
        if !self.scope.is_empty() {
            put(&mut claims, "scp", self.scope);
        }
        if let Some(person) = self.person {
            put(&mut claims, "upn", &person.username);
            put(&mut claims, "unique_name", &person.username);
        }
        claims
    }
}

pub(crate) fn id_claims(world: &World, call: &Call, client_id: &str, session: &Session) -> Map<String, Value> {
    let mut claims = dated(world, &metadata::issuer(call), 3_600);
    put(&mut claims, "aud", client_id);
    put(&mut claims, "sub", &session.person.id);
    put(&mut claims, "upn", &session.person.username);
    put(&mut claims, "unique_name", &session.person.username);
    put(&mut claims, "sid", &session.sid);
    if let Some(nonce) = &session.nonce {
        put(&mut claims, "nonce", nonce);
    }
    claims
}

fn dated(world: &World, issuer: &str, lifetime: i64) -> Map<String, Value> {
    let now = world.now();
    let mut claims = Map::new();
    put(&mut claims, "iss", issuer);
    put(&mut claims, "jti", jose::random());
    for (name, value) in [("iat", now), ("nbf", now), ("exp", now + lifetime)] {
        claims.insert(name.to_owned(), json!(value));
    }
    claims
}
