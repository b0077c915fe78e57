//! Signing out: an account's epoch is raised and all that is kept of it is gone, in one step per partition, and told to everybody.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;

use super::fleet::{Fleet, MOST_LISTED, epoch_bytes};
use super::sign_ins::Unavailable;
use super::{Cache, Partition};
use crate::store::Note;

/// How long an epoch outlives the sign-out: longer than any token that may have escaped it.
const EPOCH: Duration = Duration::from_secs(30 * 24 * 3600);

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Signs an account out: its epoch is raised and every token of it is gone, here at once and elsewhere within a second. Returns
    /// whether there was anything.
    ///
    /// # Errors
    /// The shared store cannot be asked, or what stands there is another release's: memory is purged, and the rest is not.
    pub async fn sign_out(&self, space: &[u8; 32], partition: &Partition) -> Result<bool, Unavailable> {
        let mut found = self.forget(partition);
        for elsewhere in self.links.take(partition) {
            found |= self.forget(&elsewhere);
        }
        let Some(fleet) = &self.fleet else { return Ok(found) };
        // Only to learn whether it may be deleted.
        let (signed, _) = self.read_signed(fleet, space, partition).await?;
        found |= signed.is_some();
        // The home is the last one: it knows the others, should this end half way and be tried again.
        let known = fleet.elsewhere_first(partition).await?;
        for partition in &known {
            found |= self.remove(fleet, partition).await?;
        }
        // A guest's first token may have come meanwhile.
        for partition in fleet.elsewhere_first(partition).await?.iter().filter(|partition| !known.contains(partition)) {
            found |= self.remove(fleet, partition).await?;
        }
        let (shard, tag) = fleet.names.listed(space, partition);
        let _listed_as_gone = fleet.store.leave(&shard, &[Bytes::from(tag)]).await;
        Ok(found)
    }

    async fn remove(&self, fleet: &Fleet, partition: &Partition) -> Result<bool, Unavailable> {
        self.forget(partition);
        let found = fleet.remove(partition).await?;
        // A look that was under way may have put it back before the epoch was raised.
        self.forget(partition);
        fleet.tell_signed_out(partition).await;
        Ok(found)
    }
}

// === impl Fleet ===

impl Fleet {
    async fn remove(&self, partition: &Partition) -> Result<bool, Unavailable> {
        let unreachable = |_| Unavailable::Unreachable;
        let place = self.names.place(partition);
        let members = self.store.members(&place.index(), MOST_LISTED).await.map_err(unreachable)?;
        let mut names: Vec<String> = place.tokens(&members).collect();
        // Where else the account has tokens stays known: one of them may be on its way.
        names.extend([place.index(), place.sign_in()]);
        let raised = epoch_bytes(Some(rand::random::<NonZeroU64>()));
        let epoch = place.epoch();
        let note = Note { key: &epoch, value: &raised, ttl: EPOCH };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(self.store.remove(note, &names).await.map_err(unreachable)? > 0)
    }
}
