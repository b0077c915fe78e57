//! The one place that spawns: tasks are tracked, their panics are caught and counted, and shutdown has two stages.
//!
//! Soft: background work (renewals, polls, sweeps) is dropped, awaited work goes on. Hard: everything is dropped.
//!
//! What may hang for ever, such as a file system, has a thread of its own: it must not take the threads of those who sign.

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
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
}

// === impl Tasks ===

impl Default for Tasks {
    fn default() -> Self {
        let hard = CancellationToken::new();
        Self { tracker: TaskTracker::new(), soft: hard.child_token(), hard, panics: Arc::default(), leaving: Arc::default() }
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

    /// Runs CPU-bound work (a signature) off the async workers; never what may hang. `None`: it panicked.
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

/// How long a file may take at the start of the process, where nothing works without it: volumes may still be on their way.
pub const START: Duration = Duration::from_secs(10);

/// Starts a thread for work that may hang for ever. The end of the process does not wait for it.
/// How many there are is the caller's to bound.
///
/// # Errors
/// The system has no thread left for the process.
pub fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Runs such work and blocks until it is done: for the start of the process, before anything is served. `None`: it was not done in
/// time, panicked, or could not be started.
pub fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let run = move || {
        // Nobody may be waiting any more.
        let _late = sender.send(work());
    };
    thread("start", run).ok()?;
    receiver.recv_timeout(patience).ok()
}
