//! A caller's proof by a JWT: which entry it names is read first, whether a key of that entry's issuer signed it second. What it is
//! worth is judged on every request by a pure function.
//!
//! The keys are fetched, and what they signed is remembered, as for users' tokens. The rules are others: a caller's JWT is no
//! access token, so that `scp`, `idtyp` and `typ` say nothing, and an audience that it shares with anybody makes it no proof.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::presented::CallerError;
use super::settings::JwtProof;
use crate::authority::FileState;
use crate::clock::Clock;
use crate::inbound::{Inbound, SKEW, TokenRejected};
use crate::oauth::{Claims, unverified};
use crate::reload::Reloads;
use crate::secret::Secret;
use crate::telemetry::Context;
use crate::token::TokenDigest;

/// The callers that prove themselves by JWTs.
#[derive(Debug)]
pub struct JwtCallers {
    issuers: Vec<Arc<Inbound>>,
    entries: Vec<JwtEntry>,
    /// For those who wait for keys: a caller that is not known has no place among the requests yet.
    places: Semaphore,
    clock: Clock,
}

/// One of them.
#[derive(Debug)]
struct JwtEntry {
    caller: u16,
    /// The verifier of its issuer's tokens, by its place.
    verifier: usize,
    issuer: String,
    audience: String,
    subjects: Vec<String>,
}

/// A JWT whose signature has not been looked at, and the verifier that the entry has which it names.
pub(super) struct OpenJwt {
    token: Secret,
    digest: TokenDigest,
    verifier: usize,
}

/// How long a JWT may be good for, from its `iat` on, in seconds: what is good for longer is no proof of now.
const LONGEST_LIFE: i64 = 24 * 3600;

/// The longest JWT that is looked at, in bytes.
const LONGEST: usize = 64 * 1024;

/// How many requests may wait for keys at a time.
const WAITING: usize = 512;

// === impl JwtCallers ===

impl JwtCallers {
    /// The callers of these entries, each with its place in the configuration and that of its issuer's verifier.
    pub fn new<'a>(
        issuers: Vec<Arc<Inbound>>,
        entries: impl IntoIterator<Item = (u16, usize, &'a JwtProof)>,
        clock: Clock,
    ) -> Self {
        let entry = |(caller, verifier, proof): (u16, usize, &JwtProof)| JwtEntry {
            caller,
            verifier,
            issuer: proof.issuer.address.to_string(),
            audience: proof.audience.clone(),
            subjects: proof.subjects.clone(),
        };
        let entries = entries.into_iter().map(entry).collect();
        Self { issuers, entries, places: Semaphore::new(WAITING), clock }
    }

    /// For callers none of which proves itself by a JWT.
    pub fn none(clock: &Clock) -> Self {
        Self::new(Vec::new(), [], clock.clone())
    }

    /// Whether no caller proves itself by a JWT.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whose a JWT is that was verified before. `None`: nothing is remembered of it.
    pub(super) fn remembered(&self, digest: &TokenDigest) -> Option<Result<u16, CallerError>> {
        let known = self.issuers.iter().enumerate();
        let (verifier, verified) = known.filter_map(|(at, issuer)| Some((at, issuer.remembered(digest, "")?))).next()?;
        Some(self.owner(verifier, &verified.claims))
    }

    /// Reads a JWT as far as that goes without its issuer's keys. What is refused here costs nobody a call.
    pub(super) fn read(&self, text: &str, digest: TokenDigest) -> Result<OpenJwt, CallerError> {
        let claims = unverified(text).ok_or(CallerError::Rejected("it is no JWT"))?;
        let entry = self.judge(None, &claims).map_err(CallerError::Rejected)?;
        Ok(OpenJwt { token: Secret::new(text), digest, verifier: entry.verifier })
    }

    /// Whose a JWT is, by the keys of the issuer that it names.
    pub(super) async fn verify(&self, jwt: &OpenJwt) -> Result<u16, CallerError> {
        let issuer = self.issuers.get(jwt.verifier).ok_or(CallerError::Unknown)?;
        let _place = self.places.try_acquire().map_err(|_| CallerError::KeysUnavailable)?;
        let context = Context::untraced(uuid::Builder::from_random_bytes(rand::random()).into_uuid());
        let verified = issuer.verify((jwt.token.expose(), &jwt.digest), "", context);
        // The fetch goes on without whoever waits no longer.
        let verified = tokio::time::timeout(issuer.authority().timeout(), verified).await;
        match verified {
            Ok(Ok(verified)) => self.owner(jwt.verifier, &verified.claims),
            Ok(Err(TokenRejected::NoKeys(_))) | Err(_) => Err(CallerError::KeysUnavailable),
            Ok(Err(rejected)) => Err(CallerError::Rejected(rejected.reason())),
        }
    }

    fn owner(&self, verifier: usize, claims: &Claims) -> Result<u16, CallerError> {
        self.judge(Some(verifier), claims).map(|entry| entry.caller).map_err(CallerError::Rejected)
    }

    /// The entry that claims are good for now, among those of one verifier if that is known.
    fn judge(&self, verifier: Option<usize>, claims: &Claims) -> Result<&JwtEntry, &'static str> {
        let known = self.entries.iter().filter(|entry| verifier.is_none_or(|verifier| entry.verifier == verifier));
        judge(known, claims, self.clock.unix())
    }

    /// Follows the files that keys are had by.
    pub(super) fn watch(&self, reloads: &Reloads) {
        self.issuers.iter().for_each(|issuer| issuer.authority().watch_keys(reloads));
    }

    /// The files that keys are had by, each with a caller that needs it.
    pub(super) fn files(&self) -> impl Iterator<Item = (u16, FileState)> {
        self.issuers.iter().enumerate().flat_map(|(at, issuer)| {
            let owner = self.entries.iter().find(|entry| entry.verifier == at).map(|entry| entry.caller);
            owner.into_iter().flat_map(|owner| issuer.authority().key_files().map(move |file| (owner, file)))
        })
    }

    /// The verifiers, each with the callers that need it.
    pub(super) fn issuers(&self) -> impl Iterator<Item = (&Arc<Inbound>, impl Iterator<Item = u16>)> {
        self.issuers.iter().enumerate().map(|(at, issuer)| {
            let entries = self.entries.iter().filter(move |entry| entry.verifier == at);
            (issuer, entries.map(|entry| entry.caller))
        })
    }
}

/// Whether a text has the form of a JWT (RFC 7519 §3), and not merely that of a token with dots.
pub(super) fn is_jwt(text: &[u8]) -> Option<&str> {
    // `{` in base64url is `e`, and what follows it there is a quotation mark or a blank.
    let is_one = text.len() <= LONGEST && text.starts_with(b"e") && text.iter().filter(|byte| **byte == b'.').count() == 2;
    std::str::from_utf8(text).ok().filter(|_| is_one)
}

/// The entry that claims are good for at a time in seconds since the Unix epoch. `iss`, `aud` and `sub` are compared letter by
/// letter.
fn judge<'a>(entries: impl Iterator<Item = &'a JwtEntry>, claims: &Claims, now: i64) -> Result<&'a JwtEntry, &'static str> {
    let mut entries = entries.filter(|entry| claims.iss.as_deref() == Some(&*entry.issuer)).peekable();
    if entries.peek().is_none() {
        return Err("its issuer is none of those that callers have");
    }
    let mut audiences = claims.aud.iter();
    let (Some(audience), None) = (audiences.next(), audiences.next()) else { return Err("it has no audience, or several") };
    let mut entries = entries.filter(|entry| entry.audience == audience).peekable();
    if entries.peek().is_none() {
        return Err("its audience is not the one that its issuer's callers have");
    }
    let subject = claims.sub.as_deref().ok_or("it has no sub")?;
    let entry = entries.find(|entry| entry.subjects.iter().any(|known| known == subject)).ok_or("its subject is no caller's")?;
    if claims.is_key_bound {
        return Err("it is bound to a key, which cannot be checked here");
    }
    times(claims, now).map_or(Ok(entry), Err)
}

/// What is wrong with its times.
fn times(claims: &Claims, now: i64) -> Option<&'static str> {
    let Some(expires) = claims.exp else { return Some("it has no exp") };
    let Some(issued) = claims.iat else { return Some("it has no iat") };
    if expires.saturating_sub(issued) > LONGEST_LIFE {
        return Some("it is good for more than 24 hours");
    }
    // Else a date far ahead would make it good for as long as its issuer likes.
    if issued > now.saturating_add(SKEW) {
        return Some("it was issued later than now");
    }
    if expires.saturating_add(SKEW) <= now {
        return Some("it has expired");
    }
    claims.nbf.is_some_and(|begins| begins > now.saturating_add(SKEW)).then_some("it is not valid yet")
}

#[cfg(test)]
mod tests {
    use super::{JwtEntry, is_jwt, judge};
    use crate::oauth::{Audience, Claims};

    const NOW: i64 = 1_000_000;

    fn entry(caller: u16, audience: &str, subjects: &[&str]) -> JwtEntry {
        let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
        JwtEntry { caller, verifier: 0, issuer: "https://id.example".to_owned(), audience: audience.to_owned(), subjects }
    }

    fn good() -> Claims {
        Claims {
            iss: Some("https://id.example".to_owned()),
            aud: Audience::One("tokend".to_owned()),
            sub: Some("orders".to_owned()),
            iat: Some(NOW - 100),
            exp: Some(NOW + 500),
            ..Claims::default()
        }
    }

    fn judged(claims: &Claims, now: i64) -> Result<u16, &'static str> {
        let entries = [entry(3, "other", &["orders"]), entry(1, "tokend", &["shop", "orders"]), entry(2, "tokend", &["desk"])];
        judge(entries.iter(), claims, now).map(|entry| entry.caller)
    }

    #[test]
    fn a_subject_of_an_issuer_for_an_audience_is_one_caller() {
        assert_eq!(judged(&good(), NOW), Ok(1));
        assert_eq!(judged(&Claims { sub: Some("desk".to_owned()), ..good() }, NOW), Ok(2));
        assert_eq!(judged(&Claims { aud: Audience::Many(vec!["tokend".to_owned()]), ..good() }, NOW), Ok(1));
        assert_eq!(judged(&Claims { aud: Audience::One("other".to_owned()), ..good() }, NOW), Ok(3));
        let some = |text: &str| Some(text.to_owned());
        for (claims, word) in [
            (Claims { iss: some("https://id.example/"), ..good() }, "issuer"),
            (Claims { iss: None, ..good() }, "issuer"),
            (Claims { aud: Audience::None, ..good() }, "no audience"),
            (Claims { aud: Audience::Many(vec!["tokend".to_owned(), "other".to_owned()]), ..good() }, "several"),
            (Claims { aud: Audience::Many(vec!["tokend".to_owned(); 2]), ..good() }, "several"),
            (Claims { aud: Audience::One("Tokend".to_owned()), ..good() }, "audience is not"),
            (Claims { sub: None, ..good() }, "no sub"),
            (Claims { sub: some("order"), ..good() }, "subject"),
            (Claims { sub: some("shop "), ..good() }, "subject"),
            (Claims { is_key_bound: true, ..good() }, "bound to a key"),
            (Claims { exp: None, ..good() }, "no exp"),
            (Claims { iat: None, ..good() }, "no iat"),
            (Claims { iat: Some(NOW - 90_000), exp: Some(NOW), ..good() }, "24 hours"),
            (Claims { iat: Some(NOW + 61), ..good() }, "later than now"),
            (Claims { nbf: Some(NOW + 61), ..good() }, "not valid yet"),
        ] {
            assert!(judged(&claims, NOW).is_err_and(|why| why.contains(word)), "{word}: {claims:?}");
        }
        // What access tokens have to say is not asked.
        let odd = Claims { idtyp: some("app"), typ: some("ID"), at_hash: some("x"), has_events: true, ..good() };
        assert_eq!(judged(&odd, NOW), Ok(1));
    }

    #[test]
    fn clocks_may_differ_by_a_minute() {
        for (now, is_good) in [(NOW + 559, true), (NOW + 560, false), (NOW - 160, true), (NOW - 161, false)] {
            assert_eq!(judged(&good(), now).is_ok(), is_good, "{now}");
        }
        let day = Claims { iat: Some(NOW), exp: Some(NOW + 86_400), nbf: Some(NOW + 60), ..good() };
        assert_eq!(judged(&day, NOW), Ok(1));
        assert!(judged(&Claims { exp: Some(NOW + 86_401), ..day }, NOW).is_err());
        let absurd = Claims { iat: Some(i64::MIN), exp: Some(i64::MAX), ..good() };
        assert!(judged(&absurd, NOW).is_err());
    }

    #[test]
    fn a_token_with_dots_is_no_jwt() {
        assert!(is_jwt(b"eyJh.eyJp.c2ln").is_some());
        let long = format!("e.{}.x", "x".repeat(70_000));
        for text in [&b"eyJh.eyJp"[..], b"eyJh.eyJp.c2ln.x", b"a.b.c", b"", b"e.\xff.x", long.as_bytes()] {
            assert!(is_jwt(text).is_none(), "{text:?}");
        }
    }
}
