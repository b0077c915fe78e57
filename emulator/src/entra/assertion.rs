//! Client assertions (RFC 7523) as Entra checks them: strict in what counts, tolerant of how libraries spell it.

use serde_json::Value;

use crate::{
    assertion::{SKEW, lifetime, trusts, verifies, within},
    call::{Call, Place},
    certificate::Parsed,
    fault::{Fault, Outcome},
    jose::{self, Jws},
    registration::{App, Federated},
    world::World,
};

/// Seconds that an assertion of a certificate may live.
const LIFETIME: i64 = 600;

/// Checks an assertion for a client; an error is always `invalid_client`.
pub(crate) fn check(world: &World, call: &Call, client: &App, text: &str) -> Outcome<()> {
    let jws = Jws::parse(text).ok_or_else(|| Fault::says(50012, "The client assertion is not a signed token."))?;
    let own = jws.text("iss").eq_ignore_ascii_case(&client.client_id);
    // Whoever names itself by a URL is another issuer.
    if !own && jws.text("iss").contains("://") {
        let trust = federated(world, client, &jws)?;
        return check_federated(world, trust, &jws);
    }
    if !own || !jws.text("sub").eq_ignore_ascii_case(&client.client_id) {
        return Err(Fault::aadsts(700_021));
    }
    let certificate = certificate(client, &jws)?;
    if !matches!(jws.head("alg"), "RS256" | "PS256") || !certificate.key.verify(&jws) {
        return Err(Fault::says(700_027, "Client assertion failed signature validation."));
    }
    let allowed = audiences(world, call);
    if !jws.audiences().iter().any(|aud| allowed.iter().any(|one| one == aud)) {
        return Err(Fault::says(
            700_023,
            format!("Client assertion audience claim does not match Realm issuer: it has {:?}.", jws.audiences()),
        ));
    }
    let expires = within(world, &jws, SKEW).map_err(|text| Fault::says(700_024, text))?;
    if lifetime(world, &jws, expires) > LIFETIME + SKEW {
        return Err(Fault::says(700_024, "Client assertion lives longer than 10 minutes."));
    }
    replay(world, call, client, &jws, expires)
}

/// The registered certificate that the header names, by either thumbprint or the chain.
fn certificate<'a>(client: &'a App, jws: &Jws) -> Outcome<&'a Parsed> {
    let thumbprint = |name: &str| jws.header.get(name).and_then(Value::as_str).map(|text| jose::decode(text).unwrap_or_default());
    let chain = jose::strings(jws.header.get("x5c"));
    // msal-python leaves the line breaks of the PEM in it.
    let bare = |text: &str| text.split_ascii_whitespace().collect::<String>();
    let leaf = chain.first().map(|text| jose::decode(&bare(text)).unwrap_or_default());
    let (sha256, sha1) = (thumbprint("x5t#S256"), thumbprint("x5t"));
    if sha256.is_none() && sha1.is_none() && leaf.is_none() {
        return Err(Fault::says(700_027, "The client assertion's header has none of x5t, x5t#S256 and x5c."));
    }
    // Every hint that is there must be of the same certificate.
    let meant = |one: &&Parsed| {
        sha256.as_ref().is_none_or(|hint| *hint == one.sha256)
            && sha1.as_ref().is_none_or(|hint| *hint == one.sha1)
            && leaf.as_ref().is_none_or(|hint| *hint == one.der)
    };
    let registered = client.certificates.iter().filter_map(|certificate| certificate.parsed.as_ref());
    registered.into_iter().find(meant).ok_or_else(|| Fault::aadsts(700_027))
}

fn federated<'a>(world: &World, client: &'a App, jws: &Jws) -> Outcome<&'a Federated> {
    if client.federated.is_empty() {
        let (id, name) = (&client.client_id, &client.name);
        return Err(Fault::says(70025, format!("The client '{id}'({name}) has no configured federated identity credentials.")));
    }
    let says = |code: u32, what: &str, value: &str| {
        Err(Fault::says(code, format!("No matching federated identity record found for presented assertion {what} '{value}'.")))
    };
    let issued: Vec<&Federated> = client.federated.iter().filter(|trust| trusts(world, trust, jws)).collect();
    if issued.is_empty() {
        return says(700_211, "issuer", jws.text("iss"));
    }
    let subject: Vec<&Federated> = issued.into_iter().filter(|trust| trust.subject == jws.text("sub")).collect();
    if subject.is_empty() {
        return says(700_213, "subject", jws.text("sub"));
    }
    match subject.into_iter().find(|trust| jws.audiences().contains(&trust.audience.as_str())) {
        Some(trust) => Ok(trust),
        None => says(700_212, "audience", &jws.audiences().join(" ")),
    }
}

/// Another issuer's token: no bound on its lifetime and no thumbprint, but its key set must have signed it.
fn check_federated(world: &World, trust: &Federated, jws: &Jws) -> Outcome<()> {
    if !verifies(world, trust, jws) {
        return Err(Fault::says(700_027, "Client assertion failed signature validation by the federated issuer's keys."));
    }
    within(world, jws, SKEW).map(|_| ()).map_err(|text| Fault::says(700_024, text))
}

/// Entra itself does not refuse a repeated `jti`; it does here if the directory or the script says so.
fn replay(world: &World, call: &Call, client: &App, jws: &Jws, expires: i64) -> Outcome<()> {
    let first =
        jws.text("jti").is_empty() || world.issued().first_use(&client.client_id, jws.text("jti"), expires + SKEW, world.now());
    if !first && (client.refuse_replayed_jti || call.refuse_replay) {
        return Err(Fault::says(50012, "Authentication failed: the jti of the client assertion was used before."));
    }
    Ok(())
}

/// The token endpoint that was used, and the forms of its authority, under every name of this host. In a region, and at an external
/// tenant, the endpoint itself is all.
fn audiences(world: &World, call: &Call) -> Vec<String> {
    let Place::Entra(segment) = &call.place else { return vec![format!("{}{}", call.origin(), call.path)] };
    if call.region.is_some() {
        return vec![format!("{}{}", call.origin(), call.path)];
    }
    let mut all = Vec::new();
    for origin in &world.origins {
        all.push(format!("{origin}{}", call.path));
        let tenant = world.directory.tenant(segment);
        let ids = tenant.into_iter().flat_map(|tenant| std::iter::once(&tenant.id).chain(&tenant.domains));
        for name in ids.map(String::as_str).chain([segment.as_str()]) {
            let authority = format!("{origin}/{name}");
            all.extend(["", "/", "/v2.0", "/oauth2/token", "/oauth2/v2.0/token"].map(|end| format!("{authority}{end}")));
        }
    }
    all
}
