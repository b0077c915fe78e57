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
