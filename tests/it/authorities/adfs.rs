//! AD FS: two issuers, users without tenants, and web APIs that are named by `resource`.

use std::time::Duration;

use serde_json::{Value, json};

use super::Stage;
use crate::support::redis::RedisServer;

const APPS: &str = r#"
  portal: {authority: "https://fs.contoso.test/adfs", ca_file: FILES/ca.pem, client_id: 0d9f4b7c-63a2-4e15-8c70-5f2b1e8d3a46,
    credential: {secret: {file: FILES/portal.secret}}, username_password: true,
    inbound: {audiences: ["https://portal.contoso.test"]}}
  signed: {authority: "https://fs.contoso.test/adfs", ca_file: FILES/ca.pem, client_id: 0d9f4b7c-63a2-4e15-8c70-5f2b1e8d3a46,
    credential: {certificate: {file: FILES/portal.pem}}}
"#;

const DOORS: &str = "doors: [rest, oauth2]";
const LEDGER: &str = "https://ledger.contoso.test";
const PORTAL: &str = "https://portal.contoso.test";
const NIA: &str = "nia@contoso.test";
const NIA_SUB: &str = "S-1-5-21-nia-pairwise";
const TRUST: &str = "http://fs.contoso.test/adfs/services/trust";

async fn stage() -> Stage {
    Stage::new(APPS, DOORS).await
}

/// A token of a user for the portal, as its front end has it.
async fn user_token(stage: &Stage, user: &str) -> String {
    let form = [
        ("grant_type", "password"),
        ("client_id", "2fb16d9e-85c4-4037-ae92-714d30af5c68"),
        ("username", user),
        ("password", if user == NIA { "nia-password" } else { "oli-password" }),
        ("resource", PORTAL),
        ("scope", "openid"),
    ];
    let answer = stage.direct("https://fs.contoso.test/adfs/oauth2/token", &form).await;
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn rsp_5_a_user_signs_in_and_is_known_by_sub_alone() {
    let stage = stage().await;
    let answer = stage.sign_in(NIA, &json!({"app": "portal", "resource": LEDGER})).await;
    answer.token();
    let account = &answer.json["account"];
    assert_eq!((&account["home_account_id"], &account["username"]), (&json!(NIA_SUB), &json!(NIA)), "{account}");
    assert_eq!((&answer.json["tenant_id"], &account["tenant_id"]), (&Value::Null, &Value::Null), "{}", answer.text);
    let ask = json!({"app": "portal", "account": NIA_SUB, "resource": LEDGER});
    assert_eq!(stage.post("/silent", ask.clone()).await.source(), "cache");
    // Another resource is another token, and the refresh token is good for it.
    let other = stage.post("/silent", json!({"app": "portal", "account": NIA_SUB, "resource": PORTAL})).await;
    assert_eq!(other.source(), "identity_provider");
    stage.clock.advance(Duration::from_secs(4000));
    assert_eq!(stage.post("/silent", ask).await.source(), "identity_provider");
    let call = stage.last_token_call().await;
    assert_eq!((&call["form"]["resource"], &call["headers"]["x-anchormailbox"]), (&json!(LEDGER), &Value::Null));
    assert_eq!(call["form"]["client_info"], Value::Null);
}

#[tokio::test]
async fn req_16_on_behalf_of_goes_by_resource_in_place_of_scopes() {
    let stage = stage().await;
    let user = user_token(&stage, NIA).await;
    let ask = json!({"app": "portal", "resource": LEDGER});
    let answer = stage.obo(&user, ask.clone()).await;
    answer.token();
    assert_eq!(answer.json["account"]["home_account_id"], NIA_SUB, "its id token says it");
    let call = stage.last_token_call().await;
    let form = &call["form"];
    assert_eq!(
        (&form["resource"], &form["scope"], &form["requested_token_use"]),
        (&json!(LEDGER), &json!("openid"), &json!("on_behalf_of"))
    );
    assert_eq!(stage.obo(&user, ask).await.source(), "cache");
    let before = stage.emulator.asked("token").await.len();
    let scopes = json!(["https://ledger.contoso.test/read"]);
    stage.obo(&user, json!({"app": "portal", "scopes": scopes})).await.refused(400, "invalid_request", "`resource`");
    let both = json!({"app": "portal", "scopes": scopes, "resource": LEDGER});
    stage.obo(&user, both.clone()).await.refused(400, "invalid_request", "`scopes`");
    stage.post("/client-credentials", both).await.refused(400, "invalid_request", "`scopes`");
    stage.obo(&user, json!({"app": "portal"})).await.refused(400, "invalid_request", "`resource` is missing");
    let audience = json!({"app": "portal", "resource": LEDGER, "audience": "x"});
    stage.obo(&user, audience).await.refused(400, "invalid_request", "`audience`");
    assert_eq!(stage.emulator.asked("token").await.len(), before);
}

#[tokio::test]
async fn aut_16_access_tokens_have_the_issuer_that_metadata_names_for_them() {
    let stage = stage().await;
    let claims = |more: Value| {
        let now = crate::support::NOW;
        let mut all = json!({
            "iss": TRUST, "aud": PORTAL, "iat": now, "nbf": now, "exp": now + 3600, "appid": "front", "apptype": "Public",
            "ver": "1.0", "scp": "openid", "upn": NIA, "unique_name": NIA,
        });
        let members = all.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        members.retain(|_, value| !value.is_null());
        all
    };
    let ask = json!({"app": "portal", "resource": LEDGER});
    let good = stage.jwt(claims(json!({}))).await;
    stage.obo(&good, ask.clone()).await.token();
    assert!(stage.is_active("portal", &good).await);
    for issuer in ["https://fs.contoso.test/adfs/services/trust", "https://fs.contoso.test/adfs", "http://fs.contoso.test/adfs"] {
        let token = stage.jwt(claims(json!({"iss": issuer}))).await;
        stage.obo(&token, ask.clone()).await.refused(401, "invalid_token", "issuer");
        assert!(!stage.is_active("portal", &token).await, "{issuer}");
    }
    // Of nobody.
    let nobody = stage.jwt(claims(json!({"upn": null, "unique_name": null}))).await;
    stage.obo(&nobody, ask.clone()).await.refused(401, "invalid_token", "`upn`");
    assert!(stage.is_active("portal", &nobody).await, "an app's token is a token too");
    let by_name = stage.jwt(claims(json!({"upn": null}))).await;
    // The emulator knows users by upn alone.
    assert_eq!(stage.obo(&by_name, ask).await.status, 401);
}

#[tokio::test]
async fn a_user_that_is_called_like_anothers_id_is_another() {
    let stage = stage().await;
    let (nia, oli) = (user_token(&stage, NIA).await, user_token(&stage, "oli@contoso.test").await);
    let ask = json!({"app": "portal", "resource": LEDGER});
    let (first, second) = (stage.obo(&nia, ask.clone()).await, stage.obo(&oli, ask).await);
    assert_ne!(first.token(), second.token());
    assert_ne!(first.json["account"], second.json["account"]);
    // Who has that name for an id has nothing of theirs.
    let silent = json!({"app": "portal", "account": NIA, "resource": LEDGER});
    stage.post("/silent", silent).await.refused(401, "no_tokens_found", "");
}

#[tokio::test]
async fn an_app_asks_by_resource_with_the_scope_openid() {
    let stage = stage().await;
    stage.post("/client-credentials", json!({"app": "portal", "resource": LEDGER})).await.token();
    let call = stage.last_token_call().await;
    assert_eq!((&call["form"]["resource"], &call["form"]["scope"]), (&json!(LEDGER), &json!("openid")));
    assert_eq!(call["path"], "/adfs/oauth2/token/");
    let tenant = json!({"app": "portal", "resource": LEDGER, "tenant": "contoso.test"});
    stage.post("/client-credentials", tenant).await.refused(400, "invalid_request", "`tenant`");
    let policy = json!({"app": "portal", "account": NIA_SUB, "resource": LEDGER, "policy": "b2c_1_susi"});
    stage.post("/silent", policy).await.refused(400, "invalid_request", "`policy`");
}

#[tokio::test]
async fn asn_2_assertions_are_rs256_with_the_sha_1_thumbprint() {
    let stage = stage().await;
    stage.post("/client-credentials", json!({"app": "signed", "resource": LEDGER})).await.token();
    let call = stage.last_token_call().await;
    let assertion = call["form"]["client_assertion"].as_str().expect("an assertion");
    let header = assertion.split('.').next().expect("a header");
    let header = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header).expect("base64url");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    assert_eq!((&header["alg"], header["x5t"].is_string(), &header["x5t#S256"]), (&json!("RS256"), true, &Value::Null), "{header}");
}

#[tokio::test]
async fn a_password_and_a_session_go_by_resource() {
    let stage = stage().await;
    let body = json!({"app": "portal", "username": NIA, "password": "nia-password", "resource": LEDGER});
    let answer = stage.post("/username-password", body).await;
    answer.token();
    assert_eq!(answer.json["account"]["home_account_id"], NIA_SUB);
}

#[tokio::test]
async fn replicas_share_the_accounts_of_a_farm() {
    let redis = RedisServer::start().await;
    let more = format!("{DOORS}\ncache: {{redis: {{url: \"{}\", encryption: {{plaintext: true}}}}}}", redis.url());
    let stage = Stage::new(APPS, &more).await;
    let other = stage.other().await;
    stage.sign_in(NIA, &json!({"app": "portal", "resource": LEDGER})).await.token();
    let ask = json!({"app": "portal", "account": NIA_SUB, "resource": LEDGER});
    assert_eq!(other.client.post("/silent", &ask).await.source(), "cache");
    let user = user_token(&stage, NIA).await;
    let obo = json!({"app": "portal", "resource": LEDGER});
    stage.obo(&user, obo.clone()).await.token();
    assert_eq!(other.client.post_as("/obo", &user, &obo).await.source(), "cache");
}
