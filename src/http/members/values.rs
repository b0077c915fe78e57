//! The values of members: strings that are borrowed, scopes in either of their two forms, and numbers.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::token::{ScopeError, Scopes};

/// A string, borrowed unless it has escapes.
pub(in crate::http) struct Text<'a>(Cow<'a, str>);

/// Scopes as they were found: serde has no way to say which of them is wrong without quoting it.
pub(in crate::http) struct ScopeList(Result<Scopes, ScopeFault>);

/// A number as it was found in a query. `None`: it is none.
#[derive(Clone, Copy)]
pub(in crate::http) struct Number(Option<usize>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScopeFault {
    Bad(ScopeError),
    TooMany,
    TooLong,
}

/// No request needs more, and duplicates are looked for pair by pair.
const MOST_SCOPES: usize = 256;

/// The longest list of scopes, in bytes; what separates them counts in a string.
const LONGEST_SCOPES: usize = 16 * 1024;

// === impl Text ===

impl Text<'_> {
    /// The text.
    pub(in crate::http) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self(text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    // serde borrows a bare `Cow` only, never one inside an `Option`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Strings)
    }
}

// === impl ScopeList ===

impl<'de> Deserialize<'de> for ScopeList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lists;
        impl<'de> Visitor<'de> for Lists {
            type Value = ScopeList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of strings, or one string")
            }

            fn visit_str<E>(self, text: &str) -> Result<ScopeList, E> {
                Ok(ScopeList::of_text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ScopeList, A::Error> {
                let mut scopes = Vec::new();
                while let Some(Text(scope)) = list.next_element()? {
                    scopes.push(scope);
                }
                let bytes = scopes.iter().map(|scope| scope.len()).sum();
                Ok(ScopeList::bounded(scopes.len(), bytes, || Scopes::from_list(scopes.iter().map(|scope| &**scope))))
            }
        }
        deserializer.deserialize_any(Lists)
    }
}

impl ScopeList {
    /// Of one string, with spaces between them.
    pub(in crate::http) fn of_text(text: &str) -> Self {
        let count = text.split_ascii_whitespace().take(MOST_SCOPES + 1).count();
        Self::bounded(count, text.len(), || Scopes::from_text(text))
    }

    /// What is wrong with them, as the rest of a sentence.
    pub(in crate::http) fn fault(&self) -> Option<&'static str> {
        self.0.as_ref().err().map(|fault| fault.sentence())
    }

    /// The scopes, if nothing is wrong with them.
    pub(in crate::http) fn into_scopes(self) -> Option<Scopes> {
        self.0.ok()
    }

    fn bounded(count: usize, bytes: usize, read: impl FnOnce() -> Result<Scopes, ScopeError>) -> Self {
        match count {
            0 => Self(Err(ScopeFault::Bad(ScopeError::Empty))),
            _ if bytes > LONGEST_SCOPES => Self(Err(ScopeFault::TooLong)),
            1..=MOST_SCOPES => Self(read().map_err(ScopeFault::Bad)),
            _ => Self(Err(ScopeFault::TooMany)),
        }
    }
}

// === impl Number ===

impl Number {
    /// The number, if it is one.
    pub(in crate::http) fn get(self) -> Option<usize> {
        self.0
    }
}

impl From<Cow<'_, str>> for Number {
    /// Digits only: Rust would take a sign too. One that is too large for a number is too large for a limit as well.
    fn from(text: Cow<'_, str>) -> Self {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        Self(digits.then(|| text.parse().unwrap_or(usize::MAX)))
    }
}

// === impl ScopeFault ===

impl ScopeFault {
    fn sentence(self) -> &'static str {
        match self {
            Self::Bad(ScopeError::Empty) => "is empty or has an empty scope; name at least one scope, or leave the member out",
            Self::Bad(ScopeError::BadCharacter) => {
                "has a character that no scope may have (RFC 6749 §3.3); a scope is printable ASCII without spaces, quotes and backslashes"
            }
            Self::TooLong => "is longer than 16384 bytes; ask for the scopes that are needed",
            Self::TooMany => "has more than 256 scopes; ask for the ones that are needed",
        }
    }
}
