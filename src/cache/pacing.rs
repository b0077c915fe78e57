//! How fast the authority is asked while replicas cannot agree on who asks: every replica is on its own then, and the authority
//! must not pay for it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Moment};

/// Calls per second, and how many may come at once.
const RATE: u64 = 200;
const BURST: u64 = 100;
/// Nobody waits longer: the authority's own bound on concurrent calls holds for those who come then.
const LONGEST: Duration = Duration::from_secs(4);

/// Where jitter comes from: numbers from 0 to 1.
pub type Jitter = fn() -> f64;

/// A leaky bucket: each call takes the next free slot.
#[derive(Debug)]
pub(super) struct Pacing {
    /// When the bucket will be empty, in thousandths of a millisecond since the process started.
    full_until: Mutex<u64>,
    clock: Clock,
}

// === impl Pacing ===

impl Pacing {
    pub(super) fn new(clock: Clock) -> Self {
        Self { full_until: Mutex::new(0), clock }
    }

    /// Waits for a slot.
    pub(super) async fn turn(&self) {
        let wait = self.slot(self.clock.moment());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes a slot, and says how long it is until then.
    fn slot(&self, now: Moment) -> Duration {
        const STEP: u64 = 1_000_000 / RATE;
        let now = now.millis() * 1000;
        let mut until = self.full_until.lock().unwrap_or_else(PoisonError::into_inner);
        let next = now.max(*until) + STEP;
        let wait = Duration::from_micros((next - now).saturating_sub(BURST * STEP));
        if wait > LONGEST {
            return LONGEST;
        }
        *until = next;
        wait
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BURST, Pacing};
    use crate::clock::Clock;

    #[test]
    fn a_burst_passes_and_the_rest_is_spread() {
        let clock = Clock::manual(100);
        let pacing = Pacing::new(clock.clone());
        assert!((0..BURST).all(|_| pacing.slot(clock.moment()).is_zero()));
        assert_eq!(pacing.slot(clock.moment()), Duration::from_millis(5));
        assert_eq!(pacing.slot(clock.moment()), Duration::from_millis(10));
        clock.advance(Duration::from_millis(10));
        assert_eq!(pacing.slot(clock.moment()), Duration::from_millis(5));
        clock.advance(Duration::from_secs(60));
        assert!(pacing.slot(clock.moment()).is_zero());
        let waits: Vec<_> = (0..2000).map(|_| pacing.slot(clock.moment())).collect();
        assert_eq!(waits.iter().max(), Some(&super::LONGEST));
        // What nobody waits for is no debt.
        clock.advance(Duration::from_secs(5));
        assert!(pacing.slot(clock.moment()).is_zero());
    }
}
