//! A certificate that the app's connections show (RFC 8705 §2): the client is known by it, and its requests carry no proof.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;

use super::certificate::CertifiedPair;
use super::chain::Leaves;
use super::proving::{CredentialError, ProofTarget};
use super::signing::AssertionKey;
use crate::finding::Complaint;
use crate::oauth::Proof;

/// The ways in which an issuer knows a client by its certificate (RFC 8705 §2.1, §2.2).
const METHODS: [&str; 2] = ["tls_client_auth", "self_signed_tls_client_auth"];

/// A certificate with its key, as TLS shows it.
pub struct TlsIdentity {
    leaves: Leaves,
    /// For each of them, in their order.
    shown: Vec<Arc<CertifiedKey>>,
}

// === impl TlsIdentity ===

impl TlsIdentity {
    /// Takes a key with its certificates, and signs once.
    ///
    /// # Errors
    /// The key cannot be used, or none of the certificates is for it.
    pub(super) fn of(pair: CertifiedPair) -> Result<Self, Complaint> {
        let key = AssertionKey::from_der(&pair.key)?;
        let leaves = Leaves::of(&pair.certificates, key.public())?;
        let provider = aws_lc_rs::default_provider();
        let shown = leaves.iter().map(|leaf| {
            let chain = leaf.chain.iter().cloned().map(CertificateDer::from).collect();
            CertifiedKey::from_der(chain, pair.key.clone_key(), &provider).map(Arc::new)
        });
        let shown = shown.collect::<Result<_, _>>().map_err(|error| {
            let reason = format!("TLS cannot be spoken with it: {error}");
            Complaint::new(reason, "use a certificate of an RSA, EC or Ed25519 key")
        })?;
        Ok(Self { leaves, shown })
    }

    /// The certificate that counts at this time, as a proof.
    ///
    /// # Errors
    /// The issuer knows no client by its certificate.
    pub(super) fn proof(&self, client_id: &str, target: ProofTarget<'_>, now: i64) -> Result<Proof, CredentialError> {
        if target.methods.is_some_and(|methods| !methods.iter().any(|method| METHODS.contains(&method.as_str()))) {
            let remedy = "allow tls_client_auth at the issuer, or give the app another credential";
            return Err(CredentialError(Complaint::new("the issuer does not take tls_client_auth", remedy)));
        }
        let shown = self.shown.get(self.leaves.index(now));
        let none = || CredentialError(Complaint::new("there is no certificate", "check the file of `credential.tls_certificate`"));
        Ok(Proof::certificate(client_id, Arc::clone(shown.ok_or_else(none)?)))
    }

    /// When the last of its certificates ends, in seconds since the Unix epoch.
    pub fn not_after(&self) -> i64 {
        self.leaves.not_after()
    }

    /// That no certificate holds now, or that the last one soon ends.
    pub(super) fn ending(&self, now: i64, remedy: &str) -> Option<Complaint> {
        self.leaves.ending(now, remedy)
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").field("leaves", &self.leaves).finish_non_exhaustive()
    }
}
