//! Private keys as JSON: a JWK (RFC 7517 §4), or a set of them (§5) of which one is meant.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::certificate::ClientKey;
use super::settings::SigningAlgorithm;
use super::signing::{AssertionKey, Curve, RsaNumbers};
use crate::finding::Complaint;

type Text = Option<Wiped>;

/// A text that is wiped when it is dropped.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Wiped(Zeroizing<String>);

impl From<String> for Wiped {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// The members of a JWK that are looked at; others may be there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Jwk {
    keys: Option<Vec<Jwk>>,
    kty: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    oth: Option<serde::de::IgnoredAny>,
    n: Text,
    e: Text,
    d: Text,
    p: Text,
    q: Text,
    dp: Text,
    dq: Text,
    qi: Text,
    x: Text,
    y: Text,
}

const WHOLE: &str = "write the JWK with all of its private members, as it was made";

/// The key of a JWK, or the one that is meant of a set. `kid` and `algorithm` are as configured.
///
/// # Errors
/// It is no JSON of this shape, not one key is meant, or the key has no private part or cannot sign.
pub(super) fn key(contents: &[u8], kid: Option<&str>, algorithm: Option<SigningAlgorithm>) -> Result<ClientKey, Complaint> {
    let jwk: Jwk = serde_json::from_slice(contents)
        .map_err(|_| Complaint::new("it begins as JSON and is no JWK and no set of them", WHOLE))?;
    let jwk = match jwk.keys {
        Some(keys) => chosen(keys, kid)?,
        None => jwk,
    };
    if let (Some(configured), Some(own)) = (kid, &jwk.kid)
        && configured != own
    {
        return Err(Complaint::new(
            "it has another `kid` than the one that is configured",
            "write the key's own `kid`, or leave it out",
        ));
    }
    let algorithm = match (algorithm, jwk.alg.as_deref()) {
        (None, Some(name)) => Some(SigningAlgorithm::named(name).ok_or_else(|| {
            Complaint::new("its `alg` is none that client assertions are signed by", "use a key that was made for signing")
        })?),
        (configured, _) => configured,
    };
    ClientKey::bare(jwk.signing()?, kid.map(str::to_owned).or(jwk.kid), algorithm)
}

/// The one key of a set that is meant: the one of this `kid`, else the only private one that is for signing.
fn chosen(keys: Vec<Jwk>, kid: Option<&str>) -> Result<Jwk, Complaint> {
    let several = |count: usize, what: &str, remedy: &str| {
        Err(Complaint::new(format!("it has {count} {what}, and nothing says which of them is meant"), remedy))
    };
    if let Some(kid) = kid {
        let mut named: Vec<Jwk> = keys.into_iter().filter(|key| key.kid.as_deref() == Some(kid)).collect();
        return match (named.len(), named.pop()) {
            (_, None) => Err(Complaint::new("it has no key of the `kid` that is configured", "write the `kid` of one of its keys")),
            (1, Some(key)) => Ok(key),
            (count, _) => several(count, "keys of the `kid` that is configured", "give each key a `kid` of its own"),
        };
    }
    let is_for_signing = |key: &Jwk| key.d.is_some() && key.usage.as_deref() != Some("enc");
    let mut private: Vec<Jwk> = keys.into_iter().filter(is_for_signing).collect();
    match (private.len(), private.pop()) {
        (_, None) => Err(Complaint::new("none of its keys has a private part and is for signing", WHOLE)),
        (1, Some(key)) => Ok(key),
        (count, _) => several(count, "private keys", "name the one to sign with by `kid`"),
    }
}

// === impl Jwk ===

impl Jwk {
    fn signing(&self) -> Result<AssertionKey, Complaint> {
        if self.usage.as_deref() == Some("enc") {
            return Err(Complaint::new("its `use` is `enc`: it is for encryption", "name the key that was made for signing"));
        }
        let kind = self.kty.as_deref().unwrap_or_default();
        if kind == "oct" {
            let remedy = "give the app a secret (`credential.secret`), or a key pair";
            return Err(Complaint::new("it is a symmetric key (`kty` `oct`), with which nothing is proven here", remedy));
        }
        if matches!(kind, "RSA" | "EC" | "OKP") && self.d.is_none() {
            return Err(Complaint::new("it is a public key: it has no private part (`d`)", WHOLE));
        }
        match kind {
            "RSA" => self.rsa(),
            "EC" => self.ec(),
            "OKP" if self.crv.as_deref() == Some("Ed25519") => {
                AssertionKey::from_ed25519(&fixed("d", &self.d, 32)?, &fixed("x", &self.x, 32)?)
            }
            "OKP" => Err(Complaint::new("its curve (`crv`) is none that signs here", "use an Ed25519 key")),
            _ => Err(Complaint::new("its `kty` is none that is known", "use an RSA, EC or OKP key (RFC 7518 §6.1, RFC 8037 §2)")),
        }
    }

    fn rsa(&self) -> Result<AssertionKey, Complaint> {
        if self.oth.is_some() {
            return Err(Complaint::new("its RSA key has more than two primes", "use a key of two primes, as everybody makes them"));
        }
        let [n, e, d] = [number("n", &self.n)?, number("e", &self.e)?, number("d", &self.d)?];
        let [p, q, dp, dq, qi] = [
            number("p", &self.p)?,
            number("q", &self.q)?,
            number("dp", &self.dp)?,
            number("dq", &self.dq)?,
            number("qi", &self.qi)?,
        ];
        AssertionKey::from_rsa(&RsaNumbers { n: &n, e: &e, d: &d, p: &p, q: &q, dp: &dp, dq: &dq, qi: &qi })
    }

    fn ec(&self) -> Result<AssertionKey, Complaint> {
        let curve = Curve::ALL.into_iter().find(|curve| Some(curve.as_str()) == self.crv.as_deref());
        let curve = curve.ok_or_else(|| {
            Complaint::new("its curve (`crv`) is none that signs here", "use an EC key on P-256, P-384 or P-521, or an Ed25519 key")
        })?;
        let length = curve.bytes();
        let point = [&[4][..], &fixed("x", &self.x, length)?, &fixed("y", &self.y, length)?].concat();
        AssertionKey::from_ec(curve, &fixed("d", &self.d, length)?, &point)
    }
}

/// The bytes of a member.
fn bytes(name: &str, text: &Text) -> Result<Zeroizing<Vec<u8>>, Complaint> {
    let Some(text) = text else { return Err(Complaint::new(format!("it lacks the member `{name}`"), WHOLE)) };
    let decoded = URL_SAFE_NO_PAD.decode(text.0.trim_end_matches('=').as_bytes());
    decoded.map(Zeroizing::new).map_err(|_| Complaint::new(format!("its member `{name}` is no base64url"), WHOLE))
}

/// A number, without the zeros that some write before it.
fn number(name: &str, text: &Text) -> Result<Zeroizing<Vec<u8>>, Complaint> {
    let bytes = bytes(name, text)?;
    Ok(Zeroizing::new(bytes.iter().copied().skip_while(|byte| *byte == 0).collect()))
}

/// A number of a fixed length, with the zeros that some leave out before it.
fn fixed(name: &str, text: &Text, length: usize) -> Result<Zeroizing<Vec<u8>>, Complaint> {
    let bytes = bytes(name, text)?;
    let missing = length.checked_sub(bytes.len());
    let missing = missing.ok_or_else(|| Complaint::new(format!("its member `{name}` is longer than its curve has it"), WHOLE))?;
    Ok(Zeroizing::new([vec![0; missing].as_slice(), &bytes].concat()))
}
