//! A client certificate: PEM text with an RSA key and the chain, checked when it is loaded and not when it is needed.

use aws_lc_rs::digest;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls_pki_types::pem::{PemObject as _, SectionKind};

use crate::finding::Complaint;

/// A key that signs, and what names it.
pub struct ClientKey {
    signing: EncodingKey,
    sha1: String,
    sha256: String,
    not_after: i64,
}

const REMEDY: &str =
    "write PEM text: the private key (PKCS#8 or PKCS#1, RSA of 2048 to 4096 bits) and its certificate with the chain";

// === impl ClientKey ===

impl ClientKey {
    /// Reads PEM text and signs once.
    ///
    /// # Errors
    /// There is no usable key, no certificate, or they do not belong together.
    pub fn parse(contents: &[u8]) -> Result<Self, Complaint> {
        let (key, certificates) = split(contents)?;
        let pair = key.pair()?;
        let bits = pair.public_modulus_len() * 8;
        if !(2048..=4096).contains(&bits) {
            return Err(Complaint::new(format!("its RSA key has {bits} bits"), "use a key of 2048 to 4096 bits"));
        }
        let leaf = matching(&certificates, pair.public_key().as_ref())?;
        let signing = key.signing()?;
        // A key that cannot sign shows here, and not in the first request.
        jsonwebtoken::encode(&Header::new(Algorithm::PS256), &serde_json::json!({}), &signing)
            .map_err(|_| Complaint::new("its key cannot sign", REMEDY))?;
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, leaf.der);
        let sha256 = digest::digest(&digest::SHA256, leaf.der);
        Ok(Self { signing, sha1: URL_SAFE_NO_PAD.encode(sha1), sha256: URL_SAFE_NO_PAD.encode(sha256), not_after: leaf.not_after })
    }

    /// When the certificate ends, in seconds since the Unix epoch.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The certificate's SHA-1 thumbprint, base64url without padding (RFC 7515 §4.1.7).
    pub(super) fn x5t(&self) -> &str {
        &self.sha1
    }

    /// The certificate's SHA-256 thumbprint, base64url without padding (RFC 7515 §4.1.8).
    pub(super) fn x5t_s256(&self) -> &str {
        &self.sha256
    }

    /// The key.
    pub(super) fn signing(&self) -> &EncodingKey {
        &self.signing
    }
}

impl std::fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientKey").field("x5t_s256", &self.sha256).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

enum PrivateKey {
    Pkcs1(zeroize::Zeroizing<Vec<u8>>),
    Pkcs8(zeroize::Zeroizing<Vec<u8>>),
}

struct Leaf<'a> {
    der: &'a [u8],
    not_after: i64,
}

// === impl PrivateKey ===

impl PrivateKey {
    fn pair(&self) -> Result<aws_lc_rs::rsa::KeyPair, Complaint> {
        let pair = match self {
            Self::Pkcs1(der) => aws_lc_rs::rsa::KeyPair::from_der(der),
            Self::Pkcs8(der) => aws_lc_rs::rsa::KeyPair::from_pkcs8(der),
        };
        pair.map_err(|_| Complaint::new("its private key is no RSA key that can be used", REMEDY))
    }

    fn signing(&self) -> Result<EncodingKey, Complaint> {
        let (label, der) = match self {
            Self::Pkcs1(der) => ("RSA PRIVATE KEY", der),
            Self::Pkcs8(der) => ("PRIVATE KEY", der),
        };
        let body = zeroize::Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der));
        let pem = zeroize::Zeroizing::new(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", *body));
        EncodingKey::from_rsa_pem(pem.as_bytes())
            .map_err(|_| Complaint::new("its private key is no RSA key that can be used", REMEDY))
    }
}

fn split(contents: &[u8]) -> Result<(PrivateKey, Vec<Vec<u8>>), Complaint> {
    let (mut key, mut certificates) = (None, Vec::new());
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(contents) {
        let (kind, der) = section.map_err(|_| Complaint::new("its PEM text cannot be read", REMEDY))?;
        let found = match kind {
            SectionKind::Certificate => {
                certificates.push(der);
                continue;
            }
            SectionKind::RsaPrivateKey => PrivateKey::Pkcs1(der.into()),
            SectionKind::PrivateKey => PrivateKey::Pkcs8(der.into()),
            SectionKind::EcPrivateKey => return Err(Complaint::new("its private key is an EC key", REMEDY)),
            _ => continue,
        };
        if key.replace(found).is_some() {
            return Err(Complaint::new("it has more than one private key", REMEDY));
        }
    }
    if certificates.is_empty() {
        return Err(Complaint::new("it has no certificate", REMEDY));
    }
    let missing = if contents.windows(21).any(|window| window == b"ENCRYPTED PRIVATE KEY") {
        "its private key is encrypted"
    } else {
        "it has no private key"
    };
    let key = key.ok_or_else(|| Complaint::new(missing, REMEDY))?;
    Ok((key, certificates))
}

/// The certificate of the key: the first in good files, any in others.
fn matching<'a>(certificates: &'a [Vec<u8>], public_key: &[u8]) -> Result<Leaf<'a>, Complaint> {
    for der in certificates {
        let (_, parsed) = x509_parser::parse_x509_certificate(der)
            .map_err(|_| Complaint::new("one of its certificates cannot be read", REMEDY))?;
        if parsed.public_key().subject_public_key.data.as_ref() == public_key {
            return Ok(Leaf { der, not_after: parsed.validity().not_after.timestamp() });
        }
    }
    Err(Complaint::new(
        "no certificate in it belongs to its private key",
        "put the key beside the certificate that was made from it",
    ))
}
