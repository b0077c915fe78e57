//! The Microsoft 365 Agents SDK, which takes tokend for Microsoft's sidecar: `SIDECAR_URL` is all that it is told.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use crate::clients::{Library, Program, claims};
use crate::support::{Emulator, GRAPH, Sidecar};

/// The agent that the SDK would act as.
const AGENT: &str = "0f3c1f0e-6f0a-4f0e-9d5b-0a4f5f3f9b33";

/// An emulator, and a sidecar whose `default` is free and whose `strict` takes no overrides.
struct Stage {
    emulator: Emulator,
    sidecar: Sidecar,
    files: TempDir,
}

impl Stage {
    async fn new() -> Self {
        // The SDK looks at the machine's clock.
        let clock = Clock::system();
        let emulator = Emulator::start(&clock).await;
        let files = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let ca = write("ca.pem", &emulator.ca_pem);
        let secret = write("daemon", Emulator::secret(emulator.app("daemon")));
        let tenant = emulator.directory["tenants"][0]["id"].as_str().expect("a tenant");
        let client_id = emulator.app("daemon")["client_id"].as_str().expect("an id");
        let origin = &emulator.origin;
        let mut yaml = "doors: [ms_sidecar]\nms_sidecar: {app: default, unauthenticated: anyone}\napps:\n".to_owned();
        let _written = writeln!(
            yaml,
            "  default: {{authority: \"{origin}/{tenant}\", ca_file: {ca}, client_id: {client_id}, tenants: [{tenant}], \
             credential: {{secret: {{file: {secret}}}}}}}\napis:"
        );
        for (name, more) in [("default", ", app_overrides: true"), ("strict", ""), ("agenticblueprint", ", app_overrides: true")] {
            let _written =
                writeln!(yaml, "  {name}: {{app: default, scopes: [\"{GRAPH}\"], doors: [ms_sidecar], app_token: true{more}}}");
        }
        let sidecar = Sidecar::start(&yaml, &clock).await;
        Self { emulator, sidecar, files }
    }

    /// The last line of a program, which makes one request: what would not get better is not asked again.
    async fn run(&self, library: &Library, asked: Value) -> Value {
        let before = self.requests().await;
        let mut command = library.command(&asked, self.files.path()).await;
        command.env("SIDECAR_URL", &self.sidecar.client.base);
        let line = Program::start(command).line().await;
        assert_eq!(self.requests().await - before, 1.0, "{}: {asked} {line:#}", library.name);
        line
    }

    /// Why a program has no token.
    async fn refusal(&self, library: &Library, asked: Value) -> String {
        let line = self.run(library, asked).await;
        line["error"].as_str().unwrap_or_else(|| panic!("{}: {line:#}", library.name)).to_owned()
    }

    /// How many requests came in by this door.
    async fn requests(&self) -> f64 {
        let metrics = self.sidecar.admin.get("/metrics").await.text;
        let of_door =
            metrics.lines().filter(|line| line.starts_with("tokend_door_requests_total{") && line.contains("door=\"ms_sidecar\""));
        of_door.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }
}

/// The SDK's own token, at the service that it names by itself and at one whose name it is told in another case.
async fn gets_tokens(library: &Library) {
    let stage = Stage::new().await;
    let mut command = library.command(&json!({"flow": "healthy"}), stage.files.path()).await;
    command.env("SIDECAR_URL", format!("{}/", stage.sidecar.client.base));
    let line = Program::start(command).line().await;
    assert_eq!(line["token"].as_str().map(str::to_lowercase).as_deref(), Some("true"), "{line:#}");
    for more in [json!({}), json!({"service": "Default"}), json!({"service": "Default", "force_refresh": true})] {
        let mut asked = json!({"flow": "token", "scopes": [GRAPH]});
        asked.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        let line = stage.run(library, asked).await;
        let claims = claims(line["token"].as_str().unwrap_or_else(|| panic!("{}: {line:#}", library.name)));
        assert_eq!(claims["aud"], "https://graph.microsoft.com", "{claims:#}");
        assert_eq!(claims["appid"], stage.emulator.app("daemon")["client_id"], "{claims:#}");
    }
}

/// What tokend says reaches the developer, and nothing is asked twice.
async fn is_told_why(library: &Library) {
    let stage = Stage::new().await;
    let tenant = &stage.emulator.directory["tenants"][0]["id"];
    for flow in ["blueprint", "agent", "agent-user"] {
        let asked = json!({"flow": flow, "tenant": tenant, "agent": AGENT, "user": "agent@contoso.example", "scopes": [GRAPH]});
        let said = stage.refusal(library, asked).await;
        assert!(said.contains("400") && said.contains("AgentIdentity"), "{flow}: {said}");
    }
    let said = stage.refusal(library, json!({"flow": "token", "service": "nothing", "scopes": [GRAPH]})).await;
    assert!(said.contains("400") && said.contains("api"), "{said}");
    let said = stage.refusal(library, json!({"flow": "token", "service": "strict", "scopes": [GRAPH]})).await;
    assert!(said.contains("403") && said.contains("app_overrides"), "{said}");
}

/// The tests that the SDK of each language has to pass, in a module of its name.
macro_rules! tries {
    ($module:ident, $library:ident) => {
        mod $module {
            use crate::clients::Library;

            #[tokio::test]
            async fn gets_tokens() {
                super::gets_tokens(&Library::$library).await;
            }

            #[tokio::test]
            async fn is_told_why_it_gets_none_and_asks_once() {
                super::is_told_why(&Library::$library).await;
            }
        }
    };
}

tries!(agents_js, AGENTS_JS);
tries!(agents_python, AGENTS_PYTHON);
