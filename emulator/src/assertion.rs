//! What every authority checks of a client assertion (RFC 7523): the key that signed it, and its times.

use serde_json::Value;

use crate::{
    jose::{Jws, PublicKey},
    registration::Federated,
    world::World,
};

/// Seconds that two clocks may differ.
pub(crate) const SKEW: i64 = 60;

/// Whether a key of the set signed it; the `kid` chooses if there is one.
pub(crate) fn jwks_verifies(jwks: &Value, jws: &Jws) -> bool {
    let keys = jwks.get("keys").and_then(Value::as_array).into_iter().flatten();
    let kid = jws.header.get("kid");
    let mut meant = keys.filter(|key| kid.is_none() || key.get("kid").is_none() || key.get("kid") == kid);
    meant.any(|key| PublicKey::from_jwk(key).is_some_and(|key| key.verify(jws)))
}

/// Whether the issuer that is trusted is the assertion's.
pub(crate) fn trusts(world: &World, trust: &Federated, jws: &Jws) -> bool {
    match &trust.realm {
        Some(realm) => {
            world.origins.iter().chain([&world.origin]).any(|origin| jws.text("iss") == format!("{origin}/oidc/{realm}"))
        }
        None => trust.issuer == jws.text("iss"),
    }
}

/// Whether the keys of the issuer that is trusted signed the assertion.
pub(crate) fn verifies(world: &World, trust: &Federated, jws: &Jws) -> bool {
    match &trust.realm {
        Some(_) => world.keys().published_as(jws.head("kid")).is_some_and(|key| key.verify(jws)),
        None => jwks_verifies(&trust.jwks, jws),
    }
}

/// `exp` and, if there, `nbf` or `iat`, against a clock that may differ by so many seconds. Returns `exp`, or what is wrong.
pub(crate) fn within(world: &World, jws: &Jws, skew: i64) -> Result<i64, String> {
    let now = world.now();
    let expires = jws.time("exp").ok_or("Client assertion has no expiry.")?;
    let begins = jws.time("nbf").or_else(|| jws.time("iat")).unwrap_or(now);
    if expires + skew <= now || begins - skew > now {
        return Err(format!("Client assertion is not within its valid time range: {begins} to {expires}, and it is {now}."));
    }
    Ok(expires)
}

/// Seconds from its making, as far as it says, to its end.
pub(crate) fn lifetime(world: &World, jws: &Jws, expires: i64) -> i64 {
    expires - jws.time("iat").or_else(|| jws.time("nbf")).unwrap_or_else(|| world.now())
}
