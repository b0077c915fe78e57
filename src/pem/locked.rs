//! Private keys under a password: PKCS#8 by PBES2 (RFC 8018 §6.2). What is older is told from it, and not opened.

use pkcs8::EncryptedPrivateKeyInfoRef;
use zeroize::Zeroizing;

use super::{armour, der};

/// The label of a private key under a password (RFC 7468 §11).
pub(super) const LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// The object identifier of PBES2, 1.2.840.113549.1.5.13, without its tag.
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];

/// Why a key under a password stays closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// It is encrypted by PBES1, or by another method that nothing here opens.
    #[error("the key is encrypted by a method that is not opened")]
    Method,
    /// The password is not the one that it was encrypted with.
    #[error("the password is another one")]
    Password,
}

/// The first private key under a password (PKCS#8) of a PEM text, still encrypted, in DER.
pub fn locked_key(contents: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    armour::block(contents, LABEL)
}

/// Whether a text has a private key in OpenSSL's own encryption of old (`Proc-Type: 4,ENCRYPTED`, RFC 1421 §4.6.1.1).
pub fn is_locked_pkcs1(contents: &[u8]) -> bool {
    armour::is_locked_pkcs1(&String::from_utf8_lossy(contents))
}

/// Whether a PFX has a MAC (RFC 7292 §4); `None`: it is no PFX in DER.
pub fn pfx_has_mac(contents: &[u8]) -> Option<bool> {
    der::pfx_has_mac(contents)
}

/// Decrypts a private key in DER; what comes is PKCS#8.
///
/// # Errors
/// It is not encrypted by PBES2, or by another password.
pub fn unlock(key: &[u8], password: &str) -> Result<Zeroizing<Vec<u8>>, LockError> {
    if der::encryption(key).is_none_or(|method| method != PBES2) {
        return Err(LockError::Method);
    }
    let key = EncryptedPrivateKeyInfoRef::try_from(key).map_err(|_| LockError::Method)?;
    let opened = key.decrypt(password).map_err(|_| LockError::Password)?;
    // One wrong password in some hundreds ends in what looks like padding.
    let opened = Zeroizing::new(opened.as_bytes().to_vec());
    if der::kind(&opened) == Some(der::DerKind::Key) { Ok(opened) } else { Err(LockError::Password) }
}
