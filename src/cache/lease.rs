//! Leases: one replica at a time asks the authority for the same thing, and those who wait see whether it is still there.
//!
//! A lease says whose it is, how often it was renewed, and the generation of what is being sent under it. It lives in Redis for a
//! day, so that neither an eviction by time nor Redis' clock decides when it has lapsed. A process that waits decides it by its own
//! monotonic clock: when it has seen one value for three seconds, it takes the lease by compare-and-set. A process keeps what it
//! saw: the next one who waits in it goes on from there.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::fleet::Fleet;
use crate::store::{self, Claim, Claimed, Holder, Names, Note, StoreError};
use crate::token::{FlightKey, Partition};

/// How long a lease holds without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(3);
/// How often its leader renews it.
const RENEWED: Duration = Duration::from_secs(1);
/// How long it stands in the store if nobody takes it nor gives it back.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long an outcome waits for followers, who come back at least four times a second.
const OUTCOME: Duration = Duration::from_secs(5);
/// How many leases of others, and how many of one's own that could not be given back, are known. One that is pushed out is waited
/// for anew.
const CAPACITY: usize = 1024;

/// A lease that this process holds or asks for; clones share its state.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    name: String,
    outcome: String,
    owner: [u8; 16],
    state: Arc<Mutex<LeaseState>>,
}

#[derive(Debug)]
struct LeaseState {
    holder: Holder,
    /// Somebody else has it, or it is gone: the same work never takes it back.
    lost: bool,
}

/// The leases of a fleet, as this process sees them.
#[derive(Debug)]
pub(super) struct Leases {
    fleet: Arc<Fleet>,
    watched: WatchedLeases,
    /// The refresh leases that this process holds.
    held: Arc<Mutex<HashMap<Partition, Vec<Lease>>>>,
}

/// What is known of the leases that others hold.
struct WatchedLeases {
    seen: Cache<String, SeenLease>,
    /// Owners whose work in this process has ended without the lease being given back.
    ended: Cache<[u8; 16], ()>,
}

/// What is asked in one step with a claim.
pub(super) struct Claiming<'a> {
    /// Keys to read.
    pub(super) reads: &'a [&'a str],
    /// Who may be dispossessed.
    pub(super) lapsed: Option<Holder>,
    /// The leaders whose outcome would do.
    pub(super) followed: &'a [[u8; 16]],
    /// Whether the store is waited for longer.
    pub(super) patient: bool,
}

/// A refresh lease is held until this is dropped.
pub(super) struct Holding {
    held: Arc<Mutex<HashMap<Partition, Vec<Lease>>>>,
    partition: Partition,
}

#[derive(Clone, Copy)]
struct SeenLease {
    holder: Holder,
    /// Since when it stands like that.
    since: Instant,
    /// Since when it says that the same is being sent.
    sending_since: Instant,
}

/// When a lease that says what is being sent may be taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentUnderLease {
    /// What was sent is settled: something else stands in its place.
    pub(super) settled: bool,
    /// After this long the sending must have come to an end.
    pub(super) longest: Duration,
}

// === impl Lease ===

impl Lease {
    /// The key that it stands under.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How it is given back in one step with what was stored under it; `outcome`: see [`Leases::outcome`].
    pub(super) fn given_back<'a>(&'a self, outcome: &'a [u8]) -> store::ReturnedLease<'a> {
        store::ReturnedLease { key: &self.name, owner: &self.owner, outcome: Some(self.note(outcome)) }
    }

    /// How an outcome stands in the store.
    fn note<'a>(&'a self, outcome: &'a [u8]) -> Note<'a> {
        Note { key: &self.outcome, value: outcome, ttl: OUTCOME }
    }

    /// What it looks like when it is renewed once more.
    fn renewal(&self) -> Option<Holder> {
        let mut state = self.state();
        state.holder.renewed += 1;
        (!state.lost).then_some(state.holder)
    }

    /// What it looks like with what is about to be sent under it.
    fn mark(&self, generation: u64) -> Option<Holder> {
        self.state().holder.sending = generation;
        self.renewal()
    }

    fn lose(&self) {
        self.state().lost = true;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, LeaseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Leases ===

impl Leases {
    pub(super) fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet, watched: WatchedLeases::default(), held: Arc::default() }
    }

    /// Asks for a lease, and reads in the same step.
    pub(super) async fn claim(&self, lease: &Lease, claiming: Claiming<'_>) -> Result<Claimed, StoreError> {
        let Claiming { reads, lapsed, followed, patient } = claiming;
        let claim = Claim { lease: &lease.name, outcome: &lease.outcome, reads, owner: &lease.owner, lapsed, ttl: KEPT, followed };
        if patient { self.fleet.store().patient().claim(&claim).await } else { self.fleet.store().claim(&claim).await }
    }

    /// Notes what stands there. Returns it if it has lapsed, so that the next claim may name it.
    pub(super) fn lapsed(&self, lease: &Lease, holder: Holder, sent: SentUnderLease) -> Option<Holder> {
        self.watched.lapsed_at(&lease.name, holder, sent, Instant::now()).then_some(holder)
    }

    /// Notes that this process holds the refresh lease of an account.
    pub(super) fn hold(&self, partition: Partition, leases: &[Lease]) -> Holding {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, leases.to_vec());
        Holding { held: Arc::clone(&self.held), partition }
    }

    /// The generation that was being sent under a lease when it was seen last, if that may be under way still.
    pub(super) fn sends(&self, lease: &Lease, longest: Duration) -> Option<u64> {
        self.watched.sends(&lease.name, longest)
    }

    /// Writes into a lease that this generation is about to be sent under it. Returns whether it is ours still.
    pub(super) async fn mark(&self, lease: &Lease, generation: u64) -> Result<bool, StoreError> {
        let Some(holder) = lease.mark(generation) else { return Ok(false) };
        let is_ours = self.fleet.store().patient().extend(&lease.name, &holder, KEPT, false).await?;
        if !is_ours {
            lease.lose();
        }
        Ok(is_ours)
    }

    /// What its leader left for followers, if that is still there.
    pub(super) async fn left_outcome(&self, lease: &Lease) -> Option<Bytes> {
        let values = self.fleet.store().read(&[&lease.outcome]).await.ok()?;
        self.heard(lease, values.first()?.as_ref()?)
    }

    /// To be called with an outcome before it is heard: see [`Fleet::meet`].
    pub(super) async fn meet_outcome(&self, value: &[u8]) {
        self.fleet.meet_sealed(value.get(16..)).await;
    }

    /// What an outcome tells.
    pub(super) fn heard(&self, lease: &Lease, value: &[u8]) -> Option<Bytes> {
        self.fleet.open(&lease.outcome, value.get(16..)?)
    }

    /// Says anew what this process is sending of an account. It is done before a sign-in that the store has lost stands there
    /// again, so that nobody finds the sign-in without it.
    pub(super) async fn mark_anew(&self, partition: &Partition) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(partition).cloned().unwrap_or_default();
        for lease in &held {
            if let Some(holder) = lease.renewal().filter(|holder| holder.sending != 0) {
                self.renew(lease, &holder).await;
            }
        }
    }

    /// Names the lease of a flight.
    pub(super) fn of_flight(&self, partition: &Partition, flight: &FlightKey) -> Lease {
        Self::named(self.fleet.names(), partition, flight)
    }

    /// Names it under the names of one version.
    pub(super) fn named(names: &Names, partition: &Partition, flight: &FlightKey) -> Lease {
        let (place, owner) = (names.place(partition), rand::random());
        let state = Arc::new(Mutex::new(LeaseState { holder: Holder::new(owner), lost: false }));
        Lease { name: place.lease(flight), outcome: place.outcome(flight), owner, state }
    }

    /// Does some work while its leases are renewed, each second for as long as it lasts: it is bounded by itself, and if the
    /// process ends they lapse.
    pub(super) async fn holding<T>(&self, leases: &[Lease], work: impl Future<Output = T>) -> T {
        let renewals = async {
            loop {
                tokio::time::sleep(RENEWED).await;
                for lease in leases {
                    if let Some(holder) = lease.renewal() {
                        self.renew(lease, &holder).await;
                    }
                }
            }
        };
        tokio::select! {
            outcome = work => outcome,
            never = renewals => never,
        }
    }

    async fn renew(&self, lease: &Lease, holder: &Holder) {
        // A lease under which something is being sent keeps the others from sending it: it is written anew where the store has lost
        // it. Trouble may pass. If somebody else has the lease, the work goes on: what it brings is compared, and nothing is sent
        // any more.
        if self.fleet.store().extend(&lease.name, holder, KEPT, holder.sending != 0).await == Ok(false) {
            lease.lose();
        }
    }

    /// The value of an outcome: its leader, and what followers are told.
    pub(super) fn outcome(&self, lease: &Lease, payload: &[u8]) -> Vec<u8> {
        let sealed = self.fleet.seal(&lease.outcome, 0, payload).unwrap_or_default();
        let mut value = lease.owner.to_vec();
        value.extend_from_slice(&sealed);
        value
    }

    /// Gives a lease back without an answer, or with one for the followers.
    pub(super) async fn release(&self, lease: &Lease, told: Option<&[u8]>) {
        let value = told.map(|payload| self.outcome(lease, payload));
        let note = value.as_deref().map(|value| lease.note(value));
        // In any case: a call of its own that was overtaken may write it once more.
        self.not_given_back(lease);
        // If it cannot be given back it lapses.
        let _lapses = self.fleet.store().release(&lease.name, &lease.owner, note).await;
    }

    /// The work has ended and the lease may stand: others wait until it has lapsed, and nobody in this process does.
    pub(super) fn not_given_back(&self, lease: &Lease) {
        self.watched.ended.insert(lease.owner, ());
    }
}

// === impl WatchedLeases ===

impl WatchedLeases {
    /// The generation that was being sent under a lease when it was seen last, if that may be under way still.
    pub(super) fn sends(&self, name: &str, longest: Duration) -> Option<u64> {
        let seen = self.seen.get(name).filter(|seen| seen.holder.sending != 0)?;
        (self.ended.get(&seen.holder.owner).is_none() && seen.sending_since.elapsed() < longest).then_some(seen.holder.sending)
    }

    fn lapsed_at(&self, name: &str, holder: Holder, sent: SentUnderLease, now: Instant) -> bool {
        if self.ended.get(&holder.owner).is_some() {
            return true;
        }
        let known = self.seen.get(name).filter(|seen| seen.holder.owner == holder.owner);
        let seen = match known {
            Some(seen) if seen.holder == holder => seen,
            known => {
                let same = known.filter(|seen| seen.holder.sending == holder.sending);
                let seen = SeenLease { holder, since: now, sending_since: same.map_or(now, |seen| seen.sending_since) };
                self.seen.insert(name.to_owned(), seen);
                seen
            }
        };
        // Who is there to renew it is there to send, or to store what came back.
        let renewed_no_more = now.duration_since(seen.since) >= LEASE;
        let sends_nothing = holder.sending == 0 || sent.settled || now.duration_since(seen.sending_since) >= sent.longest;
        renewed_no_more && sends_nothing
    }
}

impl Default for WatchedLeases {
    fn default() -> Self {
        Self { seen: Cache::new(CAPACITY), ended: Cache::new(CAPACITY) }
    }
}

impl fmt::Debug for WatchedLeases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedLeases").field("seen", &self.seen.len()).finish_non_exhaustive()
    }
}

// === impl Holding ===

impl Drop for Holding {
    fn drop(&mut self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.partition);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{LEASE, SentUnderLease, WatchedLeases};
    use crate::store::Holder;

    const SENT: SentUnderLease = SentUnderLease { settled: false, longest: Duration::from_secs(16) };
    const FIRST: Holder = Holder { owner: [1; 16], renewed: 0, sending: 0 };

    /// Looks at a lease at moments after the first one, in milliseconds, and says each time whether it has lapsed.
    fn looks(looks: &[(u64, Holder, SentUnderLease)]) -> Vec<bool> {
        let (leases, start) = (WatchedLeases::default(), Instant::now());
        looks.iter().map(|(at, holder, sent)| leases.lapsed_at("l", *holder, *sent, start + Duration::from_millis(*at))).collect()
    }

    #[test]
    fn a_lease_has_lapsed_when_it_was_seen_unchanged_for_three_seconds() {
        assert_eq!(LEASE, Duration::from_secs(3));
        let renewed = Holder { renewed: 1, ..FIRST };
        let other = Holder { owner: [2; 16], ..FIRST };
        assert_eq!(looks(&[(0, FIRST, SENT), (2999, FIRST, SENT), (3000, FIRST, SENT)]), [false, false, true]);
        assert_eq!(
            looks(&[(0, FIRST, SENT), (2900, renewed, SENT), (5800, renewed, SENT), (5900, renewed, SENT)]),
            [false, false, false, true]
        );
        assert_eq!(
            looks(&[(0, FIRST, SENT), (9000, other, SENT), (9100, FIRST, SENT), (12_100, FIRST, SENT)]),
            [false, false, false, true]
        );
    }

    #[test]
    fn one_that_sends_is_waited_for_until_that_has_come_to_an_end() {
        let sends = Holder { sending: 7, ..FIRST };
        let settled = SentUnderLease { settled: true, ..SENT };
        assert_eq!(looks(&[(0, sends, SENT), (15_999, sends, SENT), (16_000, sends, SENT)]), [false, false, true]);
        // What was sent before says nothing of what is sent now, and a renewal shows that somebody is there.
        let then = Holder { sending: 8, renewed: 1, ..FIRST };
        let renewed = Holder { renewed: 2, ..then };
        assert_eq!(
            looks(&[
                (0, sends, SENT),
                (9000, then, SENT),
                (24_999, renewed, SENT),
                (25_001, renewed, SENT),
                (28_000, renewed, SENT)
            ]),
            [false, false, false, false, true]
        );
        // It was stored: there is nothing to wait for but its holder.
        assert_eq!(looks(&[(0, sends, settled), (2999, sends, settled), (3000, sends, settled)]), [false, false, true]);
    }

    #[test]
    fn ones_own_that_could_not_be_given_back_is_not_waited_for() {
        let leases = WatchedLeases::default();
        leases.ended.insert([1; 16], ());
        assert!(leases.lapsed_at("l", Holder { sending: 7, ..FIRST }, SENT, Instant::now()));
        assert!(!leases.lapsed_at("l", Holder { owner: [2; 16], ..FIRST }, SENT, Instant::now()));
    }
}
