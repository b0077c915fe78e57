//! The emulator against a client that is not ours: what MSAL for Python takes from it, tokend's users will take from Entra. An
//! emulator that only tokend understands would let both share a mistake.

use serde_json::{Value, json};
use tokend::clock::Clock;

use crate::support::{Emulator, GRAPH, REDIRECT_URI, python};

/// An emulator, its CA in a file, and what MSAL needs to be an app of its directory.
struct Stage {
    emulator: Emulator,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        // MSAL looks at the machine's clock.
        let emulator = Emulator::start(&Clock::system()).await;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), &emulator.ca_pem).expect("a file");
        Self { emulator, folder }
    }

    /// What one application does, step by step.
    async fn run(&self, app: &str, certificate: bool, steps: Value) -> Value {
        let entry = self.emulator.app(app);
        let tenant = self.emulator.directory["tenants"][0]["id"].as_str().expect("a tenant");
        let mut asked = json!({
            "authority": format!("{}/{tenant}", self.emulator.origin), "ca_file": self.folder.path().join("ca.pem"),
            "client_id": entry["client_id"], "steps": steps,
        });
        if certificate {
            asked["certificate_pem"] = json!(Emulator::pem(entry));
        } else {
            asked["secret"] = entry["secrets"][0].clone();
        }
        python("client.py", &asked).await
    }
}

#[track_caller]
fn has_token(answer: &Value) -> &str {
    answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer:#}"))
}

#[tokio::test]
async fn msal_gets_app_tokens_by_secret_and_by_certificate() {
    let stage = Stage::new().await;
    for certificate in [false, true] {
        let step = json!({"action": "client_credentials", "scopes": [GRAPH]});
        let answers = stage.run("daemon", certificate, json!([step, step])).await;
        let first = has_token(&answers[0]).to_owned();
        assert_eq!((has_token(&answers[1]), &answers[1]["token_source"]), (first.as_str(), &json!("cache")));
    }
    assert_eq!(stage.emulator.asked("token").await.len(), 2);
}

#[tokio::test]
async fn msal_gets_tokens_on_behalf_of_a_user() {
    let stage = Stage::new().await;
    let user = stage.emulator.user_token("ana@contoso.example").await;
    for certificate in [false, true] {
        let step = json!({"action": "obo", "assertion": user, "scopes": ["https://graph.microsoft.com/User.Read"]});
        let answers = stage.run("orders-api", certificate, json!([step])).await;
        has_token(&answers[0]);
        assert_eq!(answers[0]["id_token_claims"]["preferred_username"], "ana@contoso.example", "{answers:#}");
    }
}

#[tokio::test]
async fn msal_is_told_when_the_user_has_to_do_something() {
    let stage = Stage::new().await;
    let user = stage.emulator.user_token("mia@contoso.example").await;
    let step = json!({"action": "obo", "assertion": user, "scopes": ["https://graph.microsoft.com/User.Read"]});
    let answers = stage.run("orders-api", false, json!([step])).await;
    assert_eq!(answers[0]["access_token"], Value::Null);
    assert_eq!(answers[0]["error_codes"], json!([50076]), "{answers:#}");
}

#[tokio::test]
async fn msal_redeems_a_code() {
    let stage = Stage::new().await;
    let scopes = json!(["api://orders/access_as_user"]);
    let start = json!({
        "action": "auth_code_url", "scopes": scopes, "redirect_uri": REDIRECT_URI, "prompt": "none",
        "login_hint": "ana@contoso.example",
    });
    let flow = stage.run("web", false, json!([start])).await[0].take();
    let back = stage.emulator.sign_in(flow["auth_uri"].as_str().expect("a URL")).await;
    let response: Value =
        back.query_pairs().map(|(name, value)| (name.into_owned(), json!(value))).collect::<serde_json::Map<_, _>>().into();
    let redeem = json!({"action": "redeem", "flow": flow, "response": response, "scopes": scopes});
    let silent = json!({"action": "silent", "username": "ana@contoso.example", "scopes": scopes});
    let answers = stage.run("web", true, json!([redeem, silent])).await;
    let token = has_token(&answers[0]).to_owned();
    assert_eq!(answers[0]["id_token_claims"]["nonce"].as_str().map(str::is_empty), Some(false), "{answers:#}");
    assert_eq!(has_token(&answers[1]), token, "what MSAL has cached of the answer is the account's");
}

/// The forms that were sent with this grant.
async fn sent(stage: &Stage, grant: &str) -> Vec<Value> {
    let asked = stage.emulator.asked("token").await.into_iter();
    asked.filter(|request| request["grant_type"] == grant).map(|request| request["form"].clone()).collect()
}

#[tokio::test]
async fn msal_waits_for_a_device_as_a_public_client_and_stays_one() {
    let stage = Stage::new().await;
    let scopes = json!(["api://orders/access_as_user"]);
    for app in ["desktop", "web"] {
        let flow = stage.run(app, false, json!([{"action": "device_code", "scopes": scopes}])).await[0].take();
        let poll = json!({"action": "device_poll", "flow": flow});
        let pending = stage.run(app, false, json!([poll])).await;
        assert_eq!(pending[0]["error"], "authorization_pending", "{pending:#}");
        let decision = json!({"code": flow["device_code"], "user": "ana@contoso.example"});
        assert_eq!(stage.emulator.client.post("/_emulator/device", &decision).await.status, 204);
        let answers = stage.run(app, false, json!([poll])).await;
        has_token(&answers[0]);
        assert_eq!(answers[0]["id_token_claims"]["preferred_username"], "ana@contoso.example", "{answers:#}");
        let spent = stage.run(app, false, json!([poll])).await;
        assert_eq!(spent[0]["error_codes"], json!([54005]), "{spent:#}");
    }
    // MSAL says the device code twice, by both names, and no secret.
    let sent = sent(&stage, "urn:ietf:params:oauth:grant-type:device_code").await;
    assert!(sent.iter().all(|form| form["code"] == form["device_code"] && form["client_secret"].is_null()), "{sent:#?}");

    let flow = stage.run("orders-api", false, json!([{"action": "device_code", "scopes": scopes}])).await[0].take();
    let refused = stage.run("orders-api", false, json!([{"action": "device_poll", "flow": flow}])).await;
    assert_eq!(refused[0]["error_codes"], json!([7_000_218]), "{refused:#}");
}

#[tokio::test]
async fn msal_signs_in_by_password_and_renews_the_session() {
    let stage = Stage::new().await;
    let scopes = json!(["api://orders/access_as_user"]);
    let user = "ana@contoso.example";
    let silent = json!({"action": "silent", "username": user, "scopes": scopes, "force_refresh": true});
    for app in ["desktop", "web"] {
        let step = json!({"action": "username_password", "username": user, "password": "ana-password", "scopes": scopes});
        let answers = stage.run(app, false, json!([step, silent])).await;
        let first = has_token(&answers[0]).to_owned();
        assert_ne!(has_token(&answers[1]), first, "{answers:#}");
        assert_eq!(answers[1]["token_source"], "identity_provider", "{answers:#}");
    }
    let refreshed = sent(&stage, "refresh_token").await;
    let secrets: Vec<bool> = refreshed.iter().map(|form| form["client_secret"].is_string()).collect();
    assert_eq!(secrets, [false, true]);
    for (app, user, password, number) in [
        ("desktop", user, "wrong", 50126),
        ("desktop", "nobody@contoso.example", "x", 50034),
        ("orders-api", user, "ana-password", 65001),
    ] {
        let scopes = if number == 65001 { json!(["Mail.Read"]) } else { scopes.clone() };
        let step = json!({"action": "username_password", "username": user, "password": password, "scopes": scopes});
        let answers = stage.run(app, false, json!([step])).await;
        assert_eq!(answers[0]["error_codes"], json!([number]), "{answers:#}");
    }
}

#[tokio::test]
async fn msal_acts_for_the_user_of_a_saml_assertion_and_gets_one() {
    let stage = Stage::new().await;
    let scopes = json!(["https://graph.microsoft.com/User.Read"]);
    for (version, kind) in [("1.1", "saml1"), ("2.0", "saml2")] {
        let order = json!({"version": version, "app": "orders-api", "user": "ana@contoso.example"});
        let minted = stage.emulator.client.post("/_emulator/saml", &order).await.json;
        let step = json!({"action": "saml_obo", "version": version, "assertion": minted["assertion"], "scopes": scopes});
        let answers = stage.run("orders-api", false, json!([step])).await;
        has_token(&answers[0]);
        let forged = minted["assertion"].as_str().expect("XML").replace("ana@", "ben@");
        let step = json!({"action": "saml_obo", "version": version, "assertion": forged, "scopes": scopes});
        let answers = stage.run("orders-api", false, json!([step])).await;
        assert_eq!(answers[0]["error_codes"], json!([50013]), "{answers:#}");

        let user = stage.emulator.user_token("ana@contoso.example").await;
        let kind = format!("urn:ietf:params:oauth:token-type:{kind}");
        let scopes = json!(["api://billing/.default"]);
        let step = json!({"action": "obo", "assertion": user, "scopes": scopes, "requested_token_type": kind});
        let answers = stage.run("orders-api", false, json!([step])).await;
        // An assertion in base64url begins with this, as XML does with "<Assertion".
        assert!(has_token(&answers[0]).starts_with("PEFzc2VydGlvb"), "{answers:#}");
        assert_eq!(answers[0]["issued_token_type"], kind.as_str());
    }
}

#[tokio::test]
async fn msal_renews_what_it_got_on_behalf_of_a_user() {
    let stage = Stage::new().await;
    let user = stage.emulator.user_token("ana@contoso.example").await;
    let scopes = json!(["https://graph.microsoft.com/User.Read"]);
    let obo = json!({"action": "obo", "assertion": user, "scopes": scopes});
    let silent = json!({"action": "silent", "username": "ana@contoso.example", "scopes": scopes, "force_refresh": true});
    let answers = stage.run("orders-api", true, json!([obo, silent])).await;
    let first = has_token(&answers[0]).to_owned();
    assert_ne!(has_token(&answers[1]), first, "{answers:#}");
    assert_eq!(sent(&stage, "refresh_token").await.len(), 1);
}
