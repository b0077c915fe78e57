//! Do we have it, may we use it: memory first, then one flight per key; in the flight the store that replicas share, and a lease
//! under which one of them asks the authority.
//!
//! `mod` is the process: memory, flights, their `budget`, and what was signed out. `fleet` knows the store: names and seals; `lease` who may ask
//! the authority, `turn` the same for an account. `shared` is the way of a flight through it, `recheck` asks whether what memory has still
//! stands, also after the process stood still (`pulse`). `sign_ins`, `listing` with `unlisted`, `known`, `sign_out` and `elsewhere` are about
//! accounts and their refresh tokens, `events` is what replicas tell each other, `push_back` brings to the store what it missed, which waits in
//! the `queue`, and `restore` what it has lost, which `recent` knows.

mod again;
mod budget;
mod clocks;
mod elsewhere;
mod events;
mod fleet;
mod flight;
mod freshness;
mod key;
mod known;
mod lease;
mod listing;
mod locks;
mod metrics;
mod pace;
mod pulse;
mod push_back;
mod query;
mod queue;
mod recent;
mod recheck;
mod restore;
mod settings;
mod shared;
mod sign_ins;
mod sign_out;
mod sign_outs;
mod turn;
mod unlisted;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use budget::{Budget, Permit, Work};
pub use fleet::{Fleet, Parts};
pub use flight::{Flight, Landing, Lost, Part};
pub use freshness::{Freshness, judge, lifetime_is_credible, refresh_point};
pub use key::{Hashed, Key, KeySpace, Owner, Variant, challenge_hash};
pub use known::Known;
pub use listing::{Cursor, Listed};
pub use query::{Bypass, Query};
pub use queue::Room;
pub use settings::Settings;
pub use sign_ins::{Base, Kept, Renewed, Signed, Unavailable};
pub use sign_outs::OpenWatch;
pub use turn::RefreshLease;

use again::Again;
use elsewhere::Links;
use flight::Kind;
use locks::KeyLocks;
use metrics::LocalMetrics;
use query::Wanted;
use shared::EarlierLookup;
use sign_outs::{SignOuts, Watch};

use crate::clock::{Clock, Moment};
use crate::store::Memory;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::token::{Epoch, Facts, Grant, Head, Stored};

/// Where a listing goes on in one of its sets.
pub type Mark = crate::store::Mark;

/// All tokens of one app in one tenant, or of one account.
pub type Partition = crate::store::Partition;

/// Where jitter comes from: numbers from 0 to 1.
pub type Jitter = fn() -> f64;

/// The cache of one process, and its part in the one that replicas share. `E` is what a failed load says.
#[derive(Debug)]
pub struct Cache<E> {
    memory: Memory,
    fleet: Option<Arc<Fleet>>,
    flights: Flight<Key, FlightOutcome, E>,
    budget: Budget,
    turns: KeyLocks,
    /// Sign-ins on their way to the store, one at a time per account.
    bringing: KeyLocks,
    /// Looks whether what memory has still stands, one at a time per token, where everybody has to wait for it.
    looking: KeyLocks,
    generation: AtomicU64,
    sign_outs: SignOuts,
    links: Links,
    again: Again,
    wire: Wire<E>,
    metrics: LocalMetrics,
    clock: Clock,
    tasks: Tasks,
}

/// How a failure travels to the other replicas; the moment is now, for what is relative to it.
#[derive(Debug)]
pub struct Wire<E> {
    /// Writes one; `None` if it concerns this replica alone.
    pub write: fn(&E, Moment) -> Option<Vec<u8>>,
    /// Reads one; `None` if it is none.
    pub read: fn(&[u8], Moment) -> Option<E>,
    /// What is said where another replica asks the authority, and does not come to an end.
    pub late: fn() -> E,
}

/// What was found.
#[derive(Debug)]
pub enum Look {
    /// A token that may be used.
    Hit {
        /// The answer's first part.
        head: Head,
        /// Whether it is due for renewal.
        due: bool,
        /// Whether the shared store has to be asked first whether it still stands: see [`Cache::recheck`].
        unchecked: bool,
    },
    /// None, and why.
    Miss(Miss),
}

/// Why there is no hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// There is no token.
    Absent,
    /// There is one, and it is too close to its end.
    Expired,
    /// There is one, and the request does not want it.
    Bypassed,
}

/// Where a flight found what it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// In memory, where another flight had just put it.
    Memory,
    /// In the store that replicas share.
    Shared,
    /// At the authority.
    Authority,
}

/// What a flight brings to all who joined it.
#[derive(Clone, Debug)]
pub struct FlightOutcome {
    /// The answer's first part.
    pub head: Head,
    /// Where it was found.
    pub level: Level,
    /// Whether the identical request brought it, and not one for more scopes.
    exact: bool,
    generation: u64,
}

/// How a load ended.
#[derive(Debug)]
pub struct LoadOutcome<E> {
    /// What it brought to all who joined it, if it came to an end.
    pub outcome: Result<Result<FlightOutcome, E>, Lost>,
    /// Whether it was somebody else's flight that was waited for.
    pub joined: bool,
}

/// What a load brings.
#[derive(Debug)]
pub struct Loaded {
    /// What the authority issued.
    pub grant: Grant,
    /// Under which folded scopes it can be found besides the ones asked for; empty: only by the identical request.
    pub granted: Box<str>,
    /// Whether it may be kept at all.
    pub kept: bool,
}

// === impl Cache ===

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// An empty cache; `fleet` is the store that it shares with other replicas, if it does.
    pub fn new(
        settings: &Settings,
        fleet: Option<Arc<Fleet>>,
        wire: Wire<E>,
        metrics: &Metrics,
        clock: Clock,
        tasks: Tasks,
    ) -> Arc<Self> {
        let budget = Budget::new(settings.flights, metrics);
        let metrics = LocalMetrics::new(metrics, fleet.as_ref().map(|fleet| &fleet.metrics));
        Arc::new(Self {
            memory: Memory::new(settings.max_bytes),
            fleet,
            flights: Flight::new(tasks.clone(), budget.clone(), Work::Flight),
            budget,
            turns: KeyLocks::default(),
            bringing: KeyLocks::default(),
            looking: KeyLocks::default(),
            generation: AtomicU64::new(1),
            sign_outs: SignOuts::default(),
            links: Links::default(),
            again: Again::default(),
            wire,
            metrics,
            clock,
            tasks,
        })
    }

    /// A point in the order of stores: what is stored later has a higher one.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Begins a call of which only the answer says whose token it brings: see [`Cache::link`].
    pub fn watch_sign_outs(&self) -> OpenWatch {
        self.sign_outs.watch_all()
    }

    /// The budget of work that outlives its request.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Looks in memory. Nothing here waits.
    pub fn look(&self, query: &Query<'_>) -> Look {
        let found = self.find(query.partition, query.variant, query.asked, query.superset, &query.bypass);
        self.metrics.looked(found.as_ref().map(|found| found.unchecked).map_err(|miss| *miss));
        found.map_or_else(Look::Miss, |found| Look::Hit { head: found.flown.head, due: found.due, unchecked: found.unchecked })
    }

    /// Whether memory has what is asked for: a look that is not counted.
    pub fn has(&self, query: &Query<'_>) -> bool {
        self.find(query.partition, query.variant, query.asked, query.superset, &query.bypass).is_ok()
    }

    fn find(&self, partition: &Partition, variant: &[u8; 32], asked: &str, superset: bool, bypass: &Bypass) -> Result<Found, Miss> {
        let now = self.clock.unix();
        let expired = Cell::new(false);
        let judged = |stored: &Stored| {
            let exact = stored.answer(variant, asked, superset)?;
            let facts = &stored.facts;
            let flown = FlightOutcome { head: stored.head(), level: Level::Memory, exact, generation: facts.generation };
            if bypass.wants_another(facts.challenge) || (bypass.skips(&flown) && !self.came_again(bypass)) {
                return Some(Err(Miss::Bypassed));
            }
            let unchecked = self.fleet.as_ref().is_some_and(|fleet| fleet.is_unchecked(stored.checked()));
            match judge(stored.expires_on, stored.received_on, stored.refresh_on, now) {
                // An older one that is good for more may last longer.
                Freshness::Expired => {
                    expired.set(true);
                    None
                }
                freshness => Some(Ok(Found { flown, due: freshness == Freshness::RefreshDue, unchecked })),
            }
        };
        let found = self.memory.find_map(partition, judged);
        found.unwrap_or_else(|| Err(if expired.get() { Miss::Expired } else { Miss::Absent }))
    }

    /// Counts that a single flight was begun, or joined.
    pub fn flew(&self, part: Part) {
        match part {
            Part::Led => self.metrics.led.inc(),
            Part::Joined => self.metrics.joined.inc(),
            // Counted by the budget.
            Part::Refused => {}
        }
    }

    /// Brings a token from the shared store, or else loads it by one flight for all who want the same, and stores it. The flight looks
    /// once more first. `work` is asked for again if the flight that was joined brought the very token that this caller does not want. It
    /// carries so many bytes of the request's texts, and is given the flight's permit for whatever outlives the flight.
    ///
    /// # Errors
    /// What the load says, shared by all who waited for it; and why there was no load at all.
    pub async fn load<W>(self: &Arc<Self>, query: &Query<'_>, carried: usize, work: impl Fn(Permit) -> W + Sync) -> LoadOutcome<E>
    where
        W: Future<Output = Result<Loaded, E>> + Send + 'static,
    {
        let wanted = query.wanted();
        // A look needs no flight: most find something, and a task for each of them costs more than looking twice now and then.
        let mut looked = None;
        if let Some(fleet) = &self.fleet
            && !self.flights.is_under_way(&wanted.key)
        {
            match Box::pin(self.look_first(fleet, &wanted)).await {
                Ok(flown) => return LoadOutcome { outcome: Ok(Ok(flown)), joined: false },
                Err(found) => looked = Some(found),
            }
        }
        loop {
            let begin = |permit: Permit| {
                let work = work(permit.clone());
                self.flight(wanted.clone(), Kind::Awaited, looked.take(), permit, work)
            };
            let Landing { outcome, part } = self.flights.join_or_lead(wanted.key, carried, begin).await;
            self.flew(part);
            let joined = part == Part::Joined;
            match outcome {
                // It was placed for somebody who came earlier or was refused another token. What the authority gives after we came is
                // the answer, also if it is the same token again.
                Ok(Ok(flown)) if joined && query.skips(&flown) => looked = None,
                outcome => return LoadOutcome { outcome, joined },
            }
        }
    }

    /// Whether what is asked is being loaded now.
    pub fn is_loading(&self, query: &Query<'_>) -> bool {
        self.flights.is_under_way(&query.key())
    }

    /// The same in the background, for a token that is due: nobody waits, and a flight under way makes it unnecessary, be it here or
    /// in another replica. The permit is held until the flight has ended.
    pub fn renew(
        self: &Arc<Self>,
        query: &Query<'_>,
        permit: Permit,
        work: impl Future<Output = Result<Loaded, E>> + Send + 'static,
    ) {
        let wanted = query.wanted();
        self.flights.start(wanted.key, self.flight(wanted, Kind::Background, None, permit, work));
    }

    fn flight(
        self: &Arc<Self>,
        wanted: Wanted,
        kind: Kind,
        looked: Option<EarlierLookup>,
        permit: Permit,
        work: impl Future<Output = Result<Loaded, E>> + Send + 'static,
    ) -> impl Future<Output = Option<Result<FlightOutcome, E>>> + Send + 'static {
        let this = Arc::clone(self);
        async move {
            let _until_it_ends = permit;
            // Between the caller's look and this flight another one may have ended and stored what is wanted.
            match this.find(&wanted.partition, &wanted.variant, &wanted.asked, wanted.superset, &wanted.bypass) {
                Ok(found) if !found.unchecked && (!found.due || kind == Kind::Awaited) => return Some(Ok(found.flown)),
                _ => {}
            }
            match &this.fleet {
                // Boxed for those who share no store.
                Some(fleet) => Box::pin(this.shared(fleet, wanted, kind, looked, work)).await,
                None => {
                    let since = this.since(&wanted.partition, wanted.owned);
                    Some(work.await.map(|loaded| this.keep(&wanted, &loaded, &since, None)))
                }
            }
        }
    }

    /// Keeps what was loaded in memory alone.
    fn keep(&self, wanted: &Wanted, loaded: &Loaded, since: &Since, epoch: Epoch) -> FlightOutcome {
        let flown = self.brought(wanted, loaded);
        if let Some(stored) = written(flown.head.clone(), wanted, loaded, epoch) {
            self.remember(&wanted.partition, stored, flown.generation, since);
        }
        flown
    }

    /// What the authority has just brought.
    fn brought(&self, wanted: &Wanted, loaded: &Loaded) -> FlightOutcome {
        let head = loaded.grant.write();
        if wanted.bypass.rejects(&head) {
            self.note_again(&wanted.bypass);
        }
        FlightOutcome { head, level: Level::Authority, exact: true, generation: self.next() }
    }

    /// The authority gave the rejected token again.
    fn note_again(&self, bypass: &Bypass) {
        if let Some(sha256) = bypass.rejected() {
            self.again.note(*sha256, self.clock.moment());
        }
    }

    /// Whether it did so a moment ago.
    fn came_again(&self, bypass: &Bypass) -> bool {
        bypass.rejected().is_some_and(|sha256| self.again.has(sha256, self.clock.moment()))
    }

    /// Puts a token into memory, unless since that moment its partition was signed out, or a better token came.
    fn remember(&self, partition: &Partition, mut stored: Stored, generation: u64, since: &Since) {
        stored.facts.generation = generation;
        if let Some(fleet) = &self.fleet {
            // What was asked for before messages may have been missed is as old as its question.
            let now = fleet.check_moment();
            stored.set_checked(if fleet.is_suspect(since.began) { since.began } else { now });
        }
        let (shared, challenge, epoch) = (stored.facts.shared, stored.facts.challenge, stored.facts.epoch);
        let allowed = |old: Option<&Stored>| {
            // It came while this one was under way, and stands after it in the shared store, or answers a challenge that this one
            // knows nothing of.
            let better = |old: &Stored| {
                let meanwhile = old.facts.generation > since.generation;
                meanwhile && (old.facts.shared > shared || (old.facts.challenge != 0 && challenge == 0))
            };
            !self.is_signed_out(partition, epoch, since) && !old.is_some_and(better)
        };
        self.memory.put(*partition, stored, self.clock.unix(), allowed);
    }

    /// This moment, for a call that begins. Nobody signs an app out.
    fn since(&self, partition: &Partition, owned: bool) -> Since {
        let watch = owned.then(|| self.sign_outs.watch(*partition));
        let began = self.fleet.as_ref().map_or(Moment::of_millis(0), |fleet| fleet.check_moment());
        Since { watch, generation: self.generation(), began }
    }

    fn next(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Whether an account was signed out since a call for it began, or is by what this process knows: `epoch` is what that call goes by.
    fn is_signed_out(&self, partition: &Partition, epoch: Epoch, since: &Since) -> bool {
        let Some(watch) = &since.watch else { return false };
        let known = self.fleet.as_ref().and_then(|fleet| fleet.recent.epoch(partition));
        known > epoch || watch.is_signed_out(epoch)
    }

    /// A sign-out that this process makes or hears of, with the account's new epoch if anything stood of it: nothing is kept from now on that was
    /// asked for before, and memory forgets. Returns whether it knew anything.
    fn forget(&self, partition: &Partition, epoch: Epoch) -> bool {
        let mut known = false;
        if let Some(fleet) = &self.fleet {
            known |= fleet.recent.signed_out(partition, epoch);
            // A new sign-in may wait there by the time that the message comes.
            let waiting = fleet.queue.waiting_sign_in(partition);
            if waiting.is_some_and(|waiting| epoch.is_none() || waiting.epoch < epoch) {
                known |= fleet.queue.forget(partition);
            }
        }
        self.sign_outs.mark(partition, epoch);
        self.memory.remove(partition) || known
    }

    /// The memory level, for `/status` and metrics.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The level that replicas share, where there is one.
    pub fn fleet(&self) -> Option<&Arc<Fleet>> {
        self.fleet.as_ref()
    }

    /// Removes what has ended.
    pub fn sweep(&self) {
        self.memory.sweep(self.clock.unix());
        self.links.sweep(self.clock.moment(), |partition| self.memory.has(partition));
    }
}

/// A moment before something was asked for, in the orders of sign-outs and of stores.
#[derive(Debug)]
struct Since {
    watch: Option<Watch>,
    generation: u64,
    /// As in [`Fleet::check_moment`].
    began: Moment,
}

/// A token in memory that may be used.
struct Found {
    flown: FlightOutcome,
    due: bool,
    unchecked: bool,
}

/// A loaded token as it is kept; `None` if it may not be, or does not say credibly when it ends.
fn written(head: Head, wanted: &Wanted, loaded: &Loaded, epoch: Epoch) -> Option<Stored> {
    let times = &loaded.grant.times;
    let facts = Facts {
        asked: wanted.asked.clone(),
        granted: loaded.granted.clone(),
        variant: wanted.variant,
        challenge: wanted.bypass.challenge(),
        epoch,
        ..Facts::default()
    };
    if loaded.kept && lifetime_is_credible(times) { head.keep(times, facts) } else { None }
}
