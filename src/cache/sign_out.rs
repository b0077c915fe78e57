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
    /// Signs an account out: every token of it is gone, here at once and elsewhere within a second. Where anything stands of it its epoch is
    /// raised. Where nothing does nothing is written: every replica with a call under way for it is told, and keeps nothing of that.
    ///
    /// # Errors
    /// The shared store cannot be asked, or what stands there is another release's: memory is purged, and the rest is not.
    pub async fn sign_out(&self, space: &[u8; 32], partition: &Partition) -> Result<(), Unavailable> {
        let known = self.forget_with_links(partition);
        self.sign_out_forgotten(space, partition, known).await
    }

    /// The same when memory has forgotten the account; `known`: it knew of it.
    pub(super) async fn sign_out_forgotten(
        &self,
        space: &[u8; 32],
        partition: &Partition,
        mut known: bool,
    ) -> Result<(), Unavailable> {
        let Some(fleet) = &self.fleet else { return Ok(()) };
        // Also to learn whether it may be deleted.
        let (_, base) = self.read_signed(fleet, space, partition).await?;
        known |= base.generation.is_some() || base.epoch.is_some();
        // The home is the last one: it knows the others, should this end half way and be tried again.
        let places = fleet.elsewhere_first(partition).await?;
        // Where it is known that it has tokens elsewhere, something stands.
        known |= places.len() > 1;
        for place in &places {
            self.remove(fleet, place, known).await?;
        }
        // A guest's first token may have come meanwhile.
        for place in fleet.elsewhere_first(partition).await?.iter().filter(|place| !places.contains(place)) {
            self.remove(fleet, place, true).await?;
        }
        self.unlist_account(fleet, space, partition).await;
        Ok(())
    }

    /// Memory forgets an account, with what it has of it elsewhere. Returns whether there was anything.
    pub(super) fn forget_with_links(&self, partition: &Partition) -> bool {
        let known = self.forget(partition);
        self.links.take(partition).iter().fold(known, |known, elsewhere| self.forget(elsewhere) || known)
    }

    /// `known`: something of it is known to be somewhere.
    async fn remove(&self, fleet: &Fleet, partition: &Partition, known: bool) -> Result<(), Unavailable> {
        let known = self.forget(partition) || known;
        let members = fleet.members(partition).await?;
        let stands = known || !members.is_empty();
        if !stands {
            // Before the store is asked: what is stored until then is found there, and what comes later has been told.
            fleet.tell_signed_out(partition).await;
        }
        if fleet.remove(partition, &members, stands).await? || stands {
            // A look that was under way may have put it back before the epoch was raised.
            self.forget(partition);
            fleet.tell_signed_out(partition).await;
        }
        Ok(())
    }
}

// === impl Fleet ===

impl Fleet {
    async fn members(&self, partition: &Partition) -> Result<Vec<Bytes>, Unavailable> {
        let index = self.names.place(partition).index();
        self.store.members(&index, MOST_LISTED).await.map_err(|_| Unavailable::Unreachable)
    }

    /// Deletes what stands, and raises the epoch if there was anything, or `always`. Returns whether there was.
    async fn remove(&self, partition: &Partition, members: &[Bytes], always: bool) -> Result<bool, Unavailable> {
        let place = self.names.place(partition);
        let mut names: Vec<String> = place.tokens(members).collect();
        // Where else the account has tokens stays known: one of them may be on its way.
        names.extend([place.index(), place.sign_in()]);
        let raised = epoch_bytes(Some(rand::random::<NonZeroU64>()));
        let epoch = place.epoch();
        let note = Note { key: &epoch, value: &raised, ttl: EPOCH };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let removed = self.store.remove(note, &names, always).await;
        removed.map(|existed| existed > 0).map_err(|_| Unavailable::Unreachable)
    }
}
