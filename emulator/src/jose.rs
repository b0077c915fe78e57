//! Signed tokens by hand: reading, checking and writing compact JWS, and the tolerant base64 that real clients need.

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaKeyPair, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value};

/// A compact JWS, taken apart. Nothing about it is trusted before [`PublicKey::verify`].
pub(crate) struct Jws {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    signed: String,
    signature: Vec<u8>,
}

/// A key that can check signatures.
#[derive(Debug, Clone)]
pub(crate) enum PublicKey {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point on P-256, P-384 or P-521, not compressed: its length says which.
    Ec(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Base64url without padding, the only form that this emulator writes.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Either alphabet, padded or not: clients differ (msal-go pads thumbprints and uses the standard alphabet).
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let plain: String = text
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    STANDARD_NO_PAD.decode(plain).ok()
}

pub(crate) fn sha256(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes.as_ref()).as_ref().to_vec()
}

pub(crate) fn sha1(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes.as_ref()).as_ref().to_vec()
}

/// A fresh unguessable text of 32 bytes.
pub(crate) fn random() -> String {
    encode(rand::random::<[u8; 32]>())
}

/// `RS256` over header and claims, in compact form.
pub(crate) fn sign(key: &RsaKeyPair, header: &Map<String, Value>, claims: &Map<String, Value>) -> Option<String> {
    let mut token = format!("{}.{}", encode(serde_json::to_vec(header).ok()?), encode(serde_json::to_vec(claims).ok()?));
    let signature = rsa_sha256(key, token.as_bytes())?;
    token.push('.');
    token.push_str(&encode(signature));
    Some(token)
}

/// RSA with SHA-256 over these bytes.
pub(crate) fn rsa_sha256(key: &RsaKeyPair, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), bytes, &mut signature).ok()?;
    Some(signature)
}

/// A number as clients write it: int, float or decimal string (MSAL.NET sends dates as strings).
pub(crate) fn number(value: Option<&Value>) -> Option<i64> {
    match value? {
        #[expect(clippy::cast_possible_truncation, reason = "seconds; a fraction is of no meaning and the cast saturates")]
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The members of a claim that is one string or an array of them.
pub(crate) fn strings(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Sets a claim that is a text.
pub(crate) fn put(claims: &mut Map<String, Value>, name: &str, value: impl AsRef<str>) {
    claims.insert(name.to_owned(), Value::from(value.as_ref()));
}

// === impl Jws ===

impl Jws {
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let object = |part: &str| serde_json::from_slice::<Map<String, Value>>(&decode(part)?).ok();
        Some(Self { header: object(header)?, claims: object(claims)?, signed: signed.to_owned(), signature: decode(signature)? })
    }

    pub(crate) fn head(&self, name: &str) -> &str {
        self.header.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.claims.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn time(&self, name: &str) -> Option<i64> {
        number(self.claims.get(name))
    }

    pub(crate) fn audiences(&self) -> Vec<&str> {
        strings(self.claims.get("aud"))
    }
}

// === impl PublicKey ===

impl PublicKey {
    pub(crate) fn of(pair: &RsaKeyPair) -> Self {
        let components = RsaPublicKeyComponents::<Vec<u8>>::from(aws_lc_rs::signature::KeyPair::public_key(pair));
        Self::Rsa { n: components.n, e: components.e }
    }

    /// A key of a JWKS.
    pub(crate) fn from_jwk(jwk: &Value) -> Option<Self> {
        let bytes = |name: &str| decode(jwk.get(name)?.as_str()?);
        match jwk.get("kty")?.as_str()? {
            "RSA" => Some(Self::rsa(&bytes("n")?, &bytes("e")?)),
            "EC" => {
                let length = match jwk.get("crv")?.as_str()? {
                    "P-256" => 32,
                    "P-384" => 48,
                    "P-521" => 66,
                    _ => return None,
                };
                let (x, y) = (bytes("x")?, bytes("y")?);
                let uncompressed = std::iter::once(4);
                let is_whole = x.len() == length && y.len() == length;
                is_whole.then(|| Self::Ec(uncompressed.chain(x).chain(y).collect()))
            }
            "OKP" if jwk.get("crv")?.as_str()? == "Ed25519" => Some(Self::Ed25519(bytes("x")?)),
            _ => None,
        }
    }

    /// The numbers lose leading zeros, which the cryptography refuses and X.509 always has.
    pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Self {
        let bare = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        Self::Rsa { n: bare(n), e: bare(e) }
    }

    /// The algorithm must be one that is of this kind of key; `none` and HS are of none.
    pub(crate) fn verify(&self, jws: &Jws) -> bool {
        let unparsed = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(jws.signed.as_bytes(), &jws.signature).is_ok()
        };
        match (self, jws.head("alg")) {
            (Self::Rsa { .. }, "RS256") => self.rsa_verifies(&RSA_PKCS1_2048_8192_SHA256, jws),
            (Self::Rsa { .. }, "RS384") => self.rsa_verifies(&RSA_PKCS1_2048_8192_SHA384, jws),
            (Self::Rsa { .. }, "RS512") => self.rsa_verifies(&RSA_PKCS1_2048_8192_SHA512, jws),
            (Self::Rsa { .. }, "PS256") => self.rsa_verifies(&RSA_PSS_2048_8192_SHA256, jws),
            (Self::Rsa { .. }, "PS384") => self.rsa_verifies(&RSA_PSS_2048_8192_SHA384, jws),
            (Self::Rsa { .. }, "PS512") => self.rsa_verifies(&RSA_PSS_2048_8192_SHA512, jws),
            // A curve has one algorithm (RFC 7518 §3.4); twice its bytes and one are its point.
            (Self::Ec(point), "ES256") if point.len() == 65 => unparsed(&ECDSA_P256_SHA256_FIXED, point),
            (Self::Ec(point), "ES384") if point.len() == 97 => unparsed(&ECDSA_P384_SHA384_FIXED, point),
            (Self::Ec(point), "ES512") if point.len() == 133 => unparsed(&ECDSA_P521_SHA512_FIXED, point),
            (Self::Ed25519(key), "EdDSA" | "Ed25519") => unparsed(&ED25519, key),
            _ => false,
        }
    }

    fn rsa_verifies(&self, parameters: &RsaParameters, jws: &Jws) -> bool {
        self.rsa_signed(parameters, jws.signed.as_bytes(), &jws.signature)
    }

    /// Whether these bytes were signed by RSA with SHA-256.
    pub(crate) fn signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.rsa_signed(&RSA_PKCS1_2048_8192_SHA256, bytes, signature)
    }

    fn rsa_signed(&self, parameters: &RsaParameters, bytes: &[u8], signature: &[u8]) -> bool {
        let Self::Rsa { n, e } = self else { return false };
        RsaPublicKeyComponents { n, e }.verify(parameters, bytes, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Jws, decode, number};

    #[test]
    fn base64_in_every_spelling() {
        for spelling in ["-_8", "-_8=", "+/8", "+/8="] {
            assert_eq!(decode(spelling), Some(vec![0xfb, 0xff]), "{spelling}");
        }
        assert_eq!(decode("*"), None);
    }

    #[test]
    fn dates_in_every_spelling() {
        for value in [json!(17), json!(17.9), json!("17")] {
            assert_eq!(number(Some(&value)), Some(17));
        }
        assert_eq!(number(Some(&json!(null))), None);
    }

    #[test]
    fn garbage_is_no_token() {
        for text in ["", "a.b", "a.b.c", "e30.e30", "e30.W10.AA"] {
            assert!(Jws::parse(text).is_none(), "{text}");
        }
    }
}
