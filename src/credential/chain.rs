//! The certificates of a key: which of a file's are for it, in which order the others follow, and what names each (RFC 7515 §4.1).

use std::sync::OnceLock;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;

use crate::finding::Complaint;
use crate::pem::Validity;

/// A certificate in DER.
pub(super) type Der = Vec<u8>;

/// The certificates of one key: at least one. One and the one that takes its place may stand side by side.
#[derive(Debug)]
pub(super) struct Leaves(Vec<Leaf>);

/// A certificate of the key: what names it, when it holds, and what follows it.
pub(super) struct Leaf {
    pub(super) validity: Validity,
    /// The certificate, then the one that issued it, and so on.
    pub(super) chain: Vec<Der>,
    sha1: String,
    sha256: String,
    x5c: OnceLock<Vec<String>>,
}

const UNREADABLE: &str = "write the certificate as its CA issued it";

// === impl Leaves ===

impl Leaves {
    /// Those of a file's certificates, in any order, that belong to a key.
    ///
    /// # Errors
    /// There is none, or one cannot be read.
    pub(super) fn of(certificates: &[Der], public_key: &[u8]) -> Result<Self, Complaint> {
        let unreadable = || Complaint::new("one of its certificates cannot be read", UNREADABLE);
        let parsed: Vec<(&Der, X509Certificate<'_>)> = certificates
            .iter()
            .map(|der| {
                x509_parser::parse_x509_certificate(der).map(|(_, certificate)| (der, certificate)).map_err(|_| unreadable())
            })
            .collect::<Result<_, _>>()?;
        let mut leaves = Vec::new();
        for (der, certificate) in &parsed {
            if certificate.public_key().subject_public_key.data.as_ref() != public_key {
                continue;
            }
            let thumbprint = |algorithm| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, der));
            leaves.push(Leaf {
                validity: Validity::of(der).ok_or_else(unreadable)?,
                chain: chain(der, certificate, &parsed),
                sha1: thumbprint(&digest::SHA1_FOR_LEGACY_USE_ONLY),
                sha256: thumbprint(&digest::SHA256),
                x5c: OnceLock::new(),
            });
        }
        if leaves.is_empty() {
            return Err(Complaint::new(
                "no certificate in it belongs to its private key",
                "put the key beside the certificate that was made from it",
            ));
        }
        Ok(Self(leaves))
    }

    /// When the last of them ends, in seconds since the Unix epoch.
    pub(super) fn not_after(&self) -> i64 {
        self.0.iter().map(|leaf| leaf.validity.ends).max().unwrap_or_default()
    }

    /// That none holds now, or that the last one soon ends.
    pub(super) fn ending(&self, now: i64, remedy: &str) -> Option<Complaint> {
        let leaf = self.at(now)?;
        let one_follows = leaf.validity.holds(now) && self.not_after() > leaf.validity.ends;
        if one_follows { None } else { leaf.validity.problem(now, remedy) }
    }

    /// Which of them counts at this time: the first that holds; where none does, the one that ends last.
    pub(super) fn index(&self, now: i64) -> usize {
        let holds = self.0.iter().position(|leaf| leaf.validity.holds(now));
        let last = || self.0.iter().enumerate().max_by_key(|(_, leaf)| leaf.validity.ends).map(|(index, _)| index);
        holds.or_else(last).unwrap_or_default()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Leaf> {
        self.0.iter()
    }

    /// The certificate that counts at this time; there always is one.
    pub(super) fn at(&self, now: i64) -> Option<&Leaf> {
        self.0.get(self.index(now))
    }
}

/// A certificate and those that issued it, one after the other, as far as they are there. Whose signature is on which is for the
/// server to verify: names and key identifiers (RFC 5280 §4.2.1.1) say the order.
fn chain(der: &Der, leaf: &X509Certificate<'_>, all: &[(&Der, X509Certificate<'_>)]) -> Vec<Der> {
    let mut chain = vec![der.clone()];
    let mut last = leaf;
    while last.issuer().as_raw() != last.subject().as_raw() {
        let named = |(_, other): &&(&Der, X509Certificate<'_>)| other.subject().as_raw() == last.issuer().as_raw();
        let by_key = authority_key(last);
        let is_meant = |(_, other): &&(&Der, X509Certificate<'_>)| by_key.is_some() && subject_key(other) == by_key;
        let issuer = all.iter().filter(named).find(is_meant).or_else(|| all.iter().find(named));
        match issuer {
            Some((der, issuer)) if !chain.contains(der) => {
                chain.push((*der).clone());
                last = issuer;
            }
            _ => break,
        }
    }
    chain
}

fn authority_key<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    })
}

fn subject_key<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    })
}

// === impl Leaf ===

impl Leaf {
    /// Its SHA-1 thumbprint, base64url without padding (RFC 7515 §4.1.7).
    pub(super) fn x5t(&self) -> &str {
        &self.sha1
    }

    /// Its SHA-256 thumbprint, base64url without padding (RFC 7515 §4.1.8).
    pub(super) fn x5t_s256(&self) -> &str {
        &self.sha256
    }

    /// It and its issuers, in base64 (RFC 7515 §4.1.6).
    pub(super) fn x5c(&self) -> &[String] {
        self.x5c.get_or_init(|| self.chain.iter().map(|der| STANDARD.encode(der)).collect())
    }
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaf").field("sha256", &self.sha256).field("validity", &self.validity).finish_non_exhaustive()
    }
}
