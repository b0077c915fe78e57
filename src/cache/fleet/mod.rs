//! The store that replicas share, as the cache sees it: what things are called there, how their bytes are sealed, by which clock
//! they end, what replicas tell each other, and when memory has to be asked about again.
//!
//! It knows nothing of leases, of accounts, or of what to do when the store has lost something.

mod checks;
mod clocks;
mod ends;
mod holds;
mod messages;
mod pulse;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub(super) use checks::Checks;
pub(super) use clocks::Dated;
pub(super) use messages::{Heard, News};

use clocks::Clocks;

use super::metrics::Metrics;
use super::pacing::Jitter;
use crate::clock::{Clock, Moment};
use crate::store::{Names, Opened, Ring, Shared, Sought, State, Unreadable, Versions, read_token, write_token};
use crate::token::{CachedToken, Partition};

/// How many tokens the index of a partition lists; memory has no room for more either.
pub(super) const MOST_LISTED: usize = 256;
/// How often something is taken out of the store again that must not stand there.
const ATTEMPTS: usize = 3;

/// The level that replicas share.
#[derive(Debug)]
pub struct Fleet {
    store: Arc<Shared>,
    ring: Ring,
    /// What is written is called so.
    names: Names,
    /// Where the other versions that this release knows have other names, the newest first: read besides, and signed out as well.
    others: Vec<Names>,
    /// All of them, the oldest first.
    by_age: Vec<Names>,
    version: u8,
    versions: Versions,
    metrics: Metrics,
    clocks: Clocks,
    checks: Checks,
    jitter: Jitter,
    /// Tells this replica's messages from those of others.
    sender: [u8; 16],
    longest: Duration,
    clock: Clock,
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
    pub(super) fn store(&self) -> &Arc<Shared> {
        &self.store
    }

    /// What is counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// When memory has to be asked about again.
    pub(super) fn checks(&self) -> &Checks {
        &self.checks
    }

    /// A pause that is spread, so that replicas do not all come back at once: around this long, by less than its half.
    pub(super) fn spread(&self, pause: Duration) -> Duration {
        pause.mul_f64(0.5 + (self.jitter)())
    }

    /// A number from 0 to 1.
    pub(super) fn jitter(&self) -> f64 {
        (self.jitter)()
    }

    /// How long a call to the authority may take, its repetition included.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// Wall time, in seconds.
    pub(super) fn now(&self) -> i64 {
        self.clock.unix()
    }

    /// The monotonic clock.
    pub(super) fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// What things are called that are written.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// What they are called in the other versions that this release knows, the newest first.
    pub(super) fn other_names(&self) -> &[Names] {
        &self.others
    }

    /// What things are called, in every version that is known, as it is written first.
    pub(super) fn all_names(&self) -> impl Iterator<Item = &Names> {
        std::iter::once(&self.names).chain(&self.others)
    }

    /// What things are called, in every version that is known, the oldest first: in one order in every replica.
    pub(super) fn names_by_age(&self) -> &[Names] {
        &self.by_age
    }

    /// Seals what is to stand under a name.
    pub(super) fn seal(&self, name: &str, generation: u64, payload: &[u8]) -> Option<Vec<u8>> {
        self.ring.seal(name, generation, self.version, payload)
    }

    /// Seals a token for its place, with the clock by which it ends.
    pub(super) fn seal_token(&self, name: &str, partition: &Partition, stored: &CachedToken) -> Option<Vec<u8>> {
        let payload = write_token(partition, stored, self.clocks.ours())?;
        self.seal(name, stored.facts.shared, &payload)
    }

    /// To be called with what the store says before it is opened: replicas may have a newer key ring.
    pub(super) async fn meet<'a>(&self, values: impl IntoIterator<Item = &'a Bytes>) {
        self.ring.meet(values.into_iter().map(|value| &**value)).await;
    }

    /// As [`Fleet::meet`], for what begins with something else than a seal.
    pub(super) async fn meet_sealed(&self, sealed: Option<&[u8]>) {
        self.ring.meet(sealed).await;
    }

    /// Opens what stands under a name. What cannot be read is counted by the ring.
    pub(super) fn open(&self, name: &str, value: &[u8]) -> Option<Bytes> {
        self.ring.open(name, value, self.versions).ok().map(|opened| opened.payload)
    }

    /// Opens a token, if it is one that is sought.
    pub(super) fn open_token(&self, name: &str, value: &[u8], sought: &Sought<'_>) -> Option<(CachedToken, Dated)> {
        // Whatever cannot be read is counted by the ring, and is no token.
        let opened = self.ring.open(name, value, self.versions).ok()?;
        let (stored, clock) = read_token(&opened.payload, opened.generation, sought)?;
        // Whatever clock it was stored by, it has no longer to live than a new one.
        let length = stored.expires_on.saturating_sub(stored.received_on);
        let dated = Dated { clock, ends: stored.expires_on };
        Some((stored.ending_by(self.now().saturating_add(length)), dated))
    }

    /// What may be read of a value that is needed: `Err` if another release or another ring wrote it.
    pub(super) fn open_needed(&self, name: &str, value: &[u8]) -> Result<Option<Opened>, Unreadable> {
        match self.ring.open(name, value, self.versions) {
            Ok(opened) => Ok(Some(opened)),
            Err(Unreadable::Garbage) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Takes something out of the store again, if it is still this one.
    pub(super) async fn withdraw(&self, name: &str, generation: u64) {
        for _ in 0..ATTEMPTS {
            if self.store.withdraw(name, generation).await.is_ok() {
                return;
            }
        }
    }
}
