//! The way of a flight through the store that replicas share: a look, a lease, the look that comes with it, and then either the call
//! or the wait for whoever makes it.

mod publish;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::fleet::{Fleet, Lookup};
use super::flight::Kind;
use super::freshness::{Freshness, judge};
use super::lease::{KEPT, LEASE, Lease, Sent};
use super::query::Wanted;
use super::{Cache, FlightOutcome, Level, Loaded, Query, Since, written};
use crate::store::{Claim, Claimed, Holder, Place, Sought, Trouble};
use crate::token::{Epoch, Head, Stored};

/// How soon a follower comes back first, and how often later on.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// For how long a store that does not answer is asked again before the authority is.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a forced store yields to one that came between.
const ATTEMPTS: usize = 3;

/// What a leader tells its followers.
#[derive(Serialize, Deserialize)]
enum LeaderOutcome<'a> {
    /// The token stands where it belongs.
    Kept,
    /// A token that is not kept: it does not say when it ends.
    Once {
        #[serde(borrow)]
        text: &'a str,
        token: (u32, u32),
    },
    /// There is none, and why, as `Wire` writes it.
    Refused(#[serde(borrow)] &'a [u8]),
    /// The token stands where it belongs, and is the very one that a resource rejected: the authority gave it again.
    Again {
        /// The SHA-256 of the token.
        sha256: [u8; 32],
    },
}

/// A flight on its way.
struct Way<'a> {
    wanted: Wanted,
    kind: Kind,
    /// When it started.
    since: Since,
    place: Place<'a>,
    token: String,
    epoch: String,
    /// What was there when this replica looked first.
    first: Option<u64>,
    /// Whether the other replicas' tokens are not to be used any more once there is a new one.
    tells: bool,
}

/// What a look brought that found no token, and when it began.
#[derive(Debug)]
pub(super) struct EarlierLookup {
    lookup: Result<Lookup, Trouble>,
    since: Since,
}

/// What the wait for a lease ends in.
enum LeadOrFollow<E> {
    /// Somebody brought it, well or ill.
    Follow(Result<FlightOutcome, E>),
    /// It is ours, and this is what stands there.
    Lead(Lease, Lookup),
    /// It is not, and nobody waits.
    GivenUp,
    /// The store is in trouble.
    Alone,
    /// Somebody has it for longer than a call takes, and it does not lapse.
    Late,
}

/// What one answer to a claim comes to: the wait is over, or somebody has the lease, who may be there no more; then the next claim takes it.
type Settled<E> = ControlFlow<LeadOrFollow<E>, Option<Holder>>;

// === impl Way ===

impl<'a> Way<'a> {
    fn new(fleet: &'a Fleet, wanted: Wanted, since: Since, kind: Kind, first: Option<u64>, tells: bool) -> Self {
        let place = fleet.names.place(&wanted.partition);
        let token = place.token(&fleet.names.entry(&wanted.variant, &wanted.asked));
        Self { wanted, kind, since, token, epoch: place.epoch(), place, first, tells }
    }
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Looks into the shared store for whoever waits. What was found there instead of a token is handed on to the flight.
    pub(super) async fn look_first(&self, fleet: &Arc<Fleet>, wanted: &Wanted) -> Result<FlightOutcome, EarlierLookup> {
        let since = self.since(&wanted.partition, wanted.owned);
        let mut way = Way::new(fleet, wanted.clone(), since, Kind::Awaited, None, false);
        let lookup = fleet.look(&way.wanted, &way.token, &way.epoch).await;
        if let Ok(lookup) = &lookup {
            way.first = lookup.base;
            let found = match self.adopt(&way, lookup, None) {
                None => Box::pin(self.given_again(fleet, &way, lookup)).await,
                found => found,
            };
            if let Some(flown) = found {
                fleet.metrics.hit.inc();
                return Ok(flown);
            }
        }
        Err(EarlierLookup { lookup, since: way.since })
    }

    /// Brings what is wanted. `None`: nobody waits, and another replica is at it.
    pub(super) async fn shared(
        &self,
        fleet: &Arc<Fleet>,
        wanted: Wanted,
        kind: Kind,
        looked: Option<EarlierLookup>,
        work: impl Future<Output = Result<Loaded, E>>,
    ) -> Option<Result<FlightOutcome, E>> {
        let tells = wanted.bypass.is_forced();
        let (seen, since) = match looked {
            Some(EarlierLookup { lookup, since }) => (Some(lookup), since),
            None => (None, self.since(&wanted.partition, wanted.owned)),
        };
        let mut way = Way::new(fleet, wanted, since, kind, None, tells);
        let looked = match seen {
            Some(lookup) => lookup,
            None => Box::pin(fleet.look(&way.wanted, &way.token, &way.epoch)).await,
        };
        // Where the store only paused, the claim has some patience with it. A forced request has to know what was there when it came.
        let is_alone = matches!(looked, Err(trouble) if trouble == Trouble::Open || tells);
        let lookup = looked.unwrap_or_else(|_| self.lookup_of_memory(&way.wanted));
        way.first = lookup.base;
        // What follows where there is no hit is boxed: a flight is moved several times before it starts, and would carry room for it.
        if is_alone {
            return Some(Box::pin(self.alone(fleet, &way, &lookup, work)).await);
        }
        if let Some(flown) = self.adopt(&way, &lookup, None) {
            fleet.metrics.hit.inc();
            return Some(Ok(flown));
        }
        fleet.metrics.miss.inc();
        Box::pin(self.missed(fleet, &way, &lookup, work)).await
    }

    async fn missed(
        &self,
        fleet: &Arc<Fleet>,
        way: &Way<'_>,
        lookup: &Lookup,
        work: impl Future<Output = Result<Loaded, E>>,
    ) -> Option<Result<FlightOutcome, E>> {
        // Each on the heap: a flight that waits must not carry room for what comes after.
        match Box::pin(self.lead_or_follow(fleet, way)).await {
            LeadOrFollow::Follow(told) => Some(told),
            LeadOrFollow::GivenUp => None,
            LeadOrFollow::Alone => Some(Box::pin(self.alone(fleet, way, lookup, work)).await),
            LeadOrFollow::Late => Some(Err((self.wire.late)())),
            LeadOrFollow::Lead(lease, lookup) => Some(Box::pin(self.lead(fleet, way, &lease, &lookup, work)).await),
        }
    }

    /// A found token as the answer, if it is one; memory keeps it. `first` as in [`super::Bypass::skips_shared`].
    fn adopt(&self, way: &Way<'_>, lookup: &Lookup, first: Option<Option<u64>>) -> Option<FlightOutcome> {
        let stored = lookup.stored.as_ref()?;
        if way.wanted.bypass.skips_shared(stored, first) {
            return None;
        }
        self.adopted(way, stored, first.is_some() && way.wanted.bypass.is_forced())
    }

    /// The rejected token itself, if the authority has just given it again to somebody who named it: it would once more.
    async fn given_again(&self, fleet: &Fleet, way: &Way<'_>, lookup: &Lookup) -> Option<FlightOutcome> {
        let stored = lookup.stored.as_ref().filter(|stored| way.wanted.bypass.rejects(&stored.head()))?;
        let lease = fleet.lease(&way.wanted.partition, &way.wanted.key.0);
        let values = fleet.store.read(&[&lease.outcome]).await.ok()?;
        let payload = fleet.heard(&lease.outcome, values.first()?.as_ref()?)?;
        let LeaderOutcome::Again { sha256 } = postcard::from_bytes(&payload).ok()? else { return None };
        // It may have been another one, which stood there before.
        way.wanted.bypass.rejected().filter(|rejected| **rejected == sha256)?;
        self.note_again(&way.wanted.bypass);
        self.adopted(way, stored, false)
    }

    /// The same as [`Cache::adopt`] for a token that is known to be wanted. `fresh`: it was stored after whoever waits here had asked.
    fn adopted(&self, way: &Way<'_>, stored: &Stored, fresh: bool) -> Option<FlightOutcome> {
        match judge(stored.expires_on, stored.received_on, stored.refresh_on, self.clock.unix()) {
            Freshness::Expired => return None,
            Freshness::RefreshDue if way.kind == Kind::Background => return None,
            Freshness::RefreshDue | Freshness::Fresh => {}
        }
        // A token of which nobody here knows when it was stored is older than every request.
        let generation = if fresh { self.next() } else { 0 };
        self.remember(&way.wanted.partition, stored.clone(), generation, &way.since);
        let exact = stored.facts.asked == way.wanted.asked;
        Some(FlightOutcome { head: stored.head(), level: Level::Shared, exact, generation })
    }

    /// Takes the lease, or waits for whoever has it; when it lapses, one of those who wait gets it.
    async fn lead_or_follow(&self, fleet: &Fleet, way: &Way<'_>) -> LeadOrFollow<E> {
        let lease = fleet.lease(&way.wanted.partition, &way.wanted.key.0);
        let (mut followed, mut lapsed) = (Vec::new(), None);
        let mut pause = FIRST_PAUSE;
        let mut answered = self.clock.moment();
        let ends = Instant::now() + fleet.longest + LEASE;
        loop {
            match self.claim(fleet, way, &lease, lapsed, &followed).await {
                Ok(claimed) => {
                    answered = self.clock.moment();
                    match self.settled(fleet, way, &lease, claimed, &mut followed, lapsed.is_some()).await {
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
                Err(Trouble::Failed) if self.clock.moment().since(answered) < PATIENCE => {}
                Err(_) => {
                    fleet.metrics.lease("failed");
                    // It may have been given all the same.
                    fleet.not_given_back(&lease);
                    return LeadOrFollow::Alone;
                }
            }
            tokio::time::sleep(pause.mul_f64(0.5 + (fleet.jitter)() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What one answer to a claim comes to. `takes`: it named one that had lapsed.
    async fn settled(
        &self,
        fleet: &Fleet,
        way: &Way<'_>,
        lease: &Lease,
        claimed: Claimed,
        followed: &mut Vec<[u8; 16]>,
        takes: bool,
    ) -> Settled<E> {
        let sought = Sought { partition: &way.wanted.partition, variant: &way.wanted.variant, asked: Some(&way.wanted.asked) };
        fleet.meet(claimed.values.first().into_iter().flatten()).await;
        let mut lookup = fleet.lookup(&way.token, &claimed.values, &sought);
        let is_wanted = |stored: &Stored| claimed.outcome.is_some() || !way.wanted.bypass.skips_shared(stored, Some(way.first));
        if lookup.stored.as_ref().is_some_and(is_wanted) {
            fleet.time(&way.token, &mut lookup).await;
        }
        if let Some(outcome) = &claimed.outcome {
            fleet.meet_outcome(outcome).await;
            if let Some(told) = self.hear(fleet, way, lease, &lookup, outcome) {
                fleet.metrics.lease("waited");
                return Settled::Break(LeadOrFollow::Follow(told));
            }
            // It says nothing to this replica: as long as that leader is named, the lease is not given.
            followed.retain(|leader| !outcome.starts_with(leader));
        }
        if let Some(flown) = self.adopt(way, &lookup, Some(way.first)) {
            if claimed.won {
                fleet.release(lease, None).await;
            } else if !followed.is_empty() {
                fleet.metrics.lease("waited");
            }
            return Settled::Break(LeadOrFollow::Follow(Ok(flown)));
        }
        if claimed.won {
            // After a wait: whoever had it did not come to an end.
            fleet.metrics.lease(if followed.is_empty() && !takes { "won" } else { "taken_over" });
            return Settled::Break(LeadOrFollow::Lead(lease.clone(), lookup));
        }
        // Nothing is sent under these that must not be sent twice.
        let sent = Sent { settled: true, longest: fleet.longest };
        if let Some(holder) = claimed.holder.and_then(|holder| fleet.leases.lapsed(&lease.name, holder, sent)) {
            return Settled::Continue(Some(holder));
        }
        if way.kind == Kind::Background {
            fleet.metrics.lease("given_up");
            // Whoever renews it needs a moment, and until then there is nothing to look for.
            tokio::time::sleep(LONGEST_PAUSE.mul_f64(0.5 + (fleet.jitter)())).await;
            return Settled::Break(LeadOrFollow::GivenUp);
        }
        match claimed.holder {
            Some(holder) if followed.last() != Some(&holder.owner) => followed.push(holder.owner),
            _ => {}
        }
        Settled::Continue(None)
    }

    async fn claim(
        &self,
        fleet: &Fleet,
        way: &Way<'_>,
        lease: &Lease,
        lapsed: Option<Holder>,
        followed: &[[u8; 16]],
    ) -> Result<Claimed, Trouble> {
        let reads: &[&str] = if way.wanted.owned { &[&way.token, &way.epoch] } else { &[&way.token] };
        let claim = Claim { lease: &lease.name, outcome: &lease.outcome, reads, owner: &lease.owner, lapsed, ttl: KEPT, followed };
        fleet.store.claim(&claim).await
    }

    /// What a leader said; `None` if it cannot be used, and whoever waits goes on.
    fn hear(
        &self,
        fleet: &Fleet,
        way: &Way<'_>,
        lease: &Lease,
        lookup: &Lookup,
        outcome: &[u8],
    ) -> Option<Result<FlightOutcome, E>> {
        let payload: Bytes = fleet.heard(&lease.outcome, outcome)?;
        match postcard::from_bytes(&payload).ok()? {
            LeaderOutcome::Kept => self.adopted(way, lookup.stored.as_ref()?, true).map(Ok),
            LeaderOutcome::Again { sha256 } => {
                let stored = lookup.stored.as_ref()?;
                if way.wanted.bypass.rejected() == Some(&sha256) && way.wanted.bypass.rejects(&stored.head()) {
                    self.note_again(&way.wanted.bypass);
                }
                self.adopted(way, stored, true).map(Ok)
            }
            LeaderOutcome::Once { text, token } => {
                let head = Head::once(Bytes::copy_from_slice(text.as_bytes()), token.0..token.1);
                Some(Ok(FlightOutcome { head, level: Level::Shared, exact: true, generation: self.next() }))
            }
            LeaderOutcome::Refused(said) => (self.wire.read)(said, self.clock.moment()).map(Err),
        }
    }

    /// Makes the call under the lease, stores what it brings, and tells the followers.
    async fn lead(
        &self,
        fleet: &Arc<Fleet>,
        way: &Way<'_>,
        lease: &Lease,
        lookup: &Lookup,
        work: impl Future<Output = Result<Loaded, E>>,
    ) -> Result<FlightOutcome, E> {
        let outcome = fleet.holding(std::slice::from_ref(lease), work).await;
        let loaded = match outcome {
            Ok(loaded) => loaded,
            Err(error) => {
                // What only this replica suffers from is told to nobody: one of those who wait tries for itself.
                let said = (self.wire.write)(&error, self.clock.moment());
                let told = said.and_then(|said| postcard::to_stdvec(&LeaderOutcome::Refused(&said)).ok());
                Box::pin(fleet.release(lease, told.as_deref())).await;
                return Err(error);
            }
        };
        let flown = self.brought(&way.wanted, &loaded);
        let Some(stored) = written(flown.head.clone(), &way.wanted, &loaded, lookup.epoch) else {
            let range = flown.head.range();
            let told = LeaderOutcome::Once {
                text: std::str::from_utf8(&flown.head.text).unwrap_or_default(),
                token: (range.start, range.end),
            };
            Box::pin(fleet.release(lease, postcard::to_stdvec(&told).ok().as_deref())).await;
            return Ok(flown);
        };
        Box::pin(self.place(fleet, way, Some(lease), lookup, stored, &flown)).await;
        Ok(flown)
    }

    /// Makes the call without a lease, because the store cannot give one, and stores what it brings if it can.
    async fn alone(
        &self,
        fleet: &Arc<Fleet>,
        way: &Way<'_>,
        lookup: &Lookup,
        work: impl Future<Output = Result<Loaded, E>>,
    ) -> Result<FlightOutcome, E> {
        fleet.metrics.alone.inc();
        fleet.pace.turn().await;
        let loaded = work.await?;
        let flown = self.brought(&way.wanted, &loaded);
        if let Some(stored) = written(flown.head.clone(), &way.wanted, &loaded, lookup.epoch) {
            Box::pin(self.place(fleet, way, None, lookup, stored, &flown)).await;
        }
        Ok(flown)
    }

    /// What memory knows of what stands in the store, where that cannot be asked.
    fn lookup_of_memory(&self, wanted: &Wanted) -> Lookup {
        let identical = |stored: &Stored| {
            let same = stored.facts.variant == wanted.variant && stored.facts.asked == wanted.asked;
            same.then(|| (Some(stored.facts.shared).filter(|shared| *shared > 0), stored.facts.epoch))
        };
        let (base, epoch) = self.memory.find_map(&wanted.partition, identical).unwrap_or_default();
        Lookup { base, epoch: epoch.max(self.known_epoch(wanted)), ..Lookup::default() }
    }

    fn known_epoch(&self, wanted: &Wanted) -> Epoch {
        self.fleet.as_ref().filter(|_| wanted.owned).and_then(|fleet| fleet.recent.epoch(&wanted.partition))
    }

    /// A token in the shared store that may be used, where nobody shall be asked for another one.
    pub async fn glance(&self, query: &Query<'_>) -> Option<Head> {
        let fleet = self.fleet.as_ref()?;
        self.look_first(fleet, &query.wanted()).await.ok().map(|flown| flown.head)
    }

    /// Stores what a redemption brought, which goes before whatever stood there, without a look and without a flight.
    pub async fn store(&self, query: &Query<'_>, loaded: &Loaded) -> Head {
        let (wanted, since) = (query.wanted(), self.since(query.partition, query.owned));
        let Some(fleet) = &self.fleet else { return self.keep(&wanted, loaded, &since, None).head };
        let flown = self.brought(&wanted, loaded);
        let lookup = fleet.exact(&wanted.partition, &wanted.variant, &wanted.asked, wanted.owned).await;
        let lookup = lookup.unwrap_or_else(|_| Lookup { epoch: self.known_epoch(&wanted), ..Lookup::default() });
        if let Some(stored) = written(flown.head.clone(), &wanted, loaded, lookup.epoch) {
            // The tokens of an earlier sign-in are as good as before.
            let way = Way::new(fleet, wanted, since, Kind::Awaited, lookup.base, false);
            self.place(fleet, &way, None, &lookup, stored, &flown).await;
        }
        flown.head
    }
}
