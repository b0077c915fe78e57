//! The end of a flight through the shared store: what was loaded is stored there for all, in memory, and the other replicas are told.

use std::time::Duration;

use super::{ATTEMPTS, LeaderOutcome, Way};
use crate::cache::fleet::{Fleet, Lookup, MOST_LISTED, epoch_bytes};
use crate::cache::lease::Lease;
use crate::cache::{Cache, FlightOutcome, Partition};
use crate::store::{self, Index, Place, Placed, Put, Ring, Sought, Trouble, write_token};
use crate::token::Stored;

// === impl Cache ===

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Stores a token for all, and tells the other replicas if theirs is not to be used any more.
    pub(super) async fn place(
        &self,
        fleet: &Fleet,
        way: &Way<'_>,
        lease: Option<&Lease>,
        lookup: &Lookup,
        stored: Stored,
        flown: &FlightOutcome,
    ) {
        // A forced store that meets another one comes again: the followers are told when it is done.
        let (in_one_step, afterwards) = if way.wanted.bypass.is_forced() { (None, lease) } else { (lease, None) };
        let rejected = way.wanted.bypass.rejected().filter(|_| way.wanted.bypass.rejects(&stored.head()));
        let kept = rejected.map_or(LeaderOutcome::Kept, |sha256| LeaderOutcome::Again { sha256: *sha256 });
        let placed = self.placed(fleet, way, in_one_step, lookup.base, stored, flown).await;
        if let Some(lease) = afterwards {
            let told = placed.and_then(|_| postcard::to_stdvec(&kept).ok());
            fleet.release(lease, told.as_deref()).await;
        }
        if let Some(generation) = placed.filter(|_| way.tells) {
            fleet.tell_replaced(&way.wanted.partition, &way.wanted.variant, generation).await;
        }
    }

    /// Stores a token, and keeps in memory what stands then. Returns its generation if it is this one.
    async fn placed(
        &self,
        fleet: &Fleet,
        way: &Way<'_>,
        lease: Option<&Lease>,
        mut base: Option<u64>,
        mut stored: Stored,
        flown: &FlightOutcome,
    ) -> Option<u64> {
        let wanted = &way.wanted;
        for _ in 0..ATTEMPTS {
            // Of a sign-out of which nothing stands there the store knows nothing, nor of one that it has lost: this process was told.
            if self.is_signed_out(&wanted.partition, stored.facts.epoch, &way.since) {
                self.signed_out(fleet, way);
                if let Some(lease) = lease {
                    fleet.release(lease, None).await;
                }
                return None;
            }
            let generation = Fleet::next_generation(base);
            stored.facts.shared = generation;
            match self.put(fleet, way, lease, base, &stored).await {
                // It was told while this was on its way.
                Ok(Placed::Stored) if self.is_signed_out(&wanted.partition, stored.facts.epoch, &way.since) => {
                    self.signed_out(fleet, way);
                    fleet.withdraw(&way.token, generation).await;
                    return None;
                }
                Ok(Placed::Stored) => {
                    self.remember(&wanted.partition, stored, flown.generation, &way.since);
                    return Some(generation);
                }
                Ok(Placed::Stale(theirs)) if wanted.bypass.is_forced() => base = Ring::generation(&theirs),
                Ok(Placed::Stale(theirs)) => {
                    // Somebody was faster, or a token was asked for that this one must not replace.
                    let sought = Sought { partition: &wanted.partition, variant: &wanted.variant, asked: Some(&wanted.asked) };
                    fleet.meet([&theirs]).await;
                    match fleet.open(&way.token, &theirs, &sought) {
                        Some((theirs, _)) => self.remember(&wanted.partition, theirs, 0, &way.since),
                        None => self.remember(&wanted.partition, stored, flown.generation, &way.since),
                    }
                    return None;
                }
                Ok(Placed::SignedOut) => {
                    self.signed_out(fleet, way);
                    // The store was perhaps not asked.
                    if let Some(lease) = lease {
                        fleet.release(lease, None).await;
                    }
                    return None;
                }
                Ok(Placed::Lost) | Err(_) => {
                    if let Some(lease) = lease {
                        fleet.not_given_back(lease);
                    }
                    break;
                }
            }
        }
        stored.facts.shared = base.unwrap_or(0);
        fleet.queue.token(wanted.partition, &stored);
        self.remember(&wanted.partition, stored, flown.generation, &way.since);
        None
    }

    /// Keeps nothing of an account that was signed out while a call for it was under way.
    fn signed_out(&self, fleet: &Fleet, way: &Way<'_>) {
        fleet.metrics.signed_out.inc();
        self.memory.remove(&way.wanted.partition);
    }

    async fn put(
        &self,
        fleet: &Fleet,
        way: &Way<'_>,
        lease: Option<&Lease>,
        base: Option<u64>,
        stored: &Stored,
    ) -> Result<Placed, Trouble> {
        let told = postcard::to_stdvec(&LeaderOutcome::Kept).unwrap_or_default();
        let value = lease.map(|lease| fleet.told(lease, &told));
        let lease = lease.map(|lease| store::Lease {
            key: &lease.name,
            owner: &lease.owner,
            outcome: value.as_deref().map(|value| Fleet::note(lease, value)),
        });
        fleet.put_token(&way.place, &way.wanted.partition, way.wanted.owned, base, stored, lease).await
    }
}

// === impl Fleet ===

impl Fleet {
    /// Puts a token into the store, in its place and into the index.
    pub(in crate::cache) async fn put_token(
        &self,
        place: &Place<'_>,
        partition: &Partition,
        owned: bool,
        base: Option<u64>,
        stored: &Stored,
        lease: Option<store::Lease<'_>>,
    ) -> Result<Placed, Trouble> {
        let facts = &stored.facts;
        let now = self.now();
        let entry = self.names.entry(&facts.variant, &facts.asked);
        let (key, index, epoch) = (place.token(&entry), place.index(), place.epoch());
        let payload = write_token(partition, stored, self.clocks.ours()).ok_or(Trouble::Failed)?;
        let value = self.ring.seal(&key, facts.shared, self.version, &payload).ok_or(Trouble::Failed)?;
        let left = u64::try_from(stored.expires_on.saturating_sub(now)).unwrap_or(0).max(1);
        let member = self.names.member(&entry, &facts.variant, &facts.granted);
        let named = epoch_bytes(facts.epoch);
        let put = Put {
            key: &key,
            value: &value,
            ttl: Duration::from_secs(left),
            base,
            epoch: owned.then(|| store::Epoch { key: &epoch, named: &named }),
            index: Some(Index { key: &index, member: &member, expires_on: stored.expires_on, now, most: MOST_LISTED }),
            lease,
            grant: false,
        };
        let placed = if owned { self.put_named(partition, facts.epoch, &put).await? } else { self.store.put(&put).await? };
        if placed == Placed::Stored {
            for names in &self.others {
                // What another version has stands no more. Where that cannot be taken away it is as good as it was.
                let replaced = names.place(partition).token(&names.entry(&facts.variant, &facts.asked));
                let _as_good = self.store.clear(&[&replaced]).await;
            }
        }
        Ok(placed)
    }

    /// Takes a token out of the store again, if it is still this one.
    pub(in crate::cache) async fn withdraw(&self, token: &str, generation: u64) {
        for _ in 0..ATTEMPTS {
            if self.store.withdraw(token, generation).await.is_ok() {
                return;
            }
        }
    }
}
