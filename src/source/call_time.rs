//! The time that a call has: `authority.timeout` for its proofs, attempts and pauses, and as long again for its first permit.

use std::time::Duration;

use tokio::time::Instant;

/// What is left of the time for one call.
#[derive(Debug)]
pub(super) struct CallTime {
    whole: Duration,
    began: Instant,
    waited: Duration,
}

// === impl CallTime ===

impl CallTime {
    /// All of it.
    pub(super) fn new(whole: Duration) -> Self {
        Self { whole, began: Instant::now(), waited: Duration::ZERO }
    }

    /// What is left for everything but the wait for the first permit.
    pub(super) fn left(&self) -> Duration {
        self.whole.saturating_add(self.waited).saturating_sub(self.began.elapsed())
    }

    /// What is left for that wait.
    pub(super) fn left_to_wait(&self) -> Duration {
        self.whole.saturating_sub(self.waited)
    }

    /// The first permit was waited for since then.
    pub(super) fn has_waited(&mut self, since: Instant) {
        self.waited = self.waited.saturating_add(since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::CallTime;

    #[test]
    fn a_wait_for_the_first_permit_takes_nothing_of_the_call() {
        let (now, seconds) = (Instant::now(), Duration::from_secs);
        let mut time = CallTime { whole: seconds(8), began: now - seconds(7), waited: Duration::ZERO };
        time.has_waited(now - seconds(6));
        assert!((seconds(6)..=seconds(7)).contains(&time.left()), "{time:?}");
        assert!((seconds(1)..=seconds(2)).contains(&time.left_to_wait()), "{time:?}");
        let over = CallTime { began: now - seconds(20), ..time };
        assert_eq!(over.left(), Duration::ZERO);
        assert!(CallTime::new(Duration::MAX).left() > seconds(1 << 40), "no time-out is too long");
    }
}
