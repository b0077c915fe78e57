//! What was signed out a moment ago, so that a call that was under way then does not bring it back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Partition;
use crate::clock::Moment;

/// Longer than any call to an authority takes.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// Sign-outs in the order in which this process heard of them.
#[derive(Debug, Default)]
pub(super) struct SignOuts {
    count: AtomicU64,
    recent: Mutex<HashMap<Partition, (u64, Moment)>>,
}

// === impl SignOuts ===

impl SignOuts {
    /// A point in the order: what is signed out later has a higher one.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Notes a sign-out.
    pub(super) fn mark(&self, partition: Partition, now: Moment) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.count.load(Ordering::Acquire) + 1;
        recent.insert(partition, (count, now));
        self.count.store(count, Ordering::Release);
    }

    /// Whether it was signed out after the point `since`.
    pub(super) fn has(&self, partition: &Partition, since: u64) -> bool {
        // Nearly always nothing was signed out meanwhile.
        if self.count() == since {
            return false;
        }
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(partition).is_some_and(|(count, _)| *count > since)
    }

    /// Forgets what no call can have been under way for.
    pub(super) fn sweep(&self, now: Moment) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, (_, at)| now.since(*at) < REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::SignOuts;
    use crate::clock::Clock;

    #[test]
    fn only_what_was_signed_out_since_counts() {
        let (outs, clock) = (SignOuts::default(), Clock::manual(0));
        outs.mark([1; 32], clock.moment());
        let since = outs.count();
        assert!(!outs.has(&[1; 32], since));
        outs.mark([2; 32], clock.moment());
        assert!(outs.has(&[2; 32], since) && !outs.has(&[1; 32], since) && outs.has(&[1; 32], 0));
        clock.advance(Duration::from_secs(3600));
        outs.sweep(clock.moment());
        assert!(!outs.has(&[2; 32], since));
    }
}
