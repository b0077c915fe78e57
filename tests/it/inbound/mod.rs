//! Whose token is accepted at `/obo`: the contract's "Inbound tokens", rule by rule, from outside.

mod algorithms;
mod claims;
mod elsewhere;
mod issuers;
mod key_sets;
mod keys;
mod kinds;
mod remembered;
mod signature;
mod tenants;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Answer, World};

const USER_READ: &str = "https://graph.microsoft.com/User.Read";

/// An order for a token of ana for orders-api, changed by `more`.
fn order(more: Value) -> Value {
    let mut order = json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user"});
    let members = more.as_object().expect("members").clone();
    order.as_object_mut().expect("an object").extend(members);
    order
}

/// `POST /obo` as some app with a token.
async fn obo_as(world: &World, app: &str, bearer: &str) -> Answer {
    let scope = if app.starts_with("shop") { "stock.read" } else { USER_READ };
    world.sidecar.client.post_as("/obo", bearer, &json!({"app": app, "scopes": [scope]})).await
}

/// Checks that an answer refuses the token itself.
#[track_caller]
fn is_refused(answer: &Answer, word: &str) {
    answer.refused(401, "invalid_token", word);
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
}

/// Part 0 (header) or 1 (claims) of a token.
fn part(token: &str, index: usize) -> Value {
    let text = token.split('.').nth(index).expect("a part");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("JSON")
}

/// The text of a part.
fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}
