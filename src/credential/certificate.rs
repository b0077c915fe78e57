//! A client certificate with its key: PEM text, in one file or in two, the key in clear or under a password; checked when it is
//! loaded and not when it is needed.

use std::fmt;

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::SectionKind;
use zeroize::Zeroizing;

use super::chain::{Der, Leaf, Leaves};
use super::password::Password;
use super::settings::SigningAlgorithm;
use super::signing::AssertionKey;
use crate::finding::Complaint;
use crate::oauth::AssertionForm;
use crate::pem::{self, LockError};

/// A key that signs assertions, and what names it.
pub struct ClientKey {
    pub(super) key: AssertionKey,
    /// Those of the key, where it has some.
    certificates: Option<Leaves>,
    /// What the key calls itself.
    pub(super) kid: Option<String>,
    /// The only algorithm that it signs with.
    pub(super) algorithm: Option<SigningAlgorithm>,
}

/// A private key and all certificates that stand beside it.
pub(super) struct CertifiedPair {
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) certificates: Vec<Der>,
}

/// What is read: the certificates, their key, where that has a file of its own, and the key's password.
#[derive(Clone, Copy, Debug)]
pub(super) struct PemFiles<'a> {
    pub(super) file: &'a [u8],
    pub(super) key_file: Option<&'a [u8]>,
    pub(super) password: Password<'a>,
}

const REMEDY: &str = "write PEM text: the private key (PKCS#8, PKCS#1 or SEC1) and its certificate with the chain";

/// What rewrites a key whose encryption nothing here opens.
const REWRITE: &str = "rewrite the key: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD.pem -out KEY.pem";

// === impl ClientKey ===

impl ClientKey {
    /// Reads PEM text with a key in clear, and signs once.
    ///
    /// # Errors
    /// There is no usable key, no certificate, or they do not belong together.
    pub fn parse(contents: &[u8]) -> Result<Self, Complaint> {
        PemFiles { file: contents, key_file: None, password: Password::None }.pair().and_then(Self::of)
    }

    /// Takes a key with its certificates, and signs once.
    ///
    /// # Errors
    /// The key cannot be used, or none of the certificates is for it.
    pub(super) fn of(pair: CertifiedPair) -> Result<Self, Complaint> {
        let key = AssertionKey::from_der(&pair.key)?;
        let certificates = Leaves::of(&pair.certificates, key.public())?;
        Ok(Self { key, certificates: Some(certificates), kid: None, algorithm: None })
    }

    /// Takes a key without certificates.
    ///
    /// # Errors
    /// It does not sign by the algorithm that it is meant for.
    pub(super) fn bare(key: AssertionKey, kid: Option<String>, algorithm: Option<SigningAlgorithm>) -> Result<Self, Complaint> {
        match algorithm {
            Some(algorithm) if !key.algorithms().contains(&algorithm) => {
                let fitting: Vec<&str> = key.algorithms().iter().map(|algorithm| algorithm.as_str()).collect();
                let reason = format!("it is {}, which does not sign by {}", key.title(), algorithm.as_str());
                Err(Complaint::new(reason, format!("write {} as `alg`, or leave it out", fitting.join(" or "))))
            }
            _ => Ok(Self { key, certificates: None, kid, algorithm }),
        }
    }

    /// Refuses a key that cannot work where assertions have this form.
    ///
    /// # Errors
    /// The authority knows keys by their certificates' thumbprints, and takes RSA alone.
    pub(super) fn fitting(self, form: AssertionForm) -> Result<Self, Complaint> {
        if form.has_thumbprint() && !matches!(self.key, AssertionKey::Rsa(_)) {
            let reason = format!("its private key is {}, and this kind of authority takes RSA keys alone", self.key.title());
            return Err(Complaint::new(reason, "make an RSA key of 2048 bits or more, and register its certificate with the app"));
        }
        Ok(self)
    }

    /// When the last of its certificates ends, in seconds since the Unix epoch; a bare key has no end.
    pub fn not_after(&self) -> Option<i64> {
        self.certificates.as_ref().map(Leaves::not_after)
    }

    /// That no certificate holds now, or that the last one soon ends.
    pub(super) fn ending(&self, now: i64, remedy: &str) -> Option<Complaint> {
        self.certificates.as_ref()?.ending(now, remedy)
    }

    /// The certificate that counts at this time.
    pub(super) fn leaf(&self, now: i64) -> Option<&Leaf> {
        self.certificates.as_ref()?.at(now)
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey").field("key", &self.key).field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

// === impl PemFiles ===

impl PemFiles<'_> {
    /// The key and the certificates.
    ///
    /// # Errors
    /// There is no key or no certificate, more than one key, or one that its password does not open.
    pub(super) fn pair(self) -> Result<CertifiedPair, Complaint> {
        let (beside, certificates) = self.read(self.file)?;
        if certificates.is_empty() {
            return Err(Complaint::new("it has no certificate", REMEDY));
        }
        let key = match (beside, self.key_file) {
            (Some(key), None) => key,
            (None, None) => {
                return Err(Complaint::new("it has no private key", format!("{REMEDY}; or name the key's as `key_file`")));
            }
            (None, Some(text)) => {
                let named = |problem: Complaint| Complaint { reason: format!("`key_file`: {}", problem.reason), ..problem };
                let missing = || Complaint::new("it has no private key", REMEDY);
                self.read(text).and_then(|(key, _)| key.ok_or_else(missing)).map_err(named)?
            }
            (Some(_), Some(_)) => {
                return Err(Complaint::new("it has a private key, and `key_file` is another one", "leave one of them out"));
            }
        };
        Ok(CertifiedPair { key, certificates })
    }

    /// The private key of a text, if it has one, and its certificates.
    fn read(self, text: &[u8]) -> Result<(Option<PrivateKeyDer<'static>>, Vec<Der>), Complaint> {
        if pem::is_locked_pkcs1(text) {
            let reason = "its private key is encrypted (PKCS#1 under a password, Proc-Type: 4,ENCRYPTED)";
            return Err(Complaint::new(reason, REWRITE));
        }
        let (mut keys, mut certificates) = (Vec::new(), Vec::new());
        for (kind, der) in pem::blocks(text)? {
            match kind {
                SectionKind::Certificate => certificates.push(Vec::clone(&der)),
                SectionKind::RsaPrivateKey => keys.push(PrivateKeyDer::Pkcs1(Vec::clone(&der).into())),
                SectionKind::PrivateKey => keys.push(pkcs8(&der)),
                SectionKind::EcPrivateKey => keys.push(PrivateKeyDer::Sec1(Vec::clone(&der).into())),
                _ => {}
            }
        }
        if let Some(locked) = pem::locked_key(text) {
            keys.push(pkcs8(&self.unlocked(&locked)?));
        }
        if keys.len() > 1 {
            return Err(Complaint::new("it has more than one private key", REMEDY));
        }
        Ok((keys.pop(), certificates))
    }

    fn unlocked(self, locked: &[u8]) -> Result<Zeroizing<Vec<u8>>, Complaint> {
        pem::unlock(locked, self.password.text()).map_err(|error| match error {
            LockError::Method => Complaint::new(
                "its private key is encrypted (PKCS#8 under a password) by PBES1, or by another method that is not opened",
                REWRITE,
            ),
            LockError::Password => self.password.wrong("its private key"),
        })
    }
}

fn pkcs8(der: &[u8]) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(der.to_vec().into())
}
