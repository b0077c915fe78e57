//! A workload identity as its platform sets it up: variables, a mounted token,
//! and an authority of another name that trusts the issuer.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer as Signer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use super::{Serving, free_port, run, said, tokend};
use crate::support::{Emulator, GRAPH, Issuer, Proxy, eventually, trust};

/// What the emulator is called in its certificate and URLs: a Service in a cluster.
const NAME: &str = "emulator.shop.svc";

/// `tokend emulator`, with a directory and a certificate that were made before; it is killed when this is dropped.
struct Cluster {
    emulator: Child,
    issuer: Issuer,
    folder: TempDir,
    port: u16,
}

impl Cluster {
    async fn start() -> Self {
        let (issuer, folder, port) = (Issuer::new(), tempfile::tempdir().expect("a folder"), free_port());
        let mut directory = Emulator::built_in();
        trust(&mut directory, "daemon", &issuer);
        std::fs::write(folder.path().join("directory.json"), directory.to_string()).expect("a file");
        certificate(folder.path());
        let mut command = tokend(&["emulator", "--host", NAME, "--host", "emulator"]);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        for (flag, file) in
            [("--directory", "directory.json"), ("--tls-cert", "tls.crt"), ("--tls-key", "tls.key"), ("--ca-file", "told.pem")]
        {
            command.arg(flag).arg(folder.path().join(file));
        }
        let emulator = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
        eventually(Duration::from_secs(20), async || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        Self { emulator, issuer, folder, port }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A token that ends so many seconds from now.
    fn token(&self, lasting: i64, changes: Value) -> String {
        self.issuer.token(Clock::system().unix() + lasting, changes)
    }

    /// A command of a Pod: what the webhook of workload identity sets, the CA, and the way to the emulator.
    fn pod(&self, args: &[&str], proxy: &Proxy) -> Command {
        let directory = Emulator::built_in();
        let daemon = directory["apps"].as_array().expect("apps").iter().find(|app| app["name"] == "daemon").expect("an app");
        let mut command = tokend(args);
        command
            .env("AZURE_CLIENT_ID", daemon["client_id"].as_str().expect("an id"))
            .env("AZURE_TENANT_ID", directory["tenants"][0]["id"].as_str().expect("an id"))
            .env("AZURE_AUTHORITY_HOST", format!("https://{NAME}:{}/", self.port))
            .env("AZURE_FEDERATED_TOKEN_FILE", self.file("token"))
            .env("SSL_CERT_FILE", self.file("ca.crt"))
            .env("HTTPS_PROXY", proxy.address.to_string());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.emulator.kill();
        let _status = self.emulator.wait();
    }
}

/// `ca.crt`, `tls.crt` and `tls.key`, as a cluster's certificates are.
fn certificate(folder: &Path) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).expect("a file");
    let (key, mut ca) = (KeyPair::generate().expect("a key"), CertificateParams::new(Vec::new()).expect("a CA"));
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let root = ca.self_signed(&key).expect("a certificate").pem();
    let own = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&own, &Signer::from_params(&ca, &key)).expect("a certificate");
    write("tls.crt", format!("{}{root}", leaf.pem()));
    write("tls.key", own.serialize_pem());
    write("ca.crt", root);
}

#[tokio::test(flavor = "multi_thread")]
async fn mi_9_the_variables_of_the_webhook_are_enough() {
    let (cluster, proxy) = (Cluster::start().await, Proxy::start().await);
    std::fs::write(cluster.file("token"), cluster.token(3600, json!({}))).expect("a file");
    let (code, text) = said(&run(cluster.pod(&["check", "--online"], &proxy)).await);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("default: the authority gives it tokens"), "{text}");
    let lines = || proxy.asked().into_iter().map(|asked| asked.line).collect::<Vec<String>>();
    let own = format!("CONNECT {NAME}:{}", cluster.port);
    // The check asks Microsoft's cloud whether it knows such a host (AUT-4); who serves asks nobody but the authority.
    let by_check = lines();
    let known = [own.as_str(), "CONNECT login.microsoftonline.com:443"];
    assert!(by_check.contains(&own) && by_check.iter().all(|line| known.contains(&line.as_str())), "{by_check:?}");
    let serving = Serving::start(cluster.pod(&["serve"], &proxy)).await;
    serving.client.post("/client-credentials", &json!({"scopes": [GRAPH]})).await.token();
    let by_serving = lines().split_off(by_check.len());
    assert!(!by_serving.is_empty() && by_serving.iter().all(|line| *line == own), "{by_serving:?}");
    let told = std::fs::read_to_string(cluster.file("told.pem")).expect("a file");
    let ca = std::fs::read_to_string(cluster.file("ca.crt")).expect("a file");
    let bare = |pem: &str| pem.split_whitespace().collect::<String>();
    assert_eq!(bare(&told), bare(&ca));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_trusted_is_told_by_the_check() {
    let (cluster, proxy) = (Cluster::start().await, Proxy::start().await);
    let check = async |token: String| {
        std::fs::write(cluster.file("token"), token).expect("a file");
        said(&run(cluster.pod(&["check", "--online"], &proxy)).await)
    };
    for (claim, value) in [("sub", "system:serviceaccount:shop:billing"), ("aud", "other"), ("iss", "https://other.cluster")] {
        let (code, text) = check(cluster.token(3600, json!({claim: value}))).await;
        assert_eq!(code, 1, "{claim}: {text}");
        assert!(text.contains("invalid_client") && text.contains("federated identity record"), "{claim}: {text}");
    }
    let (code, text) = check(cluster.token(-10, json!({}))).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("warning: environment: AZURE_FEDERATED_TOKEN_FILE: the token has expired"), "{text}");
    assert!(text.contains("default: credential_unusable"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asn_7_a_token_that_is_not_there_at_the_start_is_a_finding() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    let check = async |contents: Option<&str>| {
        match contents {
            Some(contents) => std::fs::write(&token, contents).expect("a file"),
            None => assert!(!token.exists()),
        }
        let mut command = tokend(&["check"]);
        command.env("AZURE_CLIENT_ID", "c").env("AZURE_TENANT_ID", "t").env("AZURE_FEDERATED_TOKEN_FILE", &token);
        said(&run(command).await)
    };
    for (contents, words) in [(None, "cannot be read"), (Some("\n"), "it is empty"), (Some("canary-secret"), "no signed JWT")] {
        let (code, text) = check(contents).await;
        assert_eq!(code, 64, "{text}");
        let line = text.lines().find(|line| line.starts_with("error: environment: AZURE_FEDERATED_TOKEN_FILE: "));
        assert!(line.is_some_and(|line| line.contains(words)) && !text.contains("canary"), "{words}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_password_is_in_no_line() {
    let (cluster, proxy) = (Cluster::start().await, Proxy::start_for(Some("Basic nobody-has-it")).await);
    std::fs::write(cluster.file("token"), cluster.token(3600, json!({}))).expect("a file");
    let mut command = cluster.pod(&["serve"], &proxy);
    command.env("HTTPS_PROXY", format!("http://proxy-user:canary-password@{}", proxy.address)).env("TOKEND_LOG__LEVEL", "trace");
    let serving = Serving::start(command).await;
    let answer = serving.client.post("/client-credentials", &json!({"scopes": [GRAPH]})).await;
    answer.refused(503, "authority_unavailable", "cannot be reached");
    assert!(!proxy.asked().is_empty());
    let (status, metrics) = (serving.admin.get("/status").await.text, serving.admin.get("/metrics").await.text);
    for text in [answer.text, status, metrics, serving.output()] {
        for secret in ["canary", "proxy-user", "cHJveHktdXNlcj"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn an_emulator_beyond_loopback_says_its_name() {
    let (code, text) = said(&run(tokend(&["emulator", "--listen", "0.0.0.0:0"])).await);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("--host"), "{text}");
}
