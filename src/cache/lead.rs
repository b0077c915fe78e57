//! The way of a flight through the store that replicas share: a look, a lease, the look that comes with it, and then either the
//! call or the wait for whoever makes it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::finder::TokenFinder;
use super::flight::FlightKind;
use super::lease::{Claiming, LEASE, Lease, SentUnderLease};
use super::level::SharedLevel;
use super::local::{LocalLevel, written};
use super::lookup::Lookup;
use super::outcome::{CacheLevel, FlightOutcome, Loaded};
use super::publish::{LeaderOutcome, Publisher};
use super::query::OwnedQuery;
use super::way::{EarlierLookup, Way};
use crate::clock::Moment;
use crate::store::{Claimed, Holder, StoreError};
use crate::token::{AnswerHead, CachedToken};

/// How soon a follower comes back first, and how often later on.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// For how long a store that does not answer is asked again before the authority is.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a failure travels to the other replicas; the moment is now, for what is relative to it.
#[derive(Debug)]
pub struct ErrorCodec<E> {
    /// Writes one; `None` if it concerns this replica alone.
    pub write: fn(&E, Moment) -> Option<Vec<u8>>,
    /// Reads one; `None` if it is none.
    pub read: fn(&[u8], Moment) -> Option<E>,
    /// What is said where another replica asks the authority, and does not come to an end.
    pub late: fn() -> E,
}

/// Flights through the shared store. `E` is what a failed load says.
#[derive(Debug)]
pub(super) struct SharedFlights<E> {
    local: Arc<LocalLevel>,
    shared: Arc<SharedLevel>,
    finder: TokenFinder,
    publisher: Arc<Publisher>,
    wire: ErrorCodec<E>,
}

/// What the wait for a lease ends in.
enum LeadOrFollow<E> {
    /// Somebody brought it, well or ill.
    Follow(Result<FlightOutcome, E>),
    /// It is ours, and this is what stands there.
    Lead(Lease, Box<Lookup>),
    /// It is not, and nobody waits.
    GivenUp,
    /// The store is in trouble.
    Alone,
    /// Somebody has it for longer than a call takes, and it does not lapse.
    Late,
}

/// What one answer to a claim comes to: the wait is over, or somebody has the lease, who may be there no more; then the next claim
/// takes it.
type Settled<E> = ControlFlow<LeadOrFollow<E>, Option<Holder>>;

// === impl SharedFlights ===

impl<E> SharedFlights<E> {
    pub(super) fn new(local: Arc<LocalLevel>, shared: Arc<SharedLevel>, publisher: Arc<Publisher>, wire: ErrorCodec<E>) -> Self {
        let finder = TokenFinder::new(Arc::clone(&local), Arc::clone(&shared));
        Self { local, shared, finder, publisher, wire }
    }

    /// What is looked for in the shared store.
    pub(super) fn finder(&self) -> &TokenFinder {
        &self.finder
    }

    /// Brings what is wanted. `None`: nobody waits, and another replica is at it.
    pub(super) async fn bring(
        &self,
        wanted: OwnedQuery,
        kind: FlightKind,
        looked: Option<EarlierLookup>,
        work: impl Future<Output = Result<Loaded, E>>,
    ) -> Option<Result<FlightOutcome, E>> {
        let tells = wanted.bypass.is_forced();
        let (seen, since) = match looked {
            Some(EarlierLookup { lookup, since }) => (Some(lookup), since),
            None => (None, self.local.since(&wanted.partition, wanted.owned)),
        };
        let mut way = Way::new(&self.shared.fleet, wanted, since, kind, None, tells);
        let looked = match seen {
            Some(lookup) => lookup,
            None => Box::pin(self.shared.lookups.look(&way.wanted, &way.token, &way.epoch, way.since.began())).await,
        };
        // Where the store only paused, the claim has some patience with it. A forced request has to know what was there when it
        // came.
        let is_alone = matches!(looked, Err(trouble) if trouble == StoreError::Open || tells);
        let lookup = looked.unwrap_or_else(|_| self.finder.lookup_of_memory(&way.wanted));
        way.first = lookup.base;
        // What follows where there is no hit is boxed: a flight is moved several times before it starts, and would carry room for
        // it.
        if is_alone {
            return Some(Box::pin(self.alone(&way, &lookup, work)).await);
        }
        if let Some(flown) = self.finder.adopt(&way, &lookup, None) {
            self.shared.fleet.metrics().hit.inc();
            return Some(Ok(flown));
        }
        self.shared.fleet.metrics().miss.inc();
        Box::pin(self.missed(&way, &lookup, work)).await
    }

    async fn missed(
        &self,
        way: &Way<'_>,
        lookup: &Lookup,
        work: impl Future<Output = Result<Loaded, E>>,
    ) -> Option<Result<FlightOutcome, E>> {
        // Each on the heap: a flight that waits must not carry room for what comes after.
        match Box::pin(self.lead_or_follow(way)).await {
            LeadOrFollow::Follow(told) => Some(told),
            LeadOrFollow::GivenUp => None,
            LeadOrFollow::Alone => Some(Box::pin(self.alone(way, lookup, work)).await),
            LeadOrFollow::Late => Some(Err((self.wire.late)())),
            LeadOrFollow::Lead(lease, lookup) => Some(Box::pin(self.lead(way, &lease, &lookup, work)).await),
        }
    }

    /// Takes the lease, or waits for whoever has it; when it lapses, one of those who wait gets it.
    async fn lead_or_follow(&self, way: &Way<'_>) -> LeadOrFollow<E> {
        let lease = self.shared.leases.of_flight(&way.wanted.partition, &way.wanted.flight);
        let reads: &[&str] = if way.wanted.owned { &[&way.token, &way.epoch] } else { &[&way.token] };
        let (mut followed, mut lapsed) = (Vec::new(), None);
        let mut pause = FIRST_PAUSE;
        let mut answered = self.shared.fleet.moment();
        let ends = Instant::now() + self.shared.fleet.longest() + LEASE;
        loop {
            let claiming = Claiming { reads, lapsed, followed: &followed, patient: false };
            match self.shared.leases.claim(&lease, claiming).await {
                Ok(claimed) => {
                    answered = self.shared.fleet.moment();
                    match self.settled(way, &lease, claimed, &mut followed, lapsed.is_some()).await {
                        Settled::Break(outcome) => return outcome,
                        Settled::Continue(None) if Instant::now() >= ends => return LeadOrFollow::Late,
                        Settled::Continue(gone) => lapsed = gone,
                    }
                    if lapsed.is_some() {
                        continue;
                    }
                }
                // A pause of the store must not send everybody who waits to the authority. A lease that was given all the same
                // is taken again: it is the same owner's.
                Err(StoreError::Failed) if self.shared.fleet.moment().since(answered) < PATIENCE => {}
                Err(_) => {
                    self.shared.fleet.metrics().lease("failed");
                    // It may have been given all the same.
                    self.shared.leases.not_given_back(&lease);
                    return LeadOrFollow::Alone;
                }
            }
            tokio::time::sleep(pause.mul_f64(0.5 + self.shared.fleet.jitter() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What one answer to a claim comes to. `takes`: it named one that had lapsed.
    async fn settled(
        &self,
        way: &Way<'_>,
        lease: &Lease,
        claimed: Claimed,
        followed: &mut Vec<[u8; 16]>,
        takes: bool,
    ) -> Settled<E> {
        self.shared.fleet.meet(claimed.values.first().into_iter().flatten()).await;
        let mut lookup = self.shared.lookups.read_values(&way.token, &claimed.values, &way.sought());
        let is_wanted =
            |stored: &CachedToken| claimed.outcome.is_some() || !way.wanted.bypass.skips_shared(stored, Some(way.first));
        if lookup.stored.as_ref().is_some_and(is_wanted) {
            self.shared.lookups.time(&way.token, &mut lookup).await;
        }
        if let Some(told) = self.told(way, lease, &lookup, claimed.outcome.as_ref(), followed).await {
            return Settled::Break(LeadOrFollow::Follow(told));
        }
        if let Some(flown) = self.finder.adopt(way, &lookup, Some(way.first)) {
            if claimed.won {
                self.shared.leases.release(lease, None).await;
            } else if !followed.is_empty() {
                self.shared.fleet.metrics().lease("waited");
            }
            return Settled::Break(LeadOrFollow::Follow(Ok(flown)));
        }
        if claimed.won {
            // After a wait: whoever had it did not come to an end.
            self.shared.fleet.metrics().lease(if followed.is_empty() && !takes { "won" } else { "taken_over" });
            return Settled::Break(LeadOrFollow::Lead(lease.clone(), Box::new(lookup)));
        }
        // Nothing is sent under these that must not be sent twice.
        let sent = SentUnderLease { settled: true, longest: self.shared.fleet.longest() };
        if let Some(holder) = claimed.holder.and_then(|holder| self.shared.leases.lapsed(lease, holder, sent)) {
            return Settled::Continue(Some(holder));
        }
        if way.kind == FlightKind::Background {
            self.shared.fleet.metrics().lease("given_up");
            // Whoever renews it needs a moment, and until then there is nothing to look for.
            tokio::time::sleep(LONGEST_PAUSE.mul_f64(0.5 + self.shared.fleet.jitter())).await;
            return Settled::Break(LeadOrFollow::GivenUp);
        }
        match claimed.holder {
            Some(holder) if followed.last() != Some(&holder.owner) => followed.push(holder.owner),
            _ => {}
        }
        Settled::Continue(None)
    }

    /// What one of those who were followed has left, where that can be used.
    async fn told(
        &self,
        way: &Way<'_>,
        lease: &Lease,
        lookup: &Lookup,
        outcome: Option<&Bytes>,
        followed: &mut Vec<[u8; 16]>,
    ) -> Option<Result<FlightOutcome, E>> {
        let outcome = outcome?;
        self.shared.leases.meet_outcome(outcome).await;
        let told = self.hear(way, lease, lookup, outcome);
        if told.is_some() {
            self.shared.fleet.metrics().lease("waited");
        } else {
            // It says nothing to this replica: as long as that leader is named, the lease is not given.
            followed.retain(|leader| !outcome.starts_with(leader));
        }
        told
    }

    /// What a leader said; `None` if it cannot be used, and whoever waits goes on.
    fn hear(&self, way: &Way<'_>, lease: &Lease, lookup: &Lookup, outcome: &[u8]) -> Option<Result<FlightOutcome, E>> {
        let payload: Bytes = self.shared.leases.heard(lease, outcome)?;
        match postcard::from_bytes(&payload).ok()? {
            LeaderOutcome::Kept => self.finder.adopted(way, lookup.stored.as_ref()?, true).map(Ok),
            LeaderOutcome::Again { sha256 } => {
                let stored = lookup.stored.as_ref()?;
                if way.wanted.bypass.rejected() == Some(&sha256) && way.wanted.bypass.rejects(&stored.head()) {
                    self.local.note_again(&way.wanted.bypass);
                }
                self.finder.adopted(way, stored, true).map(Ok)
            }
            LeaderOutcome::Once { text, token } => {
                let head = AnswerHead::once(Bytes::copy_from_slice(text.as_bytes()), token.0..token.1);
                Some(Ok(FlightOutcome { head, level: CacheLevel::Shared, exact: true, generation: self.local.next() }))
            }
            LeaderOutcome::Refused(said) => (self.wire.read)(said, self.shared.fleet.moment()).map(Err),
        }
    }

    /// Makes the call under the lease, stores what it brings, and tells the followers.
    async fn lead(
        &self,
        way: &Way<'_>,
        lease: &Lease,
        lookup: &Lookup,
        work: impl Future<Output = Result<Loaded, E>>,
    ) -> Result<FlightOutcome, E> {
        let outcome = self.shared.leases.holding(std::slice::from_ref(lease), work).await;
        let loaded = match outcome {
            Ok(loaded) => loaded,
            Err(error) => {
                // What only this replica suffers from is told to nobody: one of those who wait tries for itself.
                let said = (self.wire.write)(&error, self.shared.fleet.moment());
                let told = said.and_then(|said| postcard::to_stdvec(&LeaderOutcome::Refused(&said)).ok());
                Box::pin(self.shared.leases.release(lease, told.as_deref())).await;
                return Err(error);
            }
        };
        let flown = self.local.brought(&way.wanted, &loaded);
        let Some(stored) = written(flown.head.clone(), &way.wanted, &loaded, lookup.epoch) else {
            let range = flown.head.range();
            let told = LeaderOutcome::Once {
                text: std::str::from_utf8(&flown.head.text).unwrap_or_default(),
                token: (range.start, range.end),
            };
            Box::pin(self.shared.leases.release(lease, postcard::to_stdvec(&told).ok().as_deref())).await;
            return Ok(flown);
        };
        Box::pin(self.publisher.publish(way, Some(lease), lookup, stored, &flown)).await;
        Ok(flown)
    }

    /// Makes the call without a lease, because the store cannot give one, and stores what it brings if it can.
    async fn alone(
        &self,
        way: &Way<'_>,
        lookup: &Lookup,
        work: impl Future<Output = Result<Loaded, E>>,
    ) -> Result<FlightOutcome, E> {
        self.shared.fleet.metrics().alone.inc();
        self.shared.pacing.turn().await;
        let loaded = work.await?;
        let flown = self.local.brought(&way.wanted, &loaded);
        if let Some(stored) = written(flown.head.clone(), &way.wanted, &loaded, lookup.epoch) {
            Box::pin(self.publisher.publish(way, None, lookup, stored, &flown)).await;
        }
        Ok(flown)
    }
}
