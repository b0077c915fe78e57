//! Trusted certificates from PEM text: the CAs of callers, of Redis and of an app's authority are read by one rule.

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::finding::Complaint;

/// Adds every certificate of a PEM text (RFC 7468) to the roots.
///
/// # Errors
/// There is no certificate in it, or one that cannot be read; `remedy` says what to write instead.
pub fn add_roots(store: &mut RootCertStore, contents: &[u8], remedy: &str) -> Result<(), Complaint> {
    let mut none = true;
    for certificate in CertificateDer::pem_slice_iter(contents) {
        let added = certificate.ok().and_then(|certificate| store.add(certificate).ok());
        added.ok_or_else(|| Complaint::new("it holds a certificate that cannot be read", remedy))?;
        none = false;
    }
    if none { Err(Complaint::new("it holds no certificate", remedy)) } else { Ok(()) }
}
