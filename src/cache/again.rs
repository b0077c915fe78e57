//! Rejected tokens that the authority gave again in place of themselves: for a moment nobody who names one asks for another.

use std::fmt;
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::clock::Moment;
use crate::token::TokenDigest;

/// For how long: the authority may think better of it.
const AGAIN: Duration = Duration::from_secs(5);
/// How many are known; one that is pushed out costs a call.
const CAPACITY: usize = 1024;

/// The SHA-256 of tokens, and until when they are good enough.
pub(super) struct Again(Cache<TokenDigest, Moment>);

// === impl Again ===

impl Default for Again {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl Again {
    /// The authority gave this one again.
    pub(super) fn note(&self, sha256: TokenDigest, now: Moment) {
        self.0.insert(sha256, now.after(AGAIN));
    }

    /// Whether it did a moment ago.
    pub(super) fn has(&self, sha256: &TokenDigest, now: Moment) -> bool {
        self.0.get(sha256).is_some_and(|until| now < until)
    }
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Again")
    }
}
