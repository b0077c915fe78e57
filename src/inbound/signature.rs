//! From a bearer token to claims that an authority's key signed, remembered under the SHA-256 of the whole token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::authority::{Authority, AuthorityError, Decoding, SigningKey, TokenVersion};
use crate::clock::{Clock, Moment};
use crate::oauth::{Claims, unverified};
use crate::telemetry::Context;
use crate::token::TokenDigest;

/// How long a signature is remembered at most; the token's own end may come first.
const REMEMBERED: Duration = Duration::from_secs(300);

/// The longest token that is looked at, in bytes: longer ones fit no HTTP header.
const LONGEST: usize = 64 * 1024;

/// Verifies the tokens of one authority.
pub struct Inbound {
    authority: Arc<Authority>,
    remembered: Cache<TokenDigest, Verified, WeighVerified>,
    clock: Clock,
}

/// What a key of the authority signed.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The claims.
    pub claims: Arc<Claims>,
    key: Arc<SigningKey>,
    until: Moment,
}

/// Why a token has no claims.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRejected {
    /// It is not accepted, with a reason that quotes nothing of it.
    #[error("{0}")]
    Invalid(&'static str),
    /// The keys cannot be had, so nothing can be said about it.
    #[error("the keys cannot be had")]
    NoKeys(#[source] AuthorityError),
}

#[derive(Clone)]
struct WeighVerified;

impl Weighter<TokenDigest, Verified> for WeighVerified {
    fn weight(&self, _: &TokenDigest, value: &Verified) -> u64 {
        // Each text is an allocation of its own; the rest is the structures around them. Exact enough for a bound.
        let texts = value.claims.texts().map(|text| text.len() + 16).sum::<usize>();
        u64::try_from(size_of::<Claims>() + size_of::<Verified>() + 128 + texts).unwrap_or(u64::MAX)
    }
}

// === impl Inbound ===

impl Inbound {
    /// A verifier that remembers nothing yet, and at most this many bytes.
    pub fn new(authority: Arc<Authority>, max_bytes: u64, clock: Clock) -> Self {
        let items = usize::try_from(max_bytes / 1024).unwrap_or(usize::MAX).clamp(16, 4096);
        Self { authority, remembered: Cache::with_weighter(items, max_bytes, WeighVerified), clock }
    }

    /// What is remembered of the token with this SHA-256. Nothing here waits.
    pub fn remembered(&self, digest: &TokenDigest) -> Option<Verified> {
        let now = self.clock.moment();
        self.remembered.get(digest).filter(|verified| now < verified.until && !verified.key.is_withdrawn())
    }

    /// The claims of a token whose SHA-256 is `digest`.
    ///
    /// # Errors
    /// The token is not accepted, or the keys cannot be had.
    pub async fn verify(&self, token: &str, digest: &TokenDigest, context: Context) -> Result<Verified, TokenRejected> {
        if let Some(verified) = self.remembered(digest) {
            return Ok(verified);
        }
        let now = self.clock.moment();
        let verified = self.signed(token, context).await?;
        if now < verified.until {
            self.remembered.insert(*digest, verified.clone());
        }
        Ok(verified)
    }

    /// Verifies a token that comes once: nothing that is remembered is looked at, and nothing is remembered.
    ///
    /// # Errors
    /// As [`Inbound::verify`].
    pub async fn signed(&self, token: &str, context: Context) -> Result<Verified, TokenRejected> {
        let now = self.clock.moment();
        let header = TokenHeader::read(token)?;
        let version = self.version(token)?;
        let key = self.authority.key(version, header.kid.as_deref(), context).await.map_err(TokenRejected::NoKeys)?;
        let key = key.ok_or(TokenRejected::Invalid("it is signed with a key that its authority does not publish"))?;
        let mut claims = check(token, &key, &header.alg)?;
        claims.is_at_jwt = header.is_at_jwt();
        key_may_sign_for(&key, &claims)?;
        let left = claims.exp.map_or(0, |exp| exp.saturating_sub(self.clock.unix()).max(0));
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0)).min(REMEMBERED);
        Ok(Verified { claims: Arc::new(claims), key, until: now.after(left) })
    }

    /// Which keys sign it: Entra signs v1 tokens with keys whose issuer is the v1 one.
    fn version(&self, token: &str) -> Result<TokenVersion, TokenRejected> {
        if !self.authority.profile().v1_tokens {
            return Ok(TokenVersion::Current);
        }
        let claims = unverified(token).ok_or(TokenRejected::Invalid("its claims cannot be read"))?;
        let v2 = claims.iss.is_some_and(|issuer| issuer.ends_with("/v2.0"));
        Ok(if v2 { TokenVersion::Current } else { TokenVersion::V1 })
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("authority", &self.authority.address).finish_non_exhaustive()
    }
}

/// What a header says; `jku`, `x5u` and `jwk` are not looked at.
#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

// === impl TokenHeader ===

impl TokenHeader {
    /// Reads the header of a token that may be an access token. An unknown `crit` is refused (RFC 7515 §4.1.11), and none is known.
    fn read(token: &str) -> Result<Self, TokenRejected> {
        if token.len() > LONGEST {
            return Err(TokenRejected::Invalid("it is too long"));
        }
        let read = part(token, 0).and_then(|json| serde_json::from_slice::<Self>(&json).ok());
        let header = read.ok_or(TokenRejected::Invalid("it is no JWT signed with RS, PS or ES, or EdDSA"))?;
        if header.crit.is_some() {
            return Err(TokenRejected::Invalid("its header has critical extensions that are not understood"));
        }
        let typ = header.typ.as_deref().unwrap_or("JWT");
        let is_plain = ["JWT", "application/jwt"].iter().any(|known| known.eq_ignore_ascii_case(typ));
        if !is_plain && !header.is_at_jwt() {
            return Err(TokenRejected::Invalid("its `typ` is not an access token's"));
        }
        match header.alg.as_str() {
            "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" | "ES256" | "ES384" | "ES512" | "EdDSA" => Ok(header),
            _ => Err(TokenRejected::Invalid("its algorithm is not accepted, which are RS, PS or ES (256, 384, 512), or EdDSA")),
        }
    }

    /// RFC 9068 §2.1.
    fn is_at_jwt(&self) -> bool {
        let typ = self.typ.as_deref().unwrap_or_default();
        ["at+jwt", "application/at+jwt"].iter().any(|known| known.eq_ignore_ascii_case(typ))
    }
}

/// One of the three parts of a token (RFC 7515 §7.1), decoded.
fn part(token: &str, index: usize) -> Option<Vec<u8>> {
    let parts = token.split('.');
    let is_whole = parts.clone().count() == 3;
    parts.clone().nth(index).filter(|_| is_whole).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
}

/// Verifies the signature alone; what the claims are worth is the policy's to say.
fn check(token: &str, key: &SigningKey, algorithm: &str) -> Result<Claims, TokenRejected> {
    const BAD: TokenRejected = TokenRejected::Invalid("its signature or its claims are not valid");
    if !key.fits(algorithm) {
        return Err(TokenRejected::Invalid("its algorithm does not fit the key that it names"));
    }
    let decoding = match &key.decoding {
        Decoding::Usual(decoding) => decoding,
        Decoding::P521(point) => return check_p521(token, point).ok_or(BAD),
    };
    let mut validation = Validation::new(algorithm.parse::<Algorithm>().map_err(|_| BAD)?);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    jsonwebtoken::decode::<Claims>(token, decoding, &validation).map(|data| data.claims).map_err(|_| BAD)
}

/// ES512 (RFC 7518 §3.4).
fn check_p521(token: &str, point: &[u8]) -> Option<Claims> {
    let (signed, _) = token.rsplit_once('.')?;
    UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point).verify(signed.as_bytes(), &part(token, 2)?).ok()?;
    serde_json::from_slice(&part(token, 1)?).ok()
}

/// Entra publishes, per key, whose tokens it signs: without this, one tenant's key could sign for another tenant.
fn key_may_sign_for(key: &SigningKey, claims: &Claims) -> Result<(), TokenRejected> {
    let Some(issuer) = &key.key.issuer else { return Ok(()) };
    let expected = issuer.replace("{tenantid}", claims.tid.as_deref().unwrap_or_default());
    if claims.iss.as_deref() == Some(expected.as_str()) {
        Ok(())
    } else {
        Err(TokenRejected::Invalid("its key may not sign for its issuer"))
    }
}
