//! The libraries that are tried, and how each is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// One library of some language.
#[derive(Debug)]
pub(crate) struct Library {
    /// As its program knows it.
    pub(crate) name: &'static str,
    language: Language,
}

#[derive(Clone, Copy, Debug)]
enum Language {
    Node,
    /// What knows no Azure has a program of its own, and in Python packages of its own.
    NodeOAuth,
    NodeAgents,
    Go,
    Python,
    PythonOAuth,
    PythonAgents,
    Rust,
    Java,
    JavaSpring,
}

/// What a machine may have set, and no program here shall look at.
const FOREIGN: [&str; 27] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "MSAL_FORCE_REGION",
    "AZURE_REGIONAL_AUTHORITY_NAME",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_TENANT_ID",
    "AZURE_TOKEN_CREDENTIALS",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "OAUTHLIB_INSECURE_TRANSPORT",
    "OAUTHLIB_RELAX_TOKEN_SCOPE",
    "SIDECAR_URL",
];

// === impl Library ===

impl Library {
    pub(crate) const AGENTS_JS: Self = Self { name: "agents-hosting-js", language: Language::NodeAgents };
    pub(crate) const AGENTS_PYTHON: Self = Self { name: "agents-hosting-python", language: Language::PythonAgents };
    pub(crate) const AUTHLIB: Self = Self { name: "authlib", language: Language::PythonOAuth };
    pub(crate) const AZIDENTITY: Self = Self { name: "azidentity", language: Language::Go };
    pub(crate) const AZURE_IDENTITY_JAVA: Self = Self { name: "azure-identity-java", language: Language::Java };
    pub(crate) const AZURE_IDENTITY_JS: Self = Self { name: "azure-identity-js", language: Language::Node };
    pub(crate) const AZURE_IDENTITY_PYTHON: Self = Self { name: "azure-identity-python", language: Language::Python };
    pub(crate) const AZURE_IDENTITY_RUST: Self = Self { name: "azure-identity-rust", language: Language::Rust };
    pub(crate) const MSAL4J: Self = Self { name: "msal4j", language: Language::Java };
    pub(crate) const MSAL_GO: Self = Self { name: "msal-go", language: Language::Go };
    pub(crate) const MSAL_NODE: Self = Self { name: "msal-node", language: Language::Node };
    pub(crate) const MSAL_PYTHON: Self = Self { name: "msal-python", language: Language::Python };
    pub(crate) const OPENID_CLIENT: Self = Self { name: "openid-client", language: Language::NodeOAuth };
    pub(crate) const REQUESTS_OAUTHLIB: Self = Self { name: "requests-oauthlib", language: Language::PythonOAuth };
    pub(crate) const SPRING: Self = Self { name: "spring", language: Language::JavaSpring };
    pub(crate) const X_OAUTH2: Self = Self { name: "x-oauth2", language: Language::Go };
}

impl Library {
    /// The command that asks for a token; `folder` has the CA as `ca.pem`.
    pub(crate) async fn command(&self, asked: &Value, folder: &Path) -> Command {
        let mut command = match self.language {
            Language::Node => node("client.mjs", folder),
            Language::NodeOAuth => node("oauth.mjs", folder),
            Language::NodeAgents => node("sidecar.mjs", folder),
            Language::Go => Command::new(there(".tools/clients/go/client", "peers")),
            Language::Python => python(".tools/venv", "base", "client.py"),
            Language::PythonOAuth => python(".tools/clients/python", "peers", "oauth.py"),
            Language::PythonAgents => python(".tools/clients/python", "peers", "sidecar.py"),
            Language::Rust => Command::new(there(".tools/clients/rust/client", "peers")),
            Language::Java => java("Client", ".tools/clients/java", folder).await,
            Language::JavaSpring => java("app.Main", ".tools/clients/spring", folder).await,
        };
        for name in FOREIGN {
            command.env_remove(name);
        }
        command.arg(asked.to_string());
        command
    }
}

fn node(program: &str, folder: &Path) -> Command {
    there("tests/peers/clients/node/node_modules", "peers");
    let mut command = Command::new("node");
    command.env("NODE_EXTRA_CA_CERTS", folder.join("ca.pem")).env("NODE_NO_WARNINGS", "1");
    command.arg(there(&format!("tests/peers/clients/node/{program}"), "peers"));
    command
}

fn python(environment: &str, set_up: &str, program: &str) -> Command {
    let mut command = Command::new(there(&format!("{environment}/bin/python"), set_up));
    // What it imports of its own is not compiled into this tree.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(there(&format!("tests/peers/clients/python/{program}"), set_up));
    command
}

/// Java's own tool makes a trust store of the CA.
async fn java(class: &str, home: &str, folder: &Path) -> Command {
    let store = folder.join("ca.p12");
    if store.exists() {
        std::fs::remove_file(&store).expect("the store of another CA");
    }
    let mut keytool = Command::new("keytool");
    keytool.args(["-importcert", "-noprompt", "-alias", "ca", "-storetype", "PKCS12", "-storepass", "changeit"]);
    keytool.arg("-file").arg(folder.join("ca.pem")).arg("-keystore").arg(&store);
    let output = crate::support::output(keytool).await;
    assert!(output.status.success(), "keytool: {}", String::from_utf8_lossy(&output.stdout));
    let clients = there(home, "peers-long");
    let mut command = Command::new("java");
    command.arg(format!("-Djavax.net.ssl.trustStore={}", store.display()));
    command.args(["-Djavax.net.ssl.trustStorePassword=changeit", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off"]);
    // They live for a second or two: compiling them well does not pay.
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]);
    command.arg(format!("{0}/classes:{0}/lib/*", clients.display())).arg(class);
    command
}

/// A file of this tree that a set-up script makes.
fn there(path: &str, set_up: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(path.exists(), "no {}: run tests/setup/{set_up}", path.display());
    path
}
