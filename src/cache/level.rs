//! The level that replicas share, as one process uses it: the store and what the process keeps beside it, each part with its own
//! face.

use std::sync::Arc;

use super::epochs::Epochs;
use super::fleet::Fleet;
use super::lease::Leases;
use super::lookup::Lookups;
use super::losses::Losses;
use super::pacing::Pacing;
use super::query::OwnedQuery;
use super::queue::Queue;
use super::recent::Recent;
use crate::clock::Clock;
use crate::telemetry::Metrics;
use crate::token::Epoch;

/// The parts of the level that replicas share.
#[derive(Debug)]
pub(super) struct SharedLevel {
    pub(super) fleet: Arc<Fleet>,
    /// What waits to be stored.
    pub(super) queue: Arc<Queue>,
    /// What this process knows of sign-outs and sign-ins, and what of it the store has to be told again.
    pub(super) recent: Arc<Recent>,
    pub(super) losses: Arc<Losses>,
    pub(super) epochs: Arc<Epochs>,
    pub(super) leases: Leases,
    pub(super) lookups: Lookups,
    pub(super) pacing: Pacing,
}

// === impl SharedLevel ===

impl SharedLevel {
    /// What waits to be stored may weigh `queue` bytes.
    pub(super) fn new(fleet: Arc<Fleet>, queue: usize, metrics: &Metrics, clock: &Clock) -> Arc<Self> {
        let (recent, losses) = (Arc::new(Recent::new(clock.clone())), Arc::<Losses>::default());
        let epochs = Arc::new(Epochs::new(Arc::clone(&fleet), Arc::clone(&recent), Arc::clone(&losses)));
        Arc::new(Self {
            queue: Queue::new(queue, metrics),
            leases: Leases::new(Arc::clone(&fleet)),
            lookups: Lookups::new(Arc::clone(&fleet), Arc::clone(&epochs)),
            pacing: Pacing::new(clock.clone()),
            recent,
            losses,
            epochs,
            fleet,
        })
    }

    /// What this process knows of the epoch of the account whose token is wanted.
    pub(super) fn known_epoch(&self, wanted: &OwnedQuery) -> Epoch {
        if wanted.owned { self.recent.epoch(&wanted.partition) } else { None }
    }

    /// Whether something that the store has lost is on its way back there.
    pub(super) fn is_restoring(&self) -> bool {
        self.losses.is_pending() && !self.recent.is_empty()
    }
}
