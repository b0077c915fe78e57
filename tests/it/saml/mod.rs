//! SAML assertions in place of users' tokens, and as tokens (REQ-8): at both kinds of authorities, at both doors.

mod given;
mod issued;
mod refused;
mod token_endpoint;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Answer, Emulator, World};

pub(crate) const SAML1: &str = "urn:ietf:params:oauth:token-type:saml1";
pub(crate) const SAML2: &str = "urn:ietf:params:oauth:token-type:saml2";
const USER_READ: &str = "https://graph.microsoft.com/User.Read";
const ANA: &str = "ana@contoso.example";

/// An assertion to order, as XML.
pub(crate) async fn minted(emulator: &Emulator, order: Value) -> String {
    let answer = emulator.client.post("/_emulator/saml", &order).await;
    answer.json["assertion"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

/// A user's assertion for orders-api, of SAML 2.0.
pub(crate) async fn of_user(emulator: &Emulator, user: &str) -> String {
    minted(emulator, json!({"app": "orders-api", "user": user})).await
}

/// Eva's for the app `shop`, of her realm.
async fn of_eva(emulator: &Emulator, version: &str) -> String {
    let order = json!({"version": version, "realm": "shop", "app": "https://orders.shop.example", "user": "eva"});
    minted(emulator, order).await
}

/// What a request for a token has beside the assertion.
fn with(body: Value, more: Value) -> Value {
    let (mut body, more) = (body.as_object().expect("members").clone(), more.as_object().expect("members").clone());
    body.extend(more);
    Value::Object(body)
}

/// `POST /obo` as the app `orders` with an assertion of SAML 2.0, and more members.
async fn obo(world: &World, assertion: &str, more: Value) -> Answer {
    let body = json!({"app": "orders", "scopes": USER_READ, "assertion": assertion, "subject_token_type": SAML2});
    world.sidecar.client.post("/obo", &with(body, more)).await
}

/// `POST /obo` as the app `shop`.
async fn exchange(world: &World, assertion: &str, kind: &str) -> Answer {
    let body = json!({"app": "shop", "scopes": "stock.read", "assertion": assertion, "assertion_type": kind});
    world.sidecar.client.post("/obo", &body).await
}

/// How many tokens are in memory.
async fn kept(world: &World) -> Value {
    world.sidecar.admin.get("/status").await.json["cache"]["entries"].clone()
}

fn encoded(xml: &str) -> String {
    URL_SAFE_NO_PAD.encode(xml)
}
