//! PEM text (RFC 7468): certificates, CAs and private keys, of apps, of callers, of the listener and of Redis, are read by one
//! rule. What is no PEM text is called by its name: whoever wrote the file sees nothing wrong with it.

mod armour;
mod der;
mod locked;
mod validity;

use rustls::RootCertStore;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::finding::Complaint;

pub use locked::{LockError, is_locked_pkcs1, locked_key, pfx_has_mac, unlock};
pub use validity::Validity;

/// One block: what it calls itself, and its DER.
pub type PemBlock = (SectionKind, Zeroizing<Vec<u8>>);

/// The fewest bits of an RSA key that anybody takes.
pub const SHORTEST: usize = 2048;

/// Every block of a text that is of a known kind, in order.
///
/// # Errors
/// It is no PEM text, or one of which blocks would be passed over.
pub fn blocks(contents: &[u8]) -> Result<Vec<PemBlock>, Complaint> {
    if let Some(fault) = armour::fault(contents) {
        return Err(fault);
    }
    let read = <(SectionKind, Vec<u8>)>::pem_slice_iter(contents);
    let block = |block: Result<(SectionKind, Vec<u8>), _>| block.map(|(kind, der)| (kind, Zeroizing::new(der)));
    read.map(block).collect::<Result<_, rustls_pki_types::pem::Error>>().map_err(|_| {
        Complaint::new("one of its PEM blocks is no base64", "write the block as it came, from -----BEGIN to -----END")
    })
}

/// Every certificate of a text; `remedy` says what to write where there is none.
///
/// # Errors
/// There is no certificate in it, or it is no PEM text.
pub fn certificates(contents: &[u8], remedy: &str) -> Result<Vec<CertificateDer<'static>>, Complaint> {
    let certificate = |(kind, der): PemBlock| (kind == SectionKind::Certificate).then(|| CertificateDer::from(Vec::clone(&der)));
    let all: Vec<_> = blocks(contents)?.into_iter().filter_map(certificate).collect();
    if all.is_empty() { Err(Complaint::new("it holds no certificate", remedy)) } else { Ok(all) }
}

/// Adds every certificate of a text to the roots.
///
/// # Errors
/// There is no certificate in it, or one that cannot be read; `remedy` says what to write instead.
pub fn add_roots(store: &mut RootCertStore, contents: &[u8], remedy: &str) -> Result<(), Complaint> {
    for (number, certificate) in (1..).zip(certificates(contents, remedy)?) {
        store.add(certificate).map_err(|_| Complaint::new(format!("its certificate {number} cannot be read"), remedy))?;
    }
    Ok(())
}

/// The first private key of a text; `remedy` says what to write where there is none.
///
/// # Errors
/// There is no key in it, it is under a password, or too short.
pub fn private_key(contents: &[u8], remedy: &str) -> Result<PrivateKeyDer<'static>, Complaint> {
    let keys = blocks(contents)?.into_iter().filter_map(|(kind, der)| match kind {
        SectionKind::RsaPrivateKey => Some(PrivateKeyDer::Pkcs1(Vec::clone(&der).into())),
        SectionKind::PrivateKey => Some(PrivateKeyDer::Pkcs8(Vec::clone(&der).into())),
        SectionKind::EcPrivateKey => Some(PrivateKeyDer::Sec1(Vec::clone(&der).into())),
        _ => None,
    });
    let key = keys.into_iter().next();
    let key = key.ok_or_else(|| encrypted(contents).unwrap_or_else(|| Complaint::new("it holds no private key", remedy)))?;
    long_enough(key.secret_der())?;
    Ok(key)
}

/// That the private key of a text is under a password (PKCS#8), if it is.
pub fn encrypted(contents: &[u8]) -> Option<Complaint> {
    armour::has_label(contents, locked::LABEL).then(|| {
        Complaint::new(
            "its private key is encrypted (PKCS#8 under a password)",
            "decrypt it: openssl pkey -in ENCRYPTED.pem -out KEY.pem; the file's permissions protect it then",
        )
    })
}

/// Refuses an RSA key in DER (PKCS#1 or PKCS#8) that is too short; any other key passes.
///
/// # Errors
/// It has fewer than 2048 bits.
pub fn long_enough(key: &[u8]) -> Result<(), Complaint> {
    match der::rsa_bits(key) {
        Some(bits) if bits < SHORTEST => Err(too_short(bits)),
        _ => Ok(()),
    }
}

/// That an RSA key of so many bits is too short.
pub fn too_short(bits: usize) -> Complaint {
    Complaint::new(
        format!("its RSA key is too short: it has {bits} bits"),
        "make a key of 2048 bits or more, and have its certificate issued anew",
    )
}

#[cfg(test)]
mod tests;
