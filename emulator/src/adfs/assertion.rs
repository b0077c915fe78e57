//! Client assertions as a farm takes them: RS256 alone, and a certificate that is named by `x5t`.

use super::{ask::msis, registration::FarmClient};
use crate::{
    assertion::{SKEW, lifetime, within},
    call::Call,
    fault::{Fault, Outcome},
    jose::{self, Jws},
    world::World,
};

/// Seconds that an assertion may live.
const LIFETIME: i64 = 600;

pub(super) fn check(world: &World, call: &Call, client: &FarmClient, text: &str) -> Outcome<()> {
    let jws = Jws::parse(text).ok_or_else(|| refused("it is no signed token"))?;
    if jws.head("alg") != "RS256" {
        return Err(refused("its algorithm is not RS256"));
    }
    if [jws.text("iss"), jws.text("sub")].iter().any(|name| !name.eq_ignore_ascii_case(&client.client_id)) {
        return Err(refused("iss and sub are not the client"));
    }
    let thumbprint = jose::decode(jws.head("x5t")).unwrap_or_default();
    let registered = client.certificates.iter().filter_map(|certificate| certificate.parsed.as_ref());
    let signed = registered.into_iter().any(|one| one.sha1 == thumbprint && one.key.verify(&jws));
    if !signed {
        return Err(refused("x5t names no certificate of the client's, or its key did not sign it"));
    }
    let endpoint = format!("{}{}", call.origin(), call.path);
    if !jws.audiences().iter().any(|aud| aud.trim_end_matches('/') == endpoint.trim_end_matches('/')) {
        return Err(refused("aud is not the token endpoint"));
    }
    let expires = within(world, &jws, SKEW).map_err(|text| refused(&text))?;
    if lifetime(world, &jws, expires) > LIFETIME + SKEW {
        return Err(refused("it lives longer than 10 minutes"));
    }
    Ok(())
}

fn refused(why: &str) -> Box<Fault> {
    let text = format!(
        "Client authentication failed. Please verify the credential provided for client authentication is valid: the assertion is not \
         accepted, {why}."
    );
    msis(9622, "invalid_client", &text)
}
