//! What tokend sends to an Entra-style authority, read from the emulator's record: each grant once with a secret, once with a
//! certificate. The whole form is compared, so that a member too many shows as well.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Client, GRAPH, World};

const ORDERS: &str = "api://orders/access_as_user";
const MAIL: &str = "https://graph.microsoft.com/User.Read";
const ID: &str = "6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f";

/// The only request that the token endpoint got.
async fn only(world: &World) -> Value {
    let mut asked = world.emulator.asked("token").await;
    assert_eq!(asked.len(), 1, "{asked:#?}");
    asked.remove(0)
}

/// The form without the proof of this app, which must be of the kind that the app has.
#[track_caller]
fn unproved(world: &World, registered: &str, certificate: bool, request: &Value) -> Value {
    let mut form = request["form"].clone();
    let members = form.as_object_mut().expect("a form");
    let entry = world.emulator.app(registered);
    assert_eq!(members.remove("client_id").as_ref(), Some(&entry["client_id"]));
    if certificate {
        let kind = members.remove("client_assertion_type").unwrap_or_default();
        assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let assertion = members.remove("client_assertion").unwrap_or_default();
        assert_eq!(assertion.as_str().map(|text| text.split('.').count()), Some(3), "{assertion}");
    } else {
        assert_eq!(members.remove("client_secret").as_ref(), Some(&entry["secrets"][0]));
    }
    assert_eq!(request["headers"]["authorization"], Value::Null, "the proof stands in the body");
    form
}

/// A list of scopes as a set; fails if one is there twice.
#[track_caller]
fn set(scope: &Value) -> BTreeSet<String> {
    let list: Vec<String> = scope.as_str().expect("scopes").split(' ').map(str::to_owned).collect();
    let set: BTreeSet<String> = list.iter().cloned().collect();
    assert_eq!(set.len(), list.len(), "{scope}");
    set
}

fn sorted(scopes: &[&str]) -> BTreeSet<String> {
    scopes.iter().map(|scope| (*scope).to_owned()).collect()
}

async fn req_1(app: &str, certificate: bool) {
    let world = World::new().await;
    world.app_token(json!({"app": app, "scopes": [GRAPH]})).await.token();
    let form = unproved(&world, "daemon", certificate, &only(&world).await);
    assert_eq!(form, json!({"grant_type": "client_credentials", "scope": GRAPH}));
}

#[tokio::test]
async fn req_1_client_credentials_with_a_secret() {
    req_1("daemon", false).await;
}

#[tokio::test]
async fn req_1_client_credentials_with_a_certificate() {
    req_1("daemon-cert", true).await;
}

#[tokio::test]
async fn req_1_client_credentials_send_the_scopes_as_the_caller_wrote_them() {
    let world = World::new().await;
    // The emulator takes one scope only; what counts is what it was asked.
    world.app_token(json!({"app": "daemon", "scopes": "Z.b a/.Default openid"})).await;
    assert_eq!(only(&world).await["form"]["scope"], "Z.b a/.Default openid");
}

async fn req_2(app: &str, certificate: bool) {
    let world = World::new().await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let answer = world.obo_as(app, MAIL, &user).await;
    answer.token();
    let mut form = unproved(&world, "orders-api", certificate, &only(&world).await);
    let scope = form.as_object_mut().and_then(|form| form.remove("scope")).unwrap_or_default();
    assert_eq!(set(&scope), sorted(&[MAIL, "openid", "profile", "offline_access"]));
    let expected = json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "requested_token_use": "on_behalf_of",
        "assertion": user, "client_info": "1",
    });
    assert_eq!(form, expected);
}

#[tokio::test]
async fn req_2_obo_fields_with_a_secret() {
    req_2("orders-secret", false).await;
}

#[tokio::test]
async fn req_2_obo_fields_with_a_certificate() {
    req_2("orders", true).await;
}

async fn req_3_obo(app: &str) {
    let world = World::new().await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    world.obo_as(app, &format!("{MAIL} OpenID Offline_Access"), &user).await.token();
    let sent = set(&only(&world).await["form"]["scope"]);
    assert_eq!(
        sent,
        sorted(&[MAIL, "OpenID", "Offline_Access", "profile"]),
        "what the caller wrote in other case is there already"
    );
}

#[tokio::test]
async fn req_3_obo_scopes_are_a_union_in_any_case_with_a_secret() {
    req_3_obo("orders-secret").await;
}

#[tokio::test]
async fn req_3_obo_scopes_are_a_union_in_any_case_with_a_certificate() {
    req_3_obo("orders").await;
}

#[tokio::test]
async fn req_3_sign_in_scopes_are_a_union_in_any_case() {
    let world = World::new().await;
    let answer = world.authorize_url("web", &format!("{ORDERS} PROFILE"), json!({})).await;
    assert_eq!(set(&answer.json["scope"]), sorted(&[ORDERS, "PROFILE", "openid", "offline_access"]));
    let code = world.code("web", &format!("{ORDERS} PROFILE"), "ana@contoso.example").await;
    world.redeem(&code).await.token();
    let sent = set(&only(&world).await["form"]["scope"]);
    assert_eq!(sent, sorted(&[ORDERS, "PROFILE", "openid", "offline_access"]));
}

async fn req_4(app: &str, certificate: bool) {
    let world = World::new().await;
    let code = world.code(app, ORDERS, "ana@contoso.example").await;
    world.redeem(&code).await.token();
    let mut form = unproved(&world, "web", certificate, &only(&world).await);
    let scope = form.as_object_mut().and_then(|form| form.remove("scope")).unwrap_or_default();
    assert_eq!(set(&scope), sorted(&[ORDERS, "openid", "profile", "offline_access"]));
    let expected = json!({
        "grant_type": "authorization_code", "code": code["code"], "redirect_uri": code["redirect_uri"],
        "code_verifier": code["code_verifier"], "client_info": "1",
    });
    assert_eq!(form, expected);
}

#[tokio::test]
async fn req_4_code_fields_with_a_secret() {
    req_4("web", false).await;
}

#[tokio::test]
async fn req_4_code_fields_with_a_certificate() {
    req_4("web-cert", true).await;
}

#[track_caller]
fn has_entra_headers(request: &Value) {
    let headers = &request["headers"];
    let expected = json!({
        "client-request-id": ID, "return-client-request-id": "true", "accept": "application/json",
        "content-type": "application/x-www-form-urlencoded;charset=utf-8", "x-client-sku": "tokend",
        "x-client-ver": env!("CARGO_PKG_VERSION"), "x-client-os": std::env::consts::OS, "x-client-cpu": std::env::consts::ARCH,
        "x-ms-lib-capability": "retry-after, h429",
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(headers[name], *value, "{name} in {headers:#}");
    }
}

async fn req_11(app: &str) {
    let world = World::new().await;
    let body = json!({"app": app, "scopes": [GRAPH]});
    let request = world.sidecar.client.request("/client-credentials", &body).header("x-correlation-id", ID);
    let answer = Client::send(request).await;
    answer.token();
    assert_eq!((answer.member("correlation_id"), answer.header("x-correlation-id")), (ID, ID));
    has_entra_headers(&only(&world).await);
}

#[tokio::test]
async fn req_11_headers_with_a_secret() {
    req_11("daemon").await;
}

#[tokio::test]
async fn req_11_headers_with_a_certificate() {
    req_11("daemon-cert").await;
}

#[tokio::test]
async fn req_11_headers_of_obo_and_of_a_redemption() {
    let world = World::new().await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let body = json!({"app": "orders", "scopes": [MAIL]});
    let obo = world.sidecar.client.request("/obo", &body).bearer_auth(user).header("x-correlation-id", ID);
    Client::send(obo).await.token();
    let code = world.code("web", ORDERS, "ana@contoso.example").await;
    Client::send(world.sidecar.client.request("/auth-code", &code).header("x-correlation-id", ID)).await.token();
    let asked = world.emulator.asked("token").await;
    assert_eq!(asked.len(), 2);
    asked.iter().for_each(has_entra_headers);
}

#[tokio::test]
async fn req_12_refreshes_and_passwords_say_whose_they_are_at_entra_alone() {
    let world = World::new().await;
    let client = &world.sidecar.client;
    world.graph().await.token();
    world.obo(&world.emulator.user_token("ana@contoso.example").await).await.token();
    let signed = world.redeem(&world.code("web", ORDERS, "ana@contoso.example").await).await;
    let account = signed.json["account"]["home_account_id"].as_str().expect("an id").to_owned();
    let silent = json!({"app": "web", "scopes": [ORDERS], "account": account, "force_refresh": true});
    client.post("/silent", &silent).await.token();
    let password = json!({"app": "web", "scopes": [ORDERS], "username": "ben@contoso.example", "password": "ben-password"});
    client.post("/username-password", &password).await.token();
    let password = json!({"app": "shop-web", "scopes": "orders.read", "username": "eva", "password": "eva-password"});
    client.post("/username-password", &password).await.token();
    let asked = world.emulator.asked("token").await;
    let hints: Vec<_> = asked.iter().map(|call| call["headers"]["x-anchormailbox"].as_str().unwrap_or("-")).collect();
    let (oid, tid) = account.split_once('.').expect("two halves");
    assert_eq!(hints, ["-", "-", "-", &format!("Oid:{oid}@{tid}"), "UPN:ben@contoso.example", "-"]);
}

#[tokio::test]
async fn audience_and_resource_mean_nothing_at_entra() {
    let world = World::new().await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let code = world.code("web", ORDERS, "ana@contoso.example").await;
    for member in ["audience", "resource"] {
        let with = |body: &Value| {
            let mut body = body.clone();
            body[member] = json!("api://billing");
            body
        };
        world.app_token(with(&json!({"app": "daemon", "scopes": [GRAPH]}))).await.refused(400, "invalid_request", member);
        let obo = with(&json!({"app": "orders", "scopes": [MAIL]}));
        world.sidecar.client.post_as("/obo", &user, &obo).await.refused(400, "invalid_request", member);
        let url = world.authorize_url("web", ORDERS, json!({member: "api://billing"})).await;
        url.refused(400, "invalid_request", member);
        world.redeem(&with(&code)).await.refused(400, "invalid_request", member);
    }
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn a_request_without_scopes_is_refused_before_anything_is_asked() {
    let world = World::new().await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    world.app_token(json!({"app": "daemon"})).await.refused(400, "invalid_request", "`scopes`");
    let obo = world.sidecar.client.post_as("/obo", &user, &json!({"app": "orders"})).await;
    obo.refused(400, "invalid_request", "`scopes`");
    world.app_token(json!({"app": "shop"})).await.refused(400, "invalid_request", "`scopes`");
    assert_eq!(world.calls().await, 0);
}
