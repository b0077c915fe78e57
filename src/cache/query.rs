//! What is looked for, and which token at hand must not be the answer.

use super::outcome::FlightOutcome;
use crate::token::{AnswerHead, CachedToken, FlightKey, Partition, RoomTaker, TokenDigest, TokenKey, Variant};

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Who would ask the authority: apps of one client share tokens, but not flights, because each has a credential of its own.
    pub by: &'a str,
    /// Which credential it would be asked with: what is said of an old one is no answer for who has the new one.
    pub credential: u64,
    /// What it is found by.
    pub key: &'a TokenKey<'a>,
    /// Whether the partition is a user's, who can sign out.
    pub owned: bool,
    /// Who asks: tokens of one partition give way to those of others when there are too many.
    pub taker: RoomTaker,
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
        sha256: TokenDigest,
        /// The hash of the claims challenge that a new token would answer (zero: none).
        challenge: u64,
    },
}

/// What memory is searched for: as much of a [`Query`] as a look needs.
#[derive(Clone, Copy, Debug)]
pub struct SoughtToken<'a> {
    /// Whose it is.
    pub partition: &'a Partition,
    /// The members of its key beside the scopes.
    pub variant: &'a Variant,
    /// The folded scopes that are asked for.
    pub asked: &'a str,
    /// Whether a token for more scopes is an answer too.
    pub superset: bool,
    /// Which token at hand must not be the answer.
    pub bypass: &'a Bypass,
    /// Who asks.
    pub taker: RoomTaker,
}

/// A query that outlives its request.
#[derive(Clone, Debug)]
pub(super) struct OwnedQuery {
    pub(super) flight: FlightKey,
    pub(super) partition: Partition,
    pub(super) owned: bool,
    pub(super) taker: RoomTaker,
    pub(super) variant: Variant,
    pub(super) asked: Box<str>,
    pub(super) superset: bool,
    pub(super) bypass: Bypass,
}

// === impl Query ===

impl Query<'_> {
    /// The key of its flight: bypassing requests share one per challenge, apart from those that take any token.
    pub(super) fn flight(&self) -> FlightKey {
        let TokenKey { partition, variant, scopes } = self.key;
        let (credential, challenge) = (self.credential.to_be_bytes(), self.bypass.challenge().to_be_bytes());
        let forced = [u8::from(self.bypass.is_forced())];
        FlightKey::of(&[self.by.as_bytes(), &credential, partition, variant, scopes.as_bytes(), &challenge, &forced])
    }

    /// Whether this token is an answer, whatever its age.
    pub(super) fn is_answered_by(&self, stored: &CachedToken) -> bool {
        stored.answer(&self.key.variant, &self.key.scopes, self.superset).is_some()
    }

    /// Whether what a flight brought, which may be somebody else's, is no answer here.
    pub(super) fn skips(&self, flown: &FlightOutcome) -> bool {
        self.bypass.skips(flown) || !(self.superset || flown.exact)
    }

    pub(super) fn wanted(&self) -> OwnedQuery {
        OwnedQuery {
            flight: self.flight(),
            partition: self.key.partition,
            owned: self.owned,
            taker: self.taker,
            variant: self.key.variant,
            asked: (*self.key.scopes).into(),
            superset: self.superset,
            bypass: self.bypass,
        }
    }
}

// === impl OwnedQuery ===

impl OwnedQuery {
    /// What memory is searched for.
    pub(super) fn sought(&self) -> SoughtToken<'_> {
        let Self { partition, variant, asked, superset, bypass, taker, .. } = self;
        SoughtToken { partition, variant, asked, superset: *superset, bypass, taker: *taker }
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
    pub(super) fn rejects(&self, head: &AnswerHead) -> bool {
        let is_named = |digest: &TokenDigest| head.token().is_some_and(|token| TokenDigest::of(token) == *digest);
        self.rejected().is_some_and(is_named)
    }

    /// The SHA-256 of the token that a resource rejected.
    pub(super) fn rejected(&self) -> Option<&TokenDigest> {
        match self {
            Self::None | Self::Older { .. } => None,
            Self::Token { sha256, .. } => Some(sha256),
        }
    }

    /// As [`Bypass::skips`], for a token that another process stored. All that is known of it is what this replica saw in the store
    /// before it.
    pub(super) fn skips_shared(&self, stored: &CachedToken, first: Option<Option<u64>>) -> bool {
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

#[cfg(test)]
mod tests {
    use super::{Bypass, Query};
    use crate::token::{Partition, RoomTaker, TokenDigest, TokenKey, Variant};

    /// Leases and outcomes stand in Redis under these.
    #[test]
    fn flights_are_called_the_same_in_every_release() {
        let key = TokenKey { partition: Partition::new([1; 32]), variant: Variant::new([2; 32]), scopes: "a b".into() };
        let sha256 = TokenDigest::default();
        for (bypass, expected) in [
            (Bypass::None, "b10a979927500260673c45273edac9fcfff4430d69b8cdc52c97237f7f604fb7"),
            (Bypass::Older { than: 1, challenge: 5 }, "ea325d47d53a6a90f47d0580242211eed42a68dc78f54f92a5d6c3abf4ae72d2"),
            (Bypass::Token { than: 2, sha256, challenge: 5 }, "ea325d47d53a6a90f47d0580242211eed42a68dc78f54f92a5d6c3abf4ae72d2"),
        ] {
            let taker = RoomTaker::default();
            let query = Query { by: "app", credential: 3, key: &key, owned: true, taker, superset: true, bypass };
            let name: String = query.flight().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(name, expected, "{bypass:?}");
        }
    }
}
