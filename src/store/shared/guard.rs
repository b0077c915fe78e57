//! The breakers of the shared store, each with the probe that closes it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::breaker::{Breaker, BreakerState, Successes};
use super::fault::Fault;
use super::metrics::Counts;
use crate::clock::Clock;

/// A breaker that calls look at without a lock.
pub(super) struct Guard {
    kind: Kind,
    breaker: Mutex<Breaker>,
    /// 0: closed.
    shown: AtomicU8,
    successes: Successes,
    /// Whether the last calls failed: only then a success is news.
    failing: AtomicBool,
    clock: Clock,
    counts: Arc<Counts>,
}

/// What a breaker stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Reads,
    Writes,
    Events,
}

// === impl Guard ===

impl Guard {
    pub(super) fn new(kind: Kind, clock: Clock, counts: Arc<Counts>) -> Self {
        let guard = Self {
            kind,
            breaker: Mutex::new(Breaker::new()),
            shown: AtomicU8::new(0),
            successes: Successes::default(),
            failing: AtomicBool::new(false),
            clock,
            counts,
        };
        guard.show(BreakerState::Closed);
        guard
    }

    /// Whether calls go through.
    pub(super) fn is_closed(&self) -> bool {
        self.shown.load(Ordering::Acquire) == 0
    }

    pub(super) fn state(&self) -> BreakerState {
        self.lock().state()
    }

    /// A call went well.
    pub(super) fn success(&self) {
        self.successes.add(self.clock.moment());
        if self.failing.load(Ordering::Relaxed) {
            let mut breaker = self.lock();
            breaker.success();
            self.failing.store(false, Ordering::Relaxed);
        }
    }

    /// A call failed, and why. Returns whether that opened it: the caller starts the probes then.
    pub(super) fn failure(&self, why: Fault) -> bool {
        let mut breaker = self.lock();
        self.failing.store(true, Ordering::Relaxed);
        let opened = breaker.failure(self.clock.moment(), &self.successes);
        if opened {
            self.opened(why);
        }
        opened
    }

    /// Opens it, if it is not open already.
    pub(super) fn trip(&self, why: Fault) {
        let mut breaker = self.lock();
        if breaker.state() == BreakerState::Closed {
            breaker.trip(self.clock.moment());
            self.opened(why);
        }
    }

    /// How long to wait before the next probe.
    pub(super) fn pause(&self, jitter: f64) -> Duration {
        self.lock().pause(jitter, self.clock.moment())
    }

    /// The one probe begins.
    pub(super) fn probe(&self) {
        let mut breaker = self.lock();
        breaker.probe();
        self.show(BreakerState::HalfOpen);
    }

    /// The probe is over. Returns whether the breaker is closed now.
    pub(super) fn probed(&self, well: bool) -> bool {
        let mut breaker = self.lock();
        let closed = breaker.probed(well, self.clock.moment());
        self.show(breaker.state());
        if let Some(open) = closed {
            tracing::info!(breaker = self.kind.as_str(), seconds = open.as_secs_f64(), "Redis is used again");
        }
        closed.is_some()
    }

    fn opened(&self, why: Fault) {
        self.show(BreakerState::Open);
        tracing::warn!(breaker = self.kind.as_str(), why = why.as_str(), "Redis is not used for a while: it failed too often");
    }

    /// Called under the lock, so that what is shown last is what is so.
    fn show(&self, state: BreakerState) {
        self.shown.store(u8::from(state != BreakerState::Closed), Ordering::Release);
        self.counts.breaker(self.kind as usize, state);
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("kind", &self.kind).field("state", &self.state()).finish_non_exhaustive()
    }
}

// === impl Kind ===

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Events => "events",
        }
    }
}
