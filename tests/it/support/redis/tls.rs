//! Certificates for a test's servers and clients, signed by an authority that nobody else trusts.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use redis::{ClientTlsConfig, TlsCertificates};
use tempfile::TempDir;

/// PEM files in a folder that goes away with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    folder: Arc<TempDir>,
    host: &'static str,
}

impl Certificates {
    /// A new authority, a server certificate for `127.0.0.1`, `::1` and `localhost`, and a client certificate.
    pub(crate) fn new() -> Self {
        Self::of(&["127.0.0.1", "::1", "localhost"])
    }

    /// A new authority, a server certificate for these names alone, and a client certificate.
    pub(crate) fn of(names: &[&'static str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("a file");
        let key = KeyPair::generate().expect("a key");
        let mut params = named("test CA", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        write("ca.pem", params.self_signed(&key).expect("a certificate").pem());
        let issuer = Issuer::from_params(&params, &key);
        for (name, names) in [("server", names), ("client", &[])] {
            let key = KeyPair::generate().expect("a key");
            let mut params = named(name, names);
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            // Nodes of a cluster are each other's clients: the server's certificate is good for both.
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            write(&format!("{name}.pem"), params.signed_by(&key, &issuer).expect("a certificate").pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self { folder: Arc::new(folder), host: names[0] }
    }

    /// Under which of its names the server is reached.
    pub(super) fn host(&self) -> &'static str {
        self.host
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The server's certificate.
    pub(crate) fn server(&self) -> PathBuf {
        self.folder.path().join("server.pem")
    }

    /// Its private key.
    pub(crate) fn server_key(&self) -> PathBuf {
        self.folder.path().join("server.key")
    }

    /// The client's certificate.
    pub(crate) fn client(&self) -> PathBuf {
        self.folder.path().join("client.pem")
    }

    /// Its private key.
    pub(crate) fn client_key(&self) -> PathBuf {
        self.folder.path().join("client.key")
    }

    /// What the crate `redis` connects with: the authority, and the client's certificate.
    pub(super) fn as_client(&self) -> TlsCertificates {
        // The first to come installs it for the whole process; any later one finds the same.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let read = |path: PathBuf| std::fs::read(path).expect("a PEM file");
        let client_tls = Some(ClientTlsConfig { client_cert: read(self.client()), client_key: read(self.client_key()) });
        TlsCertificates { client_tls, root_cert: Some(read(self.ca())) }
    }
}

/// A certificate that is valid whatever the clock of the machine says.
fn named(subject: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, subject);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params
}
