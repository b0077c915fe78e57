//! Metadata and keys: read by themselves, and through the whole sidecar. A document that is none stops nothing but what needs it.

use tokend::oauth::{Key, KeySet, Metadata};

use super::holds;
use super::world::{FuzzWorld, judged};
use crate::bench::Ready;

/// How many inputs are read by themselves for each that goes the long way.
const EACH: u32 = 20;

pub(super) fn ready() -> Ready {
    let world = FuzzWorld::new();
    let eva = world.eva();
    // The documents of the authority itself, to be changed.
    let get = |path: &str| world.run(world.world.emulator.client.get(path)).text.into_bytes();
    let seeds = vec![get("/oidc/shop/.well-known/openid-configuration"), get("/oidc/shop/jwks")];
    let origin = world.world.emulator.origin.clone();
    let mut count = 0;
    let takes = move |input: &[u8]| {
        if let Ok(keys) = serde_json::from_slice::<KeySet>(input) {
            for why in keys.keys.iter().flatten().filter_map(|key| Key::read(key).err()) {
                holds(!why.is_empty(), || "a key is refused without a reason".to_owned())?;
            }
        }
        let metadata = serde_json::from_slice::<Metadata>(input).ok();
        count += 1;
        let Some(text) = std::str::from_utf8(input).ok().filter(|_| count % EACH == 0 || count < 60) else { return Ok(()) };
        let endpoint = if (count / EACH).is_multiple_of(2) { "keys" } else { "discovery" };
        world.answering(endpoint, 200, text);
        world.a_day_later();
        let Some(answer) = world.obo("shop", eva.as_bytes()) else { return Ok(()) };
        judged(&answer)?;
        // OpenID Connect Discovery §4.3.
        let is_ours = metadata.is_some_and(|metadata| metadata.issuer == Some(format!("{origin}/oidc/shop")));
        holds(endpoint == "keys" || answer.status != 200 || is_ours, || format!("a foreign document is taken: {}", answer.text))
    };
    Ready { seeds, takes: Box::new(takes) }
}
