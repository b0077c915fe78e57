//! Bodies of requests at every route that takes one: a token, or a problem that is the caller's.

use super::holds;
use super::world::{FuzzWorld, judged};
use crate::bench::Ready;
use crate::support::Client;

const ROUTES: [&str; 5] = ["/client-credentials", "/obo", "/auth-code", "/auth-code/url", "/silent"];

pub(super) fn ready() -> Ready {
    let world = FuzzWorld::new();
    let ana = world.run(world.world.emulator.user_token("ana@contoso.example"));
    let mut count = 0;
    let takes = move |input: &[u8]| {
        count += 1;
        let route = ROUTES[count % ROUTES.len()];
        // As JSON, and as what stands in a URL.
        let request = world.world.sidecar.client.raw(route).header("content-type", "application/json").bearer_auth(&ana);
        let answer = world.run(Client::send(request.body(input.to_vec())));
        judged(&answer)?;
        if count % 8 == 0 {
            let text: String = url::form_urlencoded::byte_serialize(input).collect();
            for path in
                [format!("/accounts?app=web&cursor={text}"), format!("/accounts?{text}"), format!("/accounts/{text}?app=web")]
            {
                if path.len() < 8000 {
                    judged(&world.run(world.world.sidecar.client.get(&path)))?;
                }
            }
        }
        // Failures that are remembered must not answer all the rest.
        if count % 50 == 0 {
            world.world.later(120);
        }
        holds(answer.status < 500 || answer.json["error"] != "internal_error", || answer.text.clone())
    };
    Ready { seeds: Vec::new(), takes: Box::new(takes) }
}
