//! Regional endpoints: for what an app asks for itself, and for nothing else.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::config::{Format, parse};
use tokend::telemetry::Sampler;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Stage;
use crate::support::{GRAPH, Sidecar, eventually, soon};

const TENANT: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";

/// `daemon` in this region, by a secret and by a certificate; without a region; and in another cloud.
const APPS: &str = r#"
  here: {authority: "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490", region: westeurope,
    ca_file: FILES/ca.pem, client_id: a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350, credential: {secret: {file: FILES/daemon.secret}}}
  signed: {authority: "https://login.windows.net/8eaef023-2b34-4da1-9baa-8bc8c9d6a490", region: westeurope,
    ca_file: FILES/ca.pem, client_id: a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350, credential: {certificate: {file: FILES/daemon.pem}}}
  anywhere: {authority: "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490", ca_file: FILES/ca.pem,
    client_id: a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350, credential: {secret: {file: FILES/daemon.secret}}}
  government: {authority: "https://login.microsoftonline.us/8eaef023-2b34-4da1-9baa-8bc8c9d6a490", region: usgovvirginia,
    ca_file: FILES/ca.pem, client_id: a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350, credential: {secret: {file: FILES/daemon.secret}}}
"#;

async fn ask(stage: &Stage, app: &str) -> crate::support::Answer {
    stage.post("/client-credentials", json!({"app": app, "scopes": [GRAPH]})).await
}

#[tokio::test]
async fn aut_8_an_apps_own_tokens_come_from_its_region() {
    let stage = Stage::new(APPS, "").await;
    ask(&stage, "here").await.token();
    assert_eq!(stage.last_token_call().await["host"], "westeurope.login.microsoft.com");
    ask(&stage, "government").await.token();
    assert_eq!(stage.last_token_call().await["host"], "usgovvirginia.login.microsoftonline.us");
}

#[tokio::test]
async fn aut_5_names_of_the_cache_stay_global() {
    let stage = Stage::new(APPS, "").await;
    let here = ask(&stage, "here").await;
    // Another name of the cloud, another credential, no region: one authority and one client.
    for app in ["anywhere", "signed"] {
        let same = ask(&stage, app).await;
        assert_eq!((same.source(), same.token()), ("cache", here.token()), "{app}");
    }
    assert_eq!(stage.emulator.asked("token").await.len(), 1);
    // Another cloud is another authority.
    assert_eq!(ask(&stage, "government").await.source(), "identity_provider");
}

#[tokio::test]
async fn asn_4_an_assertion_names_the_regional_endpoint() {
    let stage = Stage::new(APPS, "").await;
    // The emulator takes nothing else there.
    ask(&stage, "signed").await.token();
    let call = stage.last_token_call().await;
    let assertion = call["form"]["client_assertion"].as_str().expect("an assertion");
    let claims = assertion.split('.').nth(1).expect("claims");
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims["aud"], format!("https://westeurope.login.microsoft.com/{TENANT}/oauth2/v2.0/token"));
}

#[tokio::test]
async fn aut_8_users_grants_and_documents_are_global() {
    let apps = r#"
  orders: {authority: "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490", region: westeurope,
    ca_file: FILES/ca.pem, client_id: 2c5f3a0e-6f0a-4f0e-9d5b-0a4f5f3f9b11, credential: {secret: {file: FILES/orders.secret}},
    inbound: {audiences: ["api://orders"]}}
"#;
    let stage = Stage::new(apps, "").await;
    let user = stage.emulator.user_token("ana@contoso.example").await;
    stage.obo(&user, json!({"app": "orders", "scopes": ["https://graph.microsoft.com/User.Read"]})).await.token();
    let hosts: Vec<Value> = stage.emulator.requests().await.into_iter().map(|request| request["host"].clone()).collect();
    assert!(hosts.iter().all(|host| host == "login.microsoftonline.com"), "{hosts:?}");
    stage.post("/client-credentials", json!({"app": "orders", "scopes": [GRAPH]})).await.token();
    assert_eq!(stage.last_token_call().await["host"], "westeurope.login.microsoft.com");
}

/// The metadata of a machine, which gives these answers one after the other, the last one again and again.
struct Machine {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    running: JoinHandle<()>,
}

impl Machine {
    #[expect(clippy::disallowed_methods, reason = "a machine runs beside the test")]
    async fn start(answers: &'static [(&'static str, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&asked);
        let running = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut buffer).await {
                        Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
                        _ => break,
                    }
                }
                let count = {
                    let mut seen = seen.lock().expect("no panic");
                    seen.push(String::from_utf8_lossy(&head).to_ascii_lowercase());
                    seen.len()
                };
                let (status, body) = answers[(count - 1).min(answers.len() - 1)];
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                // The other end may be gone.
                let _sent = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, asked, running }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.running.abort();
    }
}

const AUTO: &str = r#"
  here: {authority: "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490", region: auto,
    ca_file: FILES/ca.pem, client_id: a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350, credential: {secret: {file: FILES/daemon.secret}}}
  other: {authority: "https://login.microsoftonline.us/8eaef023-2b34-4da1-9baa-8bc8c9d6a490", region: auto,
    ca_file: FILES/ca.pem, client_id: a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350, credential: {secret: {file: FILES/daemon.secret}}}
"#;

/// A sidecar of its own over the stage, whose environment has these variables.
async fn sidecar(stage: &Stage, environment: &[(&str, &str)]) -> Sidecar {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let text = format!("{}\nlisten: \"127.0.0.1:0\"\nadmin_listen: \"127.0.0.1:0\"\n", stage.yaml);
    let (settings, findings) = parse(&text, Format::Yaml, "test.yaml", &environment);
    let settings = settings.unwrap_or_else(|| panic!("{findings:#?}"));
    Sidecar::start_from(settings, &stage.clock, Sampler::new(None)).await
}

async fn state(sidecar: &Sidecar, state: &str) -> bool {
    sidecar.metric(&format!("tokend_region_state{{state=\"{state}\"}}")).await == 1.0
}

async fn host(stage: &Stage, sidecar: &Sidecar) -> Value {
    let answer =
        sidecar.client.post("/client-credentials", &json!({"app": "here", "scopes": [GRAPH], "force_refresh": true})).await;
    answer.token();
    stage.last_token_call().await["host"].clone()
}

async fn until(sidecar: &Sidecar, name: &str) {
    eventually(std::time::Duration::from_secs(15), async || state(sidecar, name).await).await;
}

#[tokio::test]
async fn aut_7_the_machine_says_its_region_once_and_a_newer_version_where_it_has_no_older() {
    let stage = Stage::new(APPS, "").await;
    let auto = Stage { yaml: stage.yaml.replace(&filled(&stage.files, APPS), &filled(&stage.files, AUTO)), ..stage };
    let machine = Machine::start(&[
        ("400 Bad Request", r#"{"newest-versions": ["2026-03-01", "2021-02-01"]}"#),
        ("200 OK", r#"{"location": "NorthEurope"}"#),
    ])
    .await;
    let sidecar = sidecar(&auto, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &machine.url)]).await;
    until(&sidecar, "known").await;
    assert_eq!(host(&auto, &sidecar).await, "northeurope.login.microsoft.com");
    let asked = machine.asked();
    let [first, second] = asked.as_slice() else { panic!("once for all apps: {asked:?}") };
    assert!(first.starts_with("get /metadata/instance/compute?api-version=2021-02-01 ") && first.contains("metadata: true"));
    assert!(second.starts_with("get /metadata/instance/compute?api-version=2026-03-01 "), "{second}");
    assert!(!auto.proxy.asked().iter().any(|asked| asked.line.contains("127.0.0.1")), "no proxy is asked for it");
}

#[tokio::test]
async fn aut_7_the_environment_goes_first_and_what_cannot_be_known_is_global() {
    let stage = Stage::new(APPS, "").await;
    let auto = Stage { yaml: stage.yaml.replace(&filled(&stage.files, APPS), &filled(&stage.files, AUTO)), ..stage };
    let machine = Machine::start(&[("404 Not Found", "")]).await;
    let place = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.url.as_str());
    let named = sidecar(&auto, &[place, ("REGION_NAME", "North Europe")]).await;
    until(&named, "known").await;
    assert_eq!(host(&auto, &named).await, "northeurope.login.microsoft.com");
    assert!(machine.asked().is_empty());
    let failed = sidecar(&auto, &[place, ("REGION_NAME", "evil.example")]).await;
    until(&failed, "unknown").await;
    assert_eq!(host(&auto, &failed).await, "login.microsoftonline.com");
    assert_eq!(machine.asked().len(), 1, "once, and no more");
}

#[tokio::test]
async fn aut_7_until_the_region_is_known_the_global_endpoint_is_asked() {
    let stage = Stage::new(APPS, "").await;
    let auto = Stage { yaml: stage.yaml.replace(&filled(&stage.files, APPS), &filled(&stage.files, AUTO)), ..stage };
    // It is asked again after a second.
    let machine = Machine::start(&[("503 Service Unavailable", ""), ("200 OK", r#"{"location": "northeurope"}"#)]).await;
    let sidecar = sidecar(&auto, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &machine.url)]).await;
    assert!(state(&sidecar, "pending").await);
    assert_eq!(soon(host(&auto, &sidecar)).await, "login.microsoftonline.com");
    until(&sidecar, "known").await;
    assert_eq!(host(&auto, &sidecar).await, "northeurope.login.microsoft.com");
}

fn filled(files: &TempDir, apps: &str) -> String {
    apps.replace("FILES", &files.path().display().to_string())
}
