//! The usual stage: one emulator, one sidecar with an app of every kind, one clock for both.

use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use super::{Answer, Emulator, NOW, Sidecar};

/// An emulator and a sidecar.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) sidecar: Sidecar,
    pub(crate) clock: Clock,
    /// Where the credentials are, by app: `daemon.pem`, `daemon.secret`, `ca.pem`, …
    pub(crate) files: TempDir,
}

/// The scope of an app token for the emulator's Graph.
pub(crate) const GRAPH: &str = "https://graph.microsoft.com/.default";

impl World {
    /// The usual world, its clock standing still at [`NOW`].
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// The usual world with more configuration (top-level keys).
    pub(crate) async fn with(more: &str) -> Self {
        let clock = Clock::manual(NOW);
        let emulator = Emulator::start(&clock).await;
        let files = tempfile::tempdir().expect("a folder");
        let yaml = format!("{}\n{more}", configuration(&emulator, &files));
        let sidecar = Sidecar::start(&yaml, &clock).await;
        Self { emulator, sidecar, clock, files }
    }

    /// `POST /client-credentials`.
    pub(crate) async fn app_token(&self, body: Value) -> Answer {
        self.sidecar.client.post("/client-credentials", &body).await
    }

    /// `POST /client-credentials` as the app `daemon` for Graph.
    pub(crate) async fn graph(&self) -> Answer {
        self.app_token(json!({"app": "daemon", "scopes": [GRAPH]})).await
    }

    /// `POST /obo` as the app `orders` for Graph's User.Read, with this user's token.
    pub(crate) async fn obo(&self, bearer: &str) -> Answer {
        let body = json!({"app": "orders", "scopes": ["https://graph.microsoft.com/User.Read"]});
        self.sidecar.client.post_as("/obo", bearer, &body).await
    }
}

/// The usual configuration, with its files written.
pub(crate) fn configuration(emulator: &Emulator, files: &TempDir) -> String {
    let write = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let ca = write("ca.pem", &emulator.ca_pem);
    let origin = &emulator.origin;
    let tenant = emulator.directory["tenants"][0]["id"].as_str().expect("a tenant").to_owned();
    let app = |name: &str, registered: &str, kind: &str, authority: &str, more: &str| {
        let entry = emulator.app(registered);
        entra_app(name, entry, kind, authority, &ca, &write, more)
    };
    let own = format!("{origin}/{tenant}");
    let common = format!("{origin}/common");
    let inbound = r#"inbound: {audiences: ["api://orders"], scopes: [access_as_user]}"#;
    let fabrikam = emulator.directory["tenants"][1]["id"].as_str().expect("a tenant");
    let multi = format!(r#"inbound: {{audiences: ["api://partner"], tenants: "*"}}, tenants: [{fabrikam}, {tenant}]"#);
    let mut yaml = "apps:\n".to_owned();
    yaml += &app("daemon", "daemon", "secret", &own, &format!("tenants: [{fabrikam}]"));
    yaml += &app("daemon-cert", "daemon", "certificate", &own, "");
    yaml += &app("orders", "orders-api", "certificate", &own, inbound);
    yaml += &app("orders-secret", "orders-api", "secret", &own, inbound);
    yaml += &app("web", "web", "secret", &own, "");
    yaml += &app("web-cert", "web", "certificate", &own, "");
    yaml += &app("partner", "partner", "secret", &common, &multi);
    yaml += &app("billing", "billing-api", "secret", &own, r#"inbound: {audiences: ["api://billing"]}"#);
    for (name, client, kind) in
        [("shop", "shop-orders", "secret"), ("shop-cert", "shop-jwt", "certificate"), ("shop-web", "shop-web", "secret")]
    {
        let credential = credential(name, emulator.shop(client), kind, &write);
        yaml += &format!(
            "  {name}: {{issuer: \"{origin}/oidc/shop\", ca_file: {ca}, client_id: {client}, credential: {credential}, \
             inbound: {{audiences: [\"https://orders.shop.example\"]}}}}\n"
        );
    }
    yaml += "apis:\n";
    yaml += &format!("  graph: {{app: daemon, scopes: [\"{GRAPH}\"]}}\n");
    yaml += "  graph-user: {app: orders, scopes: [\"https://graph.microsoft.com/User.Read\"]}\n";
    yaml += "authority: {retry_delay: 10ms}\n";
    yaml
}

fn entra_app(
    name: &str,
    entry: &Value,
    kind: &str,
    authority: &str,
    ca: &str,
    write: &impl Fn(&str, &str) -> String,
    more: &str,
) -> String {
    let client_id = entry["client_id"].as_str().expect("a client id");
    let credential = credential(name, entry, kind, write);
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    format!("  {name}: {{authority: \"{authority}\", ca_file: {ca}, client_id: {client_id}, credential: {credential}{more}}}\n")
}

fn credential(name: &str, entry: &Value, kind: &str, write: &impl Fn(&str, &str) -> String) -> String {
    let file = if kind == "secret" {
        let first = &entry["secrets"][0];
        let secret = first.as_str().or_else(|| first["value"].as_str()).expect("a secret");
        write(&format!("{name}.secret"), secret)
    } else {
        write(&format!("{name}.pem"), &Emulator::pem(entry))
    };
    format!("{{{kind}: {{file: {file}}}}}")
}
