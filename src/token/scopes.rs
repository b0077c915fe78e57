//! Scopes as a set: how they are read, sent, folded for a key, and compared.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// A list of scopes without duplicates, in the caller's order (RFC 6749 §3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Box<str>>);

/// How two scopes are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Entra-style authorities, as MSAL: case-insensitive; a token of a superset answers.
    Superset,
    /// OIDC issuers and token exchange: the identical set, case-sensitive (RFC 6749 §3.3).
    Identical,
}

/// Why a text is no list of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeError {
    /// An empty scope, or none at all where one is needed.
    Empty,
    /// A character that RFC 6749 §3.3 does not allow.
    BadCharacter,
}

/// The scopes that OpenID Connect reserves and MSAL adds to every user flow.
const RESERVED: [&str; 3] = ["openid", "profile", "offline_access"];

// === impl Scopes ===

impl Scopes {
    /// No scopes.
    pub const NONE: Self = Self(Vec::new());

    /// Reads scopes one by one; one that is named twice counts once.
    ///
    /// # Errors
    /// An empty scope, or a character outside RFC 6749 §3.3.
    pub fn from_list<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Self, ScopeError> {
        let mut scopes = Self::default();
        for scope in list {
            if scope.is_empty() {
                return Err(ScopeError::Empty);
            }
            if !scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)) {
                return Err(ScopeError::BadCharacter);
            }
            scopes.add(scope, Matching::Identical);
        }
        Ok(scopes)
    }

    /// Reads one space-separated text.
    ///
    /// # Errors
    /// As [`Scopes::from_list`]; a text without any scope is [`ScopeError::Empty`].
    pub fn from_text(text: &str) -> Result<Self, ScopeError> {
        let scopes = Self::from_list(text.split_ascii_whitespace())?;
        if scopes.is_empty() { Err(ScopeError::Empty) } else { Ok(scopes) }
    }

    /// Reads what an authority granted: whatever it separates by spaces, duplicates folded, nothing refused.
    pub fn granted(text: &str) -> Self {
        // There is no bound on their number but the answer's size: a list would be searched for each of them.
        let mut seen = HashSet::new();
        Self(text.split_ascii_whitespace().filter(|scope| seen.insert(*scope)).map(Box::from).collect())
    }

    fn add(&mut self, scope: &str, matching: Matching) {
        if !self.has(scope, matching) {
            self.0.push(scope.into());
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they weigh in memory, in bytes.
    pub fn weight(&self) -> usize {
        // Each is an allocation of its own.
        self.iter().map(|scope| size_of::<Box<str>>() + scope.len() + 16).sum()
    }

    /// The scopes in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|scope| &**scope)
    }

    /// Whether `scope` is one of them.
    pub fn has(&self, scope: &str, matching: Matching) -> bool {
        self.iter().any(|mine| same(mine, scope, matching))
    }

    /// These scopes and `more`, none of `more` that is there in any case (REQ-3).
    #[must_use]
    pub fn with(&self, more: &[&str]) -> Self {
        let mut union = self.clone();
        for scope in more {
            union.add(scope, Matching::Superset);
        }
        union
    }

    /// Those of these scopes that are among `granted`, letter by letter.
    #[must_use]
    pub fn within(&self, granted: &Self) -> Self {
        let granted: HashSet<&str> = granted.iter().collect();
        Self(self.iter().filter(|scope| granted.contains(scope)).map(Box::from).collect())
    }

    /// Whether these are the scopes of `other`, in any order, letter by letter.
    pub fn are(&self, other: &Self) -> bool {
        self.iter().collect::<HashSet<_>>() == other.iter().collect::<HashSet<_>>()
    }

    /// These scopes and the three that every user flow sends, each once whatever its case (REQ-3).
    #[must_use]
    pub fn with_reserved(&self) -> Self {
        let mut seen = HashSet::new();
        let once = self.iter().filter(|scope| seen.insert(scope.to_ascii_lowercase())).map(Box::from).collect();
        Self(once).with(&RESERVED)
    }

    /// One text for a cache key: sorted, lower-cased and without the reserved scopes where the authority compares that way.
    /// The usual request names one scope that is folded already, and costs no copy.
    pub fn folded(&self, matching: Matching) -> Cow<'_, str> {
        if let [only] = &*self.0
            && (matching == Matching::Identical || is_folded(only))
        {
            return Cow::Borrowed(only);
        }
        let mut folded: Vec<String> = match matching {
            Matching::Identical => self.iter().map(str::to_owned).collect(),
            Matching::Superset => {
                self.iter().map(str::to_ascii_lowercase).filter(|scope| !RESERVED.contains(&scope.as_str())).collect()
            }
        };
        folded.sort_unstable();
        folded.dedup();
        Cow::Owned(folded.join(" "))
    }
}

fn is_folded(scope: &str) -> bool {
    !scope.bytes().any(|byte| byte.is_ascii_uppercase()) && !RESERVED.contains(&scope)
}

/// Whether every scope of `asked` is in `granted`, both of them folded texts. Both are sorted, so that one pass over each tells.
pub(crate) fn covers(granted: &str, asked: &str) -> bool {
    let mut granted = granted.split(' ');
    asked.split(' ').all(|scope| granted.by_ref().find(|mine| *mine >= scope) == Some(scope))
}

fn same(a: &str, b: &str, matching: Matching) -> bool {
    match matching {
        Matching::Superset => a.eq_ignore_ascii_case(b),
        Matching::Identical => a == b,
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Matching, ScopeError, Scopes, covers};

    #[test]
    fn req_3_union_is_case_insensitive_and_has_no_duplicates() -> Result<(), ScopeError> {
        let scopes = Scopes::from_text("User.Read OpenID")?;
        assert_eq!(scopes.with_reserved().to_string(), "User.Read OpenID profile offline_access");
        Ok(())
    }

    #[test]
    fn refuses_empty_and_foreign_characters() {
        assert_eq!(Scopes::from_text("  "), Err(ScopeError::Empty));
        assert_eq!(Scopes::from_list([""]), Err(ScopeError::Empty));
        assert_eq!(Scopes::from_list(["a\"b"]), Err(ScopeError::BadCharacter));
        assert_eq!(Scopes::from_list(["a b"]), Err(ScopeError::BadCharacter));
    }

    #[test]
    fn a_scope_that_is_named_twice_counts_once() -> Result<(), ScopeError> {
        for (named, counted) in [("a a", "a"), ("a b a", "a b"), ("b a a b c b", "b a c"), ("a A a", "a A"), ("a b c d", "a b c d")]
        {
            assert_eq!(Scopes::from_text(named)?.to_string(), counted, "{named}");
            assert_eq!(Scopes::from_list(named.split(' '))?.to_string(), counted, "{named}");
        }
        // Where case is none, it is one scope that goes out.
        let sent = Scopes::from_text("User.Read user.read OPENID openid")?.with_reserved();
        assert_eq!(sent.to_string(), "User.Read OPENID profile offline_access");
        Ok(())
    }

    #[test]
    fn scopes_are_cut_and_compared_letter_by_letter() {
        let [asked, granted] = ["c a B", "openid a b"].map(Scopes::granted);
        assert_eq!(asked.within(&granted).to_string(), "a");
        assert!(asked.are(&Scopes::granted("B c a c")) && !asked.are(&granted) && !asked.are(&Scopes::granted("a b c")));
    }

    #[test]
    fn what_was_granted_is_read_in_order_and_once() {
        assert_eq!(Scopes::granted(" b a  b\ta A ").to_string(), "b a A");
        assert!(Scopes::granted("").is_empty());
    }

    #[test]
    fn folding_follows_the_authority() -> Result<(), ScopeError> {
        let scopes = Scopes::from_text("User.Read mail.read openid")?;
        assert_eq!(scopes.folded(Matching::Superset), "mail.read user.read");
        assert_eq!(scopes.folded(Matching::Identical), "User.Read mail.read openid");
        for covered in ["a", "b", "c", "a b", "a c", "b c", "a b c"] {
            assert!(covers("a b c", covered), "{covered}");
        }
        for other in ["", "A", "ab", "a b c d", "a bb c", "0 a", "c d", "d"] {
            assert!(!covers("a b c", other), "{other}");
        }
        assert!(!covers("", "a"));
        Ok(())
    }
}
