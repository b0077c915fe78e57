//! Signing out: an account's epoch is raised and all that is kept of it is gone, in one step per partition, and told to everybody.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;

use super::fleet::{Fleet, MOST_LISTED, epoch_bytes};
use super::sign_ins::Unavailable;
use super::{Cache, Partition};
use crate::store::{Note, Place};
use crate::token::Epoch;

/// How long an epoch outlives the sign-out: longer than any token that may have escaped it.
const EPOCH: Duration = Duration::from_secs(30 * 24 * 3600);

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Signs an account out: every token of it is gone, here at once and elsewhere within a second. Where anything stands of it its epoch is
    /// raised. Where nothing does nothing is written: every replica with a call under way for it is told, and keeps nothing of that.
    ///
    /// # Errors
    /// The shared store cannot be asked, or what stands there is another release's: memory is purged, and the rest is not.
    pub async fn sign_out(&self, space: &[u8; 32], partition: &Partition) -> Result<(), Unavailable> {
        let mut known = self.forget(partition);
        for elsewhere in self.links.take(partition) {
            known |= self.forget(&elsewhere);
        }
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
        for names in fleet.all_names() {
            let (shard, tag) = names.listed(space, partition);
            let _listed_as_gone = fleet.store.patient().leave(&shard, &[Bytes::from(tag)]).await;
        }
        Ok(())
    }

    /// `known`: something of it is known to be somewhere.
    async fn remove(&self, fleet: &Fleet, partition: &Partition, known: bool) -> Result<(), Unavailable> {
        let known = self.forget(partition) || known;
        let places: Vec<Place<'_>> = fleet.all_names().map(|names| names.place(partition)).collect();
        let mut members = Vec::new();
        for place in &places {
            members.push(fleet.members(place).await?);
        }
        let stands = known || members.iter().any(|members| !members.is_empty());
        if !stands {
            // Before the store is asked: what is stored until then is found there, and what comes later has been told.
            fleet.tell_signed_out(partition).await;
        }
        // The same epoch under the names of each version: it is the account's.
        let (raised, mut existed) = (rand::random::<NonZeroU64>(), stands);
        for (place, members) in places.iter().zip(&members) {
            existed |= fleet.remove(place, members, Some(raised), existed).await?;
        }
        if existed && places.len() > 1 {
            for place in &places {
                fleet.remove(place, &[], Some(raised), true).await?;
            }
        }
        if existed {
            // A look that was under way may have put it back before the epoch was raised.
            self.forget(partition);
            fleet.tell_signed_out(partition).await;
        }
        Ok(())
    }
}

// === impl Fleet ===

impl Fleet {
    async fn members(&self, place: &Place<'_>) -> Result<Vec<Bytes>, Unavailable> {
        self.store.patient().members(&place.index(), MOST_LISTED).await.map_err(|_| Unavailable::Unreachable)
    }

    /// Deletes what stands, and raises the epoch if there was anything, or `always`. Returns whether there was.
    async fn remove(&self, place: &Place<'_>, members: &[Bytes], raised: Epoch, always: bool) -> Result<bool, Unavailable> {
        let mut names: Vec<String> = place.tokens(members).collect();
        // Where else the account has tokens stays known: one of them may be on its way.
        names.extend([place.index(), place.sign_in()]);
        let raised = epoch_bytes(raised);
        let epoch = place.epoch();
        let note = Note { key: &epoch, value: &raised, ttl: EPOCH };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let removed = self.store.patient().remove(note, &names, always).await;
        removed.map(|existed| existed > 0).map_err(|_| Unavailable::Unreachable)
    }
}
