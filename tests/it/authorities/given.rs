//! `authority_metadata`: what a metadata document would say, where none can be had.

use serde_json::{Value, json};

use super::Stage;
use crate::support::{GRAPH, World};

const APPS: &str = r#"
  farm: {authority: "https://fs.contoso.test/adfs", ca_file: FILES/ca.pem, client_id: 0d9f4b7c-63a2-4e15-8c70-5f2b1e8d3a46,
    credential: {secret: {file: FILES/portal.secret}}, inbound: {audiences: ["https://portal.contoso.test"]},
    authority_metadata: {issuer: "https://fs.contoso.test/adfs", access_token_issuer: "http://fs.contoso.test/adfs/services/trust",
      token_endpoint: "https://fs.contoso.test/adfs/oauth2/token",
      authorization_endpoint: "https://fs.contoso.test/adfs/oauth2/authorize",
      jwks_uri: "https://fs.contoso.test/adfs/discovery/keys"}}
  daemon: {authority: "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490", ca_file: FILES/ca.pem,
    client_id: a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350, credential: {secret: {file: FILES/daemon.secret}},
    authority_metadata: {issuer: "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0",
      token_endpoint: "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token"}}
"#;

#[tokio::test]
async fn what_is_said_by_hand_is_asked_of_nobody() {
    let stage = Stage::new(APPS, "doors: [rest, oauth2]").await;
    let ledger = json!({"app": "farm", "resource": "https://ledger.contoso.test"});
    let answer = stage.sign_in("nia@contoso.test", &ledger).await;
    answer.token();
    stage.post("/client-credentials", ledger).await.token();
    stage.post("/client-credentials", json!({"app": "daemon", "scopes": [GRAPH]})).await.token();
    assert_eq!(stage.last_token_call().await["path"], "/contoso.example/oauth2/v2.0/token");
    assert!(stage.emulator.asked("discovery").await.is_empty(), "no document was asked for");
    assert!(stage.is_active("farm", &portal_token(&stage).await).await, "and the issuer of access tokens is the one that is said");
}

async fn portal_token(stage: &Stage) -> String {
    let now = crate::support::NOW;
    stage
        .jwt(json!({
            "iss": "http://fs.contoso.test/adfs/services/trust", "aud": "https://portal.contoso.test", "iat": now, "nbf": now,
            "exp": now + 3600, "appid": "front", "ver": "1.0", "scp": "openid", "upn": "nia@contoso.test",
        }))
        .await
}

#[tokio::test]
async fn an_issuer_needs_no_document() {
    let world = World::staged(crate::support::Stage {
        apps: r#"  hand: {issuer: "ORIGIN/oidc/shop", ca_file: FILES/ca.pem, client_id: shop-orders,
    credential: {secret: {file: FILES/shop.secret, method: post}},
    authority_metadata: {issuer: "ORIGIN/oidc/shop", token_endpoint: "ORIGIN/oidc/shop/token"}}"#,
        ..crate::support::Stage::default()
    })
    .await;
    world.app_token(json!({"app": "hand", "scopes": ["stock.read"]})).await.token();
    assert!(world.emulator.asked("discovery").await.is_empty());
    // What it does not say is not there.
    let url = world.authorize_url("hand", "stock.read", json!({})).await;
    url.refused(502, "invalid_authority_response", "`authorization_endpoint`");
    assert_eq!(url.json["answer"], Value::Null);
}
