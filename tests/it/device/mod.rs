//! `/device-code` and `/device-code/poll`: a user signs in on another device (RFC 8628). At both kinds of authority, as a public
//! client and as one that proves itself, in one process and in replicas over a Redis.

mod codes;
mod flow;
mod polls;
mod replicas;
mod standard;
mod starts;

use serde_json::{Value, json};

use crate::support::{Answer, Client, Emulator, Stage, World};

const ORDERS: &str = "api://orders/access_as_user";
const STOCK: &str = "orders.read";
const ANA: &str = "ana@contoso.example";
const EVA: &str = "eva";

/// Apps for devices: with the credential, and without any at an issuer and at Entra.
const APPS: &str =
    "  web-device: {authority: \"ORIGIN/TENANT\", ca_file: FILES/ca.pem, client_id: 5b0c2e7a-9d41-4f36-8a1c-7e02b94d6f15, \
                    device_code: {client: confidential}, credential: {secret: {file: FILES/web.secret}}}
  desktop: {authority: \"ORIGIN/TENANT\", ca_file: FILES/ca.pem, client_id: c07d5b2f-8e61-4a93-b4f8-63a1d90e7c28, \
                    credential: {public: true}}
  till: {issuer: \"ORIGIN/oidc/shop\", ca_file: FILES/ca.pem, client_id: shop-till, offline_access: true, \
                    credential: {public: true}}
  shop-device: {issuer: \"ORIGIN/oidc/shop\", ca_file: FILES/ca.pem, client_id: shop-web, offline_access: true, \
                    credential: {secret: {file: FILES/shop-web.secret}}}";

async fn world() -> World {
    World::staged(Stage { apps: APPS, ..Stage::default() }).await
}

async fn world_with(more: &str) -> World {
    World::staged(Stage { apps: APPS, more, ..Stage::default() }).await
}

/// `POST /device-code`.
async fn start(client: &Client, app: &str, scopes: &str) -> Answer {
    let answer = client.post("/device-code", &json!({"app": app, "scopes": scopes})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

/// `POST /device-code/poll`.
async fn poll(client: &Client, started: &Answer) -> Answer {
    poll_code(client, started.member("device_code")).await
}

async fn poll_code(client: &Client, device_code: &str) -> Answer {
    client.post("/device-code/poll", &json!({"device_code": device_code})).await
}

/// The user enters the code and signs in.
async fn approve(emulator: &Emulator, started: &Answer, user: &str) {
    decide(emulator, json!({"code": started.member("user_code"), "user": user})).await;
}

/// The user says no.
async fn deny(emulator: &Emulator, started: &Answer) {
    decide(emulator, json!({"code": started.member("user_code"), "deny": true})).await;
}

async fn decide(emulator: &Emulator, decision: Value) {
    let answer = emulator.client.post("/_emulator/device", &decision).await;
    assert!(answer.status < 300, "{}", answer.text);
}

/// The forms that the token endpoints were sent with a device code.
async fn polled(emulator: &Emulator) -> Vec<Value> {
    let asked = emulator.asked("token").await.into_iter().map(|call| call["form"].clone());
    asked.filter(|form| form["device_code"].is_string()).collect()
}
