//! Azure AD B2C: each policy is an authority, and its users are others than those of another policy.

use serde_json::{Value, json};

use super::Stage;
use crate::support::redis::RedisServer;
use crate::support::{Answer, Client};

const APPS: &str = r#"
  shop: {authority: "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_susi", ca_file: FILES/ca.pem,
    policies: [B2C_1_edit, B2C_1A_custom, B2C_1_own_issuer], client_id: b25d9a61-0c7e-4f84-93b2-6e1f8d4c7a05,
    credential: {secret: {file: FILES/shop.secret}}}
  orders: {authority: "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_susi", ca_file: FILES/ca.pem,
    policies: [B2C_1A_custom], client_id: f47c0e92-8d1b-4a36-b5e7-3c9a6f2d8b10,
    credential: {secret: {file: FILES/orders.secret}}, inbound: {scopes: [read]}}
  domain: {authority: "https://id.contoso.test/tfp/contoso.onmicrosoft.com/susi", kind: b2c, ca_file: FILES/ca.pem,
    policies: [B2C_1_susi], client_id: b25d9a61-0c7e-4f84-93b2-6e1f8d4c7a05, credential: {secret: {file: FILES/shop.secret}}}
  passwords: {authority: "https://contoso.b2clogin.com/contoso.onmicrosoft.com/b2c_1_ropc", ca_file: FILES/ca.pem,
    client_id: b25d9a61-0c7e-4f84-93b2-6e1f8d4c7a05, credential: {secret: {file: FILES/shop.secret}}, username_password: true}
"#;

const DOORS: &str = "doors: [rest, oauth2]";
const READ: &str = "https://contoso.onmicrosoft.com/orders/read";
const KIM: &str = "kim@mail.example";
const OBJECT: &str = "66ac1f52-e087-4b39-94d6-1a5b3c7e9f06";

async fn stage() -> Stage {
    Stage::new(APPS, DOORS).await
}

fn home(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json["account"]["home_account_id"].as_str().expect("an account").to_owned()
}

async fn silent(stage: &Stage, account: &str, more: Value) -> Answer {
    let mut body = json!({"app": "shop", "account": account, "scopes": [READ]});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    stage.post("/silent", body).await
}

#[tokio::test]
async fn a_user_signs_in_by_a_policy_and_is_named_by_it() {
    let stage = stage().await;
    let answer = stage.sign_in(KIM, &json!({"app": "shop", "scopes": [READ]})).await;
    answer.token();
    assert_eq!(home(&answer), format!("{OBJECT}-b2c_1_susi.9c3e7f18-52b6-4d0a-8e41-b7a2c05d6f93"));
    let account = &answer.json["account"];
    assert_eq!((&account["username"], &account["local_account_id"]), (&json!(KIM), &json!(OBJECT)), "{account}");
    assert_eq!(answer.json["tenant_id"], Value::Null);
    let call = stage.last_token_call().await;
    assert_eq!(call["path"], "/contoso.onmicrosoft.com/b2c_1_susi/oauth2/v2.0/token");
    assert_eq!(call["host"], "contoso.b2clogin.com");
    assert!(stage.proxy.asked().iter().all(|asked| asked.line == "CONNECT contoso.b2clogin.com:443"));
}

#[tokio::test]
async fn two_policies_of_one_user_share_neither_account_nor_refresh_token() {
    let stage = stage().await;
    let susi = stage.sign_in(KIM, &json!({"app": "shop", "scopes": [READ]})).await;
    let edit = stage.sign_in(KIM, &json!({"app": "shop", "scopes": [READ], "policy": "B2C_1_Edit"})).await;
    let (susi_account, edit_account) = (home(&susi), home(&edit));
    assert_ne!(susi_account, edit_account);
    assert!(edit_account.starts_with(&format!("{OBJECT}-b2c_1_edit.")), "{edit_account}");
    assert_ne!(susi.token(), edit.token());
    let listed = stage.sidecar.client.get("/accounts?app=shop").await;
    assert_eq!(listed.json["accounts"].as_array().map(Vec::len), Some(2), "{}", listed.text);
    for (account, answer) in [(&susi_account, &susi), (&edit_account, &edit)] {
        let again = silent(&stage, account, json!({})).await;
        assert_eq!((again.source(), again.token()), ("cache", answer.token()));
    }
    // Each refreshes at its own policy: the authority would say 90088 to the other's.
    stage.clock.advance(std::time::Duration::from_secs(4000));
    for (account, policy) in [(&susi_account, "b2c_1_susi"), (&edit_account, "b2c_1_edit")] {
        let renewed = silent(&stage, account, json!({})).await;
        assert_eq!(renewed.source(), "identity_provider");
        let call = stage.last_token_call().await;
        assert_eq!(call["path"], format!("/contoso.onmicrosoft.com/{policy}/oauth2/v2.0/token"));
        // REQ-12: nothing here routes by users.
        assert_eq!(call["headers"]["x-anchormailbox"], Value::Null);
    }
    let id = url::form_urlencoded::byte_serialize(edit_account.as_bytes()).collect::<String>();
    let out = stage.sidecar.client.http.delete(format!("{}/accounts/{id}?app=shop", stage.sidecar.client.base));
    assert_eq!(Client::send(out).await.status, 204);
    silent(&stage, &edit_account, json!({})).await.refused(401, "no_tokens_found", "");
    silent(&stage, &susi_account, json!({})).await.token();
}

#[tokio::test]
async fn a_policy_that_is_not_listed_is_not_asked() {
    let stage = stage().await;
    let account = home(&stage.sign_in(KIM, &json!({"app": "shop", "scopes": [READ]})).await);
    let before = stage.emulator.requests().await.len();
    let url =
        |policy: &str| json!({"app": "shop", "scopes": [READ], "redirect_uri": "http://localhost:3000/callback", "policy": policy});
    stage.post("/auth-code/url", url("B2C_1_ropc")).await.refused(403, "policy_not_allowed", "`apps.*.policies`");
    for bad in ["", "..", "a/b", "../B2C_1_edit", "B2C_1_edit/..", "a.b"] {
        stage.post("/auth-code/url", url(bad)).await.refused(400, "invalid_request", "`policy`");
    }
    let mut code = url("B2C_1_ropc");
    code["code"] = json!("code");
    stage.post("/auth-code", code).await.refused(403, "policy_not_allowed", "`apps.*.policies`");
    silent(&stage, &account, json!({"policy": "b2c_1_edit"})).await.refused(400, "invalid_request", "`policy`");
    silent(&stage, &account, json!({"policy": "b2c_1_ropc"})).await.refused(403, "policy_not_allowed", "");
    silent(&stage, &account, json!({"policy": "b2c_1_susi"})).await.token();
    // An account of nobody, and of a policy that the app does not list.
    for nobody in ["nobody".to_owned(), account.replace("b2c_1_susi", "b2c_1_ropc")] {
        silent(&stage, &nobody, json!({})).await.refused(401, "no_tokens_found", "");
    }
    silent(&stage, KIM, json!({})).await.refused(400, "invalid_request", "`account`");
    assert_eq!(stage.emulator.requests().await.len(), before);
}

#[tokio::test]
async fn aut_10_there_is_no_other_tenant_and_no_exchange() {
    let stage = stage().await;
    let ask = json!({"app": "shop", "scopes": [READ], "tenant": "fabrikam.example"});
    stage.post("/client-credentials", ask).await.refused(400, "invalid_request", "`tenant`");
    let kim = stage.sign_in(KIM, &json!({"app": "shop", "scopes": [READ]})).await;
    let obo = json!({"app": "orders", "scopes": [READ]});
    stage.obo(kim.token(), obo.clone()).await.refused(403, "flow_not_available", "Azure AD B2C");
    let mut session = obo.clone();
    session["session"] = json!("new");
    stage.obo(kim.token(), session).await.refused(403, "flow_not_available", "Azure AD B2C");
    stage.post("/device-code", json!({"app": "shop", "scopes": [READ]})).await.refused(403, "flow_not_available", "device");
    let app =
        stage.post("/client-credentials", json!({"app": "shop", "scopes": ["https://contoso.onmicrosoft.com/orders/.default"]}));
    app.await.token();
}

#[tokio::test]
async fn reserved_scopes_alone_bring_an_id_token_and_no_access_token() {
    let stage = stage().await;
    let answer = stage.sign_in(KIM, &json!({"app": "shop", "scopes": ["openid", "offline_access"]})).await;
    assert_eq!((answer.status, &answer.json["access_token"]), (200, &Value::Null), "{}", answer.text);
    assert!(answer.json["id_token"].is_string());
    let account = home(&answer);
    let more = silent(&stage, &account, json!({})).await;
    assert_eq!(more.source(), "identity_provider");
    // Now any token of the user answers it.
    silent(&stage, &account, json!({"scopes": ["openid"]})).await.token();
    stage.clock.advance(std::time::Duration::from_secs(4000));
    let alone = silent(&stage, &account, json!({"scopes": ["openid"]})).await;
    assert_eq!((alone.status, &alone.json["access_token"]), (200, &Value::Null), "{}", alone.text);
    // A token endpoint's answer has no member that is null.
    let code = stage.code(KIM, &json!({"app": "shop", "scopes": ["openid", "offline_access"]})).await;
    let text = |name: &str| code[name].as_str().expect("a text").to_owned();
    let form = [
        ("grant_type", "authorization_code".to_owned()),
        ("client_id", "shop".to_owned()),
        ("scope", "openid offline_access".to_owned()),
        ("code", text("code")),
        ("redirect_uri", text("redirect_uri")),
        ("code_verifier", text("code_verifier")),
        ("policy", "B2C_1_susi".to_owned()),
    ];
    let answer = formed(&stage, "/oauth2/token", &form).await;
    assert!(answer.status == 200 && answer.json["id_token"].is_string(), "{}", answer.text);
    assert!(!answer.text.contains("null"), "{}", answer.text);
}

async fn formed(stage: &Stage, path: &str, form: &[(&str, String)]) -> Answer {
    let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = stage.sidecar.client.raw(path).header("content-type", "application/x-www-form-urlencoded").body(body);
    Client::send(request).await
}

#[tokio::test]
async fn a_handle_is_good_for_the_policy_of_its_sign_in() {
    let stage = stage().await;
    let code = stage.code(KIM, &json!({"app": "shop", "scopes": [READ], "policy": "B2C_1_edit"})).await;
    let text = |name: &str| code[name].as_str().expect("a text").to_owned();
    let form = |policy: &str| {
        vec![
            ("grant_type", "authorization_code".to_owned()),
            ("client_id", "shop".to_owned()),
            ("scope", format!("openid {READ}")),
            ("code", text("code")),
            ("redirect_uri", text("redirect_uri")),
            ("code_verifier", text("code_verifier")),
            ("policy", policy.to_owned()),
        ]
    };
    let unlisted = formed(&stage, "/oauth2/token", &form("B2C_1_ropc")).await;
    assert_eq!((unlisted.status, unlisted.member("error")), (400, "invalid_request"), "{}", unlisted.text);
    let answer = formed(&stage, "/oauth2/token", &form("B2C_1_edit")).await;
    let handle = answer.member("refresh_token").to_owned();
    assert!(handle.starts_with("tkd1."), "{}", answer.text);
    stage.clock.advance(std::time::Duration::from_secs(4000));
    let redeem = |policy: Option<&str>| {
        let own = [("grant_type", "refresh_token".to_owned()), ("client_id", "shop".to_owned()), ("refresh_token", handle.clone())];
        own.into_iter().chain(policy.map(|policy| ("policy", policy.to_owned()))).collect::<Vec<_>>()
    };
    let other = formed(&stage, "/oauth2/token", &redeem(Some("B2C_1_susi"))).await;
    assert_eq!(other.status, 400, "{}", other.text);
    let again = formed(&stage, "/oauth2/token", &redeem(None)).await;
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(stage.last_token_call().await["path"], "/contoso.onmicrosoft.com/b2c_1_edit/oauth2/v2.0/token");
}

#[tokio::test]
async fn aut_15_a_token_is_taken_by_the_policy_that_it_names() {
    let stage = stage().await;
    let sign_in = async |policy: &str| stage.sign_in(KIM, &json!({"app": "shop", "scopes": [READ], "policy": policy})).await;
    let (susi, custom, edit) = (sign_in("b2c_1_susi").await, sign_in("b2c_1a_custom").await, sign_in("b2c_1_edit").await);
    assert!(stage.is_active("orders", susi.token()).await);
    assert!(stage.is_active("orders", custom.token()).await, "it names its policy by acr");
    // One key and one issuer, and the app does not list the policy.
    assert!(!stage.is_active("orders", edit.token()).await);
    assert!(!stage.is_active("orders", susi.member("id_token")).await);
    let own = sign_in("b2c_1_own_issuer").await;
    assert!(!stage.is_active("orders", own.token()).await);
    assert!(home(&own).contains("-b2c_1_own_issuer."));
}

#[tokio::test]
async fn a_custom_domain_is_of_the_kind_that_is_said() {
    let stage = stage().await;
    let answer = stage.sign_in(KIM, &json!({"app": "domain", "scopes": [READ], "policy": "B2C_1_susi"})).await;
    answer.token();
    let call = stage.last_token_call().await;
    assert_eq!(
        (&call["host"], &call["path"]),
        (&json!("id.contoso.test"), &json!("/tfp/contoso.onmicrosoft.com/b2c_1_susi/oauth2/v2.0/token"))
    );
    let out = stage.post("/sign-out/url", json!({"app": "domain", "account": home(&answer)})).await;
    let url = out.member("sign_out_url");
    assert!(url.starts_with("https://id.contoso.test/tfp/contoso.onmicrosoft.com/b2c_1_susi/oauth2/v2.0/logout?"), "{url}");
}

#[tokio::test]
async fn a_policy_for_passwords_takes_them() {
    let stage = stage().await;
    let body = json!({"app": "passwords", "username": KIM, "password": "kim-password", "scopes": [READ]});
    let answer = stage.post("/username-password", body).await;
    assert!(home(&answer).contains("-b2c_1_ropc."));
}

#[tokio::test]
async fn replicas_share_the_accounts_of_every_policy() {
    let redis = RedisServer::start().await;
    let more = format!("{DOORS}\ncache: {{redis: {{url: \"{}\", encryption: {{plaintext: true}}}}}}", redis.url());
    let stage = Stage::new(APPS, &more).await;
    let other = stage.other().await;
    let susi = stage.sign_in(KIM, &json!({"app": "shop", "scopes": [READ]})).await;
    let edit = stage.sign_in(KIM, &json!({"app": "shop", "scopes": [READ], "policy": "b2c_1_edit"})).await;
    for answer in [&susi, &edit] {
        let body = json!({"app": "shop", "account": home(answer), "scopes": [READ]});
        let found = other.client.post("/silent", &body).await;
        assert_eq!((found.source(), found.token()), ("cache", answer.token()));
    }
}
