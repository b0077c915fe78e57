//! A client certificate with its key as a PFX (PKCS#12, RFC 7292): what OpenSSL, Windows, keytool and key vaults export.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error;
use rustls_pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::certificate::{CertifiedPair, ClientKey};
use super::password::Password;
use crate::finding::Complaint;
use crate::pem;

const REMEDY: &str = "name a PFX (PKCS#12) file: openssl pkcs12 -export -inkey KEY.pem -in CHAIN.pem -out STORE.pfx";
const REWRITE: &str = "write it anew: openssl pkcs12 -in OLD.pfx -nodes -out ALL.pem && openssl pkcs12 -export -in ALL.pem -out \
                       NEW.pfx (`-legacy` in the first of them for files of old)";

/// How a Java keystore of old begins.
const JKS: &[u8] = b"\xfe\xed\xfe\xed";

/// How a value in BER with an open end begins.
const OPEN_ENDED: &[u8] = b"\x30\x80";

impl ClientKey {
    /// Reads a PFX with an empty password, and signs once.
    ///
    /// # Errors
    /// It is none, or there is not one key in it with its certificate.
    pub fn parse_pfx(contents: &[u8]) -> Result<Self, Complaint> {
        pair(contents, Password::None).and_then(Self::of)
    }
}

/// The key of a PFX, and the certificates.
///
/// # Errors
/// It is none that can be read, has no MAC, is under another password, or has no key or several.
pub(super) fn pair(contents: &[u8], password: Password<'_>) -> Result<CertifiedPair, Complaint> {
    let decoded = in_base64(contents);
    let pfx = decoded.as_ref().map_or(contents, |decoded| decoded.as_slice());
    match pem::pfx_has_mac(pfx) {
        Some(true) => {}
        Some(false) => {
            let reason = "it has no MAC, so that nothing shows whether it is whole and whether the password is its own";
            return Err(Complaint::new(reason, REWRITE));
        }
        None => return Err(no_pfx(pfx)),
    }
    let archive = Pkcs12Archive::from_pkcs12(pfx, password.text()).map_err(|error| refused(&error, password))?;
    let mut keys: Vec<&[u8]> = archive.keys.iter().map(|bag| bag.key.as_der()).collect();
    keys.sort_unstable();
    keys.dedup();
    let key = match keys.as_slice() {
        [key] => PrivateKeyDer::Pkcs8(key.to_vec().into()),
        [] => {
            let remedy = "export it with its private key, which has to be marked as exportable where it was made";
            return Err(Complaint::new("it has no private key", remedy));
        }
        several => {
            let reason = format!("it has {} private keys, and nothing says which of them is meant", several.len());
            let remedy = "export the one that is meant alone: keytool -importkeystore -srckeystore ALL.p12 -srcalias NAME \
                          -destkeystore STORE.p12";
            return Err(Complaint::new(reason, remedy));
        }
    };
    let certificates: Vec<_> = archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect();
    if certificates.is_empty() {
        return Err(Complaint::new("it has no certificate", "export the certificate and its chain beside the key"));
    }
    Ok(CertifiedPair { key, certificates })
}

/// A PFX in base64, as vaults and consoles hand it out.
fn in_base64(contents: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(contents).ok()?;
    let base64 = Zeroizing::new(text.split_ascii_whitespace().collect::<String>());
    STANDARD.decode(base64.as_bytes()).ok().map(Zeroizing::new)
}

fn no_pfx(contents: &[u8]) -> Complaint {
    if contents.starts_with(JKS) {
        let remedy = "convert it: keytool -importkeystore -srckeystore STORE.jks -destkeystore STORE.p12 -deststoretype pkcs12";
        return Complaint::new("it is a Java keystore of old (JKS), and no PFX", remedy);
    }
    if contents.starts_with(OPEN_ENDED) {
        return Complaint::new("it is written with open lengths (BER), which are not read", REWRITE);
    }
    if contents.windows(11).any(|window| window == b"-----BEGIN ") {
        return Complaint::new("it is PEM text, and no PFX", "name it under `credential.certificate`");
    }
    Complaint::new("it is no PFX (PKCS#12) file", REMEDY)
}

fn refused(error: &Error, password: Password<'_>) -> Complaint {
    match error {
        Error::MacError(_) => password.wrong("it"),
        Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm | Error::InvalidParameters => {
            Complaint::new("it is encrypted, or has a MAC, by a method that is not opened", REWRITE)
        }
        // The MAC was good: an inner password differs.
        Error::Pkcs5Error(_) | Error::UnpadError | Error::InvalidPrivateKey => {
            Complaint::new("its private key is under another password than the file itself", REWRITE)
        }
        _ => Complaint::new("it is a PFX that cannot be read: it is damaged, or has something unknown in it", REWRITE),
    }
}
