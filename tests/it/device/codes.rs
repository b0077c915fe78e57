//! Device codes as texts: whose they are, and what is none.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{ANA, APPS, ORDERS, STOCK, approve, poll, poll_code, start, world};
use crate::doors::form;
use crate::support::{Client, Stage, World};

/// Two callers that may use the flow, one that may not, and one for an api.
const CALLERS: &str = "doors: [oauth2]
callers:
  - {name: alpha, token: {file: FILES/alpha}, flows: [device_code, silent], doors: [rest, oauth2]}
  - {name: beta, token: {file: FILES/beta}, flows: [device_code], doors: [rest, oauth2]}
  - {name: usual, token: {file: FILES/usual}}
  - {name: narrow, token: {file: FILES/narrow}, flows: [device_code], apis: [orders-user], doors: [rest, oauth2]}
";

/// The world with callers, and a client of each.
async fn called() -> (World, [Client; 4]) {
    let names = ["alpha", "beta", "usual", "narrow"];
    let world = World::changed(|yaml, files| {
        for name in names {
            fs::write(files.join(name), name.repeat(10)).expect("a file");
        }
        let folder = files.display().to_string();
        let api = format!("  orders-user: {{app: web, scopes: [\"{ORDERS}\"]}}\n");
        yaml.replacen("apis:\n", &format!("apis:\n{api}"), 1) + &CALLERS.replace("FILES", &folder)
    })
    .await;
    let clients = names.map(|name| world.sidecar.client.calling(&name.repeat(10)));
    (world, clients)
}

#[tokio::test]
async fn what_nobody_started_is_expired_token_without_a_call() {
    let world = world().await;
    let client = &world.sidecar.client;
    let good = start(client, "web", ORDERS).await.member("device_code").to_owned();
    let mut changed = good.clone();
    let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
    changed.push(last);
    let sealed = URL_SAFE_NO_PAD.decode(good.strip_prefix("tkdd1.").expect("a code")).expect("base64");
    let cut = URL_SAFE_NO_PAD.encode(&sealed[..sealed.len() - 1]);
    for code in [
        "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS".to_owned(),
        "tkdd1.".to_owned(),
        "tkdd1.AAAA".to_owned(),
        format!("tkdd1.{cut}"),
        good.replacen("tkdd1", "tkd1", 1),
        good.to_uppercase(),
        changed,
        "x".repeat(8192),
    ] {
        poll_code(client, &code).await.refused(400, "expired_token", "start again");
    }
    for missing in [json!({}), json!({"device_code": null}), json!({"device_code": ""})] {
        client.post("/device-code/poll", &missing).await.refused(400, "invalid_request", "`device_code` is missing");
    }
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn a_code_is_for_its_own_app() {
    let world = world().await;
    let client = &world.sidecar.client;
    let started = start(client, "web", ORDERS).await;
    approve(&world.emulator, &started, ANA).await;
    let of = |app: &str| json!({"app": app, "device_code": started.member("device_code")});
    for other in ["daemon", "web-device", "shop-device"] {
        client.post("/device-code/poll", &of(other)).await.refused(400, "expired_token", "");
    }
    client.post("/device-code/poll", &of("nowhere")).await.refused(404, "unknown_app", "`app`");
    assert_eq!(world.calls().await, 0);
    client.post("/device-code/poll", &of("web")).await.token();
}

#[tokio::test]
async fn a_code_is_for_its_own_caller_and_the_flow_is_had_by_name_only() {
    let (world, [alpha, beta, usual, _]) = called().await;
    let started = start(&alpha, "web", ORDERS).await;
    approve(&world.emulator, &started, ANA).await;
    poll(&beta, &started).await.refused(400, "expired_token", "this app and caller");
    poll(&usual, &started).await.refused(403, "caller_not_allowed", "`callers.*.flows`");
    let refused = usual.post("/device-code", &json!({"app": "web", "scopes": ORDERS})).await;
    refused.refused(403, "caller_not_allowed", "`callers.*.flows`");
    assert_eq!(world.calls().await, 0);
    let answer = poll(&alpha, &started).await;
    answer.token();
    // The account is its caller's.
    let silent = json!({"app": "web", "scopes": ORDERS, "account": answer.json["account"]["home_account_id"]});
    alpha.post("/silent", &silent).await.token();
    poll(&beta, &started).await.refused(400, "expired_token", "");
}

#[tokio::test]
async fn a_caller_for_one_api_names_it_at_the_start_and_is_judged_again_at_the_poll() {
    let (world, [.., narrow]) = called().await;
    for body in [json!({"app": "web", "scopes": ORDERS}), json!({"app": "web", "api": "graph-user"}), json!({"app": "web"})] {
        narrow.post("/device-code", &body).await.refused(403, "caller_not_allowed", "`callers.*.apis`");
    }
    let started = narrow.post("/device-code", &json!({"api": "orders-user"})).await;
    assert_eq!(started.status, 200, "{}", started.text);
    approve(&world.emulator, &started, ANA).await;
    poll(&narrow, &started).await.token();
    // At the token endpoint the scope says which api is meant, and the poll has none.
    let pairs = [("client_id", "web"), ("scope", ORDERS), ("client_secret", &*"narrow".repeat(10))];
    let client = &world.sidecar.client;
    let started = form(client, "/oauth2/device_authorization", &pairs).await;
    assert_eq!(started.status, 200, "{}", started.text);
    approve(&world.emulator, &started, ANA).await;
    let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    let code = ("device_code", started.member("device_code"));
    let pairs = [grant, code, ("client_id", "web"), ("client_secret", &*"narrow".repeat(10))];
    let answer = form(client, "/oauth2/token", &pairs).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let other =
        [("client_id", "web"), ("scope", "https://graph.microsoft.com/User.Read"), ("client_secret", &*"narrow".repeat(10))];
    form(client, "/oauth2/device_authorization", &other).await.oauth_error(400, "invalid_scope", "apis");
}

#[tokio::test]
async fn what_was_granted_beyond_the_api_is_not_for_a_caller_of_that_api() {
    let (world, [.., narrow]) = called().await;
    let started = narrow.post("/device-code", &json!({"api": "orders-user"})).await;
    approve(&world.emulator, &started, ANA).await;
    let more = json!({"scope": format!("{ORDERS} https://graph.microsoft.com/User.Read")});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": more}})).await;
    poll(&narrow, &started).await.refused(403, "caller_not_allowed", "good for more");
}

#[tokio::test]
async fn a_restart_without_a_ring_ends_codes_and_says_so() {
    let stage = || Stage { apps: APPS, ..Stage::default() };
    let (world, other) = (World::staged(stage()).await, World::staged(stage()).await);
    let started = start(&world.sidecar.client, "shop-device", STOCK).await;
    // Another process, which has a key of its own.
    poll(&other.sidecar.client, &started).await.refused(400, "expired_token", "start again");
    assert_eq!(other.calls().await, 0);
}
