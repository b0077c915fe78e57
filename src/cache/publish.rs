//! The end of a flight through the shared store: what was loaded is stored there for all, in memory, and the other replicas are
//! told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::epochs::epoch_bytes;
use super::fleet::MOST_LISTED;
use super::flight::FlightKind;
use super::generation::next_generation;
use super::lease::Lease;
use super::level::SharedLevel;
use super::local::{LocalLevel, written};
use super::lookup::Lookup;
use super::outcome::{FlightOutcome, Loaded};
use super::query::Query;
use super::way::Way;
use crate::store::{self, Index, Placed, Put, Ring, SlotNames, StoreError};
use crate::token::{AnswerHead, CachedToken, Partition, TokenDigest};

/// How often a forced store yields to one that came between.
const ATTEMPTS: usize = 3;

/// What a leader tells its followers.
#[derive(Serialize, Deserialize)]
pub(super) enum LeaderOutcome<'a> {
    /// The token stands where it belongs.
    Kept,
    /// A token that is not kept: it does not say when it ends.
    Once {
        #[serde(borrow)]
        text: &'a str,
        token: (u32, u32),
    },
    /// There is none, and why, as `ErrorCodec` writes it.
    Refused(#[serde(borrow)] &'a [u8]),
    /// The token stands where it belongs, and is the very one that a resource rejected: the authority gave it again.
    Again {
        /// The SHA-256 of the token.
        sha256: TokenDigest,
    },
}

/// Stores what was loaded.
#[derive(Debug)]
pub(super) struct Publisher {
    local: Arc<LocalLevel>,
    shared: Arc<SharedLevel>,
}

/// A token on its way into the store.
pub(super) struct TokenPut<'a> {
    pub(super) place: &'a SlotNames<'a>,
    pub(super) partition: &'a Partition,
    /// Whether it is a user's, who can sign out.
    pub(super) owned: bool,
    /// The generation that it replaces.
    pub(super) base: Option<u64>,
    pub(super) stored: &'a CachedToken,
    /// What is given back in the same step.
    pub(super) lease: Option<store::ReturnedLease<'a>>,
}

// === impl Publisher ===

impl Publisher {
    pub(super) fn new(local: Arc<LocalLevel>, shared: Arc<SharedLevel>) -> Self {
        Self { local, shared }
    }

    /// Stores what a redemption brought, which goes before whatever stood there, without a look and without a flight.
    pub(super) async fn store(&self, query: &Query<'_>, loaded: &Loaded) -> AnswerHead {
        let (wanted, since) = (query.wanted(), self.local.since(&query.key.partition, query.owned));
        let flown = self.local.brought(&wanted, loaded);
        let lookup = self.shared.lookups.exact(&wanted.partition, &wanted.variant, &wanted.asked, wanted.owned).await;
        let lookup = lookup.unwrap_or_else(|_| Lookup::unknown(None, self.shared.known_epoch(&wanted)));
        if let Some(stored) = written(flown.head.clone(), &wanted, loaded, lookup.epoch) {
            // The tokens of an earlier sign-in are as good as before.
            let way = Way::new(&self.shared.fleet, wanted, since, FlightKind::Awaited, lookup.base, false);
            self.publish(&way, None, &lookup, stored, &flown).await;
        }
        flown.head
    }

    /// Stores a token for all, and tells the other replicas if theirs is not to be used any more.
    pub(super) async fn publish(
        &self,
        way: &Way<'_>,
        lease: Option<&Lease>,
        lookup: &Lookup,
        stored: CachedToken,
        flown: &FlightOutcome,
    ) {
        // A forced store that meets another one comes again: the followers are told when it is done.
        let (in_one_step, afterwards) = if way.wanted.bypass.is_forced() { (None, lease) } else { (lease, None) };
        let rejected = way.wanted.bypass.rejected().filter(|_| way.wanted.bypass.rejects(&stored.head()));
        let kept = rejected.map_or(LeaderOutcome::Kept, |sha256| LeaderOutcome::Again { sha256: *sha256 });
        let placed = self.placed(way, in_one_step, lookup.base, stored, flown).await;
        if let Some(lease) = afterwards {
            let told = placed.and_then(|_| postcard::to_stdvec(&kept).ok());
            self.shared.leases.release(lease, told.as_deref()).await;
        }
        if let Some(generation) = placed.filter(|_| way.tells) {
            self.shared.fleet.tell_replaced(&way.wanted.partition, &way.wanted.variant, generation).await;
        }
    }

    /// Stores a token, and keeps in memory what stands then. Returns its generation if it is this one.
    async fn placed(
        &self,
        way: &Way<'_>,
        lease: Option<&Lease>,
        mut base: Option<u64>,
        mut stored: CachedToken,
        flown: &FlightOutcome,
    ) -> Option<u64> {
        let wanted = &way.wanted;
        for _ in 0..ATTEMPTS {
            // The store does not show a sign-out if nothing stood there, or if it has lost it. This process was told of it.
            if self.local.is_signed_out(&wanted.partition, stored.facts.epoch, &way.since) {
                self.give_up(way, lease).await;
                return None;
            }
            let generation = next_generation(base);
            stored.facts.shared = generation;
            match self.put(way, lease, base, &stored).await {
                // It was told while this was on its way.
                Ok(Placed::Stored) if self.local.is_signed_out(&wanted.partition, stored.facts.epoch, &way.since) => {
                    self.signed_out(way);
                    self.shared.fleet.withdraw(&way.token, generation).await;
                    return None;
                }
                Ok(Placed::Stored) => {
                    self.local.remember(&wanted.partition, stored, flown.generation, &way.since);
                    return Some(generation);
                }
                Ok(Placed::Stale(theirs)) if wanted.bypass.is_forced() => base = Ring::generation(&theirs),
                Ok(Placed::Stale(theirs)) => {
                    // Somebody was faster, or a token was asked for that this one must not replace.
                    let (remembered, generation) =
                        self.opened(way, &theirs).await.map_or((stored, flown.generation), |theirs| (theirs, 0));
                    self.local.remember(&wanted.partition, remembered, generation, &way.since);
                    return None;
                }
                Ok(Placed::SignedOut) => {
                    // The store was perhaps not asked, and has the lease still.
                    self.give_up(way, lease).await;
                    return None;
                }
                Ok(Placed::Lost) | Err(_) => {
                    if let Some(lease) = lease {
                        self.shared.leases.not_given_back(lease);
                    }
                    break;
                }
            }
        }
        stored.facts.shared = base.unwrap_or(0);
        self.shared.queue.token(wanted.partition, &stored);
        self.local.remember(&wanted.partition, stored, flown.generation, &way.since);
        None
    }

    /// The token that somebody else stored under the name of this one, if it is known when it ends.
    async fn opened(&self, way: &Way<'_>, theirs: &Bytes) -> Option<CachedToken> {
        self.shared.fleet.meet([theirs]).await;
        let (theirs, dated) = self.shared.fleet.open_token(&way.token, theirs, &way.sought())?;
        self.shared.fleet.timed(&way.token, theirs, dated).await
    }

    /// Keeps nothing of an account that was signed out, and gives the lease back without an answer.
    async fn give_up(&self, way: &Way<'_>, lease: Option<&Lease>) {
        self.signed_out(way);
        if let Some(lease) = lease {
            self.shared.leases.release(lease, None).await;
        }
    }

    /// Keeps nothing of an account that was signed out while a call for it was under way.
    fn signed_out(&self, way: &Way<'_>) {
        self.shared.fleet.metrics().signed_out.inc();
        self.local.memory().remove(&way.wanted.partition);
    }

    async fn put(
        &self,
        way: &Way<'_>,
        lease: Option<&Lease>,
        base: Option<u64>,
        stored: &CachedToken,
    ) -> Result<Placed, StoreError> {
        let told = postcard::to_stdvec(&LeaderOutcome::Kept).unwrap_or_default();
        let outcome = lease.map(|lease| self.shared.leases.outcome(lease, &told));
        let given_back = lease.zip(outcome.as_deref()).map(|(lease, outcome)| lease.given_back(outcome));
        let (place, partition, owned) = (&way.place, &way.wanted.partition, way.wanted.owned);
        put_token(&self.shared, TokenPut { place, partition, owned, base, stored, lease: given_back }).await
    }
}

/// Puts a token into the store, in its place and into the index.
pub(super) async fn put_token(shared: &SharedLevel, token: TokenPut<'_>) -> Result<Placed, StoreError> {
    let TokenPut { place, partition, owned, base, stored, lease } = token;
    let (fleet, facts) = (&shared.fleet, &stored.facts);
    let now = fleet.now();
    let entry = fleet.names().entry(&facts.variant, &facts.asked);
    let (key, index, epoch) = (place.token(&entry), place.index(), place.epoch());
    let value = fleet.seal_token(&key, partition, stored).ok_or(StoreError::Failed)?;
    let left = u64::try_from(stored.expires_on.saturating_sub(now)).unwrap_or(0).max(1);
    let member = fleet.names().member(&entry, &facts.variant, &facts.granted);
    let named = epoch_bytes(facts.epoch);
    let put = Put {
        key: &key,
        value: &value,
        ttl: Duration::from_secs(left),
        base,
        epoch: owned.then_some(store::Epoch { key: &epoch, named: &named }),
        index: Some(Index { key: &index, member: &member, expires_on: stored.expires_on, now, most: MOST_LISTED }),
        lease,
        grant: false,
    };
    let placed = if owned { shared.epochs.put_named(partition, facts.epoch, &put).await? } else { fleet.store().put(&put).await? };
    if placed == Placed::Stored {
        for names in fleet.other_names() {
            // What another version has stands no more. Where that cannot be taken away it is as good as it was.
            let replaced = names.place(partition).token(&names.entry(&facts.variant, &facts.asked));
            let _as_good = fleet.store().clear(&[&replaced]).await;
        }
    }
    Ok(placed)
}
