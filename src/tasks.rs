//! The one place that spawns: tasks are tracked, their panics are caught and counted, and shutdown has two stages.
//!
//! Soft: background work (renewals, polls, sweeps) is dropped, awaited work goes on. Hard: everything is dropped.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns and tracks tasks; clones share one tracker.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    soft: CancellationToken,
    hard: CancellationToken,
    panics: Arc<AtomicU64>,
    leaving: Arc<AtomicBool>,
    comparison: watch::Sender<()>,
}

// === impl Tasks ===

impl Default for Tasks {
    fn default() -> Self {
        let hard = CancellationToken::new();
        Self {
            tracker: TaskTracker::new(),
            soft: hard.child_token(),
            hard,
            panics: Arc::default(),
            leaving: Arc::default(),
            comparison: watch::Sender::new(()),
        }
    }
}

impl Tasks {
    /// Runs work that somebody waits for: it outlives the soft stop.
    pub fn awaited(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.spawn(name, self.hard.clone(), work);
    }

    /// Runs work that nobody waits for: it ends at the soft stop.
    pub fn background(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.spawn(name, self.soft.clone(), work);
    }

    fn spawn(&self, name: &'static str, stop: CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
        let panics = Arc::clone(&self.panics);
        self.tracker.spawn(async move {
            let guarded = AssertUnwindSafe(stop.run_until_cancelled(work)).catch_unwind();
            if guarded.await.is_err() {
                panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = name, "a task panicked; the process goes on");
            }
        });
    }

    /// Runs CPU-bound work (a signature) off the async workers. `None`: it panicked.
    pub async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let done = tokio::task::spawn_blocking(work).await;
        if done.is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
        done.ok()
    }

    /// How many tasks have panicked since the start.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Says that the process is about to stop: everything goes on, but nobody should begin to count on it.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the process is about to stop.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Has every task that follows files compare them now.
    pub fn compare_files(&self) {
        self.comparison.send_replace(());
    }

    /// Changes whenever files are to be compared.
    pub fn comparison(&self) -> watch::Receiver<()> {
        self.comparison.subscribe()
    }

    /// Fires when the soft stop begins.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Fires when everything must end.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Ends background work, gives awaited work `grace`, then ends that too. Returns whether all of it ended by itself.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.soft.cancel();
        self.tracker.close();
        let in_time = tokio::time::timeout(grace, self.tracker.wait()).await.is_ok();
        self.hard.cancel();
        self.tracker.wait().await;
        in_time
    }
}
