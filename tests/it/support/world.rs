//! The usual stage: one emulator, one sidecar with an app of every kind, one clock for both.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use super::emulator::parameter;
use super::redis::RedisServer;
use super::{Answer, Client, Emulator, Leaver, NOW, Sidecar};

/// An emulator and a sidecar.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) sidecar: Sidecar,
    pub(crate) clock: Clock,
    /// Where the credentials are, by app: `daemon.pem`, `daemon.secret`, `ca.pem`, …
    pub(crate) files: TempDir,
}

/// What a world has that the usual one has not.
#[derive(Debug, Default)]
pub(crate) struct Stage<'a> {
    /// Another clock than one that stands still at [`NOW`].
    pub(crate) clock: Option<Clock>,
    /// Another directory than the built-in one, with its names.
    pub(crate) directory: Option<Value>,
    /// Further apps: YAML below `apps`, in which `ORIGIN`, `TENANT` and `FILES` stand for the emulator's address, the first
    /// tenant's id and the folder with the credentials.
    pub(crate) apps: &'a str,
    /// Further keys at the top of the configuration.
    pub(crate) more: &'a str,
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
        Self::changed(|yaml, _| format!("{yaml}\n{more}")).await
    }

    /// The usual world with its configuration changed; the second argument is the folder of its files.
    pub(crate) async fn changed(change: impl FnOnce(String, &Path) -> String) -> Self {
        Self::made(Clock::manual(NOW), None, |yaml, files, _| change(yaml, files)).await
    }

    /// A world that differs from the usual one in more than its configuration.
    pub(crate) async fn staged(stage: Stage<'_>) -> Self {
        Self::staged_as(stage, |_| {}).await
    }

    /// As [`World::staged`]; `written` is shown the configuration.
    async fn staged_as(stage: Stage<'_>, written: impl FnOnce(&str)) -> Self {
        let clock = stage.clock.unwrap_or_else(|| Clock::manual(NOW));
        Self::made(clock, stage.directory.as_ref(), |yaml, files, emulator| {
            let tenant = emulator.directory["tenants"][0]["id"].as_str().expect("a tenant");
            let apps = stage.apps.replace("ORIGIN", &emulator.origin).replace("TENANT", tenant);
            let apps = apps.replace("FILES", &files.display().to_string());
            // The usual app of this registration has a secret.
            std::fs::write(files.join("partner.pem"), Emulator::pem(emulator.app("partner"))).expect("a file");
            let yaml = yaml.replacen("apis:\n", &format!("{apps}\napis:\n"), 1) + stage.more;
            written(&yaml);
            yaml
        })
        .await
    }

    /// The usual world with these apps, and a second replica that shares a store in clear with the first.
    pub(crate) async fn of_two(apps: &str, redis: &RedisServer) -> (Self, Sidecar) {
        let mut written = String::new();
        let more = format!("cache: {{redis: {{url: \"{}\", encryption: {{plaintext: true}}}}}}\n", redis.url());
        let stage = Stage { apps, more: &more, ..Stage::default() };
        let world = Self::staged_as(stage, |yaml| written.push_str(yaml)).await;
        let other = Sidecar::start(&written, &world.clock).await;
        (world, other)
    }

    async fn made(clock: Clock, directory: Option<&Value>, change: impl FnOnce(String, &Path, &Emulator) -> String) -> Self {
        let emulator = Emulator::start_with(&clock, directory).await;
        let files = tempfile::tempdir().expect("a folder");
        let yaml = change(configuration(&emulator, &files), files.path(), &emulator);
        let sidecar = Sidecar::start(&yaml, &clock).await;
        Self { emulator, sidecar, clock, files }
    }

    /// The usual world, its calls to the authority bounded by `timeout`.
    pub(crate) async fn calling_within(timeout: &str) -> Self {
        Self::changed(|yaml, _| yaml.replace("authority: {retry", &format!("authority: {{timeout: {timeout}, retry"))).await
    }

    /// A caller that is seen to be gone as soon as it drops its request.
    pub(crate) async fn leaver(&self) -> Leaver {
        Leaver::to(&self.sidecar.client).await
    }

    /// How often the token endpoints were asked.
    pub(crate) async fn calls(&self) -> usize {
        self.emulator.asked("token").await.len()
    }

    /// Moves the clock of both.
    pub(crate) fn later(&self, seconds: u64) {
        self.clock.advance(std::time::Duration::from_secs(seconds));
    }

    /// `POST /obo` as any app for any scopes.
    pub(crate) async fn obo_as(&self, app: &str, scopes: &str, bearer: &str) -> Answer {
        self.sidecar.client.post_as("/obo", bearer, &json!({"app": app, "scopes": scopes})).await
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

/// Where the emulator's apps have their codes sent.
pub(crate) const REDIRECT_URI: &str = "http://localhost:3000/callback";

/// Signing in.
impl World {
    /// `POST /auth-code/url` for an app, with the members of `more` beside those that are always needed.
    pub(crate) async fn authorize_url(&self, app: &str, scopes: &str, more: Value) -> Answer {
        let mut body = json!({"app": app, "scopes": scopes, "redirect_uri": REDIRECT_URI});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.sidecar.client.post("/auth-code/url", &body).await
    }

    /// Signs a user in; returns the body with which the code is redeemed at `/auth-code`.
    pub(crate) async fn code(&self, app: &str, scopes: &str, user: &str) -> Value {
        code(&self.emulator, &self.sidecar.client, app, scopes, user).await
    }

    /// `POST /auth-code`.
    pub(crate) async fn redeem(&self, body: &Value) -> Answer {
        self.sidecar.client.post("/auth-code", body).await
    }
}

/// Signs a user in through any sidecar; returns the body with which the code is redeemed at `/auth-code`.
pub(crate) async fn code(emulator: &Emulator, client: &Client, app: &str, scopes: &str, user: &str) -> Value {
    let body = json!({"app": app, "scopes": scopes, "redirect_uri": REDIRECT_URI, "prompt": "none", "login_hint": user});
    let url = client.post("/auth-code/url", &body).await;
    assert_eq!(url.status, 200, "{}", url.text);
    let back = emulator.sign_in(url.member("authorization_url")).await;
    assert_eq!(parameter(&back, "state"), url.member("state"), "{back}");
    let mut body = json!({
        "app": app, "scopes": scopes, "redirect_uri": REDIRECT_URI, "code": parameter(&back, "code"),
        "code_verifier": url.member("code_verifier"), "nonce": url.member("nonce"),
    });
    // Entra does not say who answers.
    if let Some((_, issuer)) = back.query_pairs().find(|(name, _)| name == "iss") {
        body["iss"] = json!(issuer);
    }
    body
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
    yaml += &app("web", "web", "secret", &own, "refresh_token: true, username_password: true");
    yaml += &app("web-cert", "web", "certificate", &own, "");
    yaml += &app("partner", "partner", "secret", &common, &multi);
    yaml += &app("billing", "billing-api", "secret", &own, r#"inbound: {audiences: ["api://billing"]}"#);
    for (name, client, kind) in
        [("shop", "shop-orders", "secret"), ("shop-cert", "shop-jwt", "certificate"), ("shop-web", "shop-web", "secret")]
    {
        let credential = credential(name, emulator.shop(client), kind, &write);
        yaml += &format!(
            "  {name}: {{issuer: \"{origin}/oidc/shop\", ca_file: {ca}, client_id: {client}, credential: {credential}, \
             refresh_token: true, username_password: true, inbound: {{audiences: [\"https://orders.shop.example\"]}}}}\n"
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
