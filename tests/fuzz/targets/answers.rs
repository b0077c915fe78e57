//! What a token endpoint answers: read by itself, and through the whole sidecar.

use serde_json::json;
use tokend::authority::BegunDevice;
use tokend::oauth::{ClientInfo, ErrorBody, TokenResponse, challenge, unverified};
use tokend::secret::Secret;

use super::holds;
use super::world::{CANARY, FuzzWorld, judged};
use crate::bench::Ready;

/// How many inputs are read by themselves for each that goes the long way.
const EACH: u32 = 20;

pub(super) fn ready() -> Ready {
    let world = FuzzWorld::new();
    let mut count = 0;
    let takes = move |input: &[u8]| {
        alone(input)?;
        count += 1;
        let Some(text) = std::str::from_utf8(input).ok().filter(|_| count % EACH == 0 || count < 100) else { return Ok(()) };
        let status = [200, 400, 401, 429, 503][usize::try_from(count / EACH).unwrap_or(0) % 5];
        world.answering("token", status, text);
        world.a_day_later();
        for body in [
            json!({"app": "daemon", "scopes": "https://graph.microsoft.com/.default", "force_refresh": true}),
            json!({"app": "shop", "scopes": "stock.read", "force_refresh": true}),
        ] {
            let answer = world.run(world.world.app_token(body));
            judged(&answer)?;
            let is_told =
                answer.json.get("expires_in").is_some_and(|lifetime| lifetime.as_i64().is_some_and(|seconds| seconds <= 0));
            holds(!is_told, || format!("a token that has ended is handed out: {}", answer.text))?;
        }
        Ok(())
    };
    Ready { seeds: Vec::new(), takes: Box::new(takes) }
}

/// The types on the wire.
fn alone(input: &[u8]) -> Result<(), String> {
    if let Ok(answer) = serde_json::from_slice::<TokenResponse>(input) {
        let shown = format!("{:?} {:?} {:?}", answer.access_token, answer.refresh_token, answer.id_token);
        holds(!shown.contains(CANARY), || format!("Debug shows a token: {shown}"))?;
        let _claims = answer.id_token.as_ref().map(Secret::expose).and_then(unverified);
        let _info = answer.client_info.as_deref().and_then(ClientInfo::parse);
    }
    if let Ok(begun) = BegunDevice::read(input) {
        let shown = [&begun.user_code, &begun.verification_uri];
        holds(!shown.iter().any(|text| text.chars().any(char::is_control)), || format!("it reaches a screen: {shown:?}"))?;
        holds(begun.expires_in > 0 && begun.interval > 0, || "a code that cannot be polled".to_owned())?;
    }
    if let Ok(error) = serde_json::from_slice::<ErrorBody>(input)
        && let Some(claims) = &error.claims
    {
        let _challenge = challenge(claims);
    }
    Ok(())
}
