//! A token as it is kept: the answer's first part written once as JSON, with the only copy of the token inside it.
//!
//! A hit copies nothing and serializes nothing but its last members (`expires_in`, where the token came from, the correlation id).

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::key::Variant;
use super::room::{RoomTaker, TokenUser};
use super::scopes::covers;
use crate::clock::Moment;
use crate::secret::Secret;

/// Names a state of an account between two sign-outs: a random number, or none before the first.
pub type Epoch = Option<NonZeroU64>;

/// When a token ends, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the answer was received.
    pub received_on: i64,
    /// When the token ends; `None` if the authority did not say so credibly: such a token is returned once and never kept.
    pub expires_on: Option<i64>,
    /// Until when a resource may accept it in an outage (`ext_expires_in`).
    pub ext_expires_on: Option<i64>,
    /// From when on it is renewed in the background.
    pub refresh_on: Option<i64>,
}

/// What an authority issued, checked and dated, before it is written for keeping.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The access token; empty where an id token is all that was issued.
    pub access_token: Secret,
    /// `Bearer` as RFC 6750 spells it, or another scheme as the authority spelt it.
    pub token_type: String,
    /// The scopes as shown to the caller: what was granted, or what was asked where the authority does not say. Empty where that is
    /// not known.
    pub scope: String,
    /// When it ends.
    pub times: Times,
    /// The tenant that issued it.
    pub tenant_id: Option<String>,
    /// Whose it is; app tokens have no account.
    pub account: Option<Account>,
    /// The id token as received.
    pub id_token: Option<Secret>,
    /// RFC 8693 §2.2.1.
    pub issued_token_type: Option<String>,
}

/// What the cache needs to know of a token without reading it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The folded scopes that were asked for.
    pub asked: Box<str>,
    /// The folded scopes that it can be used for; empty where it answers the identical request only.
    pub granted: Box<str>,
    /// A hash over the other members of the key.
    pub variant: Variant,
    /// A hash over the claims challenge that it answered; zero where there was none.
    pub challenge: u64,
    /// Its place in the order of stores of this process; zero if another process stored it, nobody here knows when.
    pub generation: u64,
    /// Its generation in the store that replicas share; zero if it is not there.
    pub shared: u64,
    /// The account's epoch when the authority was asked.
    pub epoch: Epoch,
}

/// A token in the cache.
pub struct CachedToken {
    head: Bytes,
    token: Range<u32>,
    /// When the store that replicas share was last asked about it, in milliseconds of [`Moment`].
    checked: AtomicU64,
    /// When it ends.
    pub expires_on: i64,
    /// When it was received.
    pub received_on: i64,
    /// From when on it is renewed.
    pub refresh_on: i64,
    /// What it answers.
    pub facts: Facts,
    /// Who uses it.
    pub user: TokenUser,
}

/// The written first part of an answer: a JSON object without its closing brace.
#[derive(Clone)]
pub struct AnswerHead {
    /// The JSON text.
    pub text: Bytes,
    /// Where the access token stands in it; empty if it had to be escaped.
    token: Range<u32>,
    /// When the token ends.
    pub expires_on: Option<i64>,
}

#[derive(Serialize)]
struct Members<'a> {
    // First, so that the token's place in the text is known.
    access_token: Option<&'a str>,
    token_type: &'a str,
    // Third, so that it is found without parsing.
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    expires_on: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_on: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext_expires_on: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a Account>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'a str>,
}

const BEFORE_TOKEN: usize = r#"{"access_token":""#.len();

// === impl IssuedToken ===

impl IssuedToken {
    /// Whether there is an access token, and not an id token alone.
    pub fn has_access_token(&self) -> bool {
        !self.access_token.expose().is_empty()
    }

    /// Writes the first part of the answer.
    pub fn write(&self) -> AnswerHead {
        let token = self.access_token.expose();
        let members = Members {
            access_token: Some(token).filter(|token| !token.is_empty()),
            token_type: &self.token_type,
            scope: &self.scope,
            expires_on: self.times.expires_on,
            refresh_on: self.times.refresh_on,
            ext_expires_on: self.times.ext_expires_on,
            tenant_id: self.tenant_id.as_deref(),
            account: self.account.as_ref(),
            id_token: self.id_token.as_ref().map(Secret::expose),
            issued_token_type: self.issued_token_type.as_deref(),
        };
        let Ok(mut text) = serde_json::to_vec(&members) else {
            // Text and numbers always become JSON. Should serde ever refuse, the answer has no token and is still an object.
            return AnswerHead { text: Bytes::from_static(br#"{"access_token":null"#), token: 0..0, expires_on: None };
        };
        text.pop();
        text.shrink_to_fit();
        let end = BEFORE_TOKEN + token.len();
        let plain = text.get(BEFORE_TOKEN..end) == Some(token.as_bytes());
        let token = if plain { narrow(BEFORE_TOKEN)..narrow(end) } else { 0..0 };
        AnswerHead { text: Bytes::from(text), token, expires_on: self.times.expires_on }
    }
}

// === impl AnswerHead ===

impl AnswerHead {
    /// The access token, or `None` where it is not written plainly: then the object has to be parsed.
    pub fn token(&self) -> Option<&str> {
        slice(&self.text, &self.token)
    }

    /// What `Authorization` has with this token: its type and the token. `None` where there is no token.
    pub fn authorization(&self) -> Option<Bytes> {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow)]
            access_token: Cow<'a, str>,
            #[serde(borrow)]
            token_type: Cow<'a, str>,
        }
        let header = |kind: &str, token: &str| {
            let mut text = Vec::with_capacity(kind.len() + 1 + token.len());
            text.extend_from_slice(kind.as_bytes());
            text.push(b' ');
            text.extend_from_slice(token.as_bytes());
            Bytes::from(text)
        };
        if let Some(token) = self.token().filter(|token| !token.is_empty()) {
            let rest = self.text.get(usize::try_from(self.token.end).ok()?..)?;
            let kind = rest.strip_prefix(br#"","token_type":""#)?;
            let end = kind.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            if kind.get(end) == Some(&b'"') {
                return Some(header(std::str::from_utf8(kind.get(..end)?).ok()?, token));
            }
        }
        let whole = [&self.text[..], b"}"].concat();
        let Named { access_token, token_type } = serde_json::from_slice(&whole).ok()?;
        Some(header(&token_type, &access_token))
    }

    /// The first members as they stand in the text, its opening brace included: the access token, its type, and its scope if it has
    /// one. `None` where something in them is not written plainly.
    pub fn first_members(&self) -> Option<&[u8]> {
        let token_end = usize::try_from(self.token.end).ok().filter(|_| !self.token.is_empty())?;
        let text = self.text.get(token_end..)?.strip_prefix(br#"","token_type":""#)?;
        let after = |text: &[u8]| -> Option<usize> {
            let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            (text.get(end) == Some(&b'"')).then_some(end + 1)
        };
        let mut rest = text.get(after(text)?..)?;
        if let Some(scope) = rest.strip_prefix(br#","scope":""#) {
            rest = scope.get(after(scope)?..)?;
        }
        rest.starts_with(br#","expires_on":"#).then(|| self.text.get(..self.text.len() - rest.len())).flatten()
    }

    /// The granted scopes as the answer shows them, space-separated; `None` where it shows none.
    pub fn scope(&self) -> Option<Cow<'_, str>> {
        if self.token.is_empty() {
            return self.parsed_scope();
        }
        let text = self.text.get(usize::try_from(self.token.end).ok()?..)?;
        let rest = text.strip_prefix(br#"","token_type":""#)?;
        let rest = rest.get(rest.iter().position(|byte| *byte == b'"')?..)?;
        let rest = rest.strip_prefix(br#"","scope":""#)?;
        match rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).and_then(|end| rest.split_at_checked(end)) {
            Some((scope, [b'"', ..])) => std::str::from_utf8(scope).ok().map(Cow::Borrowed),
            // Something in it had to be escaped.
            _ => self.parsed_scope(),
        }
    }

    fn parsed_scope(&self) -> Option<Cow<'_, str>> {
        #[derive(Deserialize)]
        struct Scope {
            scope: Option<String>,
        }
        let whole = [&self.text[..], b"}"].concat();
        serde_json::from_slice::<Scope>(&whole).ok()?.scope.map(Cow::Owned)
    }

    /// Makes it a cache entry; `None` if the token does not say when it ends.
    pub fn keep(self, times: &Times, facts: Facts) -> Option<CachedToken> {
        let expires_on = times.expires_on?;
        let refresh_on = times.refresh_on.unwrap_or(expires_on);
        Some(CachedToken {
            head: self.text,
            token: self.token,
            checked: AtomicU64::new(0),
            expires_on,
            received_on: times.received_on,
            refresh_on,
            facts,
            user: TokenUser::default(),
        })
    }

    /// Where the access token stands in the text; empty if it had to be escaped.
    pub fn range(&self) -> Range<u32> {
        self.token.clone()
    }

    /// A head of a token that is not kept, written by another process.
    pub fn once(text: Bytes, token: Range<u32>) -> Self {
        Self { text, token, expires_on: None }
    }

    /// A head that was written before, by this process or another.
    pub fn rewritten(text: Bytes, token: Range<u32>, expires_on: i64) -> Self {
        Self { text, token, expires_on: Some(expires_on) }
    }
}

// === impl CachedToken ===

impl CachedToken {
    /// The written first part of the answer; sharing it costs a reference count.
    pub fn head(&self) -> AnswerHead {
        AnswerHead { text: self.head.clone(), token: self.token.clone(), expires_on: Some(self.expires_on) }
    }

    /// This token, which somebody has asked for.
    #[must_use]
    pub fn asked_by(mut self, taker: RoomTaker) -> Self {
        self.user = TokenUser::of(taker);
        self
    }

    /// Whether it answers a request for these folded scopes.
    pub fn answers(&self, variant: &Variant, asked: &str) -> bool {
        self.answer(variant, asked, true).is_some()
    }

    /// As [`CachedToken::answers`]; without `superset` only the answer to the identical request will do. `Some(true)`: it is that
    /// answer.
    pub fn answer(&self, variant: &Variant, asked: &str, superset: bool) -> Option<bool> {
        if self.facts.variant != *variant {
            return None;
        }
        let identical = *self.facts.asked == *asked;
        // Reserved scopes alone leave nothing to be covered: any token of the user's will do (CCH-2).
        let covering = || asked.is_empty() || (!self.facts.granted.is_empty() && covers(&self.facts.granted, asked));
        (identical || (superset && covering())).then_some(identical)
    }

    /// When the store that replicas share was last asked about it.
    pub fn checked(&self) -> Moment {
        Moment::of_millis(self.checked.load(Ordering::Relaxed))
    }

    /// Notes that it is being asked about. Returns false if somebody else did since `seen`.
    pub fn check(&self, seen: Moment, now: Moment) -> bool {
        self.checked.compare_exchange(seen.millis(), now.millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Notes that it was asked about, whatever was noted before.
    pub fn set_checked(&self, at: Moment) {
        self.checked.store(at.millis(), Ordering::Relaxed);
    }

    /// Moves its times back if it is known to end no later than `latest`, in seconds since the Unix epoch by this machine's clock.
    /// The clock of the replica that received it may go ahead of this one, and then all its times are too late by as much. A second
    /// is no difference.
    pub fn ending_by(mut self, latest: i64) -> Self {
        let early = self.expires_on.saturating_sub(latest);
        if early > 1 {
            self.head = earlier(&self.head, early);
            for time in [&mut self.expires_on, &mut self.received_on, &mut self.refresh_on] {
                *time = time.saturating_sub(early);
            }
        }
        self
    }

    /// What it weighs in memory, in bytes, with its part of the list that holds it.
    pub fn weight(&self) -> usize {
        // Two allocations' headers, and the shared counter that the first hit adds to the head.
        const OVERHEAD: usize = 64;
        size_of::<Self>() + self.head.len() + self.facts.asked.len() + self.facts.granted.len() + OVERHEAD
    }
}

impl Clone for CachedToken {
    fn clone(&self) -> Self {
        Self {
            head: self.head.clone(),
            token: self.token.clone(),
            checked: AtomicU64::new(self.checked.load(Ordering::Relaxed)),
            expires_on: self.expires_on,
            received_on: self.received_on,
            refresh_on: self.refresh_on,
            facts: self.facts.clone(),
            user: self.user.clone(),
        }
    }
}

impl fmt::Debug for CachedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedToken").field("expires_on", &self.expires_on).field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl fmt::Debug for AnswerHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerHead").field("bytes", &self.text.len()).field("expires_on", &self.expires_on).finish_non_exhaustive()
    }
}

fn slice<'a>(head: &'a Bytes, range: &Range<u32>) -> Option<&'a str> {
    let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
    if range.is_empty() { None } else { std::str::from_utf8(head.get(range)?).ok() }
}

/// The written first part of an answer with its times so many seconds earlier. No text in it can look like one of these members:
/// the quotes in a text are escaped.
fn earlier(head: &Bytes, seconds: i64) -> Bytes {
    let mut text = head.to_vec();
    for member in [&br#","expires_on":"#[..], br#","refresh_on":"#, br#","ext_expires_on":"#] {
        let Some(at) = text.windows(member.len()).position(|part| part == member) else { continue };
        let from = at + member.len();
        let is_digit = |byte: &&u8| byte.is_ascii_digit() || **byte == b'-';
        let to = from + text.iter().skip(from).take_while(is_digit).count();
        let time = text.get(from..to).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<i64>().ok());
        if let Some(time) = time {
            text.splice(from..to, time.saturating_sub(seconds).to_string().into_bytes());
        }
    }
    // A copy of exactly its size.
    Bytes::from(text.into_boxed_slice())
}

/// Answers are at most 1 MiB: see `transport`.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Facts, IssuedToken, Times, Variant};
    use crate::secret::Secret;

    fn grant(token: &str) -> IssuedToken {
        IssuedToken {
            access_token: Secret::new(token),
            token_type: "Bearer".to_owned(),
            scope: "a".to_owned(),
            times: Times { received_on: 0, expires_on: Some(3600), ext_expires_on: None, refresh_on: None },
            tenant_id: None,
            account: None,
            id_token: None,
            issued_token_type: None,
        }
    }

    fn facts(asked: &str, granted: &str) -> Facts {
        Facts { asked: asked.into(), granted: granted.into(), ..Facts::default() }
    }

    #[test]
    fn the_token_stands_in_the_head() -> Result<(), serde_json::Error> {
        let head = grant("eyJ.abc.def").write();
        assert_eq!(head.token(), Some("eyJ.abc.def"));
        let mut text = head.text.to_vec();
        text.push(b'}');
        let value: serde_json::Value = serde_json::from_slice(&text)?;
        assert_eq!(value["access_token"], "eyJ.abc.def");
        Ok(())
    }

    #[test]
    fn the_first_members_are_taken_as_they_stand_unless_something_in_them_is_escaped() {
        let first = |grant: IssuedToken| grant.write().first_members().map(|first| String::from_utf8(first.to_vec()).unwrap());
        let plain = r#"{"access_token":"eyJ.a.b","token_type":"Bearer","scope":"a""#;
        assert_eq!(first(grant("eyJ.a.b")).as_deref(), Some(plain));
        let none = IssuedToken { scope: String::new(), ..grant("eyJ.a.b") };
        assert_eq!(first(none).as_deref(), Some(r#"{"access_token":"eyJ.a.b","token_type":"Bearer""#));
        for escaped in [
            grant("a\"b"),
            IssuedToken { scope: r#"a ","expires_on":1,"#.to_owned(), ..grant("eyJ.a.b") },
            IssuedToken { token_type: "B\\".to_owned(), ..grant("eyJ.a.b") },
        ] {
            assert_eq!(first(escaped), None);
        }
    }

    #[test]
    fn another_clocks_times_are_all_so_much_earlier() -> Result<(), serde_json::Error> {
        let times = Times { received_on: 600, expires_on: Some(4200), ext_expires_on: Some(9000), refresh_on: Some(3000) };
        let scope = r#"a ","expires_on":1,"#.to_owned();
        for scope in ["a".to_owned(), scope] {
            let grant = IssuedToken { times, scope, ..grant("eyJ.a.b") };
            let stored = || grant.write().keep(&times, facts("a", "a")).unwrap();
            for latest in [5000, 4200, 4199] {
                assert_eq!(stored().ending_by(latest).head().text, stored().head().text, "{latest}");
            }
            let earlier = stored().ending_by(3600);
            assert_eq!((earlier.received_on, earlier.expires_on, earlier.refresh_on), (0, 3600, 2400));
            let head = earlier.head();
            assert_eq!((head.expires_on, head.token(), head.scope()), (Some(3600), Some("eyJ.a.b"), grant.write().scope()));
            let value: serde_json::Value = serde_json::from_slice(&[&head.text[..], b"}"].concat())?;
            assert_eq!(
                (&value["expires_on"], &value["refresh_on"], &value["ext_expires_on"]),
                (&3600.into(), &2400.into(), &8400.into())
            );
            assert_eq!(value["scope"], *grant.scope);
            // Fewer digits, and none at all.
            assert!(stored().ending_by(5).head().text.ends_with(br#""expires_on":5,"refresh_on":-1195,"ext_expires_on":4805"#));
        }
        Ok(())
    }

    #[test]
    fn a_token_that_needs_escaping_is_still_written_right() -> Result<(), serde_json::Error> {
        let head = grant("a\"b\\c").write();
        assert_eq!(head.token(), None);
        let mut text = head.text.to_vec();
        text.push(b'}');
        let value: serde_json::Value = serde_json::from_slice(&text)?;
        assert_eq!(value["access_token"], "a\"b\\c");
        Ok(())
    }

    #[test]
    fn the_scopes_are_found_in_the_head() {
        let shown = |token: &str, scope: &str, token_type: &str| {
            let grant = IssuedToken { scope: scope.to_owned(), token_type: token_type.to_owned(), ..grant(token) };
            let head = grant.write();
            let borrowed = matches!(head.scope(), Some(std::borrow::Cow::Borrowed(_)));
            (head.scope().map(std::borrow::Cow::into_owned), borrowed)
        };
        let found = |scope: &str| Some(scope.to_owned());
        for token_type in ["Bearer", "N_A"] {
            assert_eq!(shown("eyJ.a.b", "a https://b/c", token_type), (found("a https://b/c"), true));
        }
        // What has to be escaped is read all the same, and nothing of it ends too early.
        assert_eq!(shown("eyJ.a.b", "a\"b c\\", "Bearer"), (found("a\"b c\\"), false));
        assert_eq!(shown("e\"J", "a b", "Bearer"), (found("a b"), false));
        for token in ["eyJ.a.b", "e\"J"] {
            assert_eq!(shown(token, "", "Bearer"), (None, false));
        }
    }

    #[test]
    fn cch_2_answers_a_subset_of_what_was_granted_and_the_identical_request() -> Result<(), serde_json::Error> {
        let grant = grant("t");
        let stored = grant.write().keep(&grant.times, facts("a b declined", "a b"));
        let stored = stored.as_ref();
        assert!(stored.is_some_and(|stored| stored.answers(&Variant::new([0; 32]), "a")));
        assert!(stored.is_some_and(|stored| stored.answers(&Variant::new([0; 32]), "a b declined")));
        assert!(stored.is_some_and(|stored| !stored.answers(&Variant::new([0; 32]), "declined")));
        assert!(stored.is_some_and(|stored| !stored.answers(&Variant::new([1; 32]), "a")));
        let exact = |asked| stored.and_then(|stored| stored.answer(&Variant::new([0; 32]), asked, false));
        assert_eq!((exact("a b declined"), exact("a"), exact("declined")), (Some(true), None, None));
        assert_eq!(stored.and_then(|stored| stored.answer(&Variant::new([0; 32]), "a", true)), Some(false));
        // Nothing is left of reserved scopes; they say whose token is meant, where one for more may be the answer.
        for granted in ["a b", ""] {
            let stored = grant.write().keep(&grant.times, facts("a", granted)).unwrap();
            let any = |superset| stored.answer(&Variant::new([0; 32]), "", superset);
            assert_eq!((any(true), any(false)), (Some(false), None), "{granted}");
        }
        Ok(())
    }

    #[test]
    fn debug_shows_no_token() -> Result<(), serde_json::Error> {
        let grant = grant("canary-token");
        let head = grant.write();
        let text = format!("{grant:?} {head:?} {:?}", head.clone().keep(&grant.times, facts("a", "a")));
        assert!(!text.contains("canary"), "{text}");
        Ok(())
    }
}
