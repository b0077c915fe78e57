//! The time that a call has: `authority.timeout` for its proofs, attempts and pauses, and as long again for its first permit.

use std::time::Duration;

use tokio::time::Instant;

/// What is left of the time for one call.
#[derive(Debug)]
pub(super) struct Budget {
    whole: Duration,
    began: Instant,
    waited: Duration,
}

// === impl Budget ===

impl Budget {
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

    use tokio::time::{Instant, advance};

    use super::Budget;

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_the_first_permit_takes_nothing_of_the_call() {
        let seconds = Duration::from_secs;
        let mut budget = Budget::new(seconds(8));
        advance(seconds(1)).await;
        let since = Instant::now();
        advance(seconds(6)).await;
        budget.has_waited(since);
        assert_eq!((budget.left(), budget.left_to_wait()), (seconds(7), seconds(2)));
        advance(seconds(9)).await;
        assert_eq!(budget.left(), Duration::ZERO);
        assert!(Budget::new(Duration::MAX).left() > seconds(1 << 40), "no time-out is too long");
    }
}
