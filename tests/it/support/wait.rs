//! Waiting for something to become true, without a guess at how long it takes.

use std::panic::Location;
use std::time::Duration;

/// Longer than anything takes that ends at all, on however busy a machine.
const BOUND: Duration = Duration::from_secs(60);
/// How often a test repeats what it reproduces: what `TOKEND_TIMES` says, else as often as is usual.
pub(crate) fn times(usual: usize) -> usize {
    let said = std::env::var_os("TOKEND_TIMES");
    said.map_or(usual, |times| times.to_str().and_then(|times| times.parse().ok()).expect("TOKEND_TIMES is a number"))
}

/// Asks every few milliseconds until the condition holds; fails where it was called if that takes longer than `deadline`.
#[track_caller]
pub(crate) fn eventually(deadline: Duration, mut condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let asked = Location::caller();
    async move {
        let holds = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(deadline, holds).await.unwrap_or_else(|_| panic!("not so after {deadline:?}: {asked}"));
    }
}

/// Waits for what has to come; fails where it was called if it does not.
/// A test that waits without a bound stops all others when it fails.
#[track_caller]
pub(crate) fn soon<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let asked = Location::caller();
    async move { tokio::time::timeout(BOUND, work).await.unwrap_or_else(|_| panic!("it does not come: {asked}")) }
}
