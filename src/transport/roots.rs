//! Whom TLS trusts on every way out: decided once at the start, and shared by all doors.
//!
//! There are three places for root certificates, and the first that has any is the only one that counts:
//!
//! 1. SSL_CERT_FILE and SSL_CERT_DIR, as OpenSSL and its like take them. An operator who names roots means these and no others, so
//!    a file without certificates is an error; an empty directory is a warning, because base images set that variable for nobody.
//! 2. The system's store.
//! 3. Mozilla's roots, compiled in, for images that have no store at all.
//!
//! They are never merged: a company that takes a CA out of its system's store must not find it trusted again here. An app's
//! `ca_file` is trusted beside whichever counts, for that app's authority alone.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

use super::settings::NamedRoots;
use crate::finding::{Complaint, Findings};
use crate::pem::{self, add_roots};
use crate::reload::{Place, Source};
use crate::tasks;

/// Where the roots come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// SSL_CERT_FILE or SSL_CERT_DIR.
    Named,
    /// The system's store.
    System,
    /// Compiled in.
    CompiledIn,
}

/// The roots that count, while doors are made of them. What a door keeps of them is shared.
#[derive(Debug)]
pub struct Roots {
    /// Where they come from.
    pub origin: Origin,
    certificates: Vec<CertificateDer<'static>>,
    store: Arc<RootCertStore>,
    // By the text of the further CA certificates.
    made: HashMap<Option<Vec<u8>>, ClientConfig>,
}

// === impl Roots ===

impl Roots {
    /// Reads them. What is wrong with the variables becomes findings; what is wrong with the system's store is its owner's to see.
    pub fn load(named: &NamedRoots, findings: &mut Findings) -> Self {
        let (origin, certificates) = choose(self::named(named, findings), system);
        let mut store = RootCertStore::empty();
        let (added, ignored) = store.add_parsable_certificates(certificates.iter().cloned());
        tracing::debug!(?origin, added, ignored, "root certificates are loaded");
        Self { origin, certificates, store: Arc::new(store), made: HashMap::new() }
    }

    /// How TLS is spoken to a server. `ca` is PEM text, trusted beside these roots. The same text gives the same configuration: its
    /// parts are shared, TLS sessions among them.
    ///
    /// # Errors
    /// The text holds no certificate, or one that cannot be read.
    pub fn tls(&mut self, ca: Option<&[u8]>) -> Result<ClientConfig, Complaint> {
        let further = ca.map(<[u8]>::to_vec);
        if let Some(made) = self.made.get(&further) {
            return Ok(made.clone());
        }
        let store = match ca {
            Some(text) => Arc::new(with(&self.store, text)?),
            None => Arc::clone(&self.store),
        };
        let config =
            config(store).ok_or_else(|| Complaint::new("no TLS client can be made with it", "check the CA's certificates"))?;
        self.made.insert(further, config.clone());
        Ok(config)
    }

    /// The roots as PEM text, for who takes nothing else.
    pub fn pem(&self) -> String {
        let mut pem = String::new();
        for certificate in &self.certificates {
            pem.push_str("-----BEGIN CERTIFICATE-----\n");
            pem.push_str(&STANDARD.encode(certificate));
            pem.push_str("\n-----END CERTIFICATE-----\n");
        }
        pem
    }
}

type Certificates = Vec<CertificateDer<'static>>;

fn choose(named: Certificates, system: impl FnOnce() -> Certificates) -> (Origin, Certificates) {
    if !named.is_empty() {
        return (Origin::Named, named);
    }
    let system = system();
    if system.is_empty() {
        (Origin::CompiledIn, webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec())
    } else {
        (Origin::System, system)
    }
}

/// The system's own, whatever the variables say: these were looked at before.
fn system() -> Certificates {
    if cfg!(target_os = "macos") {
        return readable(rustls_native_certs::load_native_certs().certs);
    }
    let places = openssl_probe::probe();
    let mut all = Certificates::new();
    for directory in places.cert_dir {
        all.extend(found(None, Some(directory)));
    }
    all.extend(found(places.cert_file, None));
    readable(all)
}

/// What the variables name. An error ends the start, so that nothing else is trusted in its place.
fn named(named: &NamedRoots, findings: &mut Findings) -> Certificates {
    let mut all = Certificates::new();
    if let Some(file) = &named.file {
        const REMEDY: &str = "name a file with CA certificates as PEM, or unset the variable";
        let source = Source { key: "SSL_CERT_FILE".to_owned(), file: None, place: Place::File(file.clone()) };
        match source.parsed(|text| pem::certificates(text, REMEDY)).map(readable) {
            Ok(found) if !found.is_empty() => all.extend(found),
            Ok(_) => findings.error(None, "SSL_CERT_FILE", Complaint::new("it holds no certificate that can be used", REMEDY)),
            Err(problem) => findings.error(None, "SSL_CERT_FILE", problem),
        }
    }
    for directory in &named.directories {
        let found = readable(found(None, Some(directory.clone())));
        if found.is_empty() {
            let reason = format!("the directory {} has no certificate that can be read", directory.display());
            let remedy = "name a directory with CA certificates as PEM, or unset the variable";
            findings.warning(None, "SSL_CERT_DIR", Complaint::new(reason, remedy));
        }
        all.extend(found);
    }
    all
}

/// What there is in time: a volume that hangs holds nothing.
fn found(file: Option<PathBuf>, directory: Option<PathBuf>) -> Certificates {
    let load = move || rustls_native_certs::load_certs_from_paths(file.as_deref(), directory.as_deref()).certs;
    tasks::within(tasks::START, load).unwrap_or_default()
}

/// Stores hold the same certificate under several names, and some that no TLS client takes.
fn readable(mut certificates: Certificates) -> Certificates {
    certificates.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
    certificates.dedup();
    certificates.retain(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok());
    certificates
}

fn with(roots: &RootCertStore, text: &[u8]) -> Result<RootCertStore, Complaint> {
    const REMEDY: &str = "write the CA's certificates as PEM (-----BEGIN CERTIFICATE-----)";
    let mut store = roots.clone();
    add_roots(&mut store, text, REMEDY)?;
    Ok(store)
}

/// TLS 1.2 and 1.3, HTTP/2 and 1.1. The provider is named: whatever is installed for the process does not count.
fn config(store: Arc<RootCertStore>) -> Option<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().ok()?;
    let mut config = builder.with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Some(config)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rustls::RootCertStore;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;

    use super::{Certificates, Origin, Roots, choose};
    use crate::finding::{Findings, Severity};
    use crate::transport::settings::NamedRoots;

    fn one(number: usize) -> Certificates {
        vec![webpki_root_certs::TLS_SERVER_ROOT_CERTS[number].clone()]
    }

    fn load(file: Option<PathBuf>, directories: Vec<PathBuf>) -> (Roots, Vec<(String, Severity)>) {
        let mut findings = Findings::default();
        let roots = Roots::load(&NamedRoots { file, directories }, &mut findings);
        (roots, findings.iter().map(|finding| (finding.key.clone(), finding.severity)).collect())
    }

    fn pem(certificates: Certificates) -> String {
        let store = RootCertStore::empty().into();
        Roots { origin: Origin::Named, certificates, store, made: Default::default() }.pem()
    }

    #[test]
    fn the_first_place_that_has_any_is_the_only_one() {
        assert_eq!(choose(one(0), || one(1)), (Origin::Named, one(0)));
        assert_eq!(choose(Vec::new(), || one(1)), (Origin::System, one(1)));
        // An image without a store.
        let (origin, compiled_in) = choose(Vec::new(), Vec::new);
        assert!(origin == Origin::CompiledIn && compiled_in.len() > 100);
    }

    #[test]
    fn every_compiled_in_root_can_be_used() {
        let all = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        let text = pem(all.to_vec());
        let read: Result<Certificates, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        assert_eq!(read.unwrap(), all);
        assert_eq!(RootCertStore::empty().add_parsable_certificates(all.iter().cloned()), (all.len(), 0));
    }

    #[test]
    fn whoever_names_roots_means_these() {
        let folder = tempfile::tempdir().unwrap();
        let (file, directory) = (folder.path().join("ca.pem"), folder.path().join("certs"));
        std::fs::write(&file, pem(one(0))).unwrap();
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("a.pem"), pem(one(1))).unwrap();
        let (roots, findings) = load(Some(file), vec![directory]);
        assert_eq!((roots.origin, roots.store.len(), roots.certificates.len()), (Origin::Named, 2, 2));
        assert_eq!(findings, []);
    }

    #[test]
    fn names_that_lead_to_no_root_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let error = [("SSL_CERT_FILE".to_owned(), Severity::Error)];
        assert_eq!(load(Some(file.clone()), Vec::new()).1, error);
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n").unwrap();
        assert_eq!(load(Some(file), Vec::new()).1, error);
        let empty = folder.path().join("certs");
        std::fs::create_dir(&empty).unwrap();
        let (roots, findings) = load(None, vec![empty]);
        assert_eq!(findings, [("SSL_CERT_DIR".to_owned(), Severity::Warning)]);
        assert!(roots.origin != Origin::Named && !roots.store.is_empty());
    }

    #[test]
    fn one_configuration_for_one_set_of_roots() {
        let (mut roots, _) = load(None, Vec::new());
        let (alone, ca) = (roots.tls(None).unwrap(), pem(one(0)));
        roots.tls(Some(ca.as_bytes())).unwrap();
        roots.tls(Some(ca.as_bytes())).unwrap();
        roots.tls(None).unwrap();
        assert_eq!((roots.made.len(), alone.alpn_protocols.len()), (2, 2));
        for bad in ["", "garbage", "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n"] {
            assert!(roots.tls(Some(bad.as_bytes())).is_err(), "{bad}");
        }
    }
}
