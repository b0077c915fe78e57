//! Keys and certificates in files, for programs that read or write them.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
    SignatureAlgorithm, date_time_ymd,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The password of what is encrypted here.
pub(crate) const PASSWORD: &str = "corréct horse";

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
        Self::named(kind, last_year, "app.example")
    }

    /// A key of a kind, with a certificate for a host name or an address.
    pub(crate) fn named(kind: &'static SignatureAlgorithm, last_year: i32, name: &str) -> Self {
        let (root, middle) = (Ca::new("root"), Ca::new("middle"));
        let key = KeyPair::generate_for(kind).expect("a key");
        let mut params = dated(CertificateParams::new(vec![name.to_owned()]).expect("a name"), last_year);
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
        keys.write("root.pem", &keys.chain[2]);
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

    /// The public half of a private key that OpenSSL wrote, as a JWK: its point stands at the end of it. `kind` is its curve.
    pub(crate) fn public_jwk(&self, file: &str, kind: &str) -> Value {
        let out = format!("{file}.public");
        self.openssl(&["pkey", "-in", file, "-pubout", "-outform", "DER", "-out", &out]);
        let der = std::fs::read(self.path(&out)).expect("a file");
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let length = match kind {
            "P-256" => 32,
            "P-384" => 48,
            "P-521" => 66,
            _ => return json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&der[der.len() - 32..])}),
        };
        let (x, y) = der[der.len() - 2 * length..].split_at(length);
        json!({"kty": "EC", "crv": kind, "x": encode(x), "y": encode(y)})
    }
}
