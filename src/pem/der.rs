//! As much of DER (X.690) as it takes to call what stands where PEM text belongs by its name, and to count the bits of a key.

/// What a whole file in DER is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DerKind {
    /// PKCS#12.
    Pfx,
    Certificate,
    /// PKCS#1, PKCS#8 or SEC1.
    Key,
    /// PKCS#8 under a password.
    EncryptedKey,
    /// PKCS#7.
    Bundle,
    Other,
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// What the bytes are, if they are one value in DER and nothing else.
pub(super) fn kind(bytes: &[u8]) -> Option<DerKind> {
    let (SEQUENCE, inner, rest) = element(bytes)? else { return None };
    if !rest.trim_ascii().is_empty() {
        return None;
    }
    let (tag, first, rest) = element(inner)?;
    let second = element(rest).map(|(tag, ..)| tag);
    Some(match (tag, first, second) {
        (INTEGER, [3], Some(SEQUENCE)) => DerKind::Pfx,
        (INTEGER, [0 | 1], Some(INTEGER | OCTETS | SEQUENCE)) => DerKind::Key,
        (SEQUENCE, [OID, ..], Some(OCTETS)) => DerKind::EncryptedKey,
        (SEQUENCE, _, Some(SEQUENCE)) => DerKind::Certificate,
        (OID, ..) => DerKind::Bundle,
        _ => DerKind::Other,
    })
}

/// How many bits the modulus of an RSA private key has, in PKCS#1 or PKCS#8; `None`: it is another key.
pub(super) fn rsa_bits(key: &[u8]) -> Option<usize> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let (SEQUENCE, inner, _) = element(key)? else { return None };
    let (INTEGER, _, rest) = element(inner)? else { return None };
    match element(rest)? {
        (INTEGER, modulus, _) => {
            let modulus = modulus.iter().position(|byte| *byte != 0).and_then(|start| modulus.get(start..))?;
            let unused = usize::try_from(modulus.first()?.leading_zeros()).ok()?;
            Some(modulus.len() * 8 - unused)
        }
        (SEQUENCE, algorithm, rest) => {
            let is_rsa = matches!(element(algorithm)?, (OID, oid, _) if oid == RSA);
            let (OCTETS, inner, _) = element(rest)? else { return None };
            is_rsa.then(|| rsa_bits(inner)).flatten()
        }
        _ => None,
    }
}

/// The object identifier of the algorithm that a private key is encrypted by (PKCS#8, RFC 5958 §3); `None`: it is no such key.
pub(super) fn encryption(key: &[u8]) -> Option<&[u8]> {
    let (SEQUENCE, inner, _) = element(key)? else { return None };
    let (SEQUENCE, algorithm, _) = element(inner)? else { return None };
    match element(algorithm)? {
        (OID, oid, _) => Some(oid),
        _ => None,
    }
}

/// Whether a PFX has a MAC (RFC 7292 §4); `None`: it is no PFX.
pub(super) fn pfx_has_mac(bytes: &[u8]) -> Option<bool> {
    let (SEQUENCE, inner, _) = element(bytes)? else { return None };
    let (INTEGER, [3], rest) = element(inner)? else { return None };
    let (SEQUENCE, _, rest) = element(rest)? else { return None };
    Some(!rest.is_empty())
}

/// Tag, content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = bytes else { return None };
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        // A file of more than four bytes of length is none that is read.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}
