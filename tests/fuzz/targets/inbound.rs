//! Users' tokens at `/obo`: whatever is not the authority's own text is 401, or the form of the request.

use tokend::oauth::unverified;

use super::holds;
use super::world::{CANARY, FuzzWorld, judged};
use crate::bench::Ready;

pub(super) fn ready() -> Ready {
    let world = FuzzWorld::new();
    let ana = world.run(world.world.emulator.user_token("ana@contoso.example"));
    let eva = world.eva();
    let seeds = vec![ana.clone().into_bytes(), eva.clone().into_bytes()];
    let takes = move |input: &[u8]| {
        if let Some(claims) = std::str::from_utf8(input).ok().and_then(unverified) {
            // What is read is what is judged: it is the same, read twice.
            holds(std::str::from_utf8(input).ok().and_then(unverified) == Some(claims), || "read twice it is another".to_owned())?;
        }
        let trimmed = String::from_utf8_lossy(input).trim().to_owned();
        for (app, good) in [("orders", &ana), ("shop", &eva)] {
            let Some(answer) = world.obo(app, input) else { continue };
            judged(&answer)?;
            holds(!answer.text.contains(CANARY), || format!("it tells what came in: {}", answer.text))?;
            // Nothing but the very token is good. A signature may be spelt in several ways, which is the same signature.
            let is_signed = trimmed.rsplit_once('.').map(|(signed, _)| signed) == good.rsplit_once('.').map(|(signed, _)| signed);
            holds(answer.status != 200 || is_signed, || format!("a token that nobody signed is taken at {app}: {}", answer.text))?;
        }
        Ok(())
    };
    // What it must not tell stands in it.
    let header = "eyJhbGciOiJSUzI1NiJ9";
    let mut seeds = seeds;
    seeds.push(format!("{header}.{CANARY}.{CANARY}").into_bytes());
    Ready { seeds, takes: Box::new(takes) }
}
