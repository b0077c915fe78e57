//! What Redis has lost comes back from the replicas that know it, after a failover, an older snapshot, a `FLUSHALL` or an eviction.
//! First the epochs of the last quarter of an hour are raised again. Then sign-ins are put back where they are missing, or where
//! only an ancestor is left of them.
//!
//! All of it is restored when a subscription or a connection was made anew, or when a marker is not what it was; markers are looked
//! at once a second. One account is restored where a read or a write shows a loss. Each of them is restored once more when the last
//! writes to a deposed master are lost for good. It is restored a last time before it is forgotten, in case nothing told that
//! another master is in place.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::MissedTickBehavior;

use super::core::CachedAccounts;
use super::outcome::Unavailable;
use crate::cache::level::SharedLevel;
use crate::cache::losses::MOST;
use crate::cache::recent::KNOWN;
use crate::clock::Moment;
use crate::store::{Note, StoreError, sign_in_epoch};
use crate::token::Partition;

/// How often the markers are looked at, and how soon what failed is tried again.
const TICK: Duration = Duration::from_secs(1);
/// How long a marker stands. When it ends everything is restored once for nothing.
const MARKER: Duration = Duration::from_secs(24 * 3600);
/// After how long everything is looked at once more. After the first time a failover is over and connections lead to the new
/// master; the second one is before it is forgotten.
const AGES: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(14 * 60)];
/// How many accounts are restored at once.
const AT_ONCE: usize = 64;
/// What the store was when it was looked at last.
#[derive(Debug, Default)]
struct StoreMarkers {
    markers: Vec<Option<Bytes>>,
    reconnects: u64,
    /// One of several masters did not answer.
    failed: bool,
    at: Option<Moment>,
}

// === impl CachedAccounts ===

impl CachedAccounts {
    /// Restores whatever the store loses, until the soft stop.
    pub(super) fn restore(self: &Arc<Self>, shared: &Arc<SharedLevel>) {
        let (this, shared) = (Arc::clone(self), Arc::clone(shared));
        self.tasks.background("restore", async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut looked, mut failed) = (StoreMarkers::default(), false);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {
                        looked.look(&shared).await;
                        looked.look_at_ages(&shared);
                        shared.recent.sweep();
                    }
                    // What failed waits for the next tick: the store is in trouble.
                    () = shared.losses.asked(), if !failed => {}
                }
                failed = !this.restore_wanted(&shared).await;
            }
        });
    }

    /// Returns whether all of it came to an end.
    async fn restore_wanted(&self, shared: &SharedLevel) -> bool {
        let Some((all, some)) = shared.losses.begin() else { return true };
        let partitions = if all { shared.recent.all() } else { some };
        let failed = self.restore_each(shared, &partitions).await;
        let done = failed.is_empty();
        // Too many to remember: from the beginning. What has been restored costs little the second time.
        let all = failed.len() > MOST;
        shared.losses.end(all, failed.into_iter().take(if all { 0 } else { MOST }));
        done
    }

    /// Returns those that could not be restored.
    async fn restore_each(&self, shared: &SharedLevel, partitions: &[Partition]) -> Vec<Partition> {
        let mut failed = Vec::new();
        // First the epochs: a sign-in belongs to one. Whatever is wrong with one slot or master, the others get theirs.
        for batch in partitions.chunks(AT_ONCE) {
            let raised = join_all(batch.iter().map(|partition| shared.epochs.raise_known(partition))).await;
            failed.extend(batch.iter().zip(&raised).filter(|(_, raised)| raised.is_err()).map(|(partition, _)| *partition));
            if raised.contains(&Err(StoreError::Open)) {
                return partitions.to_vec();
            }
        }
        for batch in partitions.chunks(AT_ONCE) {
            let done = join_all(batch.iter().map(|partition| self.put_back_known(shared, partition))).await;
            failed.extend(batch.iter().zip(&done).filter(|(_, done)| !**done).map(|(partition, _)| *partition));
        }
        failed.sort_unstable();
        failed.dedup();
        failed
    }

    /// Returns whether nothing is left to do.
    async fn put_back_known(&self, shared: &SharedLevel, partition: &Partition) -> bool {
        let Some(known) = shared.recent.sign_in(partition) else { return drop_ended(shared, partition).await.is_ok() };
        match self.read_signed(shared, &known.space, partition).await {
            // The sign-in stands, but its place in the listing may be lost.
            Ok((Some(sign_in), _)) => self.list(shared, partition, &sign_in).await,
            Ok((None, _)) | Err(Unavailable::Unreadable) => {}
            Err(Unavailable::Unreachable | Unavailable::Busy) => return false,
        }
        true
    }
}

// === impl StoreMarkers ===

impl StoreMarkers {
    /// Looks at the markers, and asks for everything to be restored where one is not what it was.
    async fn look(&mut self, shared: &SharedLevel) {
        let reconnects = shared.fleet.store().reconnects();
        let mut changed = std::mem::replace(&mut self.reconnects, reconnects) != reconnects;
        let mut lost = false;
        let names = shared.fleet.store().markers();
        let read = shared.fleet.store().read_each(&names).await;
        if read.is_err() && names.len() > 1 {
            // Another master may take its place, and neither the subscription nor a connection to another node is made anew for
            // that.
            if !std::mem::replace(&mut self.failed, true) {
                shared.losses.begin_settling();
            }
        }
        if let Ok(markers) = read {
            changed |= std::mem::take(&mut self.failed);
            let mut found = Vec::with_capacity(markers.len());
            let before = self.markers.iter().map(Option::as_ref).chain(std::iter::repeat(None));
            for ((name, marker), before) in names.iter().zip(markers).zip(before) {
                changed |= before.is_some() && before != marker.as_ref();
                // Nobody knows what was there before: what this process knows is little then.
                lost |= before.is_none() || marker.is_none();
                found.push(match marker {
                    Some(marker) => Some(marker),
                    None => mark(shared, name).await,
                });
            }
            self.markers = found;
        }
        if changed {
            shared.losses.begin_settling();
        }
        if lost || changed {
            shared.losses.all();
        }
    }

    /// Asks for what becomes as old as that.
    fn look_at_ages(&mut self, shared: &SharedLevel) {
        let now = shared.fleet.moment();
        let before = self.at.replace(now).unwrap_or(now);
        for age in AGES {
            for partition in shared.recent.aged(age, before, now) {
                shared.losses.one(&partition);
            }
        }
    }
}

/// Takes away a sign-in that a sign-out ended and the store has again: its epoch does not last as long as a refresh token may.
async fn drop_ended(shared: &SharedLevel, partition: &Partition) -> Result<(), StoreError> {
    let Some(epoch) = shared.recent.epoch(partition) else { return Ok(()) };
    for names in shared.fleet.all_names() {
        let name = names.place(partition).sign_in();
        let values = shared.fleet.store().read(&[&name]).await?;
        let Some(value) = values.first().and_then(Option::as_ref) else { continue };
        let Ok(Some(opened)) = shared.fleet.open_needed(&name, value) else { continue };
        if sign_in_epoch(&opened.payload).is_some_and(|of| of < Some(epoch)) {
            shared.fleet.withdraw(&name, opened.generation).await;
        }
    }
    Ok(())
}

/// Sets a marker that is missing. Returns it, if nobody else was faster.
async fn mark(shared: &SharedLevel, name: &str) -> Option<Bytes> {
    let marker: [u8; 16] = rand::random();
    let set = shared.fleet.store().set_if_absent(Note { key: name, value: &marker, ttl: MARKER }).await;
    (set == Ok(true)).then(|| Bytes::copy_from_slice(&marker))
}

const _: () = assert!(AGES[1].as_secs() < KNOWN.as_secs());
