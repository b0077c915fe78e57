//! Signing out: an account's epoch is raised and all that is kept of it is gone, in one step per partition, and told to everybody.

use bytes::Bytes;

use super::fleet::{EPOCH, Fleet, MOST_LISTED, epoch_of};
use super::recent::next_epoch;
use super::sign_ins::Unavailable;
use super::{Cache, Partition, SpaceId};
use crate::store::{Note, Place, Removed};
use crate::token::Epoch;

/// How often a sign-out goes above one that came between.
const ATTEMPTS: usize = 5;

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Signs an account out: every token of it is gone, here at once and elsewhere within a second. Where anything stands of it its epoch is
    /// raised. Where nothing does nothing is written: every replica with a call under way for it is told, and keeps nothing of that.
    ///
    /// # Errors
    /// The shared store cannot be asked, or what stands there is another release's: memory is purged, and the rest is not.
    pub async fn sign_out(&self, space: &SpaceId, partition: &Partition) -> Result<(), Unavailable> {
        let known = self.forget_with_links(partition);
        self.sign_out_forgotten(space, partition, known).await
    }

    /// The same when memory has forgotten the account; `known`: it knew of it.
    pub(super) async fn sign_out_forgotten(
        &self,
        space: &SpaceId,
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
            let epoch = base.epoch.filter(|_| place == partition);
            self.remove(fleet, place, epoch, known).await?;
        }
        // A guest's first token may have come meanwhile.
        for place in fleet.elsewhere_first(partition).await?.iter().filter(|place| !places.contains(place)) {
            self.remove(fleet, place, None, true).await?;
        }
        self.unlist_account(fleet, space, partition).await;
        Ok(())
    }

    /// Memory forgets an account, with what it has of it elsewhere. Returns whether there was anything.
    pub(super) fn forget_with_links(&self, partition: &Partition) -> bool {
        let known = self.forget(partition, None);
        self.links.take(partition).iter().fold(known, |known, elsewhere| self.forget(elsewhere, None) || known)
    }

    /// `epoch`: what was read of it. `known`: something of it is known to be somewhere.
    async fn remove(&self, fleet: &Fleet, partition: &Partition, epoch: Epoch, known: bool) -> Result<(), Unavailable> {
        // A sign-out that the store has lost is one more reason to leave an epoch there.
        let epoch = fleet.recent.epoch(partition).max(epoch);
        let known = self.forget(partition, None) || known || epoch.is_some();
        let places: Vec<Place<'_>> = fleet.all_names().map(|names| names.place(partition)).collect();
        let mut members = Vec::new();
        for place in &places {
            members.push(fleet.members(place).await?);
        }
        let stands = known || members.iter().any(|members| !members.is_empty());
        if !stands {
            // Before the store is asked: what is stored until then is found there, and what comes later has been told.
            fleet.tell_signed_out(partition, None).await;
        }
        // The epoch is the account's under the names of each version: the highest of them is the one of all.
        let (mut raised, mut existed) = (None, stands);
        for (place, members) in places.iter().zip(&members) {
            let here = fleet.remove(place, raised.max(epoch), members, existed).await?;
            (raised, existed) = (here.max(raised), existed || here.is_some());
        }
        if let Some(epoch) = raised.filter(|_| places.len() > 1) {
            for place in &places {
                fleet.raise_at(place, epoch).await.map_err(|_| Unavailable::Unreachable)?;
            }
        }
        if raised.is_some() {
            // A look that was under way may have put it back before the epoch was raised.
            self.forget(partition, raised);
            fleet.tell_signed_out(partition, raised).await;
        }
        Ok(())
    }
}

// === impl Fleet ===

impl Fleet {
    async fn members(&self, place: &Place<'_>) -> Result<Vec<Bytes>, Unavailable> {
        self.store.patient().members(&place.index(), MOST_LISTED).await.map_err(|_| Unavailable::Unreachable)
    }

    /// Deletes what stands, and raises the epoch above the `known` one if there was anything, or `always`. Returns it then.
    async fn remove(&self, place: &Place<'_>, known: Epoch, members: &[Bytes], always: bool) -> Result<Epoch, Unavailable> {
        let mut names: Vec<String> = place.tokens(members).collect();
        // Where else the account has tokens stays known: one of them may be on its way.
        names.extend([place.index(), place.sign_in()]);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let name = place.epoch();
        let mut known = known;
        for _ in 0..ATTEMPTS {
            let raised = next_epoch(known);
            let note = Note { key: &name, value: &raised.get().to_be_bytes(), ttl: EPOCH };
            match self.store.patient().remove(note, &names, always).await.map_err(|_| Unavailable::Unreachable)? {
                Removed::Done(existed) => return Ok(Some(raised).filter(|_| existed > 0 || always)),
                // Somebody else signed it out meanwhile, or long ago: this one comes after that.
                Removed::Higher(higher) => known = epoch_of(Some(&Some(higher))).max(known),
            }
        }
        Err(Unavailable::Unreachable)
    }
}
