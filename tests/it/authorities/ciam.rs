//! External tenants (CIAM): they issue under their id, whatever host is asked.

use serde_json::json;

use super::{OUTSIDE, Stage};
use crate::support::redis::RedisServer;

const APPS: &str = r#"
  web: {authority: "https://contoso.ciamlogin.com", ca_file: FILES/ca.pem, client_id: 7d20c4e8-1b95-4f3a-86de-c03b5a9f7e12,
    credential: {secret: {file: FILES/outside-web.secret}}}
  signed: {authority: "https://6a1f0d94-27c3-4e8b-b5d2-90f4e7c3a816.ciamlogin.com/6a1f0d94-27c3-4e8b-b5d2-90f4e7c3a816",
    ca_file: FILES/ca.pem, client_id: 7d20c4e8-1b95-4f3a-86de-c03b5a9f7e12,
    credential: {certificate: {file: FILES/outside-web.pem}}}
  api: {authority: "https://contoso.ciamlogin.com/contoso.onmicrosoft.com", ca_file: FILES/ca.pem,
    client_id: e91b6f05-c42d-47a8-9f30-2d8c1e7b5a64, credential: {secret: {file: FILES/outside-api.secret}},
    inbound: {audiences: ["api://outside"], scopes: [shop.buy]}}
  domain: {authority: "https://login.contoso.test/contoso.onmicrosoft.com", kind: ciam, ca_file: FILES/ca.pem,
    client_id: 7d20c4e8-1b95-4f3a-86de-c03b5a9f7e12, credential: {secret: {file: FILES/outside-web.secret}}}
"#;

const DOORS: &str = "doors: [rest, oauth2]";
const BUY: &str = "api://outside/shop.buy";
const GRAPH_USER: &str = "https://graph.microsoft.com/User.Read";
const EVE: &str = "eve@shop.example";

async fn stage() -> Stage {
    Stage::new(APPS, DOORS).await
}

#[tokio::test]
async fn aut_11_a_host_without_a_path_names_its_tenant() {
    let stage = stage().await;
    let answer = stage.sign_in(EVE, &json!({"app": "web", "scopes": [BUY]})).await;
    answer.token();
    assert_eq!(answer.json["tenant_id"], OUTSIDE);
    assert_eq!(answer.json["account"]["home_account_id"], format!("55fbe408-9610-42a3-87ed-08142b365f05.{OUTSIDE}"));
    let call = stage.last_token_call().await;
    assert_eq!(
        (&call["host"], &call["path"]),
        (&json!("contoso.ciamlogin.com"), &json!("/contoso.onmicrosoft.com/oauth2/v2.0/token"))
    );
    let account = answer.json["account"]["home_account_id"].clone();
    let silent = stage.post("/silent", json!({"app": "web", "account": account, "scopes": [BUY]})).await;
    assert_eq!(silent.source(), "cache");
}

#[tokio::test]
async fn asn_4_an_app_has_tokens_of_its_own_by_either_host() {
    let stage = stage().await;
    let ask = async |app: &str| stage.post("/client-credentials", json!({"app": app, "scopes": ["api://outside/.default"]})).await;
    ask("web").await.token();
    ask("domain").await.token();
    assert_eq!(stage.last_token_call().await["host"], "login.contoso.test");
    // The assertion's audience is the endpoint at that host.
    ask("signed").await.token();
}

#[tokio::test]
async fn aut_12_users_tokens_are_exchanged_whatever_host_was_asked() {
    let stage = stage().await;
    for app in ["web", "domain"] {
        let user = stage.sign_in(EVE, &json!({"app": app, "scopes": [BUY]})).await;
        let answer = stage.obo(user.token(), json!({"app": "api", "scopes": [GRAPH_USER]})).await;
        answer.token();
        assert!(stage.is_active("api", user.token()).await);
        assert!(!stage.is_active("api", user.member("id_token")).await);
    }
}

#[tokio::test]
async fn a_token_of_the_older_version_is_none_here() {
    let stage = stage().await;
    let good = stage.emulator.mint(json!({"app": "outside-api", "user": EVE, "scopes": "shop.buy", "version": 2})).await;
    let ask = json!({"app": "api", "scopes": [GRAPH_USER]});
    stage.obo(&good, ask.clone()).await.token();
    let v1 = stage.emulator.mint(json!({"app": "outside-api", "user": EVE, "scopes": "shop.buy", "version": 1})).await;
    stage.obo(&v1, ask.clone()).await.refused(401, "invalid_token", "issuer");
    let elsewhere = json!({"iss": format!("https://contoso.ciamlogin.com/{OUTSIDE}/v2.0")});
    let order = json!({"app": "outside-api", "user": EVE, "scopes": "shop.buy", "version": 2, "claims": elsewhere});
    stage.obo(&stage.emulator.mint(order).await, ask).await.refused(401, "invalid_token", "");
}

#[tokio::test]
async fn replicas_share_the_accounts_of_an_external_tenant() {
    let redis = RedisServer::start().await;
    let more = format!("{DOORS}\ncache: {{redis: {{url: \"{}\", encryption: {{plaintext: true}}}}}}", redis.url());
    let stage = Stage::new(APPS, &more).await;
    let other = stage.other().await;
    let answer = stage.sign_in(EVE, &json!({"app": "web", "scopes": [BUY]})).await;
    let body = json!({"app": "web", "account": answer.json["account"]["home_account_id"], "scopes": [BUY]});
    assert_eq!(other.client.post("/silent", &body).await.source(), "cache");
}
