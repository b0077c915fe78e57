//! What is looked for, and which token at hand must not be the answer.

use super::key::{self, Key};
use super::outcome::FlightOutcome;
use crate::store::Partition;
use crate::token::{Head, Stored};
/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Who would ask the authority: apps of one client share tokens, but not flights, because each has a credential of its own.
    pub by: &'a str,
    /// Which credential it would be asked with: what is said of an old one is no answer for who has the new one.
    pub credential: u64,
    /// Whose tokens.
    pub partition: &'a Partition,
    /// Whether they are a user's, who can sign out.
    pub owned: bool,
    /// The hash of the key's members beside the scopes.
    pub variant: &'a [u8; 32],
    /// The folded scopes.
    pub asked: &'a str,
    /// Whether a token for more scopes is an answer too; without, only the one that the identical request brought.
    pub superset: bool,
    /// Which token at hand must not be the answer.
    pub bypass: Bypass,
}

/// Which token at hand must not be the answer.
#[derive(Clone, Copy, Debug)]
pub enum Bypass {
    /// Any token will do.
    None,
    /// Only one that was stored after the request arrived, for the same challenge (zero: none).
    Older {
        /// What [`super::Cache::generation`] was when the request arrived.
        than: u64,
        /// The hash of the claims challenge.
        challenge: u64,
    },
    /// Any but the one with this SHA-256, which a resource has just rejected; that one too if the authority gave it again after the
    /// request arrived.
    Token {
        /// What [`super::Cache::generation`] was when the request arrived.
        than: u64,
        /// The rejected token's SHA-256.
        sha256: [u8; 32],
        /// The hash of the claims challenge that a new token would answer (zero: none).
        challenge: u64,
    },
}

/// A query that outlives its request.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) key: Key,
    pub(super) partition: Partition,
    pub(super) owned: bool,
    pub(super) variant: [u8; 32],
    pub(super) asked: Box<str>,
    pub(super) superset: bool,
    pub(super) bypass: Bypass,
}

// === impl Query ===

impl Query<'_> {
    /// The key of its flight: bypassing requests share one per challenge, apart from those that take any token.
    pub(super) fn key(&self) -> Key {
        Key::flight(
            self.by,
            self.credential,
            self.partition,
            self.variant,
            self.asked,
            self.bypass.challenge(),
            !matches!(self.bypass, Bypass::None),
        )
    }

    /// Whether this token is an answer, whatever its age.
    pub(super) fn is_answered_by(&self, stored: &Stored) -> bool {
        stored.answer(self.variant, self.asked, self.superset).is_some()
    }

    /// Whether what a flight brought, which may be somebody else's, is no answer here.
    pub(super) fn skips(&self, flown: &FlightOutcome) -> bool {
        self.bypass.skips(flown) || !(self.superset || flown.exact)
    }

    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            key: self.key(),
            partition: *self.partition,
            owned: self.owned,
            variant: *self.variant,
            asked: self.asked.into(),
            superset: self.superset,
            bypass: self.bypass,
        }
    }
}

// === impl Bypass ===

impl Bypass {
    /// Whether a token that answered this challenge (zero: none) is not what is wanted.
    pub(super) fn wants_another(&self, answered: u64) -> bool {
        matches!(self, Self::Older { challenge, .. } if *challenge != answered)
    }

    /// Whether this is the token that is not wanted.
    pub(super) fn skips(&self, flown: &FlightOutcome) -> bool {
        match self {
            Self::None => false,
            Self::Older { than, .. } => flown.generation <= *than,
            Self::Token { than, .. } => flown.generation <= *than && self.rejects(&flown.head),
        }
    }

    /// Whether this is the very token that a resource rejected.
    pub(super) fn rejects(&self, head: &Head) -> bool {
        let is_named = |sha256: &[u8; 32]| head.token().is_some_and(|token| key::sha256(token.as_bytes()) == *sha256);
        self.rejected().is_some_and(is_named)
    }

    /// The SHA-256 of the token that a resource rejected.
    pub(super) fn rejected(&self) -> Option<&[u8; 32]> {
        match self {
            Self::None | Self::Older { .. } => None,
            Self::Token { sha256, .. } => Some(sha256),
        }
    }

    /// The same as [`Bypass::skips`] for a token of another process, of which only that is known which this replica saw before it.
    pub(super) fn skips_shared(&self, stored: &Stored, first: Option<Option<u64>>) -> bool {
        // `first` is what was there when this replica looked for the first time, which was after the request arrived.
        let is_later = first.is_some_and(|first| first.is_none_or(|first| stored.facts.shared != first));
        match self {
            Self::None => false,
            Self::Older { challenge, .. } => !is_later || stored.facts.challenge != *challenge,
            Self::Token { .. } => !is_later && self.rejects(&stored.head()),
        }
    }

    pub(super) fn challenge(&self) -> u64 {
        match self {
            Self::Older { challenge, .. } | Self::Token { challenge, .. } => *challenge,
            Self::None => 0,
        }
    }

    /// Whether the answer has to be a new token, which then goes before any other.
    pub(super) fn is_forced(&self) -> bool {
        !matches!(self, Self::None)
    }
}
