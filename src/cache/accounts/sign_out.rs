//! Signing out: an account's epoch is raised and all that is kept of it is gone, in one step per partition, and told to everybody.

use bytes::Bytes;

use super::core::CachedAccounts;
use super::guests::elsewhere_of;
use super::outcome::Unavailable;
use crate::cache::epochs::{EPOCH, epoch_of};
use crate::cache::fleet::{Fleet, MOST_LISTED};
use crate::cache::level::SharedLevel;
use crate::cache::recent::next_epoch;
use crate::store::{Note, Removed, SlotNames};
use crate::token::{Epoch, Partition, SpaceId};

/// How often a sign-out goes above one that came between.
const ATTEMPTS: usize = 5;

// === impl CachedAccounts ===

impl CachedAccounts {
    /// Signs an account out: every token of it is gone, here at once and elsewhere within a second. If anything stands of it, its
    /// epoch is raised. If nothing does, nothing is written: every replica with a call under way for it is told, and keeps nothing
    /// of that call.
    ///
    /// # Errors
    /// The shared store cannot be asked, or what stands there is another release's: memory is purged, and the rest is not.
    pub async fn sign_out(&self, space: &SpaceId, partition: &Partition) -> Result<(), Unavailable> {
        let known = self.forget_with_links(partition);
        self.sign_out_forgotten(space, partition, known).await
    }

    /// As [`CachedAccounts::sign_out`], when memory has forgotten the account; `known`: it knew of it.
    pub(super) async fn sign_out_forgotten(
        &self,
        space: &SpaceId,
        partition: &Partition,
        mut known: bool,
    ) -> Result<(), Unavailable> {
        let Some(shared) = &self.shared else { return Ok(()) };
        // Also to learn whether it may be deleted.
        let (sign_in, base) = self.read_signed(shared, space, partition).await?;
        known |= base.generation.is_some() || base.epoch.is_some();
        let places = self.places(shared, partition).await?;
        // Where it is known that it has something elsewhere, something stands.
        known |= places.len() > 1;
        for place in &places {
            let epoch = base.epoch.filter(|_| place == partition);
            self.remove(shared, place, epoch, known).await?;
        }
        // A guest's first token, or a session, may have come meanwhile.
        for place in self.places(shared, partition).await?.iter().filter(|place| !places.contains(place)) {
            self.remove(shared, place, None, true).await?;
        }
        self.links.take(partition);
        match sign_in.and_then(|sign_in| sign_in.session()) {
            Some(session) => self.unlink(shared, &session.home, partition).await,
            None => self.unlist_account(shared, space, partition).await,
        }
        Ok(())
    }

    /// Every partition that has something of an account, as the store or memory knows. The account's own is the last one: it knows
    /// the others, should a sign-out end half way and be tried again.
    async fn places(&self, shared: &SharedLevel, partition: &Partition) -> Result<Vec<Partition>, Unavailable> {
        let mut places = elsewhere_of(&shared.fleet, partition).await?;
        // What waits to be stored is known here alone.
        let here = self.links.of(partition).into_iter().filter(|place| place != partition);
        places.extend(here);
        places.sort_unstable();
        places.dedup();
        places.push(*partition);
        Ok(places)
    }

    /// Memory forgets an account, with what it has of it elsewhere. Returns whether there was anything.
    pub(super) fn forget_with_links(&self, partition: &Partition) -> bool {
        let known = self.local.purge(partition);
        // They stay known until the sign-out is done: it may fail, and is tried again then.
        let elsewhere = if self.shared.is_some() { self.links.of(partition) } else { self.links.take(partition) };
        elsewhere.iter().fold(known, |known, elsewhere| self.local.purge(elsewhere) || known)
    }

    /// `epoch`: what was read of it. `known`: something of it is known to be somewhere.
    pub(super) async fn remove(
        &self,
        shared: &SharedLevel,
        partition: &Partition,
        epoch: Epoch,
        known: bool,
    ) -> Result<(), Unavailable> {
        // A sign-out that the store has lost is one more reason to leave an epoch there.
        let epoch = shared.recent.epoch(partition).max(epoch);
        let known = self.local.purge(partition) || known || epoch.is_some();
        let places: Vec<SlotNames<'_>> = shared.fleet.all_names().map(|names| names.place(partition)).collect();
        let mut members = Vec::new();
        for place in &places {
            members.push(members_of(&shared.fleet, place).await?);
        }
        let stands = known || members.iter().any(|members| !members.is_empty());
        if !stands {
            // Before the store is asked: what is stored until then is found there, and what comes later has been told.
            self.local.forget(partition, None);
            shared.fleet.tell_signed_out(partition, None).await;
        }
        // The epoch is the account's under the names of each version: the highest of them is the one of all.
        let (mut raised, mut existed) = (None, stands);
        for (place, members) in places.iter().zip(&members) {
            let here = remove_at(&shared.fleet, place, raised.max(epoch), members, existed).await?;
            (raised, existed) = (here.max(raised), existed || here.is_some());
        }
        if let Some(epoch) = raised.filter(|_| places.len() > 1) {
            for place in &places {
                shared.epochs.raise_at(place, epoch).await.map_err(|_| Unavailable::Unreachable)?;
            }
        }
        if raised.is_some() {
            // A look that was under way may have put it back before the epoch was raised.
            self.local.forget(partition, raised);
            shared.fleet.tell_signed_out(partition, raised).await;
        }
        Ok(())
    }
}

/// The index of what stands in a partition.
async fn members_of(fleet: &Fleet, place: &SlotNames<'_>) -> Result<Vec<Bytes>, Unavailable> {
    fleet.store().patient().members(&place.index(), MOST_LISTED).await.map_err(|_| Unavailable::Unreachable)
}

/// Deletes what stands. If there was anything, or `always`, it raises the epoch above the `known` one, and returns it.
async fn remove_at(
    fleet: &Fleet,
    place: &SlotNames<'_>,
    known: Epoch,
    members: &[Bytes],
    always: bool,
) -> Result<Epoch, Unavailable> {
    let mut names: Vec<String> = place.tokens(members).collect();
    // Where else the account has tokens stays known: one of them may be on its way.
    names.extend([place.index(), place.sign_in()]);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let name = place.epoch();
    let mut known = known;
    for _ in 0..ATTEMPTS {
        let raised = next_epoch(known);
        let note = Note { key: &name, value: &raised.get().to_be_bytes(), ttl: EPOCH };
        match fleet.store().patient().remove(note, &names, always).await.map_err(|_| Unavailable::Unreachable)? {
            Removed::Done(existed) => return Ok(Some(raised).filter(|_| existed > 0 || always)),
            // Somebody else signed it out meanwhile, or long ago: this one comes after that.
            Removed::Higher(higher) => known = epoch_of(Some(&Some(higher))).max(known),
        }
    }
    Err(Unavailable::Unreachable)
}
