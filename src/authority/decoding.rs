//! From a published key to one that verifies: numbers as servers write them become what the cryptography takes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;

use crate::oauth::Key;

/// How long RSA keys are, in bits: shorter ones prove nothing, longer ones take too long.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key ready for use.
pub enum Decoding {
    /// For what `jsonwebtoken` verifies.
    Usual(DecodingKey),
    /// A point of the curve P-521, uncompressed, for ES512, which it does not know.
    P521(Vec<u8>),
}

// === impl Decoding ===

impl Decoding {
    /// Makes a key ready.
    ///
    /// # Errors
    /// Why it cannot be used; the key itself is not quoted.
    pub(super) fn of(key: &Key) -> Result<Self, String> {
        match key.kty.as_str() {
            "RSA" => rsa(&number(&key.n, "n")?, &number(&key.e, "e")?),
            "EC" => {
                let length = match key.crv.as_deref() {
                    Some("P-256") => 32,
                    Some("P-384") => 48,
                    Some("P-521") => 66,
                    _ => return Err("its `crv` is not P-256, P-384 or P-521".to_owned()),
                };
                let [x, y] = [coordinate(&key.x, "x", length)?, coordinate(&key.y, "y", length)?];
                if length == 66 { Ok(Self::P521([vec![4], x, y].concat())) } else { usual(ec(&x, &y)) }
            }
            "OKP" if key.crv.as_deref() == Some("Ed25519") => {
                let x = bytes(&key.x, "x")?;
                if x.len() != 32 {
                    return Err(format!("its `x` has {} bytes and not 32", x.len()));
                }
                usual(DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(x)))
            }
            "OKP" => Err("its `crv` is not Ed25519".to_owned()),
            _ => Err("its `kty` is not RSA, EC or OKP".to_owned()),
        }
    }
}

fn usual(decoding: Result<DecodingKey, jsonwebtoken::errors::Error>) -> Result<Decoding, String> {
    decoding.map(Decoding::Usual).map_err(|_| "its numbers are no key".to_owned())
}

fn rsa(n: &[u8], e: &[u8]) -> Result<Decoding, String> {
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(format!("its modulus has {bits} bits, which are not from 2048 to 8192"));
    }
    if e.is_empty() {
        return Err("its `e` is zero".to_owned());
    }
    Ok(Decoding::Usual(DecodingKey::from_rsa_raw_components(n, e)))
}

fn ec(x: &[u8], y: &[u8]) -> Result<DecodingKey, jsonwebtoken::errors::Error> {
    DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y))
}

/// The bytes of a member: base64url without padding (RFC 7518 §2), or what servers send in its place.
fn bytes(text: &Option<String>, name: &str) -> Result<Vec<u8>, String> {
    let text = text.as_deref().ok_or_else(|| format!("it has no `{name}`"))?.trim().trim_end_matches('=');
    let decoded = URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
    decoded.map_err(|_| format!("its `{name}` is no base64url"))
}

/// A number without leading zeros (RFC 7518 §6.3.1.1), which the cryptography does not take.
fn number(text: &Option<String>, name: &str) -> Result<Vec<u8>, String> {
    Ok(bytes(text, name)?.into_iter().skip_while(|byte| *byte == 0).collect())
}

/// A coordinate at its full length (RFC 7518 §6.2.1.2), which some servers write as a number.
fn coordinate(text: &Option<String>, name: &str, length: usize) -> Result<Vec<u8>, String> {
    let number = number(text, name)?;
    let missing = length.checked_sub(number.len()).ok_or_else(|| format!("its `{name}` is too long for its curve"))?;
    Ok([vec![0; missing], number].concat())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::Decoding;
    use crate::oauth::Key;

    fn key(members: &serde_json::Value) -> Result<Decoding, String> {
        Decoding::of(&Key::read(members)?)
    }

    #[test]
    fn what_is_wrong_with_a_key_is_named() {
        let long = |bytes: usize| URL_SAFE_NO_PAD.encode([vec![0xFF], vec![1; bytes - 1]].concat());
        for (members, word) in [
            (serde_json::json!({"kty": "RSA", "e": "AQAB"}), "no `n`"),
            (serde_json::json!({"kty": "RSA", "n": "%", "e": "AQAB"}), "`n` is no base64url"),
            (serde_json::json!({"kty": "RSA", "n": long(128), "e": "AQAB"}), "1024 bits"),
            (serde_json::json!({"kty": "RSA", "n": long(1025), "e": "AQAB"}), "8200 bits"),
            (serde_json::json!({"kty": "RSA", "n": "AAAA", "e": "AQAB"}), "0 bits"),
            (serde_json::json!({"kty": "RSA", "n": long(256), "e": "AA"}), "`e` is zero"),
            (serde_json::json!({"kty": "EC", "crv": "secp256k1", "x": "AQ", "y": "AQ"}), "`crv`"),
            (serde_json::json!({"kty": "EC", "crv": "P-256", "x": long(33), "y": long(32)}), "`x` is too long"),
            (serde_json::json!({"kty": "OKP", "crv": "Ed448", "x": long(57)}), "`crv`"),
            (serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": long(31)}), "31 bytes"),
            (serde_json::json!({"kty": "oct", "k": "AQ"}), "`kty`"),
        ] {
            assert!(key(&members).err().is_some_and(|why| why.contains(word)), "{members} {word}");
        }
    }

    #[test]
    fn numbers_come_with_leading_zeros_padding_and_either_alphabet() {
        let modulus = [vec![0xFB; 256]].concat();
        for n in [
            URL_SAFE_NO_PAD.encode(&modulus),
            URL_SAFE_NO_PAD.encode([vec![0], modulus.clone()].concat()),
            URL_SAFE_NO_PAD.encode([vec![0; 3], modulus.clone()].concat()),
            STANDARD.encode(&modulus),
        ] {
            assert!(key(&serde_json::json!({"kty": "RSA", "n": n, "e": "AAEAAQ=="})).is_ok(), "{n}");
        }
        for (crv, length) in [("P-256", 32_usize), ("P-384", 48), ("P-521", 66)] {
            for bytes in [length, length - 1, length + 2] {
                let zeros = bytes.saturating_sub(length);
                let text = URL_SAFE_NO_PAD.encode([vec![0; zeros], vec![1; bytes - zeros]].concat());
                assert!(key(&serde_json::json!({"kty": "EC", "crv": crv, "x": text, "y": text})).is_ok(), "{crv} {bytes}");
            }
        }
    }
}
