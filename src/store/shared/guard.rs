//! The breakers of the shared store, each with the probe that closes it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::breaker::{Breaker, BreakerState, Successes};
use super::fault::CallFault;
use super::metrics::Counts;
use crate::clock::{Clock, Moment};

/// How often somebody who waits asks for a probe.
const HURRY: Duration = Duration::from_millis(50);

/// A breaker that calls look at without a lock.
pub(super) struct SharedBreaker {
    kind: BreakerKind,
    breaker: Mutex<Breaker>,
    /// 0: closed.
    shown: AtomicU8,
    successes: Successes,
    /// Whether the last calls failed: only then a success is news.
    failing: AtomicBool,
    clock: Clock,
    counts: Arc<Counts>,
    bell: Arc<Bell>,
    /// Somebody waits for the next probe.
    hurried: Notify,
}

/// What the breakers of one process tell each other: where one finds Redis well, the others look at once.
#[derive(Debug)]
pub(super) struct Bell {
    open: [AtomicBool; 3],
    /// Changes whenever one closes.
    closings: watch::Sender<u64>,
}

/// What a breaker stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BreakerKind {
    Reads,
    Writes,
    Events,
}

// === impl SharedBreaker ===

impl SharedBreaker {
    pub(super) fn new(kind: BreakerKind, clock: Clock, counts: Arc<Counts>, bell: Arc<Bell>) -> Self {
        let guard = Self {
            kind,
            breaker: Mutex::new(Breaker::new()),
            shown: AtomicU8::new(0),
            successes: Successes::default(),
            failing: AtomicBool::new(false),
            clock,
            counts,
            bell,
            hurried: Notify::new(),
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

    /// A call went well, at this moment.
    pub(super) fn success(&self, ended: Moment) {
        self.successes.add(ended);
        if self.failing.load(Ordering::Relaxed) {
            let mut breaker = self.lock();
            breaker.success();
            self.failing.store(false, Ordering::Relaxed);
        }
    }

    /// A call failed, and why. Returns whether that opened it: the caller starts the probes then.
    pub(super) fn failure(&self, why: CallFault) -> bool {
        let mut breaker = self.lock();
        self.failing.store(true, Ordering::Relaxed);
        let opened = breaker.failure(self.clock.moment(), &self.successes);
        if opened {
            self.opened(why);
        }
        opened
    }

    /// Opens it, if it is not open already.
    pub(super) fn trip(&self, why: CallFault) {
        let mut breaker = self.lock();
        if breaker.state() == BreakerState::Closed {
            breaker.trip(self.clock.moment());
            self.opened(why);
        }
    }

    /// What changes whenever a breaker of this process closes.
    pub(super) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.closings.subscribe()
    }

    /// Waits until it is time for a probe: for a pause, or until another breaker closes, or somebody waits.
    pub(super) async fn until_probe(&self, jitter: f64, bell: &mut watch::Receiver<u64>) {
        let beside = self.bell.is_closed_beside(self.kind);
        let pause = self.lock().pause(jitter, self.clock.moment(), beside);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _never_gone = bell.changed() => {}
            () = self.hurried.notified() => {}
        }
    }

    /// How long ago it was opened.
    pub(super) fn open_for(&self) -> Duration {
        self.clock.moment().since(self.lock().opened())
    }

    /// Has the next probe made at once and waits until calls may be made, until `ends` at the latest. Returns whether they may.
    /// Another breaker that closes may be enough.
    pub(super) async fn hurry_until(&self, may: impl Fn() -> bool, ends: Instant) -> bool {
        let mut bell = self.bell();
        while !may() {
            if Instant::now() >= ends {
                return false;
            }
            self.hurried.notify_one();
            let hurry = (Instant::now() + HURRY).min(ends);
            let _closed_or_not = tokio::time::timeout_at(hurry, bell.changed()).await;
        }
        true
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
            self.bell.closings.send_modify(|closings| *closings += 1);
        }
        closed.is_some()
    }

    fn opened(&self, why: CallFault) {
        self.show(BreakerState::Open);
        tracing::warn!(breaker = self.kind.as_str(), why = why.as_str(), "Redis is not used for a while: it failed too often");
    }

    /// Called under the lock, so that what is shown last is what is so.
    fn show(&self, state: BreakerState) {
        let open = state != BreakerState::Closed;
        self.shown.store(u8::from(open), Ordering::Release);
        self.bell.show(self.kind, open);
        self.counts.breaker(self.kind as usize, state);
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBreaker").field("kind", &self.kind).field("state", &self.state()).finish_non_exhaustive()
    }
}

// === impl Bell ===

impl Bell {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { open: Default::default(), closings: watch::Sender::new(0) })
    }

    fn show(&self, kind: BreakerKind, open: bool) {
        if let Some(shown) = self.open.get(kind as usize) {
            shown.store(open, Ordering::Relaxed);
        }
    }

    /// Whether another breaker than this one is closed.
    fn is_closed_beside(&self, kind: BreakerKind) -> bool {
        let others = self.open.iter().enumerate().filter(|(index, _)| *index != kind as usize);
        others.into_iter().any(|(_, open)| !open.load(Ordering::Relaxed))
    }
}

// === impl BreakerKind ===

impl BreakerKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Events => "events",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::{Bell, BreakerKind, SharedBreaker};
    use crate::clock::Clock;
    use crate::store::shared::fault::CallFault;
    use crate::store::shared::metrics::Counts;
    use crate::telemetry::Metrics;

    /// How long anything may take that does not wait for a pause of half a minute.
    const SOON: Duration = Duration::from_secs(10);

    /// Breakers that have been open for so long that the next probe is half a minute away.
    fn open(kinds: [BreakerKind; 3]) -> [Arc<SharedBreaker>; 3] {
        let (clock, counts, bell) = (Clock::manual(0), Arc::new(Counts::new(&Metrics::default())), Bell::new());
        let guards = kinds.map(|kind| Arc::new(SharedBreaker::new(kind, clock.clone(), Arc::clone(&counts), Arc::clone(&bell))));
        for guard in &guards {
            guard.trip(CallFault::Broken);
            for _ in 0..12 {
                guard.probe();
                guard.probed(false);
            }
        }
        clock.advance(Duration::from_secs(3600));
        guards
    }

    const ALL: [BreakerKind; 3] = [BreakerKind::Reads, BreakerKind::Writes, BreakerKind::Events];

    #[tokio::test]
    async fn where_one_closes_the_others_probe_at_once() {
        let [reads, writes, events] = open(ALL);
        let mut bell = reads.bell();
        let waiting = reads.until_probe(1.0, &mut bell);
        let closing = async {
            events.probe();
            assert!(events.probed(true));
        };
        let (in_time, ()) = tokio::join!(timeout(SOON, waiting), closing);
        assert!(in_time.is_ok(), "it goes on waiting");
        // What has closed is no news any more, and no pause is longer than two seconds beside it.
        let (mut bell, started) = (writes.bell(), Instant::now());
        assert!(timeout(SOON, writes.until_probe(1.0, &mut bell)).await.is_ok());
        assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn somebody_who_waits_has_the_probe_made_at_once() {
        let [reads, ..] = open(ALL);
        let mut bell = reads.bell();
        let probing = async {
            reads.until_probe(1.0, &mut bell).await;
            reads.probe();
            reads.probed(true)
        };
        let (closed, probed) =
            tokio::join!(timeout(SOON, reads.hurry_until(|| reads.is_closed(), Instant::now() + SOON)), timeout(SOON, probing));
        assert_eq!((closed, probed), (Ok(true), Ok(true)));
    }

    #[tokio::test]
    async fn whom_another_breaker_helps_waits_no_longer() {
        let [reads, writes, _] = open(ALL);
        let waiting = timeout(SOON, writes.hurry_until(|| reads.is_closed() || writes.is_closed(), Instant::now() + SOON));
        let closing = async {
            reads.probe();
            reads.probed(true)
        };
        assert_eq!(tokio::join!(waiting, closing), (Ok(true), true));
        assert!(!writes.is_closed());
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_told() {
        let [reads, ..] = open(ALL);
        assert!(!reads.hurry_until(|| reads.is_closed(), Instant::now()).await);
    }
}
