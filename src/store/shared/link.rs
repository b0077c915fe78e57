//! The one connection that all calls share: made on first use by one task at a time, and replaced when it is of no more use.
//!
//! A caller waits for it as long as its own deadline allows; the attempt goes on without it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::{RedisError, RedisResult};
use tokio::sync::watch;

use super::dial::{Dialer, timed_out};
use super::fault::CallFault;
use super::metrics::Counts;
use super::sentinels::Master;
use super::wire::RedisConnection;
use crate::clock::{Clock, Moment};
use crate::tasks::Tasks;

/// How long an attempt may take, all servers that are asked included.
pub(super) const ATTEMPT: Duration = Duration::from_secs(2);
/// What an attempt is given up after, if its task is gone.
const ABANDONED: Duration = Duration::from_secs(6);
/// The longest pause after a first failed attempt, and after many. What asks in vain opens a breaker long before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How many time-outs in a row say that a connection is dead.
const SILENT: u32 = 3;
/// A connection that is younger is not replaced for what its server says: the next one would hear the same. Doubles with each that
/// was replaced before it was as old as the longest.
const YOUNG: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How often changed files are looked for.
const FOLLOW: Duration = Duration::from_secs(1);
/// How many of these looks there are between two looks at whom the sentinels call the master.
const DEPOSED: u32 = 5;

/// The connection, or the way to it.
pub(super) struct Link {
    dialer: Dialer,
    clock: Clock,
    tasks: Tasks,
    jitter: fn() -> f64,
    counts: Arc<Counts>,
    live: ArcSwapOption<Live>,
    making: Mutex<Making>,
    /// Changes when an attempt is over.
    attempts: watch::Sender<u64>,
    following: AtomicBool,
    /// How often the connection was made anew.
    remade: AtomicU64,
}

/// A connection in use.
pub(super) struct Live {
    wire: RedisConnection,
    master: Option<Master>,
    /// The version of the credentials that it was made with.
    version: u64,
    made: Moment,
    /// Time-outs in a row; in a cluster, where one node answers for another, four for each and one less for each answer.
    silence: AtomicU32,
}

/// The attempts.
struct Making {
    since: Option<Moment>,
    failures: u32,
    /// How many connections in a row were replaced early.
    renewals: u32,
    /// The last one of them, by when it was made.
    renewed: Option<Moment>,
    not_before: Moment,
    fault: CallFault,
    refreshed: Option<Moment>,
}

// === impl Link ===

impl Link {
    pub(super) fn new(dialer: Dialer, clock: Clock, tasks: Tasks, jitter: fn() -> f64, counts: Arc<Counts>) -> Arc<Self> {
        let making = Making {
            since: None,
            failures: 0,
            renewals: 0,
            renewed: None,
            not_before: Moment::of_millis(0),
            fault: CallFault::Broken,
            refreshed: None,
        };
        Arc::new(Self {
            dialer,
            clock,
            tasks,
            jitter,
            counts,
            live: ArcSwapOption::empty(),
            making: Mutex::new(making),
            attempts: watch::Sender::new(0),
            following: AtomicBool::new(false),
            remade: AtomicU64::new(0),
        })
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// The connection, if there is one.
    pub(super) fn connection(&self) -> Option<Arc<Live>> {
        self.live.load_full()
    }

    /// The connection, made first if there is none. `at_once`: even if an attempt failed just now.
    pub(super) async fn live(self: &Arc<Self>, at_once: bool) -> Result<Arc<Live>, CallFault> {
        if let Some(live) = self.live.load_full() {
            return Ok(live);
        }
        let mut attempts = self.attempts.subscribe();
        if !self.make(None, at_once) {
            return Err(self.lock().fault);
        }
        if let Some(live) = self.live.load_full() {
            return Ok(live);
        }
        let _never_closed = attempts.changed().await;
        self.live.load_full().ok_or_else(|| self.lock().fault)
    }

    /// Another connection than `old`, made first if there is none: for a call that got no answer over that one.
    pub(super) async fn instead_of(self: &Arc<Self>, old: &Arc<Live>) -> Result<Arc<Live>, CallFault> {
        let mut attempts = self.attempts.subscribe();
        if let Some(live) = self.other_than(old) {
            return Ok(live);
        }
        if self.dialer.is_cluster() {
            // Not for each call: most of its nodes may be well.
            self.renew(old);
        } else {
            self.make(Some(old), true);
        }
        if self.lock().since.is_some() {
            let _never_closed = attempts.changed().await;
        }
        self.other_than(old).ok_or_else(|| self.lock().fault)
    }

    /// What a call that found `old` closed is repeated over. A cluster's client replaces the connections to its nodes itself.
    pub(super) async fn again(self: &Arc<Self>, old: &Arc<Live>) -> Result<Arc<Live>, CallFault> {
        if self.dialer.is_cluster() {
            return Ok(self.live.load_full().unwrap_or_else(|| Arc::clone(old)));
        }
        self.instead_of(old).await
    }

    fn other_than(&self, old: &Arc<Live>) -> Option<Arc<Live>> {
        self.live.load_full().filter(|live| !Arc::ptr_eq(live, old))
    }

    /// How often the connection was made anew.
    pub(super) fn remade(&self) -> u64 {
        self.remade.load(Ordering::Relaxed)
    }

    /// Whether there was no attempt to connect yet that came to an end.
    pub(super) fn is_untried(&self) -> bool {
        *self.attempts.borrow() == 0
    }

    /// How long the attempt under way has taken so far.
    pub(super) fn making_for(&self) -> Option<Duration> {
        let since = self.lock().since;
        since.map(|since| self.clock.moment().since(since))
    }

    /// What an answer, or none, says of the connection.
    pub(super) fn settle(self: &Arc<Self>, live: &Arc<Live>, fault: Option<CallFault>) {
        let Some(fault) = fault else { return live.answered(self.dialer.is_cluster()) };
        match fault {
            CallFault::TimedOut if live.silent(self.dialer.is_cluster()) => self.lost(live),
            CallFault::TimedOut | CallFault::Connecting => (),
            CallFault::Broken => self.lost(live),
            // A replica was a master before: whoever is it now has to be found.
            CallFault::ReadOnly if !self.dialer.is_cluster() => self.renew(live),
            CallFault::Unauthenticated => {
                self.lost(live);
                self.refresh();
            }
            CallFault::Forbidden => self.refresh(),
            _ => live.answered(self.dialer.is_cluster()),
        }
    }

    /// Gives up a connection. A cluster's is used until there is another: most of its nodes may be well.
    fn lost(self: &Arc<Self>, live: &Arc<Live>) {
        if self.dialer.is_cluster() {
            return self.renew(live);
        }
        let current = self.live.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            self.live.compare_and_swap(&current, None);
        }
    }

    /// Makes another connection while this one is still used, for what its server says.
    fn renew(self: &Arc<Self>, live: &Arc<Live>) {
        if !self.live.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            return;
        }
        let age = self.clock.moment().since(live.made);
        let (young, longest) = YOUNG;
        let mut making = self.lock();
        if age < young.saturating_mul(2_u32.saturating_pow(making.renewals.min(16))).min(longest) {
            return;
        }
        if making.renewed != Some(live.made) {
            making.renewals = if age < longest { making.renewals.saturating_add(1) } else { 0 };
            making.renewed = Some(live.made);
        }
        drop(making);
        self.make(Some(live), false);
    }

    /// Starts an attempt to have another connection than `old`, unless one is under way or there is one.
    /// Returns whether that is so.
    fn make(self: &Arc<Self>, old: Option<&Arc<Live>>, at_once: bool) -> bool {
        let now = self.clock.moment();
        let mut making = self.lock();
        let current = self.live.load();
        if current.as_ref().is_some_and(|current| old.is_none_or(|old| !Arc::ptr_eq(current, old))) {
            return true;
        }
        if making.since.is_some_and(|since| now.since(since) < ABANDONED) {
            return true;
        }
        if !at_once && now < making.not_before {
            return false;
        }
        making.since = Some(now);
        drop(making);
        let this = Arc::clone(self);
        self.tasks.awaited("redis_connect", async move { this.attempt().await });
        true
    }

    async fn attempt(self: Arc<Self>) {
        let version = self.dialer.access().version();
        let mut dialed = (version, self.dial().await);
        if let (_, Err(error)) = &dialed
            && !error.is_timeout()
            && !error.is_connection_refusal()
            && self.read_again().await
        {
            dialed = (self.dialer.access().version(), self.dial().await);
        }
        let (version, outcome) = dialed;
        self.settle_attempt(version, outcome);
        self.attempts.send_modify(|attempts| *attempts += 1);
        self.follow();
    }

    async fn dial(&self) -> RedisResult<(RedisConnection, Option<Master>)> {
        tokio::time::timeout(ATTEMPT, Box::pin(self.dialer.data())).await.unwrap_or_else(|_| Err(timed_out()))
    }

    fn settle_attempt(&self, version: u64, outcome: RedisResult<(RedisConnection, Option<Master>)>) {
        let now = self.clock.moment();
        let mut making = self.lock();
        making.since = None;
        match outcome {
            Ok((wire, master)) => {
                let live = Live { wire, master, version, made: now, silence: AtomicU32::new(0) };
                if self.live.swap(Some(Arc::new(live))).is_some() || making.failures > 0 || *self.attempts.borrow() > 0 {
                    self.counts.reconnects.inc();
                    self.remade.fetch_add(1, Ordering::Relaxed);
                }
                making.failures = 0;
            }
            Err(error) => {
                making.fault = fault_of_attempt(&error);
                let (first, longest) = PAUSES;
                let pause = first.saturating_mul(2_u32.saturating_pow(making.failures.min(16))).min(longest);
                making.not_before = now.after(pause.mul_f64((self.jitter)().clamp(0.0, 1.0)));
                making.failures = making.failures.saturating_add(1);
            }
        }
    }

    /// Reads the credentials again because they were refused, at most once a second, and uses them if they changed.
    fn refresh(self: &Arc<Self>) {
        let now = self.clock.moment();
        let mut making = self.lock();
        if making.refreshed.is_some_and(|refreshed| now.since(refreshed) < FOLLOW) {
            return;
        }
        making.refreshed = Some(now);
        drop(making);
        let this = Arc::clone(self);
        self.tasks.background("redis_refresh", async move {
            if this.read_again().await
                && let Some(live) = this.live.load_full()
            {
                this.make(Some(&live), false);
            }
        });
    }

    async fn read_again(&self) -> bool {
        self.dialer.access().reread().await
    }

    /// Once there was a connection: replaces it when the credentials change, or another master is named.
    fn follow(self: &Arc<Self>) {
        if self.following.swap(true, Ordering::Relaxed) {
            return;
        }
        self.follow_sentinels();
        let this = Arc::clone(self);
        self.tasks.background("redis_follow", async move {
            let mut switched = this.dialer.sentinels().switched();
            for looks in 1_u32.. {
                let told = tokio::time::timeout(FOLLOW, switched.changed()).await.is_ok();
                let Some(live) = this.live.load_full() else { continue };
                live.wire.close_idle();
                let changed = live.version != this.dialer.access().version();
                let replaced = this.dialer.sentinels().has_replaced(live.master.as_ref());
                let deposed = async || looks.is_multiple_of(DEPOSED) && this.dialer.is_deposed(live.master.as_ref()).await;
                if changed || replaced || deposed().await {
                    this.make(Some(&live), told);
                }
            }
        });
    }

    /// Listens to what the sentinels announce, where there are sentinels; it is enough to ask for it once.
    pub(super) fn follow_sentinels(&self) {
        self.dialer.follow_sentinels(&self.tasks, self.jitter);
    }

    fn lock(&self) -> MutexGuard<'_, Making> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Live ===

impl Live {
    pub(super) fn wire(&self) -> RedisConnection {
        self.wire.clone()
    }

    fn answered(&self, cluster: bool) {
        let silence = self.silence.load(Ordering::Relaxed);
        if silence > 0 {
            // Counted roughly where calls end at the same time, which is good enough.
            self.silence.store(if cluster { silence - 1 } else { 0 }, Ordering::Relaxed);
        }
    }

    /// One more time-out. Returns whether that says that the connection is dead.
    fn silent(&self, cluster: bool) -> bool {
        let each = if cluster { 4 } else { 1 };
        self.silence.fetch_add(each, Ordering::Relaxed) + each >= SILENT * each
    }
}

fn fault_of_attempt(error: &RedisError) -> CallFault {
    match CallFault::from(error) {
        // Nothing was connected: whatever the client calls it.
        CallFault::WrongType | CallFault::Other => CallFault::Broken,
        fault => fault,
    }
}
