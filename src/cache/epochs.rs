//! An account's epoch, which counts its sign-outs: the highest that the store says, this process knows, or a record tells. Where
//! the store knows less it has lost something, and gets it back before anything is stored there.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::fleet::Fleet;
use super::losses::Losses;
use super::recent::Recent;
use crate::store::{Note, Placed, Put, Raised, Ring, SlotNames, StoreError};
use crate::token::{Epoch, Partition};

/// How long an epoch outlives the sign-out: longer than any token that may have escaped it.
pub(super) const EPOCH: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is known of epochs in the store and in this process.
#[derive(Debug)]
pub(super) struct Epochs {
    fleet: Arc<Fleet>,
    recent: Arc<Recent>,
    losses: Arc<Losses>,
}

/// The epoch that a value says.
pub(super) fn epoch_of(value: Option<&Option<Bytes>>) -> Epoch {
    let bytes = <[u8; 8]>::try_from(&**value?.as_ref()?).ok()?;
    NonZeroU64::new(u64::from_be_bytes(bytes))
}

/// An epoch as a value.
pub(super) fn epoch_bytes(epoch: Epoch) -> [u8; 8] {
    epoch.map_or(0, NonZeroU64::get).to_be_bytes()
}

// === impl Epochs ===

impl Epochs {
    pub(super) fn new(fleet: Arc<Fleet>, recent: Arc<Recent>, losses: Arc<Losses>) -> Self {
        Self { fleet, recent, losses }
    }

    /// An account's epoch: the highest of what the store said, what this process knows, and what a record beside it says. If the
    /// store knows less, it has lost something, and that is brought back.
    pub(super) fn known_epoch(&self, partition: &Partition, read: Epoch, beside: Epoch) -> Epoch {
        let known = self.recent.epoch(partition).max(beside);
        if let Some(known) = known
            && Some(known) > read
        {
            self.lost(partition, known);
        }
        known.max(read)
    }

    /// The store has lost this epoch.
    pub(super) fn lost(&self, partition: &Partition, epoch: NonZeroU64) {
        self.recent.note(partition, epoch);
        self.losses.one(partition);
    }

    /// Puts a value of an account that it had at this epoch. If the store has lost the epoch, that is raised again first. If this
    /// process knows a later sign-out of the account, nothing is stored, or stays stored.
    pub(super) async fn put_named(&self, partition: &Partition, epoch: Epoch, put: &Put<'_>) -> Result<Placed, StoreError> {
        let is_over = || self.recent.epoch(partition) > epoch;
        if is_over() {
            return Ok(Placed::SignedOut);
        }
        let mut placed = self.fleet.store().put(put).await?;
        if placed == Placed::Lost
            && let Some(epoch) = epoch
        {
            self.recent.note(partition, epoch);
            if self.raise(partition, epoch).await?.is_some() {
                return Ok(Placed::SignedOut);
            }
            placed = self.fleet.store().put(put).await?;
        }
        match placed {
            // It is lost faster than it is raised.
            Placed::Lost => Err(StoreError::Failed),
            Placed::Stored if is_over() => {
                if let Some(generation) = Ring::generation(put.value) {
                    self.fleet.withdraw(put.key, generation).await;
                }
                Ok(Placed::SignedOut)
            }
            placed => Ok(placed),
        }
    }

    /// Raises what is known of an account's epoch.
    pub(super) async fn raise_known(&self, partition: &Partition) -> Result<(), StoreError> {
        match self.recent.epoch(partition) {
            Some(epoch) => self.raise(partition, epoch).await.map(drop),
            None => Ok(()),
        }
    }

    /// Makes an account's epoch at least this one in the store. Returns a higher one that stands there.
    async fn raise(&self, partition: &Partition, epoch: NonZeroU64) -> Result<Epoch, StoreError> {
        let mut highest = None;
        for names in self.fleet.all_names() {
            highest = self.raise_at(&names.place(partition), epoch).await?.max(highest);
        }
        if let Some(higher) = highest {
            self.recent.note(partition, higher);
        }
        Ok(highest)
    }

    /// Makes it so under the names of one version.
    pub(super) async fn raise_at(&self, place: &SlotNames<'_>, epoch: NonZeroU64) -> Result<Epoch, StoreError> {
        let name = place.epoch();
        let note = Note { key: &name, value: &epoch.get().to_be_bytes(), ttl: EPOCH };
        match self.fleet.store().raise(note).await? {
            Raised::Stood => Ok(None),
            Raised::Raised => {
                self.fleet.metrics().restored_epochs.inc();
                Ok(None)
            }
            Raised::Higher(higher) => Ok(epoch_of(Some(&Some(higher)))),
        }
    }
}
