//! The fleet itself: the store, what names and seals there, and what is kept about it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::checks::Checks;
use super::clocks::{Clocks, Dated};
use crate::cache::metrics::Metrics;
use crate::cache::pacing::Jitter;
use crate::clock::{Clock, Moment};
use crate::store::{HandleKeys, Names, Opened, Ring, Shared, Sought, State, Unreadable, Versions, read_token, write_token};
use crate::token::{CachedToken, Partition};

/// How many tokens the index of a partition lists; memory has no room for more either.
pub(in crate::cache) const MOST_LISTED: usize = 256;
/// How often something is taken out of the store again that must not stand there.
const ATTEMPTS: usize = 3;

/// The level that replicas share.
#[derive(Debug)]
pub struct Fleet {
    pub(super) store: Arc<Shared>,
    pub(super) ring: Ring,
    /// What is written is called so.
    pub(super) names: Names,
    /// Where the other versions that this release knows have other names, the newest first: read besides, and signed out as well.
    pub(super) others: Vec<Names>,
    /// All of them, the oldest first.
    pub(super) by_age: Vec<Names>,
    pub(super) version: u8,
    pub(super) versions: Versions,
    pub(super) metrics: Metrics,
    pub(super) clocks: Clocks,
    pub(super) checks: Checks,
    pub(super) jitter: Jitter,
    /// Tells this replica's messages from those of others.
    pub(super) sender: [u8; 16],
    pub(super) longest: Duration,
    pub(super) clock: Clock,
}

/// What a fleet is made of.
#[derive(Debug)]
pub struct Parts {
    /// The store.
    pub store: Arc<Shared>,
    /// What seals and names.
    pub ring: Ring,
    /// What all names begin with.
    pub prefix: String,
    /// Which version is written.
    pub version: u8,
    /// Which versions are known.
    pub versions: Versions,
    /// After how long memory asks the store again.
    pub recheck: Duration,
    /// How long a call to the authority may take, its repetition included.
    pub longest: Duration,
    /// What is counted.
    pub metrics: crate::telemetry::Metrics,
    /// Where jitter comes from.
    pub jitter: Jitter,
    /// The time.
    pub clock: Clock,
}

// === impl Fleet ===

impl Fleet {
    /// A fleet over a store; nothing is connected to.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { store, ring, prefix, version, versions, recheck, longest, metrics, jitter, clock } = parts;
        let (names, others, by_age) = Names::of(&prefix, &ring, versions, version);
        Arc::new(Self {
            names,
            others,
            by_age,
            versions,
            metrics: Metrics::new(&metrics),
            clocks: Clocks::new(clock.clone()),
            checks: Checks::new(recheck, clock.clone()),
            sender: rand::random(),
            store,
            ring,
            version,
            jitter,
            longest,
            clock,
        })
    }

    /// The states of its breakers.
    pub fn state(&self) -> State {
        self.store.state()
    }

    /// The store itself: bytes under names.
    pub(in crate::cache) fn store(&self) -> &Arc<Shared> {
        &self.store
    }

    /// What seals and opens the handles of its replicas.
    pub(in crate::cache) fn handle_keys(&self, clock: &Clock) -> HandleKeys {
        HandleKeys::shared(&self.ring, &self.store, self.names.handle_key(), clock)
    }

    /// What is counted.
    pub(in crate::cache) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// When memory has to be asked about again.
    pub(in crate::cache) fn checks(&self) -> &Checks {
        &self.checks
    }

    /// A pause that is spread, so that replicas do not all come back at once: around this long, by less than its half.
    pub(in crate::cache) fn spread(&self, pause: Duration) -> Duration {
        pause.mul_f64(0.5 + (self.jitter)())
    }

    /// A number from 0 to 1.
    pub(in crate::cache) fn jitter(&self) -> f64 {
        (self.jitter)()
    }

    /// How long a call to the authority may take, its repetition included.
    pub(in crate::cache) fn longest(&self) -> Duration {
        self.longest
    }

    /// Wall time, in seconds.
    pub(in crate::cache) fn now(&self) -> i64 {
        self.clock.unix()
    }

    /// The monotonic clock.
    pub(in crate::cache) fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// What things are called that are written.
    pub(in crate::cache) fn names(&self) -> &Names {
        &self.names
    }

    /// What they are called in the other versions that this release knows, the newest first.
    pub(in crate::cache) fn other_names(&self) -> &[Names] {
        &self.others
    }

    /// What things are called, in every version that is known, as it is written first.
    pub(in crate::cache) fn all_names(&self) -> impl Iterator<Item = &Names> {
        std::iter::once(&self.names).chain(&self.others)
    }

    /// What things are called, in every version that is known, the oldest first: in one order in every replica.
    pub(in crate::cache) fn names_by_age(&self) -> &[Names] {
        &self.by_age
    }

    /// Seals what is to stand under a name.
    pub(in crate::cache) fn seal(&self, name: &str, generation: u64, payload: &[u8]) -> Option<Vec<u8>> {
        self.ring.seal(name, generation, self.version, payload)
    }

    /// Seals a token for its place, with the clock by which it ends.
    pub(in crate::cache) fn seal_token(&self, name: &str, partition: &Partition, stored: &CachedToken) -> Option<Vec<u8>> {
        let payload = write_token(partition, stored, self.clocks.ours())?;
        self.seal(name, stored.facts.shared, &payload)
    }

    /// To be called with what the store says before it is opened: replicas may have a newer key ring.
    pub(in crate::cache) async fn meet<'a>(&self, values: impl IntoIterator<Item = &'a Bytes>) {
        self.ring.meet(values.into_iter().map(|value| &**value)).await;
    }

    /// As [`Fleet::meet`], for what begins with something else than a seal.
    pub(in crate::cache) async fn meet_sealed(&self, sealed: Option<&[u8]>) {
        self.ring.meet(sealed).await;
    }

    /// Opens what stands under a name. What cannot be read is counted by the ring.
    pub(in crate::cache) fn open(&self, name: &str, value: &[u8]) -> Option<Bytes> {
        self.ring.open(name, value, self.versions).ok().map(|opened| opened.payload)
    }

    /// Opens a token, if it is one that is sought.
    pub(in crate::cache) fn open_token(&self, name: &str, value: &[u8], sought: &Sought<'_>) -> Option<(CachedToken, Dated)> {
        // Whatever cannot be read is counted by the ring, and is no token.
        let opened = self.ring.open(name, value, self.versions).ok()?;
        let (stored, clock) = read_token(&opened.payload, opened.generation, sought)?;
        // Whatever clock it was stored by, it has no longer to live than a new one.
        let length = stored.expires_on.saturating_sub(stored.received_on);
        let seen = self.clocks.look();
        let dated = Dated { clock, ends: stored.expires_on, now: seen.unix, holds: self.clocks.agrees(&clock, &seen) };
        Some((stored.ending_by(seen.unix.saturating_add(length)), dated))
    }

    /// What may be read of a value that is needed: `Err` if another release or another ring wrote it.
    pub(in crate::cache) fn open_needed(&self, name: &str, value: &[u8]) -> Result<Option<Opened>, Unreadable> {
        match self.ring.open(name, value, self.versions) {
            Ok(opened) => Ok(Some(opened)),
            Err(Unreadable::Garbage) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Takes something out of the store again, if it is still this one.
    pub(in crate::cache) async fn withdraw(&self, name: &str, generation: u64) {
        for _ in 0..ATTEMPTS {
            if self.store.withdraw(name, generation).await.is_ok() {
                return;
            }
        }
    }
}
