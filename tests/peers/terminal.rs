//! `tokend login` with a real Chromium, at the emulator, at the oidc-provider and at Keycloak; and a page of another site, which
//! neither finishes a sign-in nor spoils it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokend::clock::Clock;

use super::clients::Program;
use super::keycloak::USER;
use super::on_stage;
use super::support::{Emulator, OidcProvider, Said, Sidecar, configuration, eventually, parameter};

/// A client of an issuer, and its secret.
const LAPTOP: (&str, &str) = ("laptop", "desk-secret");

/// `tokend login`, waiting for its user.
struct Login {
    child: Child,
    out: Said,
    err: Said,
}

impl Login {
    fn start(base: &str, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokend"));
        command.args(["login", "--no-browser", "--shared-machine-ok", "--url", base]).args(args).env_clear();
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let (mut out, mut err) = (Said::default(), Said::default());
        out.follow(child.stdout.take().expect("stdout"));
        err.follow(child.stderr.take().expect("stderr"));
        Self { child, out, err }
    }

    /// The address that its user is shown.
    async fn address(&self) -> url::Url {
        eventually(Duration::from_secs(60), async || self.out.text().contains('\n')).await;
        self.out.text().lines().next().and_then(|line| line.parse().ok()).expect("an address")
    }

    /// Waits for its end; returns what it said at last.
    async fn signed_in(&mut self) -> String {
        let mut status = None;
        eventually(Duration::from_secs(60), async || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        })
        .await;
        self.out.all().await;
        self.err.all().await;
        assert!(status.is_some_and(|status| status.success()), "{}", self.err.text());
        self.out.text().lines().last().expect("a line").to_owned()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A Chromium that is asked this; returns what it saw.
async fn chromium(asked: &Value) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/browser");
    assert!(folder.join("node_modules").exists(), "no playwright-core: run tests/setup/peers");
    let mut command = Command::new("node");
    command.arg(folder.join("browser.mjs")).arg(asked.to_string());
    let mut program = Program::start(command);
    let seen = program.line().await;
    assert_eq!(seen["error"], Value::Null, "{}", seen["error"].as_str().unwrap_or_default());
    seen
}

/// Has a user sign in by a browser in which a page of another site was first; `person` fills the authority's page in.
async fn signs_in(base: &str, args: &[&str], person: Value) -> String {
    let mut login = Login::start(base, args);
    let address = login.address().await;
    let callback: url::Url = parameter(&address, "redirect_uri").parse().expect("an address");
    let trespass = json!({"callback": callback, "state": parameter(&address, "state")});
    let seen = chromium(&json!({"url": address, "sign_in": person, "trespass": trespass})).await;
    let trespasses = seen["trespasses"].as_array().expect("a list");
    let refused = |status: &Value| status.is_null() || [400, 403, 405].iter().any(|refusal| status == refusal);
    for trespass in trespasses {
        assert!(refused(&trespass["status"]), "{trespass}: {seen:#}");
    }
    for how in ["image", "script", "document", "fetch", "ping"] {
        assert!(trespasses.iter().any(|trespass| trespass["how"] == how), "{how} was not tried: {seen:#}");
    }
    assert!(trespasses.iter().any(|trespass| trespass["method"] == "POST"), "{seen:#}");
    assert_eq!(seen["readable"], false, "a page of another site reads nothing: {seen:#}");
    let end = &seen["end"];
    let page = callback.join("/done").expect("an address");
    assert_eq!((&end["url"], &end["status"], &end["referrer"]), (&json!(page), &json!(200), &json!("")), "{seen:#}");
    assert!(end["text"].as_str().is_some_and(|text| text.contains("You are signed in")), "{seen:#}");
    let history = end["history"].as_array().expect("a list");
    let has_code =
        |address: &Value| address.as_str().is_some_and(|address| address.contains("code=") && !address.contains("client_id="));
    assert!(!history.iter().any(has_code), "the code stays in no history: {seen:#}");
    login.signed_in().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_at_the_emulator() {
    let emulator = Emulator::start(&Clock::system()).await;
    let files = tempfile::tempdir().expect("a folder");
    let sidecar = Sidecar::start(&configuration(&emulator, &files), &Clock::system()).await;
    let person = json!({"press": "button[value='ana@contoso.example']"});
    let args = ["--app", "web", "--scope", "api://orders/access_as_user"];
    let said = signs_in(&sidecar.client.base, &args, person).await;
    assert!(said.starts_with("signed in as ana@contoso.example ("), "{said}");
    assert_eq!(emulator.asked("token").await.len(), 1, "no forged code was redeemed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_at_the_oidc_provider() {
    let server = OidcProvider::start(&json!({"clients": [{
        "client_id": LAPTOP.0, "client_secret": LAPTOP.1, "token_endpoint_auth_method": "client_secret_post",
        "application_type": "native", "grant_types": ["authorization_code"], "redirect_uris": ["http://127.0.0.1/"],
    }]}))
    .await;
    let (sidecar, _files) = sidecar_at(&server.issuer).await;
    // Its interaction signs in whom the hint names, by itself.
    let args = ["--scope", "openid", "--login-hint", "ana"];
    let said = signs_in(&sidecar.client.base, &args, Value::Null).await;
    assert!(said.starts_with("signed in as ana"), "{said}");
    let redeemed = server.client.get("/person/log").await.json;
    assert_eq!(redeemed.as_array().map(Vec::len), Some(1), "no forged code was redeemed: {redeemed:#}");
}

#[test]
fn a_browser_signs_in_at_keycloak() {
    on_stage(async |stage| {
        let client = json!({
            "clientId": LAPTOP.0, "secret": LAPTOP.1, "protocol": "openid-connect", "publicClient": false, "standardFlowEnabled": true,
            "redirectUris": ["http://127.0.0.1/"], "attributes": {"pkce.code.challenge.method": "S256"},
        });
        let (status, answer) = stage.keycloak.admin(reqwest::Method::POST, "/admin/realms/tokend/clients", Some(&client)).await;
        assert_eq!(status, 201, "{answer}");
        let (sidecar, _files) = sidecar_at(&stage.keycloak.issuer).await;
        let person = json!({"fill": {"#username": USER.0, "#password": USER.1}, "press": "#kc-login"});
        let said = signs_in(&sidecar.client.base, &["--scope", "profile"], person).await;
        assert!(said.starts_with(&format!("signed in as {} (", USER.0)), "{said}");
    });
}

/// A sidecar whose only app is the client at this issuer.
async fn sidecar_at(issuer: &str) -> (Sidecar, tempfile::TempDir) {
    let files = tempfile::tempdir().expect("a folder");
    let secret = files.path().join("desk.secret");
    std::fs::write(&secret, LAPTOP.1).expect("a file");
    let credential = format!("{{secret: {{file: {}}}}}", secret.display());
    let app = format!("{{issuer: \"{issuer}\", insecure_http: true, client_id: {}, credential: {credential}}}", LAPTOP.0);
    (Sidecar::start(&format!("apps:\n  desk: {app}\n"), &Clock::system()).await, files)
}
