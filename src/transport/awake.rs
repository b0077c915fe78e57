//! Waiting for an answer until a moment that passes only while this process runs. One that was stopped finds the moment over and
//! the answer in its socket. What the answer brings, a successor of a used refresh token for one, must not be lost for that.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::clock::{CATCH_UP, STOOD_STILL};

/// What the work brings in this time. `None`: it has not come to an end.
pub(super) async fn within<F: Future>(time: Duration, work: F) -> Option<F::Output> {
    // No time is too long to be configured.
    let Some(until) = Instant::now().checked_add(time) else { return Some(work.await) };
    by(until, CATCH_UP, work).await
}

async fn by<F: Future>(until: Instant, grace: Duration, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    if let Ok(output) = timeout_at(until, work.as_mut()).await {
        return Some(output);
    }
    let now = Instant::now();
    if now.saturating_duration_since(until) < STOOD_STILL {
        return None;
    }
    timeout_at(now + grace, work).await.ok()
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::{STOOD_STILL, by, within};

    /// Work that is done a moment after its first look.
    async fn answer() -> &'static str {
        sleep(Duration::from_millis(5)).await;
        "answer"
    }

    #[tokio::test]
    async fn an_answer_in_time_is_taken_and_a_late_one_is_not() {
        assert_eq!(within(Duration::from_secs(60), answer()).await, Some("answer"));
        assert_eq!(within(Duration::MAX, answer()).await, Some("answer"), "no time is too long");
        assert_eq!(within(Duration::from_millis(1), pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn a_process_that_stood_still_reads_what_came_meanwhile() {
        let grace = Duration::from_secs(60);
        assert_eq!(by(Instant::now() - STOOD_STILL, grace, answer()).await, Some("answer"));
        assert_eq!(by(Instant::now() - STOOD_STILL, Duration::ZERO, pending::<()>()).await, None, "once, and no longer");
        // Nobody was stopped: the moment is just over.
        assert_eq!(by(Instant::now(), grace, pending::<()>()).await, None);
    }
}
