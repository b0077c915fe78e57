//! Certificates for servers in the cluster, made by `openssl`: a CA that nobody else trusts, and one certificate for all of a
//! test's Services.

use std::path::Path;
use std::process::Command;

use super::kube::said;

/// PEM texts.
pub(crate) struct Certificates {
    pub(crate) ca: String,
    pub(crate) cert: String,
    pub(crate) key: String,
}

const CA: &str = "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\nsubjectKeyIdentifier = hash\n";
const LEAF: &str = "basicConstraints = critical, CA:FALSE\nextendedKeyUsage = serverAuth\nauthorityKeyIdentifier = keyid\n";

impl Certificates {
    /// A new CA, and a certificate by it for these names.
    pub(crate) fn new(names: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |file: &str| folder.path().join(file).display().to_string();
        make(folder.path(), "ca", CA, &[]);
        let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let leaf = format!("{LEAF}subjectAltName = {}\n", names.join(", "));
        make(folder.path(), "leaf", &leaf, &["-CA", &at("ca.pem"), "-CAkey", &at("ca.key")]);
        let read = |file: &str| std::fs::read_to_string(at(file)).expect("a file that openssl wrote");
        Self { ca: read("ca.pem"), cert: read("leaf.pem"), key: read("leaf.key") }
    }
}

fn make(folder: &Path, name: &str, extensions: &str, signer: &[&str]) {
    let at = |ending: &str| folder.join(format!("{name}.{ending}")).display().to_string();
    let config = format!(
        "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = all\n[name]\nCN = tokend test {name}\n[all]\n{extensions}"
    );
    std::fs::write(at("conf"), config).expect("a file");
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "60"]);
    openssl.args(["-config", &at("conf"), "-keyout", &at("key"), "-out", &at("pem")]).args(signer);
    said(&mut openssl, None).unwrap_or_else(|complaint| panic!("openssl: {complaint}"));
}
