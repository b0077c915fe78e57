//! Keys in files as other programs write them: OpenSSL, Python's libraries. Each of them proves an app to the emulator; what cannot
//! work is refused with its reason.

mod findings;
mod pem;
mod pfx;
mod private;
mod replaced;

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
    SignatureAlgorithm, date_time_ymd,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Emulator, GRAPH, Stage, World};

/// The client id of the emulator's `daemon`.
pub(crate) const DAEMON: &str = "a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350";
/// The password of what is encrypted here.
const PASSWORD: &str = "corréct horse";

/// A key with its certificate and the CAs above it, and a folder for what is made of them.
pub(crate) struct Keys {
    pub(crate) folder: TempDir,
    /// The key, PKCS#8.
    pub(crate) key: String,
    /// Its certificate, the intermediate CA's, the root's.
    pub(crate) chain: [String; 3],
}

/// A key that issues.
struct Ca {
    params: CertificateParams,
    key: KeyPair,
}

// === impl Ca ===

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = dated(CertificateParams::new(Vec::new()).expect("parameters"), 2099);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name.push(DnType::CommonName, name);
        Self { params, key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key") }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

fn dated(mut params: CertificateParams, last_year: i32) -> CertificateParams {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    params
}

// === impl Keys ===

impl Keys {
    /// An RSA key.
    pub(crate) fn new() -> Self {
        Self::of(&PKCS_RSA_SHA256, 2099)
    }

    /// A key of a kind, whose certificate ends with the first day of a year.
    pub(crate) fn of(kind: &'static SignatureAlgorithm, last_year: i32) -> Self {
        let (root, middle) = (Ca::new("root"), Ca::new("middle"));
        let key = KeyPair::generate_for(kind).expect("a key");
        let mut params = dated(CertificateParams::new(vec!["app.example".to_owned()]).expect("a name"), last_year);
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name.push(DnType::CommonName, "app");
        let leaf = params.signed_by(&key, &middle.issuer()).expect("a certificate");
        let middle = middle.params.signed_by(&middle.key, &root.issuer()).expect("a certificate");
        let root = root.params.self_signed(&root.key).expect("a certificate");
        let keys = Self {
            folder: tempfile::tempdir().expect("a folder"),
            key: key.serialize_pem(),
            chain: [leaf.pem(), middle.pem(), root.pem()],
        };
        keys.write("key.pem", &keys.key);
        keys.write("chain.pem", keys.chain.concat());
        keys.write("password", format!("{PASSWORD}\n"));
        keys
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).expect("a file");
    }

    /// Runs OpenSSL in the folder.
    pub(crate) fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(self.folder.path()).output().expect("OpenSSL");
        assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A PFX of all of it, with further arguments for `openssl pkcs12 -export`.
    pub(crate) fn pfx(&self, name: &str, password: &str, more: &[&str]) {
        let password = format!("pass:{password}");
        let usual = ["pkcs12", "-export", "-inkey", "key.pem", "-in", "chain.pem", "-out", name, "-passout", &password];
        self.openssl(&[&usual[..], more].concat());
    }

    /// A world whose `daemon` has this certificate, with these apps; `KEYS` stands for the folder.
    async fn world(&self, apps: &[(&str, &str)]) -> World {
        let mut directory = Emulator::built_in();
        register(&mut directory, &self.chain[0]);
        self.world_of(directory, apps).await
    }

    /// A world of a directory, with these apps: their names, and their credentials. Those that begin with `shop` are of the realm.
    async fn world_of(&self, directory: Value, apps: &[(&str, &str)]) -> World {
        let folder = self.folder.path().display().to_string();
        let app = |(name, credential): &(&str, &str)| {
            let place = if name.starts_with("shop") {
                "issuer: \"ORIGIN/oidc/shop\", client_id: shop-keyed".to_owned()
            } else {
                format!("authority: \"ORIGIN/TENANT\", client_id: {DAEMON}")
            };
            format!("  {name}: {{{place}, ca_file: FILES/ca.pem, credential: {{{}}}}}\n", credential.replace("KEYS", &folder))
        };
        let apps: String = apps.iter().map(app).collect();
        World::staged(Stage { directory: Some(directory), apps: &apps, ..Stage::default() }).await
    }
}

/// Gives the `daemon` of a directory a further certificate.
fn register(directory: &mut Value, certificate: &str) {
    let mut apps = directory["apps"].as_array_mut().expect("a list").iter_mut();
    let daemon = apps.find(|app| app["name"] == "daemon").expect("the app");
    daemon["certificates"].as_array_mut().expect("a list").push(json!({"pem": certificate}));
}

/// Gets a token for an app, and returns the header of the assertion that it was asked for with.
async fn proven(world: &World, app: &str) -> Value {
    let scopes = if app.starts_with("shop") { "stock.read" } else { GRAPH };
    let answer = world.app_token(json!({"app": app, "scopes": scopes, "force_refresh": true})).await;
    assert_eq!(answer.status, 200, "{app}: {}", answer.text);
    let asked = world.emulator.asked("token").await;
    let assertion = asked.last().expect("a call")["form"]["client_assertion"].as_str().expect("an assertion").to_owned();
    let header = URL_SAFE_NO_PAD.decode(assertion.split('.').next().expect("a header")).expect("base64url");
    serde_json::from_slice(&header).expect("JSON")
}

/// The DER of a PEM block, in base64.
fn base64(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

/// A text in base64.
fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
