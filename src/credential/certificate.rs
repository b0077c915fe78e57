//! A client certificate: PEM text with an RSA key and the chain, checked when it is loaded and not when it is needed.

use aws_lc_rs::digest;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls_pki_types::pem::SectionKind;

use crate::finding::Complaint;
use crate::pem::{self, Validity};

/// A key that signs, and what names it.
pub struct ClientKey {
    signing: EncodingKey,
    /// At least one; a certificate and the one that takes its place may stand side by side.
    leaves: Vec<Leaf>,
}

/// A certificate of the key: what names it, and when it holds.
#[derive(Debug)]
struct Leaf {
    sha1: String,
    sha256: String,
    validity: Validity,
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
        let leaves = matching(&certificates, pair.public_key().as_ref())?;
        let signing = key.signing()?;
        // A key that cannot sign shows here, and not in the first request.
        jsonwebtoken::encode(&Header::new(Algorithm::PS256), &serde_json::json!({}), &signing)
            .map_err(|_| Complaint::new("its key cannot sign", REMEDY))?;
        Ok(Self { signing, leaves })
    }

    /// When the last of its certificates ends, in seconds since the Unix epoch.
    pub fn not_after(&self) -> i64 {
        self.leaves.iter().map(|leaf| leaf.validity.ends).max().unwrap_or_default()
    }

    /// That no certificate holds now, or that the last one soon ends.
    pub(super) fn ending(&self, now: i64, remedy: &str) -> Option<Complaint> {
        let leaf = self.leaf(now)?;
        let one_follows = leaf.validity.holds(now) && self.not_after() > leaf.validity.ends;
        if one_follows { None } else { leaf.validity.problem(now, remedy) }
    }

    /// The SHA-1 thumbprint of the certificate that holds now, base64url without padding (RFC 7515 §4.1.7).
    pub(super) fn x5t(&self, now: i64) -> &str {
        self.leaf(now).map_or("", |leaf| &leaf.sha1)
    }

    /// The SHA-256 thumbprint of the certificate that holds now, base64url without padding (RFC 7515 §4.1.8).
    pub(super) fn x5t_s256(&self, now: i64) -> &str {
        self.leaf(now).map_or("", |leaf| &leaf.sha256)
    }

    /// The first certificate that holds; where none does, the one that ends last.
    fn leaf(&self, now: i64) -> Option<&Leaf> {
        let holds = self.leaves.iter().find(|leaf| leaf.validity.holds(now));
        holds.or_else(|| self.leaves.iter().max_by_key(|leaf| leaf.validity.ends))
    }

    /// The key.
    pub(super) fn signing(&self) -> &EncodingKey {
        &self.signing
    }
}

impl std::fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientKey").field("leaves", &self.leaves).finish_non_exhaustive()
    }
}

/// What a block of PEM holds.
type Der = zeroize::Zeroizing<Vec<u8>>;

enum PrivateKey {
    Pkcs1(Der),
    Pkcs8(Der),
}

// === impl PrivateKey ===

impl PrivateKey {
    fn pair(&self) -> Result<aws_lc_rs::rsa::KeyPair, Complaint> {
        let (Self::Pkcs1(der) | Self::Pkcs8(der)) = self;
        pem::long_enough(der)?;
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

fn split(contents: &[u8]) -> Result<(PrivateKey, Vec<Der>), Complaint> {
    let (mut key, mut certificates) = (None, Vec::new());
    for (kind, der) in pem::blocks(contents)? {
        let found = match kind {
            SectionKind::Certificate => {
                certificates.push(der);
                continue;
            }
            SectionKind::RsaPrivateKey => PrivateKey::Pkcs1(der),
            SectionKind::PrivateKey => PrivateKey::Pkcs8(der),
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
    let missing = || pem::encrypted(contents).unwrap_or_else(|| Complaint::new("it has no private key", REMEDY));
    Ok((key.ok_or_else(missing)?, certificates))
}

/// The certificates of the key: the first in good files, any in others; two where one takes the place of the other.
fn matching(certificates: &[Der], public_key: &[u8]) -> Result<Vec<Leaf>, Complaint> {
    let mut leaves = Vec::new();
    for der in certificates {
        let (_, parsed) = x509_parser::parse_x509_certificate(der)
            .map_err(|_| Complaint::new("one of its certificates cannot be read", REMEDY))?;
        if parsed.public_key().subject_public_key.data.as_ref() == public_key {
            let validity = Validity::of(der).ok_or_else(|| Complaint::new("one of its certificates cannot be read", REMEDY))?;
            let thumbprint = |algorithm| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, der));
            let (sha1, sha256) = (thumbprint(&digest::SHA1_FOR_LEGACY_USE_ONLY), thumbprint(&digest::SHA256));
            leaves.push(Leaf { sha1, sha256, validity });
        }
    }
    if leaves.is_empty() {
        return Err(Complaint::new(
            "no certificate in it belongs to its private key",
            "put the key beside the certificate that was made from it",
        ));
    }
    Ok(leaves)
}
