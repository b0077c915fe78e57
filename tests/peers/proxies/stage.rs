//! A proxy between a client and an application, and tokend beside it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokend::clock::Clock;
use tokio::sync::{Mutex, OnceCell};

use super::api::Api;
use super::authority::{Authority, LATER};
use super::proxy::{Change, Places, Proof, Proxy, Running};
use super::wire::{Answer, ask};
use crate::RUNTIME;
use crate::clients::ANA;
use crate::support::{Emulator, NOW, Sidecar};
use crate::tree::text;

/// What the proxy shows tokend where it has a token.
const CALLER: &str = "a-token-of-the-proxy-of-this-test";
/// A token of another caller, who may do more than the proxy.
pub(crate) const OTHER_CALLER: &str = "a-token-of-another-caller-of-tokend";

/// One of each proxy for all its tests: its start takes longer than they do. They take turns.
static STAGES: [OnceCell<Mutex<Stage>>; 4] = [const { OnceCell::const_new() }; 4];

/// A client's way through a proxy.
pub(crate) struct Stage {
    pub(crate) proxy: Proxy,
    pub(crate) emulator: Emulator,
    pub(crate) tokend: Sidecar,
    pub(crate) api: Api,
    pub(crate) port: u16,
    clock: Clock,
    files: TempDir,
    address: String,
    _running: Running,
}

/// Runs a test on the stage that all tests of a proxy share.
pub(crate) fn on(proxy: Proxy, test: impl AsyncFnOnce(&Stage)) {
    RUNTIME.block_on(async {
        let start = async || Mutex::new(Stage::new(proxy, proxy.proof(), &[]).await);
        let stage = STAGES[proxy as usize].get_or_init(start).await.lock().await;
        stage.reset().await;
        test(&stage).await;
    });
}

// === impl Stage ===

impl Stage {
    /// A stage with a proof, and what has to be changed for it in the proxy's configuration.
    pub(crate) async fn new(proxy: Proxy, proof: Proof, changes: &[Change]) -> Self {
        // It moves on by hours between two tests, and what has failed in one is forgotten in the next.
        let clock = Clock::manual(NOW);
        let emulator = Emulator::start(&clock).await;
        let files = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).expect("a file");
        // Of one CA: what tokend shows, and what the proxy shows tokend.
        let authority = Authority::new();
        let (server, client) =
            (authority.listener(&["tokend.internal"], LATER), authority.client_named(&[], &["gateway.shop.svc"], LATER));
        write("ca.crt", &authority.pem);
        write("tokend.crt", &server.cert);
        write("tokend.key", &server.key);
        write("tls.crt", &client.cert);
        write("tls.key", &client.key);
        write("authority-ca.pem", &emulator.ca_pem);
        write("orders.pem", &Emulator::pem(emulator.app("orders-api")));
        write("tokend-caller", CALLER);
        write("other-caller", OTHER_CALLER);
        // A proxy's processes may be of another user than the test's.
        std::fs::set_permissions(files.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let tokend = Sidecar::start(&configuration(&emulator, files.path(), proof), &clock).await;
        let address = tokend.addresses[0].to_string();
        let address = address.trim_start_matches("unix:").to_owned();
        let api = Api::start().await;
        let places = Places { tokend: &address, api: api.port, files: files.path() };
        let running = Running::start(proxy, &places, changes, proof).await;
        let port = running.port;
        Self { proxy, emulator, tokend, api, port, clock, files, address, _running: running }
    }

    /// A further proxy of this stage, with its configuration changed.
    pub(crate) async fn another(&self, changes: &[Change]) -> Running {
        let places = Places { tokend: &self.address, api: self.api.port, files: self.files.path() };
        Running::start(self.proxy, &places, changes, self.proxy.proof()).await
    }

    /// A further proxy of this stage that looks for tokend where nobody is.
    pub(crate) async fn without_tokend(&self) -> Running {
        let nowhere = match self.proxy.proof() {
            Proof::Socket => format!("{}.gone", self.address),
            Proof::Token | Proof::Certificate => format!("127.0.0.1:{}", crate::support::free_port()),
        };
        let places = Places { tokend: &nowhere, api: self.api.port, files: self.files.path() };
        Running::start(self.proxy, &places, &[], self.proxy.proof()).await
    }

    /// As it was at the beginning, an hour later.
    async fn reset(&self) {
        self.emulator.unscript().await;
        self.clock.advance(Duration::from_secs(3600));
        self.api.take();
    }

    /// A token of the user for the application's front, as it has to be.
    pub(crate) async fn user_token(&self) -> String {
        self.emulator.user_token(ANA).await
    }

    /// Sends a request with a user's token; `more` are further lines of the head.
    pub(crate) async fn asked_as(&self, token: &str, more: &str) -> Answer {
        ask(self.port, &format!("GET /orders HTTP/1.1\nHost: orders\nConnection: close\nAuthorization: Bearer {token}{more}")).await
    }

    /// How often the door has answered, however it did.
    pub(crate) async fn answered(&self) -> f64 {
        let metrics = self.tokend.admin.get("/metrics").await.text;
        let of_door = |line: &&str| line.starts_with("tokend_door_requests_total{door=\"auth_request\"");
        metrics.lines().filter(of_door).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// The authority's token endpoint answers so from now on.
    pub(crate) async fn authority(&self, effect: serde_json::Value) {
        self.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": effect})).await;
    }
}

/// The page's configuration of tokend, for this proof.
fn configuration(emulator: &Emulator, files: &Path, proof: Proof) -> String {
    let mut yaml = text("tests/peers/proxies/tokend.yaml");
    let folder = files.display();
    let token = "token: {file: /run/secrets/tokend-caller}";
    let uid = std::fs::metadata(files).expect("a folder").uid();
    let (shown, listens) = match proof {
        Proof::Token => (token.to_owned(), String::new()),
        Proof::Certificate => (
            "certificate: {dns_names: [gateway.shop.svc]}".to_owned(),
            format!(
                "tls: {{cert: {{file: {folder}/tokend.crt}}, key: {{file: {folder}/tokend.key}}, \
                 client_ca: {{file: {folder}/ca.crt}}, client_certificates: optional}}\n"
            ),
        ),
        Proof::Socket => (format!("peer: {{uid: {uid}}}"), format!("listen: [\"unix:{folder}/tokend.sock\"]\nlisten_mode: 0666\n")),
    };
    for (written, meant) in [
        (token, shown.as_str()),
        ("https://login.microsoftonline.com", &emulator.origin),
        ("client_id:", &format!("ca_file: {folder}/authority-ca.pem\n    client_id:")),
        ("/run/secrets", &folder.to_string()),
        ("apis: [graph]", "apis: [graph, judged]"),
        // An api of which nothing but a judgement is asked, one that the proxy may not have, and a caller who may.
        (
            "\ncallers:\n",
            &format!(
                "  judged: {{app: orders, exchange: false, doors: [auth_request], identity_headers: {{x-user-id: oid}}}}\n  \
                 mail: {{app: orders, scopes: [https://graph.microsoft.com/Mail.Read], doors: [auth_request]}}\n\n\
                 callers:\n  - {{name: other, token: {{file: {folder}/other-caller}}, doors: [auth_request]}}\n"
            ),
        ),
    ] {
        assert!(yaml.contains(written), "no {written} in the configuration");
        yaml = yaml.replace(written, meant);
    }
    yaml + &listens + "authority: {retry_delay: 10ms}\n"
}
