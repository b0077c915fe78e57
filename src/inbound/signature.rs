//! From a bearer token to claims that an authority's key signed, remembered under the SHA-256 of the whole token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto::verify;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::authority::{Authority, AuthorityError, Decoding, SignedToken, Signer, SigningKey, TokenVersion};
use crate::clock::{Clock, Moment};
use crate::oauth::{Claims, ClaimsFault, no_text};
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
    /// Whether the header's `typ` has to be an access token's.
    asks_type: bool,
    clock: Clock,
}

/// What a key of the authority signed.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The claims.
    pub claims: Arc<Claims>,
    /// Which document says what its issuer has to be.
    pub version: TokenVersion,
    key: Arc<SigningKey>,
    until: Moment,
}

/// Why a token has no claims. Nothing of it is quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRejected {
    /// It is not accepted.
    #[error("{0}")]
    Invalid(&'static str),
    /// It is no token that could be read here at all.
    #[error("it is no JWT signed with RS, PS or ES, or EdDSA")]
    NoJwt,
    /// A member of its header has another shape.
    #[error("`{member}` in its header is {found}, where a text belongs")]
    Header {
        /// Which member.
        member: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// Its claims cannot be read.
    #[error("{0}")]
    Claims(ClaimsFault),
    /// The keys cannot be had, so nothing can be said about it.
    #[error("the keys cannot be had")]
    NoKeys(#[source] AuthorityError),
}

// === impl TokenRejected ===

impl TokenRejected {
    /// Which check it failed, for the log: one of few texts.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(why) => why,
            Self::NoJwt => "it is no JWT",
            Self::Header { .. } => "a member of its header has another shape",
            Self::Claims(_) => "its claims cannot be read",
            Self::NoKeys(_) => "the keys cannot be had",
        }
    }
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
        Self { authority, remembered: Cache::with_weighter(items, max_bytes, WeighVerified), asks_type: true, clock }
    }

    /// A verifier of JWTs that are no access tokens: what their `typ` says is not asked.
    pub fn of_any_type(authority: Arc<Authority>, max_bytes: u64, clock: Clock) -> Self {
        Self { asks_type: false, ..Self::new(authority, max_bytes, clock) }
    }

    /// Whose tokens it verifies.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// What is remembered of the token with this SHA-256 for a client. Nothing here waits.
    pub fn remembered(&self, digest: &TokenDigest, client_id: &str) -> Option<Verified> {
        let now = self.clock.moment();
        let stands = |verified: &Verified| now < verified.until && !verified.key.is_withdrawn() && verified.key.is_for(client_id);
        self.remembered.get(digest).filter(stands)
    }

    /// The claims of a token for a client, whose SHA-256 goes with it.
    ///
    /// # Errors
    /// The token is not accepted, or the keys cannot be had.
    pub async fn verify(
        &self,
        (token, digest): (&str, &TokenDigest),
        client_id: &str,
        context: Context,
    ) -> Result<Verified, TokenRejected> {
        if let Some(verified) = self.remembered(digest, client_id) {
            return Ok(verified);
        }
        let now = self.clock.moment();
        let verified = self.signed(token, client_id, context).await?;
        if now < verified.until {
            self.remembered.insert(*digest, verified.clone());
        }
        Ok(verified)
    }

    /// Verifies a token that comes once: nothing that is remembered is looked at, and nothing is remembered.
    ///
    /// # Errors
    /// As [`Inbound::verify`].
    pub async fn signed(&self, token: &str, client_id: &str, context: Context) -> Result<Verified, TokenRejected> {
        let now = self.clock.moment();
        let header = TokenHeader::read(token)?;
        if self.asks_type && !header.may_be_access_token() {
            return Err(TokenRejected::Invalid("its `typ` is not an access token's"));
        }
        let mut claims = Claims::read(&part(token, 1).ok_or(TokenRejected::NoJwt)?).map_err(TokenRejected::Claims)?;
        claims.is_at_jwt = header.is_at_jwt();
        let version = self.version(&claims);
        let is_by = |key: &SigningKey| is_signed_by(token, key, &header.alg);
        let signed = SignedToken { kid: header.kid.as_deref(), algorithm: &header.alg, is_by: &is_by };
        let signer = self.authority.signer(version, client_id, &signed, context).await.map_err(TokenRejected::NoKeys)?;
        let key = match signer {
            Signer::Key(key) => key,
            Signer::Unpublished => {
                return Err(TokenRejected::Invalid("it is signed with a key that its authority does not publish"));
            }
            Signer::Unfit => return Err(TokenRejected::Invalid("its algorithm does not fit the key that it names")),
            Signer::Forged => return Err(TokenRejected::Invalid("its signature is not valid")),
        };
        key_may_sign_for(&key, &claims)?;
        let left = claims.exp.map_or(0, |exp| exp.saturating_sub(self.clock.unix()).max(0));
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0)).min(REMEMBERED);
        Ok(Verified { claims: Arc::new(claims), version, key, until: now.after(left) })
    }

    /// Which keys sign it and which document names its issuer: Entra has others for v1 tokens.
    fn version(&self, claims: &Claims) -> TokenVersion {
        let is_v1 = match claims.ver.as_deref() {
            Some("1.0") => true,
            Some("2.0") => false,
            _ => !claims.iss.as_deref().is_some_and(|issuer| issuer.ends_with("/v2.0")),
        };
        if is_v1 && self.authority.profile().v1_tokens { TokenVersion::V1 } else { TokenVersion::Current }
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
    /// Reads the header of a token. An unknown `crit` is refused (RFC 7515 §4.1.11), and none is known.
    fn read(token: &str) -> Result<Self, TokenRejected> {
        if token.len() > LONGEST {
            return Err(TokenRejected::Invalid("it is too long"));
        }
        let json = part(token, 0).ok_or(TokenRejected::NoJwt)?;
        let header: Self = serde_json::from_slice(&json).map_err(|_| Self::fault(&json))?;
        if header.crit.is_some() {
            return Err(TokenRejected::Invalid("its header has critical extensions that are not understood"));
        }
        match header.alg.as_str() {
            "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" | "ES256" | "ES384" | "ES512" | "EdDSA" => Ok(header),
            _ => Err(TokenRejected::Invalid("its algorithm is not accepted, which are RS, PS or ES (256, 384, 512), or EdDSA")),
        }
    }

    /// What is wrong with a header that could not be read.
    fn fault(json: &[u8]) -> TokenRejected {
        let found = no_text(json, &["alg", "kid", "typ"]);
        found.map_or(TokenRejected::NoJwt, |(member, found)| TokenRejected::Header { member, found })
    }

    /// Whether `typ` says nothing else.
    fn may_be_access_token(&self) -> bool {
        let typ = self.typ.as_deref().unwrap_or("JWT");
        self.is_at_jwt() || ["JWT", "application/jwt"].iter().any(|known| known.eq_ignore_ascii_case(typ))
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

/// Whether a key that fits the algorithm signed a token.
fn is_signed_by(token: &str, key: &SigningKey, algorithm: &str) -> bool {
    let Some((signed, signature)) = token.rsplit_once('.') else { return false };
    match &key.decoding {
        Decoding::Usual(decoding) => {
            let algorithm = algorithm.parse::<Algorithm>();
            algorithm.is_ok_and(|algorithm| verify(signature, signed.as_bytes(), decoding, algorithm).unwrap_or(false))
        }
        // ES512 (RFC 7518 §3.4).
        Decoding::P521(point) => part(token, 2).is_some_and(|signature| {
            UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point).verify(signed.as_bytes(), &signature).is_ok()
        }),
    }
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
