//! A realm's tokens: access tokens after RFC 9068, id tokens after OIDC Core.

use serde_json::{Map, Value, json};

use super::realm::issuer;
use crate::{
    issued::{Person, Session},
    jose::{self, Jws, put},
    keys::Which,
    registration::Realm,
    world::World,
};

/// An access token of this realm that is good now: signed, in time, and not revoked with its sign-in or alone.
pub(crate) fn read(world: &World, realm: &Realm, text: &str) -> Option<Jws> {
    let jws = Jws::parse(text).filter(|jws| jws.head("typ") == "at+jwt" && jws.text("iss") == issuer(world, realm))?;
    let key = world.keys().published_as(jws.head("kid"))?;
    let good = key.verify(&jws)
        && jws.time("exp").is_some_and(|exp| exp > world.now())
        && !world.issued().is_revoked(&[jws.text("jti"), jws.text("sid")]);
    good.then_some(jws)
}

/// All that an access token of a realm is made of.
pub(crate) struct RealmAccess<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) audience: Vec<String>,
    /// None: the client itself is the subject.
    pub(crate) person: Option<&'a Person>,
    /// The sign-in that it comes of.
    pub(crate) sid: Option<&'a str>,
    pub(crate) scope: &'a str,
    pub(crate) lifetime: i64,
    /// The certificate, in DER, whose key alone may use it (RFC 8705 §3.1).
    pub(crate) bound_to: Option<&'a [u8]>,
}

// === impl RealmAccess ===

impl RealmAccess<'_> {
    pub(crate) fn claims(&self, world: &World, realm: &Realm) -> Map<String, Value> {
        let mut claims = dated(world, realm, self.lifetime);
        claims.insert("aud".to_owned(), one_or_many(&self.audience));
        put(&mut claims, "sub", self.person.map_or(self.client_id, |person| &person.id));
        put(&mut claims, "client_id", self.client_id);
        put(&mut claims, "azp", self.client_id);
        put(&mut claims, "scope", self.scope);
        put(&mut claims, "jti", jose::random());
        if let Some(person) = self.person {
            put(&mut claims, "preferred_username", &person.username);
            put(&mut claims, "name", &person.name);
        }
        if let Some(sid) = self.sid {
            put(&mut claims, "sid", sid);
        }
        if let Some(certificate) = self.bound_to {
            claims.insert("cnf".to_owned(), json!({"x5t#S256": jose::encode(jose::sha256(certificate))}));
        }
        claims
    }

    pub(crate) fn sign(&self, world: &World, realm: &Realm) -> String {
        let mut header = Map::new();
        header.insert("typ".to_owned(), json!("at+jwt"));
        let key = world.keys().choose(Which::Current);
        key.and_then(|key| key.sign(&header, &self.claims(world, realm))).unwrap_or_default()
    }
}

pub(crate) fn id_claims(
    world: &World,
    realm: &Realm,
    client_id: &str,
    session: &Session,
    access_token: &str,
) -> Map<String, Value> {
    let mut claims = dated(world, realm, 3_600);
    let person = &session.person;
    put(&mut claims, "aud", client_id);
    put(&mut claims, "azp", client_id);
    put(&mut claims, "sub", &person.id);
    put(&mut claims, "preferred_username", &person.username);
    put(&mut claims, "name", &person.name);
    put(&mut claims, "email", &person.email);
    put(&mut claims, "at_hash", jose::encode(jose::sha256(access_token).get(..16).unwrap_or_default()));
    if !session.sid.is_empty() {
        put(&mut claims, "sid", &session.sid);
    }
    if let Some(nonce) = &session.nonce {
        put(&mut claims, "nonce", nonce);
    }
    claims
}

fn dated(world: &World, realm: &Realm, lifetime: i64) -> Map<String, Value> {
    let now = world.now();
    let mut claims = Map::new();
    put(&mut claims, "iss", issuer(world, realm));
    claims.insert("iat".to_owned(), json!(now));
    claims.insert("exp".to_owned(), json!(now + lifetime));
    claims
}

fn one_or_many(names: &[String]) -> Value {
    match names {
        [only] => json!(only),
        all => json!(all),
    }
}
