//! `tokend convert entra-sidecar`: three configurations of Microsoft's sidecar as people have them. What comes out passes `check`,
//! and a tokend that runs with it answers what Microsoft's sidecar was asked.

mod served;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use super::{free_port, root, run, said, tokend};
use crate::support::{Emulator, Issuer, trust};

/// What the sample's secrets are.
const CANARIES: [&str; 2] = ["canary-password-of-the-pfx", "canary-secret-of-the-app"];

/// A sample, with an emulator as its authority and a folder in place of the paths that it names.
struct Sample {
    emulator: Emulator,
    folder: TempDir,
    port: u16,
    /// Where the result is.
    config: PathBuf,
    /// What it says.
    text: String,
}

impl Sample {
    /// Converts one of `tests/fixtures/entra-sidecar`, `old` of which is the port that it listens on.
    async fn converted(flag: &str, name: &str, old: &str) -> Self {
        let issuer = Issuer::new();
        let mut directory = Emulator::built_in();
        trust(&mut directory, "daemon", &issuer);
        let clock = Clock::system();
        let emulator = Emulator::start_with(&clock, Some(&directory)).await;
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        write("azure-identity-token", &issuer.token(clock.unix() + 3600, json!({})));
        write("orders.pem", &Emulator::pem(emulator.app("orders-api")));
        write("client.password", CANARIES[0]);
        let pfx = ["pkcs12", "-export", "-in", "orders.pem", "-out", "orders.pfx", "-passout", "file:client.password"];
        let made = std::process::Command::new("openssl").args(pfx).current_dir(folder.path()).status().expect("OpenSSL");
        assert!(made.success());
        write("ca.pem", &emulator.ca_pem);
        let sample = std::fs::read_to_string(root().join("tests/fixtures/entra-sidecar").join(name)).expect("a sample");
        let here = folder.path().display().to_string();
        let sample = sample
            .replace("https://login.microsoftonline.com", &emulator.origin)
            .replace("/var/run/secrets/azure/tokens", &here)
            .replace("/run/secrets", &here)
            .replace(old, &port.to_string());
        write(name, &sample);
        let mut command = tokend(&["convert", "entra-sidecar", flag]);
        command.arg(folder.path().join(name));
        let output = run(command).await;
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        for canary in CANARIES {
            assert!(!text.contains(canary), "{text}");
        }
        // An image of Microsoft's has its public authority in a file of its own, which this sample does not name.
        let text = text.replace("https://login.microsoftonline.com", &emulator.origin).replace("/run/secrets", &here);
        write("tokend.yaml", &text);
        Self { config: folder.path().join("tokend.yaml"), emulator, folder, port, text }
    }

    /// What the result says, read.
    fn tree(&self) -> Value {
        yaml_serde::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// A command with the result and what its environment has to have.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = tokend(args);
        command.arg("--config").arg(&self.config).env("SSL_CERT_FILE", self.folder.path().join("ca.pem"));
        command.env("AzureAd__ClientCredentials__0__ClientSecret", Emulator::secret(self.emulator.app("orders-api")));
        command
    }

    /// Whether `tokend check --online` is content; what it warns of.
    async fn checked(&self) -> String {
        let (code, text) = said(&run(self.command(&["check", "--online"])).await);
        assert_eq!(code, 0, "{text}\n{}", self.text);
        text
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_identity_by_its_environment() {
    let sample = Sample::converted("--env", "kubernetes.env", "5178").await;
    let tree = sample.tree();
    let token = sample.folder.path().join("azure-identity-token");
    assert_eq!(tree["listen"], format!("localhost:{}", sample.port));
    assert_eq!(tree["log"]["level"], "warn");
    assert_eq!(tree["apps"]["default"]["credential"], json!({"federated_token": {"file": token}}));
    assert_eq!(tree["ms_sidecar"], json!({"app": "default", "unauthenticated": "anyone"}));
    let api = json!({"app": "default", "scopes": ["https://graph.microsoft.com/.default"], "doors": ["ms_sidecar"],
        "base_url": "https://graph.microsoft.com/v1.0", "app_token": true, "overrides": true, "app_overrides": true});
    assert_eq!(tree["apis"]["graph"], api);
    assert!(sample.text.contains("SignedAssertionFilePath") && sample.text.contains("was every address"), "{}", sample.text);
    let said = sample.checked().await;
    assert!(said.contains("default: the authority gives it tokens") && said.contains("ms_sidecar.unauthenticated"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_and_two_apis_by_appsettings() {
    let sample = Sample::converted("--appsettings", "appsettings.json", "5000").await;
    let tree = sample.tree();
    let app = &tree["apps"]["default"];
    assert_eq!(
        app["credential"],
        json!({"pfx": {
        "file": sample.folder.path().join("orders.pfx"), "x5c": true,
        "password": {"file": sample.folder.path().join("client.password")}}})
    );
    assert_eq!(app["inbound"], json!({"audiences": ["api://orders"], "scopes": ["access_as_user"]}));
    assert_eq!(tree["listen"], format!("127.0.0.1:{}", sample.port));
    assert!(tree["apis"]["graph"].is_object() && tree["apis"]["graph"].get("overrides").is_none(), "{tree}");
    assert_eq!(tree["apis"]["agenticblueprint"]["app_token"], true);
    let flowing: Vec<&str> = sample.text.split_whitespace().filter(|word| *word != "#").collect();
    let flowing = flowing.join(" ");
    for said in ["CertificatePassword", "RelativePath", "CallDownstreamApi", "Was Graph", "AllowedHosts", "Microsoft.AspNetCore"] {
        assert!(flowing.contains(said), "{said} is not in {}", sample.text);
    }
    assert!(sample.checked().await.contains("default: the authority gives it tokens"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_by_the_environment_of_a_compose_file() {
    let sample = Sample::converted("--env", "compose.env", "8080").await;
    let tree = sample.tree();
    let secret = json!({"secret": {"env": "AzureAd__ClientCredentials__0__ClientSecret"}});
    assert_eq!(tree["apps"]["default"]["credential"], secret);
    assert_eq!(tree["apis"]["graph-api"]["scopes"], json!(["https://graph.microsoft.com/User.Read", "profile"]));
    assert!(sample.text.contains("To do: was graph_api."), "{}", sample.text);
    assert!(sample.checked().await.contains("default: the authority gives it tokens"));
}

#[tokio::test]
async fn bad_usage_and_bad_input_are_64_and_quote_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let convert = async |args: &[&Path]| {
        let mut command = tokend(&["convert", "entra-sidecar"]);
        command.args(args);
        let output = run(command).await;
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        said(&output)
    };
    let (code, text) = convert(&[]).await;
    assert!(code == 64 && text.contains("--env") && text.contains("--appsettings"), "{text}");
    let write = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let (flag, env_flag) = (Path::new("--appsettings"), Path::new("--env"));
    let (code, text) = convert(&[flag, &folder.path().join("none.json")]).await;
    assert!(code == 64 && text.contains("none.json: the whole file: the file cannot be read"), "{text}");
    let broken = write("broken.json", b"{\"AzureAd\": {\"ClientSecret\": \"canary-secret\" \"x\": 1}}");
    let (code, text) = convert(&[flag, &broken]).await;
    assert!(code == 64 && text.contains("broken.json: line 1, column 46: ") && !text.contains("canary"), "{text}");
    let (code, text) = convert(&[flag, &write("latin.json", b"{\"a\": \"\xe4\"}")]).await;
    assert!(code == 64 && text.contains("latin.json: the whole file: "), "{text}");
    // Both at once: each is told.
    let line = write("line.env", b"canary-secret\n");
    let (code, text) = convert(&[flag, &broken, env_flag, &line]).await;
    assert!(code == 64 && text.contains("line.env: line 1: ") && text.contains("2 errors") && !text.contains("canary"), "{text}");
}
