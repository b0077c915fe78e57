//! A policy's tokens: they say by which policy their user signed in, and nothing of a tenant but in their issuer.

use serde_json::{Map, Value, json};

use super::{asked::AskedPolicy, metadata, registration::PolicyApp};
use crate::{
    issued::{Person, Session},
    jose::{self, put},
};

/// All that an access token is made of.
pub(super) struct PolicyAccess<'a> {
    pub(super) at: AskedPolicy<'a>,
    pub(super) client: &'a PolicyApp,
    /// None: the client itself.
    pub(super) person: Option<&'a Person>,
    pub(super) api: &'a PolicyApp,
    pub(super) scp: &'a str,
    pub(super) lifetime: i64,
}

// === impl PolicyAccess ===

impl PolicyAccess<'_> {
    pub(super) fn claims(&self) -> Map<String, Value> {
        let mut claims = dated(self.at, self.lifetime);
        put(&mut claims, "aud", &self.api.client_id);
        put(&mut claims, "azp", &self.client.client_id);
        put(&mut claims, "ver", "1.0");
        match self.person {
            Some(person) => {
                about(self.at, &mut claims, person);
                if !self.scp.is_empty() {
                    put(&mut claims, "scp", self.scp);
                }
            }
            None => {
                put(&mut claims, "sub", &self.client.client_id);
                put(&mut claims, "tid", &self.at.tenant.id);
            }
        }
        claims
    }
}

pub(super) fn id_claims(at: AskedPolicy<'_>, client_id: &str, session: &Session) -> Map<String, Value> {
    let mut claims = dated(at, 3_600);
    put(&mut claims, "aud", client_id);
    put(&mut claims, "ver", "1.0");
    about(at, &mut claims, &session.person);
    claims.insert("auth_time".to_owned(), json!(at.world.now()));
    if let Some(nonce) = &session.nonce {
        put(&mut claims, "nonce", nonce);
    }
    claims
}

/// A person is another user by each policy.
pub(super) fn client_info(at: AskedPolicy<'_>, person: &Person) -> String {
    let uid = format!("{}-{}", person.id, at.policy.name.to_ascii_lowercase());
    jose::encode(json!({"uid": uid, "utid": at.tenant.id}).to_string())
}

fn about(at: AskedPolicy<'_>, claims: &mut Map<String, Value>, person: &Person) {
    put(claims, "sub", &person.id);
    put(claims, "name", &person.name);
    claims.insert("emails".to_owned(), json!([person.email]));
    put(claims, if at.policy.acr { "acr" } else { "tfp" }, &at.policy.name);
}

fn dated(at: AskedPolicy<'_>, lifetime: i64) -> Map<String, Value> {
    let now = at.world.now();
    let mut claims = Map::new();
    put(&mut claims, "iss", metadata::issuer(at.call, at.tenant, at.policy));
    for (name, value) in [("iat", now), ("nbf", now), ("exp", now + lifetime)] {
        claims.insert(name.to_owned(), json!(value));
    }
    claims
}
