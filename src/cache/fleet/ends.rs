//! When what another replica stored by its own clock ends, by this process' clock: when its key does.

use std::time::Duration;

use super::clocks::Dated;
use super::core::Fleet;
use crate::store::Ring;
use crate::token::{CachedToken, SignIn};

// === impl Fleet ===

impl Fleet {
    /// A token that another replica stored by its own clock: it ends when its key does. Which clocks agree with this process' own
    /// is remembered, so that few are asked about. `None`: the store cannot say, or the token does not stand there any more; it may
    /// have ended, and the key's time is another token's.
    pub(in crate::cache) async fn timed(&self, name: &str, stored: CachedToken, dated: Dated) -> Option<CachedToken> {
        if dated.holds {
            return Some(stored);
        }
        let (values, left) = self.store.read_timed(&[name]).await.ok()?;
        let stands = values.first().and_then(Option::as_ref).and_then(|value| Ring::generation(value));
        let left = left.filter(|_| stands == Some(stored.facts.shared))?;
        let ends = self.now().saturating_add(whole_seconds(left));
        self.clocks.compare(dated, ends);
        Some(stored.ending_by(ends))
    }

    /// A sign-in that another replica stored by its own clock: it ends when its key does.
    pub(in crate::cache) fn sign_in_until(&self, sign_in: SignIn, left: Option<Duration>) -> SignIn {
        let ends = left.map_or(i64::MAX, |left| self.now().saturating_add(whole_seconds(left)));
        SignIn { expires_on: sign_in.expires_on.min(ends), ..sign_in }
    }
}

/// Rounded up: a key was given whole seconds, and the last one may have begun.
fn whole_seconds(left: Duration) -> i64 {
    i64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
}
