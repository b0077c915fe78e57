//! Waiting for an answer for a time that passes only while this process runs. One that was stopped finds the time over and the
//! answer in its socket. What the answer brings, a successor of a used refresh token for one, must not be lost for that.

use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use crate::clock::LAST_LOOK;

/// What the work brings in this time, or at a last look from when the time was seen to be over. `None`: it has not come to an end.
pub(super) async fn within<F: Future>(time: Duration, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    match timeout(time, work.as_mut()).await {
        Ok(output) => Some(output),
        Err(_) => timeout(LAST_LOOK, work).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::within;

    /// Work that is done a moment after its first look.
    async fn answer() -> &'static str {
        sleep(Duration::from_millis(5)).await;
        "answer"
    }

    #[tokio::test]
    async fn an_answer_is_taken_in_time_and_at_the_last_look() {
        assert_eq!(within(Duration::from_secs(60), answer()).await, Some("answer"));
        assert_eq!(within(Duration::MAX, answer()).await, Some("answer"), "no time is too long");
        // As a process sees it that stood still meanwhile.
        assert_eq!(within(Duration::ZERO, answer()).await, Some("answer"));
        assert_eq!(within(Duration::from_millis(1), pending::<()>()).await, None);
    }
}
