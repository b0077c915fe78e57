//! Client authentication at a realm: by secret in the header or the body, by a signed assertion used once, or by the certificate of
//! the connection.

use super::tls;
use crate::{
    assertion::{self, SKEW},
    basic,
    call::Call,
    fault::{Fault, Outcome},
    jose::Jws,
    registration::{Client, Realm},
    world::World,
};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The client that proved itself, or a public one, which has nothing to prove itself by.
pub(crate) fn identify<'a>(world: &World, call: &Call, realm: &'a Realm) -> Outcome<&'a Client> {
    let named = call.param("client_id").and_then(|id| realm.client(id)).filter(|client| client.is_public());
    let Some(client) = named else { return prove(world, call, realm) };
    let sent = ["client_secret", "client_assertion"].into_iter().any(|name| call.param(name).is_some());
    if sent || call.header("authorization").is_some() {
        return Err(refused(realm, "This client is public: it has no credential."));
    }
    Ok(client)
}

/// The client that proved itself, by a method that the realm offers.
pub(crate) fn prove<'a>(world: &World, call: &Call, realm: &'a Realm) -> Outcome<&'a Client> {
    let header = call.header("authorization");
    let sent = [header.is_some(), call.param("client_secret").is_some(), call.param("client_assertion").is_some()];
    if sent.iter().filter(|one| **one).count() > 1 {
        return Err(Fault::plain("invalid_request", "More than one way of client authentication was used."));
    }
    let (method, client) = if let Some(header) = header {
        let (id, secret) = basic::basic(header).ok_or_else(|| refused(realm, "The Authorization header is malformed."))?;
        ("client_secret_basic", with_secret(realm, &id, &secret)?)
    } else if let Some(secret) = call.param("client_secret") {
        ("client_secret_post", with_secret(realm, call.param("client_id").unwrap_or_default(), secret)?)
    } else if let Some(text) = call.param("client_assertion") {
        ("private_key_jwt", with_assertion(world, call, realm, text)?)
    } else if let Some(client) = call.param("client_id").and_then(|id| realm.client(id)).filter(|client| shows(client, call)) {
        (tls::method(client), tls::prove(world, call, realm, client).map_err(|text| refused(realm, &text))?)
    } else {
        return Err(refused(realm, "The client did not authenticate."));
    };
    if !realm.token_endpoint_auth_methods_supported.iter().any(|one| one == method) {
        return Err(refused(realm, &format!("This realm does not support {method}.")));
    }
    if client.token_endpoint_auth_method.as_ref().is_some_and(|only| only != method) {
        return Err(refused(realm, &format!("This client is not registered for {method}.")));
    }
    if call.param("client_id").is_some_and(|id| id != client.client_id) {
        return Err(Fault::plain("invalid_request", "client_id is another client's."));
    }
    Ok(client)
}

/// Whether the client came with a certificate and is registered for that.
fn shows(client: &Client, call: &Call) -> bool {
    !call.client_certificates.is_empty() && client.token_endpoint_auth_method.as_deref() == Some(tls::method(client))
}

fn refused(realm: &Realm, text: &str) -> Box<Fault> {
    let mut fault = Fault::plain("invalid_client", text);
    fault.headers.push(("www-authenticate".to_owned(), format!("Basic realm=\"{}\"", realm.name)));
    fault
}

fn with_secret<'a>(realm: &'a Realm, id: &str, secret: &str) -> Outcome<&'a Client> {
    let client = realm.client(id).filter(|client| client.secrets.iter().any(|one| one == secret));
    client.ok_or_else(|| refused(realm, "Unknown client or wrong secret."))
}

fn with_assertion<'a>(world: &World, call: &Call, realm: &'a Realm, text: &str) -> Outcome<&'a Client> {
    let refused = |text: &str| refused(realm, text);
    if call.param("client_assertion_type") != Some(ASSERTION_TYPE) {
        return Err(Fault::plain("invalid_request", "client_assertion_type is missing or unknown."));
    }
    let jws = Jws::parse(text).ok_or_else(|| refused("The assertion is not a signed token."))?;
    let named = call.param("client_id").and_then(|id| realm.client(id));
    if let Some(client) = named.filter(|client| !client.federated.is_empty() && jws.text("iss") != client.client_id) {
        return federated(world, client, &jws).map_err(|text| refused(&text));
    }
    let id = jws.text("sub");
    let client = realm.client(id).filter(|_| jws.text("iss") == id);
    let client = client.ok_or_else(|| refused("iss and sub of the assertion are not one known client."))?;
    let algorithms = &realm.token_endpoint_auth_signing_alg_values_supported;
    if !algorithms.is_empty() && !algorithms.iter().any(|alg| alg == jws.head("alg")) {
        return Err(refused("The assertion's algorithm is not supported here."));
    }
    let certified = client.certificates.iter().filter_map(|certificate| certificate.parsed.as_ref());
    let signed = certified.into_iter().any(|one| one.key.verify(&jws))
        || client.jwks.as_ref().is_some_and(|jwks| assertion::jwks_verifies(jwks, &jws));
    if !signed {
        return Err(refused("The assertion's signature is not by a key of the client."));
    }
    check_claims(world, realm, client, &jws).map_err(|text| refused(&text))?;
    Ok(client)
}

/// Another issuer's token about the client (RFC 7523 §3): it may be used until it ends, and has what claims its issuer gives it.
fn federated<'a>(world: &World, client: &'a Client, jws: &Jws) -> Result<&'a Client, String> {
    let trusts = client.federated.iter();
    let mut trusts = trusts.filter(|trust| assertion::trusts(world, trust, jws) && trust.subject == jws.text("sub"));
    let trust = trusts.find(|trust| jws.audiences().contains(&trust.audience.as_str()));
    let trust = trust.ok_or("iss, sub and aud of the assertion are not of an identity that the client trusts.")?;
    if !assertion::verifies(world, trust, jws) {
        return Err("The assertion's signature is not by a key of its issuer.".to_owned());
    }
    assertion::within(world, jws, SKEW).map(|_| client)
}

fn check_claims(world: &World, realm: &Realm, client: &Client, jws: &Jws) -> Result<(), String> {
    let mine = world.origins.iter().map(|origin| format!("{origin}/oidc/{}", realm.name));
    let mine: Vec<String> = mine.flat_map(|issuer| [format!("{issuer}/token"), issuer]).collect();
    if !jws.audiences().iter().any(|aud| mine.iter().any(|one| one == aud)) {
        return Err("The assertion's aud is neither the issuer nor the token endpoint.".to_owned());
    }
    let skew = realm.assertion_skew;
    let expires = assertion::within(world, jws, skew)?;
    let limit = client.assertion_lifetime.unwrap_or(realm.assertion_lifetime);
    if assertion::lifetime(world, jws, expires) > limit + skew {
        return Err(format!("The assertion lives longer than {limit} seconds."));
    }
    if jws.text("jti").is_empty() {
        return Err("The assertion has no jti.".to_owned());
    }
    let owner = format!("{}/{}", realm.name, client.client_id);
    if !world.issued().first_use(&owner, jws.text("jti"), expires + SKEW, world.now()) {
        return Err("The assertion's jti was used before.".to_owned());
    }
    Ok(())
}
