//! Apps that prove themselves to servers of others by a certificate of their connection or by keys on curves, and PFX files as
//! keytool writes them.

use rcgen::PKCS_RSA_SHA256;
use serde_json::{Value, json};
use tokend::clock::Clock;
use tokend::credential::{AssertionHeader, Credential, Settings};
use tokend::oauth::AssertionForm;
use tokend::reload::{Place, Source};

use crate::keycloak::{BOUND, BY_CERTIFICATE, BY_ED25519, BY_ES256, KeycloakFiles};
use crate::on_stage;
use crate::support::{Client, Emulator, GRAPH, Keys, NOW, OidcProvider, Sidecar, Stage as Staged, World};

/// The keys of Keycloak's clients, and those that servers serve TLS with.
pub(crate) struct ProofKeys {
    /// Of the client that shows its certificate.
    pub(crate) client: Keys,
    /// Of the server.
    pub(crate) server: Keys,
}

impl ProofKeys {
    pub(crate) fn new() -> Self {
        let (client, server) = (Keys::new(), Keys::named(&PKCS_RSA_SHA256, 2099, "127.0.0.1"));
        client.openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "es256.pem"]);
        client.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed25519.pem"]);
        Self { client, server }
    }

    /// What Keycloak is told of them.
    pub(crate) fn files(&self, certificate: &str) -> KeycloakFiles {
        KeycloakFiles {
            certificate: certificate.to_owned(),
            subject: "CN=app".to_owned(),
            client_ca: self.client.path("root.pem"),
            es256: self.client.public_jwk("es256.pem", "P-256"),
            ed25519: self.client.public_jwk("ed25519.pem", "Ed25519"),
            server: (self.server.path("chain.pem"), self.server.path("key.pem")),
        }
    }

    /// The apps of Keycloak's clients that use them.
    pub(crate) fn apps(&self, issuer: &str, tls_issuer: &str) -> String {
        let folder = self.client.folder.path().display();
        let by_key = |client: &str, file: &str, kid: &str| {
            format!(
                "  {client}: {{issuer: \"{issuer}\", insecure_http: true, client_id: {client}, credential: {{private_key: {{file: \
                 {folder}/{file}, kid: {kid}}}}}}}\n"
            )
        };
        let ca = self.server.path("root.pem").display().to_string();
        let by_tls = |client: &str| {
            format!(
                "  {client}: {{issuer: \"{tls_issuer}\", ca_file: {ca}, client_id: {client}, credential: {{tls_certificate: {{file: \
                 {folder}/chain.pem, key_file: {folder}/key.pem}}}}}}\n"
            )
        };
        let by_key = [by_key(BY_ES256, "es256.pem", "ES256"), by_key(BY_ED25519, "ed25519.pem", "EdDSA")].concat();
        format!("{by_key}{}{}", by_tls(BY_CERTIFICATE), by_tls(BOUND))
    }
}

fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode_claims(token).expect("a JWT")
}

#[test]
fn keycloak_knows_apps_by_keys_on_curves_and_by_the_certificate_of_the_connection() {
    on_stage(async |stage| {
        for app in [BY_ES256, BY_ED25519, BY_CERTIFICATE] {
            // Twice: a repeated assertion is refused there.
            for _ in 0..2 {
                let answer = stage.app_token(app).await;
                assert_eq!(claims(answer.token())["azp"], app, "{}", answer.text);
            }
        }
    });
}

#[test]
fn a_token_that_keycloak_bound_to_the_certificate_goes_nowhere() {
    on_stage(async |stage| {
        stage.app_token(BOUND).await.refused(502, "token_is_bound", "certificate-bound access tokens");
    });
}

#[tokio::test]
async fn the_oidc_provider_knows_an_app_by_the_certificate_of_its_connection() {
    let keys = ProofKeys::new();
    let text = |keys: &Keys, name: &str| std::fs::read_to_string(keys.path(name)).expect("a file");
    let client = |id: &str, more: Value| {
        let mut client = json!({
            "client_id": id, "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "app.example",
            "grant_types": ["client_credentials"], "redirect_uris": [], "response_types": [],
        });
        client.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        client
    };
    let server = OidcProvider::start(&json!({
        "tls": {
            "cert": text(&keys.server, "chain.pem"), "key": text(&keys.server, "key.pem"), "ca": text(&keys.client, "root.pem"),
        },
        "clients": [
            client("by-tls", json!({})), client("bound", json!({"tls_client_certificate_bound_access_tokens": true})),
            client("another", json!({"tls_client_auth_san_dns": "other.example"})),
        ],
        "defaultResource": "https://orders.example",
    }))
    .await;
    let (folder, ca) = (keys.client.folder.path().display(), keys.server.path("root.pem").display().to_string());
    let app = |id: &str| {
        let files = format!("{{file: {folder}/chain.pem, key_file: {folder}/key.pem}}");
        format!(
            "  {id}: {{issuer: \"{}\", ca_file: {ca}, client_id: {id}, credential: {{tls_certificate: {files}}}}}\n",
            server.issuer
        )
    };
    let yaml = format!("apps:\n{}{}{}", app("by-tls"), app("bound"), app("another"));
    let sidecar = Sidecar::start(&yaml, &Clock::system()).await;
    let ask = async |app: &str| {
        let body = json!({"app": app, "scopes": "api.read", "resource": "https://orders.example"});
        sidecar.client.post("/client-credentials", &body).await
    };
    assert_eq!(claims(ask("by-tls").await.token())["client_id"], "by-tls");
    ask("bound").await.refused(502, "token_is_bound", "cnf");
    ask("another").await.refused(502, "invalid_client", "credential");
    let log = Client::new(&server.issuer, Some(&text(&keys.server, "root.pem"))).get("/person/log").await.json;
    assert_eq!(log[0]["parameters"], json!(["grant_type", "scope", "resource", "client_id"]), "{log}");
}

#[tokio::test]
async fn a_pfx_that_keytool_wrote_proves_an_app_and_one_with_two_keys_is_told() {
    let keys = Keys::new();
    let keytool = |arguments: &[&str]| {
        let store = ["-keystore", "app.p12", "-storetype", "PKCS12", "-storepass", "changeit"];
        let output = std::process::Command::new("keytool").args(arguments).args(store).current_dir(keys.folder.path()).output();
        let output = output.expect("keytool");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).expect("text")
    };
    let generate = |alias: &str| {
        keytool(&["-genkeypair", "-alias", alias, "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=app", "-validity", "36500"])
    };
    generate("app");
    let certificate = keytool(&["-exportcert", "-rfc", "-alias", "app"]);
    keys.write("password", "changeit\n");
    let mut directory = Emulator::built_in();
    let mut apps = directory["apps"].as_array_mut().expect("a list").iter_mut();
    let daemon = apps.find(|app| app["name"] == "daemon").expect("the app");
    daemon["certificates"].as_array_mut().expect("a list").push(json!({"pem": certificate}));
    let id = daemon["client_id"].as_str().expect("an id").to_owned();
    let folder = keys.folder.path().display();
    let app = format!(
        "  java: {{authority: \"ORIGIN/TENANT\", ca_file: FILES/ca.pem, client_id: {id}, credential: {{pfx: {{file: {folder}/app.p12, \
         password: {{file: {folder}/password}}}}}}}}"
    );
    let clock = Clock::manual(Clock::system().unix().max(NOW));
    let staged = Staged { directory: Some(directory), apps: &app, clock: Some(clock), ..Staged::default() };
    let world = World::staged(staged).await;
    world.app_token(json!({"app": "java", "scopes": GRAPH})).await.token();
    generate("other");
    let source = |name: &str| Source { key: name.to_owned(), file: None, place: Place::File(keys.path(name)) };
    let settings =
        Settings::Pfx { source: source("app.p12"), password: Some(source("password")), header: AssertionHeader::default() };
    let refused = Credential::load(&settings, AssertionForm::Thumbprint).expect_err("it has two keys");
    assert!(refused.1.reason.contains("2 private keys") && refused.1.remedy.contains("keytool -importkeystore"), "{refused:?}");
}
