//! Tokens: looked up in memory, loaded by one flight for all who want the same, renewed in the background. The only part of the
//! cache that is generic in what a failed load says.

use std::sync::Arc;

use super::accounts::CachedAccounts;
use super::budget::{Budget, Permit, Work};
use super::fleet::Fleet;
use super::flight::{Flight, FlightKind, Landing, Part};
use super::handles::Handles;
use super::lead::{ErrorCodec, SharedFlights};
use super::level::SharedLevel;
use super::local::LocalLevel;
use super::metrics::LocalMetrics;
use super::notes::Notes;
use super::outcome::{FlightOutcome, LoadOutcome, Loaded, Look};
use super::publish::Publisher;
use super::query::{OwnedQuery, Query, SoughtToken};
use super::recheck::Recheck;
use super::settings::Settings;
use super::way::EarlierLookup;
use crate::clock::Clock;
use crate::store::Memory;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::token::{AnswerHead, FlightKey};

/// The cache of one process, and its part in the one that replicas share. `E` is what a failed load says.
#[derive(Debug)]
pub struct Cache<E> {
    local: Arc<LocalLevel>,
    flights: Flight<FlightKey, FlightOutcome, E>,
    /// Flights through the store that replicas share, where there is one.
    shared: Option<SharedFlights<E>>,
    publisher: Option<Arc<Publisher>>,
    recheck: Option<Recheck>,
    accounts: Arc<CachedAccounts>,
    handles: Handles,
    notes: Notes,
    fleet: Option<Arc<Fleet>>,
    budget: Budget,
    metrics: LocalMetrics,
}

// === impl Cache ===

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// An empty cache; `fleet` is the store that it shares with other replicas, if it does.
    pub fn new(
        settings: &Settings,
        fleet: Option<Arc<Fleet>>,
        wire: ErrorCodec<E>,
        metrics: &Metrics,
        clock: Clock,
        tasks: Tasks,
    ) -> Arc<Self> {
        let budget = Budget::new(settings.flights, metrics);
        let level = fleet.as_ref().map(|fleet| SharedLevel::new(Arc::clone(fleet), settings.queue, metrics, &clock));
        let local = Arc::new(LocalLevel::new(settings.max_bytes, level.clone(), clock.clone()));
        let publisher = level.as_ref().map(|level| Arc::new(Publisher::new(Arc::clone(&local), Arc::clone(level))));
        let shared = level
            .as_ref()
            .zip(publisher.as_ref())
            .map(|(level, publisher)| SharedFlights::new(Arc::clone(&local), Arc::clone(level), Arc::clone(publisher), wire));
        Arc::new(Self {
            flights: Flight::new(tasks.clone(), budget.clone(), Work::Flight),
            shared,
            publisher,
            recheck: level.as_ref().map(|level| Recheck::new(Arc::clone(&local), Arc::clone(level))),
            handles: Handles::new(fleet.as_deref(), &clock),
            notes: Notes::new(fleet.clone(), clock.clone()),
            accounts: CachedAccounts::new(Arc::clone(&local), level, clock, tasks),
            metrics: LocalMetrics::new(metrics, fleet.as_ref().map(|fleet| fleet.metrics())),
            local,
            fleet,
            budget,
        })
    }

    /// Who is signed in, and what renews their tokens.
    pub fn accounts(&self) -> &Arc<CachedAccounts> {
        &self.accounts
    }

    /// What seals and opens refresh handles.
    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    /// What is noted for a while of what is sent once.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// The level that replicas share, where there is one.
    pub fn fleet(&self) -> Option<&Arc<Fleet>> {
        self.fleet.as_ref()
    }

    /// The memory level, for `/status` and metrics.
    pub fn memory(&self) -> &Memory {
        self.local.memory()
    }

    /// The budget of work that outlives its request.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// A point in the order of stores: what is stored later has a higher one.
    pub fn generation(&self) -> u64 {
        self.local.generation()
    }

    /// Looks in memory. Nothing here waits. It takes what it needs of a [`Query`]: a hit needs no more.
    pub fn look(&self, sought: SoughtToken<'_>) -> Look {
        let found = self.local.find(sought);
        self.metrics.looked(found.as_ref().map(|found| found.unchecked).map_err(|miss| *miss));
        found.map_or_else(Look::Miss, |found| Look::Hit { head: found.flown.head, due: found.due, unchecked: found.unchecked })
    }

    /// Whether memory has what is asked for: a look that is not counted.
    pub fn has(&self, sought: SoughtToken<'_>) -> bool {
        self.local.find(sought).is_ok()
    }

    /// Asks the shared store whether a token in memory still stands: nobody signed out, and nobody replaced it. One request asks;
    /// the others wait for the answer only where messages may have been missed.
    pub async fn recheck(&self, query: &Query<'_>) {
        if let Some(recheck) = &self.recheck {
            recheck.ask(query).await;
        }
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

    /// Brings a token from the shared store, or else loads it by one flight for all who want the same, and stores it. The flight
    /// looks once more first. `work` is asked for again if the flight that was joined brought the very token that this caller does
    /// not want. It carries so many bytes of the request's texts, and is given the flight's permit for whatever outlives the
    /// flight.
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
        if let Some(shared) = &self.shared
            && !self.flights.is_under_way(&wanted.flight)
        {
            match Box::pin(shared.finder().look_first(&wanted)).await {
                Ok(flown) => return LoadOutcome { outcome: Ok(Ok(flown)), joined: false },
                Err(found) => looked = Some(found),
            }
        }
        loop {
            let begin = |permit: Permit| {
                let work = work(permit.clone());
                self.flight(wanted.clone(), FlightKind::Awaited, looked.take(), permit, work)
            };
            let Landing { outcome, part } = self.flights.join_or_lead(wanted.flight, carried, begin).await;
            self.flew(part);
            let joined = part == Part::Joined;
            match outcome {
                // It was placed for somebody who came earlier or was refused another token. What the authority gives after we came
                // is the answer, also if it is the same token again.
                Ok(Ok(flown)) if joined && query.skips(&flown) => looked = None,
                outcome => return LoadOutcome { outcome, joined },
            }
        }
    }

    /// Whether what is asked is being loaded now.
    pub fn is_loading(&self, query: &Query<'_>) -> bool {
        self.flights.is_under_way(&query.flight())
    }

    /// As [`Cache::load`] in the background, for a token that is due: nobody waits, and a flight under way makes it unnecessary, be
    /// it here or in another replica. The permit is held until the flight has ended.
    pub fn renew(
        self: &Arc<Self>,
        query: &Query<'_>,
        permit: Permit,
        work: impl Future<Output = Result<Loaded, E>> + Send + 'static,
    ) {
        let wanted = query.wanted();
        self.flights.start(wanted.flight, self.flight(wanted, FlightKind::Background, None, permit, work));
    }

    fn flight(
        self: &Arc<Self>,
        wanted: OwnedQuery,
        kind: FlightKind,
        looked: Option<EarlierLookup>,
        permit: Permit,
        work: impl Future<Output = Result<Loaded, E>> + Send + 'static,
    ) -> impl Future<Output = Option<Result<FlightOutcome, E>>> + Send + 'static {
        let this = Arc::clone(self);
        async move {
            let _until_it_ends = permit;
            // Between the caller's look and this flight another one may have ended and stored what is wanted.
            match this.local.find(wanted.sought()) {
                Ok(found) if !found.unchecked && (!found.due || kind == FlightKind::Awaited) => return Some(Ok(found.flown)),
                _ => {}
            }
            match &this.shared {
                // Boxed for those who share no store.
                Some(shared) => Box::pin(shared.bring(wanted, kind, looked, work)).await,
                None => {
                    let since = this.local.since(&wanted.partition, wanted.owned);
                    Some(work.await.map(|loaded| this.local.keep(&wanted, &loaded, &since, None)))
                }
            }
        }
    }

    /// A token in the shared store that may be used, where nobody shall be asked for another one.
    pub async fn glance(&self, query: &Query<'_>) -> Option<AnswerHead> {
        let shared = self.shared.as_ref()?;
        shared.finder().look_first(&query.wanted()).await.ok().map(|flown| flown.head)
    }

    /// Stores what a redemption brought, which goes before whatever stood there, without a look and without a flight.
    pub async fn store(&self, query: &Query<'_>, loaded: &Loaded) -> AnswerHead {
        if let Some(publisher) = &self.publisher {
            // On the heap: futures are nested deeply enough.
            return Box::pin(publisher.store(query, loaded)).await;
        }
        let since = self.local.since(&query.key.partition, query.owned);
        self.local.keep(&query.wanted(), loaded, &since, None).head
    }

    /// Removes what has ended.
    pub fn sweep(&self) {
        self.local.sweep();
        self.accounts.sweep();
        self.notes.sweep();
    }
}
