//! A private key without a certificate, which an issuer knows by its public half: PEM, a JWK, or a set of them.

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::SectionKind;

use super::certificate::ClientKey;
use super::jwk;
use super::settings::SigningAlgorithm;
use super::signing::AssertionKey;
use crate::finding::Complaint;
use crate::pem;

const REMEDY: &str = "write the private key alone, as PEM text (PKCS#8, PKCS#1 or SEC1), or as a JWK";

impl ClientKey {
    /// Reads a private key, and signs once. `kid` names the key, and chooses one of a set; `algorithm` is the only one to sign by.
    ///
    /// # Errors
    /// There is not one private key in it, or it cannot sign, or not by that algorithm.
    pub fn parse_private(contents: &[u8], kid: Option<&str>, algorithm: Option<SigningAlgorithm>) -> Result<Self, Complaint> {
        if contents.trim_ascii_start().first() == Some(&b'{') {
            return jwk::key(contents, kid, algorithm);
        }
        let mut keys = pem::blocks(contents)?.into_iter().filter_map(|(kind, der)| match kind {
            SectionKind::RsaPrivateKey => Some(PrivateKeyDer::Pkcs1(Vec::clone(&der).into())),
            SectionKind::PrivateKey => Some(PrivateKeyDer::Pkcs8(Vec::clone(&der).into())),
            SectionKind::EcPrivateKey => Some(PrivateKeyDer::Sec1(Vec::clone(&der).into())),
            _ => None,
        });
        let missing = || pem::encrypted(contents).unwrap_or_else(|| Complaint::new("it has no private key", REMEDY));
        let key = keys.next().ok_or_else(missing)?;
        if keys.next().is_some() {
            return Err(Complaint::new("it has more than one private key", REMEDY));
        }
        Self::bare(AssertionKey::from_der(&key)?, kid.map(str::to_owned), algorithm)
    }
}
