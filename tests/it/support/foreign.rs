//! Other people's OAuth implementations as processes of their own: Python for the clients, Node.js for a server.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{Answer, Client};

/// The npm oidc-provider; it ends when this is dropped, and with the test process however that ends: its stdin is a pipe.
#[derive(Debug)]
pub(crate) struct OidcProvider {
    pub(crate) issuer: String,
    pub(crate) client: Client,
    process: Child,
}

/// Runs a script of `tests/peers/msal_python` and returns what it printed; it prints JSON whether it ends well or not.
pub(crate) async fn python(script: &str, asked: &Value) -> Value {
    let interpreter = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/venv/bin/python");
    assert!(interpreter.exists(), "no Python with MSAL: run tests/setup/base");
    let mut command = Command::new(interpreter);
    command.arg(peer("msal_python").join(script)).arg(asked.to_string()).stdin(Stdio::null());
    // Elsewhere than on the test's only thread, on which the emulator answers the script.
    let output = super::output(command).await;
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{script} printed no JSON: {said}"))
}

fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

// === impl OidcProvider ===

impl OidcProvider {
    /// Starts one; `configuration` is what the head of its `server.mjs` tells.
    pub(crate) async fn start(configuration: &Value) -> Self {
        let folder = peer("oidc-provider");
        assert!(folder.join("node_modules").exists(), "no oidc-provider: run tests/setup/base");
        let mut command = Command::new("node");
        command.arg(folder.join("server.mjs")).arg(configuration.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Node.js");
        let stdout = process.stdout.take().expect("a pipe");
        let line = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next());
        let line = super::soon(line).await.expect("no panic").expect("a line before the end").expect("text");
        let ready: Value = serde_json::from_str(&line).expect("the line that says where it listens");
        let issuer = ready["issuer"].as_str().expect("an issuer").to_owned();
        Self { client: Client::new(&issuer, None), issuer, process }
    }

    /// Has a user sign in at this URL and agree to everything; returns where the browser was sent.
    pub(crate) async fn sign_in(&self, url: &str) -> url::Url {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("url", url).finish();
        let answer: Answer = self.client.get(&format!("/person/authorize?{query}")).await;
        url::Url::parse(answer.member("redirect")).unwrap_or_else(|_| panic!("not signed in: {}", answer.text))
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}
