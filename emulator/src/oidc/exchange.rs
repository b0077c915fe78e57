//! Token exchange (RFC 8693): an access token or a SAML assertion against an access token, with a refresh token where the client
//! asks for one in the way that it is registered for, or against a SAML assertion.

use serde_json::{Map, Value, json};

use super::{
    ask::{RealmAsk, needed},
    realm::{issuer, person},
};
use crate::{
    fault::{Fault, Outcome},
    issued::{Person, Session},
    jose::{self, Jws},
    keys::Which,
    registration::Realm,
    saml::{Format, Received, Statement, encode},
    world::World,
};

pub(crate) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// Seconds that two clocks may differ.
const SKEW: i64 = 60;

/// Who the subject token is about, and the scope that it has.
struct Subject {
    person: Person,
    scope: String,
}

pub(crate) fn redeem(ask: &RealmAsk<'_>) -> Outcome<Value> {
    let kind = needed(ask.call, "subject_token_type")?;
    let wanted = ask.call.param("requested_token_type").unwrap_or(ACCESS_TOKEN);
    let refresh = wanted == REFRESH_TOKEN && ask.client.exchanges_for_refresh_tokens;
    let format = Format::of_type(wanted);
    if ![ACCESS_TOKEN, JWT].contains(&wanted) && !refresh && format.is_none() {
        return Err(Fault::plain("invalid_request", format!("requested_token_type {wanted} is not supported.")));
    }
    let token = needed(ask.call, "subject_token")?;
    let subject = match Format::of_type(kind) {
        Some(format) => asserted(ask, token, format)?,
        None if [ACCESS_TOKEN, JWT].contains(&kind) => delegated(ask, token)?,
        None => return Err(Fault::plain("invalid_request", format!("subject_token_type {kind} is not supported."))),
    };
    let scope = ask.scope(&subject.scope)?;
    if let Some(format) = format {
        return assertion(ask, &subject.person, &scope, format);
    }
    // Only what this request asks for: the subject token's own scope says nothing of what this client wants.
    let asked = ask.call.param("scope").unwrap_or_default();
    let offline = asked.split_whitespace().any(|one| one == "offline_access");
    let mut body =
        if offline || refresh { session(ask, subject.person, scope)? } else { ask.answer(Some(&subject.person), None, &scope)? };
    body.insert("issued_token_type".to_owned(), json!(wanted));
    Ok(Value::Object(body))
}

/// An answer with a refresh token, whose successors rotate like those of a sign-in.
fn session(ask: &RealmAsk<'_>, person: Person, scope: String) -> Outcome<Map<String, Value>> {
    let place = format!("oidc/{}", ask.realm.name);
    let client_id = ask.client.client_id.clone();
    let session = Session { client_id, place, person, scope, sid: jose::random(), ..Session::default() };
    let mut body = ask.answer(Some(&session.person), Some(&session.sid), &session.scope)?;
    body.insert("refresh_token".to_owned(), json!(ask.world.issued().add_refresh(session)));
    Ok(body)
}

/// A SAML assertion, which is no access token (RFC 8693 §2.2.1).
fn assertion(ask: &RealmAsk<'_>, person: &Person, scope: &str, format: Format) -> Outcome<Value> {
    let mut body = ask.answer(Some(person), None, scope)?;
    let audience = ask.audience()?;
    let lifetime = body.get("expires_in").and_then(Value::as_i64).unwrap_or_default();
    let now = ask.world.now();
    let statement = Statement {
        format,
        issuer: &issuer(ask.world, ask.realm),
        audience: audience.first().map_or("", String::as_str),
        subject: &person.id,
        not_before: now - SKEW,
        not_on_or_after: now + lifetime,
        attributes: Vec::new(),
    };
    let key = ask.world.keys().choose(Which::Current);
    let signed = key.and_then(|key| statement.sign(now, &key)).unwrap_or_default();
    body.insert("access_token".to_owned(), json!(encode(&signed)));
    body.insert("token_type".to_owned(), json!("N_A"));
    body.insert("issued_token_type".to_owned(), json!(format.token_type()));
    Ok(Value::Object(body))
}

fn refused(text: &str) -> Box<Fault> {
    Fault::plain("invalid_request", text)
}

/// A token of this realm, in time, and meant for this client.
fn delegated(ask: &RealmAsk<'_>, text: &str) -> Outcome<Subject> {
    let jws = Jws::parse(text).ok_or_else(|| refused("The subject token cannot be read."))?;
    let key = ask.world.keys().published_as(jws.head("kid"));
    if !key.is_some_and(|key| key.verify(&jws)) || jws.text("iss") != issuer(ask.world, ask.realm) {
        return Err(refused("The subject token was not issued here."));
    }
    if jws.time("exp").is_none_or(|exp| exp <= ask.world.now()) {
        return Err(refused("The subject token has expired."));
    }
    if ask.world.issued().is_revoked(&[jws.text("jti"), jws.text("sid")]) {
        return Err(refused("The subject token was revoked."));
    }
    if !jws.audiences().iter().any(|aud| is_meant(ask, aud)) {
        return Err(refused("The subject token is not meant for this client."));
    }
    let person = Person {
        id: jws.text("sub").to_owned(),
        username: jws.text("preferred_username").to_owned(),
        name: jws.text("name").to_owned(),
        email: jws.text("email").to_owned(),
        ..Person::default()
    };
    Ok(Subject { person, scope: jws.text("scope").to_owned() })
}

/// An assertion of this realm or of an issuer that it trusts, in time, and meant for this client.
fn asserted(ask: &RealmAsk<'_>, text: &str, format: Format) -> Outcome<Subject> {
    let received = Received::decode(text).filter(|received| received.said.format == format);
    let received = received.ok_or_else(|| refused("The assertion cannot be read, or is of another type."))?;
    if !is_trusted(ask.world, ask.realm, &received) {
        return Err(refused("The assertion is not signed by a key of an issuer that is trusted here."));
    }
    let said = &received.said;
    if !said.is_within(ask.world.now(), SKEW) {
        return Err(refused("The assertion is not within its valid time range."));
    }
    if !said.audiences.iter().any(|aud| is_meant(ask, aud)) {
        return Err(refused("The assertion is not meant for this client."));
    }
    let user = ask.realm.user(&said.subject).or_else(|| ask.realm.users.iter().find(|user| user.email == said.subject));
    let user = user.ok_or_else(|| refused("The assertion's subject is not known."))?;
    Ok(Subject { person: person(user), scope: String::new() })
}

fn is_trusted(world: &World, realm: &Realm, received: &Received) -> bool {
    let said = &received.said;
    let own = said.key_name.as_deref().filter(|_| said.issuer == issuer(world, realm));
    let own = own.and_then(|kid| world.keys().published_as(kid));
    let others = realm.saml_issuers.iter().filter(|one| one.issuer == said.issuer);
    let others = others.filter_map(|one| one.certificate.parsed.as_ref()).map(|parsed| parsed.key.clone());
    own.into_iter().chain(others).any(|key| received.is_by(&key))
}

fn is_meant(ask: &RealmAsk<'_>, audience: &str) -> bool {
    audience == ask.client.client_id || ask.client.audiences.iter().any(|one| one == audience)
}
