//! Azure SDKs that ask for a managed identity's token and are told by their environment alone that tokend has it.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use crate::clients::{Library, Program, claims};
use crate::support::{Client, Emulator, GRAPH, Sidecar};

const TOKEN: &str = "a-token-of-the-caller-of-this-test";

/// What is asked for without a final `/.default`, as SDKs do.
const RESOURCE: &str = "https://graph.microsoft.com";

/// An emulator and a sidecar with two apps and a caller that asks as a managed identity.
pub(crate) struct Stage {
    emulator: Emulator,
    sidecar: Sidecar,
    files: TempDir,
}

/// How a program learns where to ask.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    AppService,
    Metadata,
}

// === impl Stage ===

impl Stage {
    pub(crate) async fn new() -> Self {
        // The libraries look at the machine's clock.
        let clock = Clock::system();
        let emulator = Emulator::start(&clock).await;
        let files = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let ca = write("ca.pem", &emulator.ca_pem);
        let tenant = emulator.directory["tenants"][0]["id"].as_str().expect("a tenant");
        let mut yaml = "doors: [msi]\napps:\n".to_owned();
        for (name, registered) in [("default", "daemon"), ("orders", "orders-api")] {
            let entry = emulator.app(registered);
            let (client_id, secret) = (entry["client_id"].as_str().expect("an id"), write(name, Emulator::secret(entry)));
            let origin = &emulator.origin;
            let _written = writeln!(
                yaml,
                "  {name}: {{authority: \"{origin}/{tenant}\", ca_file: {ca}, client_id: {client_id}, credential: {{secret: {{file: {secret}}}}}}}"
            );
        }
        let token = write("caller", TOKEN);
        let _written = writeln!(
            yaml,
            "callers: [{{name: application, token: {{file: {token}}}, doors: [msi]}}]\nmsi: {{imds: {{apps: [default], caller: application}}}}"
        );
        let sidecar = Sidecar::start(&yaml, &clock).await;
        Self { emulator, sidecar, files }
    }

    /// The last line of a program that asks for Graph's token, with other members over the usual ones.
    async fn run(&self, library: &Library, way: Way, header: &str, over: Value) -> Value {
        let mut asked = json!({"library": library.name, "flow": "identity", "scope": GRAPH});
        asked.as_object_mut().expect("an object").extend(over.as_object().cloned().unwrap_or_default());
        let mut command = library.command(&asked, self.files.path()).await;
        let base = &self.sidecar.client.base;
        match way {
            Way::AppService => command.env("IDENTITY_ENDPOINT", format!("{base}/msi/token")).env("IDENTITY_HEADER", header),
            Way::Metadata => command.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", base),
        };
        Program::start(command).line().await
    }

    /// Whose token for Graph a program gets: the registered app's name.
    pub(crate) async fn of(&self, library: &Library, way: Way, over: Value) -> String {
        let line = self.run(library, way, TOKEN, over).await;
        let token = line["token"].as_str().unwrap_or_else(|| panic!("{}: {line:#}", library.name));
        let claims = claims(token);
        assert_eq!((&claims["aud"], &claims["idtyp"]), (&json!(RESOURCE), &json!("app")), "{claims:#}");
        let apps = self.emulator.directory["apps"].as_array().expect("a list");
        let app = apps.iter().find(|app| app["client_id"] == claims["appid"]).expect("one of the apps");
        app["name"].as_str().expect("a name").to_owned()
    }

    /// What a program says in place of a token, of which it made one request.
    async fn refusal(&self, library: &Library, header: &str, over: Value) -> String {
        let before = self.requests().await;
        let line = self.run(library, Way::AppService, header, over).await;
        assert_eq!(self.requests().await - before, 1.0, "{}: {line:#}", library.name);
        line["error"].as_str().unwrap_or_else(|| panic!("{}: {line:#}", library.name)).to_owned()
    }

    /// What tokend itself says to this request.
    async fn message(&self, header: &str, more: &str) -> (u16, String) {
        let path = format!("{}/msi/token?api-version=2019-08-01&resource={RESOURCE}{more}", self.sidecar.client.base);
        let answer = Client::send(self.sidecar.client.http.get(path).header("X-IDENTITY-HEADER", header)).await;
        let (said, _id) = answer.member("message").split_once(" (correlation id").expect("a correlation id");
        (answer.status, said.to_owned())
    }

    /// How many requests came in by this door.
    async fn requests(&self) -> f64 {
        let metrics = self.sidecar.admin.get("/metrics").await.text;
        let of_door =
            metrics.lines().filter(|line| line.starts_with("tokend_door_requests_total{") && line.contains("door=\"msi\""));
        of_door.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    fn client_id(&self, app: &str) -> Value {
        self.emulator.app(app)["client_id"].clone()
    }
}

/// The default app's token, and another app's by its client id.
pub(crate) async fn gets_tokens(library: &Library) {
    let stage = Stage::new().await;
    assert_eq!(stage.of(library, Way::AppService, json!({})).await, "daemon");
    let over = json!({"client_id": stage.client_id("orders-api")});
    assert_eq!(stage.of(library, Way::AppService, over).await, "orders-api");
}

/// What tokend says reaches the developer, and nothing is asked twice.
pub(crate) async fn is_told_why(library: &Library) {
    let stage = Stage::new().await;
    let (status, mut said) = stage.message(TOKEN, "&client_id=nobody").await;
    if library.name == Library::AZURE_IDENTITY_RUST.name {
        // It has words of its own for every 400.
        said = "The requested identity has not been assigned to this resource".to_owned();
    }
    let refusal = stage.refusal(library, TOKEN, json!({"client_id": "nobody"})).await;
    assert_eq!(status, 400);
    assert!(refusal.contains(&said), "{said} is not in {refusal}");
    let (status, said) = stage.message("not-a-token-of-any-caller", "").await;
    let refusal = stage.refusal(library, "not-a-token-of-any-caller", json!({})).await;
    assert_eq!(status, 401);
    assert!(refusal.contains(&said), "{said} is not in {refusal}");
}
