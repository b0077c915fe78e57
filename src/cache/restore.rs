//! What Redis has lost comes back from the replicas that know it: after a failover, an older snapshot, a `FLUSHALL` or an eviction the epochs
//! of the last quarter of an hour are raised again, and then sign-ins are put back that are missing there or only an ancestor is left of.
//!
//! All of it when a subscription or a connection was made anew, or a marker is not what it was, which is looked at once a second; one account
//! where a read or a write shows it. And each once more when what was lost with a deposed master is lost for good, and once more before it is
//! forgotten, should nothing have told that a master is another one.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::fleet::{EPOCH, Fleet, epoch_of};
use super::recent::KNOWN;
use super::sign_ins::{Base, Kept, Unavailable};
use super::{Cache, Partition};
use crate::clock::Moment;
use crate::store::{Note, Place, Placed, Put, Raised, Ring, Trouble, sign_in_epoch};
use crate::token::{Epoch, SignIn};

/// How often the markers are looked at, and how soon what failed is tried again.
const TICK: Duration = Duration::from_secs(1);
/// How long a marker stands. When it ends everything is restored once for nothing.
const MARKER: Duration = Duration::from_secs(24 * 3600);
/// After how long everything is looked at once more: a failover is over by then, and connections lead to the new master; and before it is
/// forgotten.
const AGES: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(14 * 60)];
/// How long what must not be sent twice waits after the store may have become another one: until then those who know more have brought it.
const SETTLING: Duration = Duration::from_secs(3);
/// How many accounts are restored at once.
const AT_ONCE: usize = 64;
/// Of how many single accounts it is remembered that they have to be: of more, all are.
const MOST: usize = 1024;
/// How often a sign-in that is put back yields to one that came between.
const ATTEMPTS: usize = 3;

/// What has to be restored.
#[derive(Debug, Default)]
pub(super) struct Restore {
    wanted: Mutex<Wanted>,
    asked: Notify,
    settling: Mutex<Settling>,
}

/// Since when the store is the one that it is.
#[derive(Debug, Default)]
struct Settling {
    until: Option<Instant>,
    /// The same of single accounts, of which it had lost the sign-in.
    accounts: HashMap<Partition, Instant>,
    reconnects: u64,
    subscribed: bool,
}

#[derive(Debug, Default)]
struct Wanted {
    all: bool,
    some: HashSet<Partition>,
    /// It is being done.
    running: bool,
}

/// What stands in the store of an account's sign-in.
#[derive(Debug)]
struct Standing {
    /// What can be read of it.
    sign_in: Option<SignIn>,
    base: Base,
}

/// What the store was when it was looked at last.
#[derive(Debug, Default)]
struct StoreMarkers {
    markers: Vec<Option<Bytes>>,
    reconnects: u64,
    /// One of several masters did not answer.
    failed: bool,
    at: Option<Moment>,
}

// === impl Restore ===

impl Restore {
    /// Everything that is known.
    pub(super) fn all(&self) {
        self.wanted().all = true;
        self.asked.notify_one();
    }

    /// What is known of one account.
    pub(super) fn one(&self, partition: &Partition) {
        let mut wanted = self.wanted();
        if wanted.some.len() < MOST {
            wanted.some.insert(*partition);
        } else {
            wanted.all = true;
        }
        drop(wanted);
        self.asked.notify_one();
    }

    /// Whether something has not been brought back yet.
    fn is_pending(&self) -> bool {
        let wanted = self.wanted();
        wanted.all || wanted.running || !wanted.some.is_empty()
    }

    fn begin(&self) -> Option<(bool, Vec<Partition>)> {
        let mut wanted = self.wanted();
        let (all, some) = (std::mem::take(&mut wanted.all), std::mem::take(&mut wanted.some));
        wanted.running = all || !some.is_empty();
        wanted.running.then(|| (all, some.into_iter().collect()))
    }

    /// `rest`: what could not be restored.
    fn end(&self, all: bool, rest: impl IntoIterator<Item = Partition>) {
        let mut wanted = self.wanted();
        wanted.running = false;
        wanted.all |= all;
        wanted.some.extend(rest);
    }

    /// The store may be another one, or empty.
    fn begin_settling(&self) {
        self.settling().until = Some(Instant::now() + SETTLING);
    }

    /// The store had lost the sign-in of an account, and perhaps a later one, or the lease under which it is being sent.
    pub(super) fn settle_account(&self, partition: &Partition) {
        let (mut settling, now) = (self.settling(), Instant::now());
        if settling.accounts.len() >= MOST {
            settling.accounts.retain(|_, until| *until > now);
        }
        if settling.accounts.len() < MOST {
            settling.accounts.insert(*partition, now + SETTLING);
        } else {
            settling.until = Some(now + SETTLING);
        }
    }

    /// How long that still has to be waited for. `reconnects`: how often the connection was made anew.
    fn settles_in(&self, partition: &Partition, reconnects: u64) -> Option<Duration> {
        let (mut settling, now) = (self.settling(), Instant::now());
        if std::mem::replace(&mut settling.reconnects, reconnects) != reconnects {
            settling.until = Some(now + SETTLING);
        }
        let until = settling.until.max(settling.accounts.get(partition).copied());
        until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    fn settling(&self) -> MutexGuard<'_, Settling> {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Restores whatever the store loses, until the soft stop.
    pub(super) fn restore(self: &Arc<Self>, fleet: &Arc<Fleet>) {
        let (this, fleet) = (Arc::clone(self), Arc::clone(fleet));
        self.tasks.background("restore", async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut looked, mut failed) = (StoreMarkers::default(), false);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {
                        fleet.look_at_markers(&mut looked).await;
                        fleet.look_at_ages(&mut looked);
                        fleet.recent.sweep();
                    }
                    // What failed waits for the next tick: the store is in trouble.
                    () = fleet.restore.asked.notified(), if !failed => {}
                }
                failed = !this.restore_wanted(&fleet).await;
            }
        });
    }

    /// Whether the store says of an account's sign-in what others know, too: asked under its turn, before what must not be sent twice. Where the
    /// store has become another one a moment ago, or had lost the sign-in, somebody may know of a later one, or be sending this one.
    ///
    /// # Errors
    /// As for [`Cache::signed`].
    pub async fn is_settled(&self, space: &[u8; 32], partition: &Partition) -> Result<bool, Unavailable> {
        let Some(fleet) = &self.fleet else { return Ok(true) };
        self.signed(space, partition).await?;
        // Asked afterwards: the connection may have been made anew for this very look.
        Ok(fleet.restore.settles_in(partition, fleet.store.reconnects()).is_none())
    }

    /// Waits until those who know more have brought it to the store. Not under the account's turn: who is sending says so there again.
    pub async fn settle(&self, partition: &Partition) {
        let Some(fleet) = &self.fleet else { return };
        // What is found meanwhile may lengthen it. A store that becomes another one again and again is not waited for.
        for _ in 0..ATTEMPTS {
            let Some(left) = fleet.restore.settles_in(partition, fleet.store.reconnects()) else { return };
            tokio::time::sleep(left).await;
        }
    }

    /// Returns whether all of it came to an end.
    async fn restore_wanted(&self, fleet: &Fleet) -> bool {
        let Some((all, some)) = fleet.restore.begin() else { return true };
        let partitions = if all { fleet.recent.all() } else { some };
        let failed = self.restore_each(fleet, &partitions).await;
        let done = failed.is_empty();
        // Too many to remember: from the beginning. What has been restored costs little the second time.
        let all = failed.len() > MOST;
        fleet.restore.end(all, failed.into_iter().take(if all { 0 } else { MOST }));
        done
    }

    /// Returns those that could not be restored.
    async fn restore_each(&self, fleet: &Fleet, partitions: &[Partition]) -> Vec<Partition> {
        let mut failed = Vec::new();
        // First the epochs: a sign-in belongs to one. Whatever is wrong with one slot or master, the others get theirs.
        for batch in partitions.chunks(AT_ONCE) {
            let raised = join_all(batch.iter().map(|partition| fleet.raise_known(partition))).await;
            failed.extend(batch.iter().zip(&raised).filter(|(_, raised)| raised.is_err()).map(|(partition, _)| *partition));
            if raised.contains(&Err(Trouble::Open)) {
                return partitions.to_vec();
            }
        }
        for batch in partitions.chunks(AT_ONCE) {
            let done = join_all(batch.iter().map(|partition| self.put_back_known(fleet, partition))).await;
            failed.extend(batch.iter().zip(&done).filter(|(_, done)| !**done).map(|(partition, _)| *partition));
        }
        failed.sort_unstable();
        failed.dedup();
        failed
    }

    /// Returns whether nothing is left to do.
    async fn put_back_known(&self, fleet: &Fleet, partition: &Partition) -> bool {
        let Some(known) = fleet.recent.sign_in(partition) else { return fleet.drop_ended(partition).await.is_ok() };
        match self.read_signed(fleet, &known.space, partition).await {
            // Its place among those who are listed may be lost where it stands.
            Ok((Some(sign_in), _)) => self.list(fleet, partition, &sign_in).await,
            Ok((None, _)) | Err(Unavailable::Unreadable) => {}
            Err(Unavailable::Unreachable | Unavailable::Busy) => return false,
        }
        true
    }

    /// The sign-in of an account as the store has it. What this process brought there and the store has lost is put back first: nobody may
    /// use what came before it.
    pub(super) async fn read_signed(
        &self,
        fleet: &Fleet,
        space: &[u8; 32],
        partition: &Partition,
    ) -> Result<(Option<SignIn>, Base), Unavailable> {
        for _ in 0..ATTEMPTS {
            let since = self.sign_outs.watch(*partition);
            let Standing { sign_in, base } = self.standing(fleet, space, partition).await?;
            let now = self.clock.unix();
            let lost = self.known_sign_in(fleet, partition, sign_in.is_some());
            let lost = lost.filter(|known| known.expires_on > now && is_lost(known, sign_in.as_ref(), base.epoch));
            let Some(known) = lost else {
                let is_over = sign_in.as_ref().is_some_and(|sign_in| sign_in.epoch < base.epoch);
                if let Some(generation) = base.generation.filter(|_| is_over) {
                    // An older snapshot brought it back, and nobody uses it any more.
                    fleet.withdraw(&fleet.names.place(partition).sign_in(), generation).await;
                }
                return Ok((sign_in.filter(|sign_in| !is_over && sign_in.expires_on > now), base));
            };
            let over = Base { generation: base.generation, epoch: known.epoch };
            // First, so that whoever finds it knows that others may know more, and who is sending it.
            fleet.restore.settle_account(partition);
            fleet.mark_anew(partition).await;
            fleet.tell_put_back(partition, known.shared).await;
            match self.put_sign_in(fleet, partition, &known, over, known.shared).await {
                Kept::Stored if since.is_signed_out(known.epoch) => {
                    fleet.withdraw(&fleet.names.place(partition).sign_in(), known.shared).await;
                    fleet.recent.signed_out(partition, None);
                }
                Kept::Stored => {
                    fleet.metrics.restored_sign_ins.inc();
                    let base = Base { generation: Some(known.shared), epoch: known.epoch };
                    return Ok((Some(SignIn::clone(&known)), base));
                }
                Kept::Stale | Kept::SignedOut => {}
                Kept::Later => return Err(Unavailable::Unreachable),
            }
        }
        Err(Unavailable::Unreachable)
    }

    /// The latest sign-in of an account that this process knows. What it has only read counts where something stands: that may be an ancestor.
    /// Where nothing does it may have been ended by somebody.
    fn known_sign_in(&self, fleet: &Fleet, partition: &Partition, stands: bool) -> Option<Arc<SignIn>> {
        let remembered = self.memory.sign_in(partition, self.clock.unix()).filter(|_| stands);
        let place = |sign_in: &Arc<SignIn>| (sign_in.epoch, sign_in.shared);
        fleet.recent.sign_in(partition).into_iter().chain(remembered).max_by_key(place)
    }

    async fn standing(&self, fleet: &Fleet, space: &[u8; 32], partition: &Partition) -> Result<Standing, Unavailable> {
        let (mut sign_in, mut base) = fleet.sign_in_at(&fleet.names, space, partition).await?;
        for names in &fleet.others {
            let (other, otherwise) = fleet.sign_in_at(names, space, partition).await?;
            base.epoch = base.epoch.max(otherwise.epoch);
            // What was written last has the highest generation, whatever it is called.
            sign_in = [sign_in, other].into_iter().flatten().max_by_key(|sign_in| (sign_in.epoch, sign_in.shared));
        }
        base.epoch = fleet.known_epoch(partition, base.epoch, sign_in.as_ref().and_then(|sign_in| sign_in.epoch));
        Ok(Standing { sign_in, base })
    }
}

/// Whether the store has lost a sign-in that is known, if this one stands there, or none that can be read. `epoch` is the account's.
fn is_lost(known: &SignIn, standing: Option<&SignIn>, epoch: Epoch) -> bool {
    known.epoch >= epoch && standing.is_none_or(|standing| standing.epoch < known.epoch || is_ancestor(standing, known))
}

/// Whether a sign-in is of before another one: of one lineage and epoch a new sign-in goes above whatever was known, and what renews one goes one
/// higher.
pub(super) fn is_ancestor(sign_in: &SignIn, of: &SignIn) -> bool {
    sign_in.epoch == of.epoch && sign_in.lineage == of.lineage && sign_in.shared < of.shared
}

// === impl Fleet ===

impl Fleet {
    /// Whether something that the store has lost is on its way back there.
    pub fn is_restoring(&self) -> bool {
        self.restore.is_pending() && !self.recent.is_empty()
    }

    /// Listens to the others, for the first time or again: it may be another master, or one that has lost something.
    pub(super) fn subscribed(&self) {
        if std::mem::replace(&mut self.restore.settling().subscribed, true) {
            self.restore.begin_settling();
        }
        self.restore.all();
    }

    /// What an account's epoch is: what the store said of it, or what this process knows, or what a record says that stands beside it. If the
    /// store knows less it has lost something, which is brought back.
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
        self.restore.one(partition);
    }

    /// Puts a value of an account that it had at this epoch. An epoch that the store has lost is raised again first, and nothing is stored, or
    /// stays stored, of an account of which this process knows a later sign-out.
    pub(super) async fn put_named(&self, partition: &Partition, epoch: Epoch, put: &Put<'_>) -> Result<Placed, Trouble> {
        let is_over = || self.recent.epoch(partition) > epoch;
        if is_over() {
            return Ok(Placed::SignedOut);
        }
        let mut placed = self.store.put(put).await?;
        if placed == Placed::Lost
            && let Some(epoch) = epoch
        {
            self.recent.note(partition, epoch);
            if self.raise(partition, epoch).await?.is_some() {
                return Ok(Placed::SignedOut);
            }
            placed = self.store.put(put).await?;
        }
        match placed {
            // It is lost faster than it is raised.
            Placed::Lost => Err(Trouble::Failed),
            Placed::Stored if is_over() => {
                if let Some(generation) = Ring::generation(put.value) {
                    self.withdraw(put.key, generation).await;
                }
                Ok(Placed::SignedOut)
            }
            placed => Ok(placed),
        }
    }

    /// Takes away a sign-in that a sign-out ended and the store has again: its epoch does not last as long as a refresh token may.
    async fn drop_ended(&self, partition: &Partition) -> Result<(), Trouble> {
        let Some(epoch) = self.recent.epoch(partition) else { return Ok(()) };
        for names in self.all_names() {
            let name = names.place(partition).sign_in();
            let values = self.store.read(&[&name]).await?;
            let Some(value) = values.first().and_then(Option::as_ref) else { continue };
            let Ok(Some(opened)) = self.needed(&name, value) else { continue };
            if sign_in_epoch(&opened.payload).is_some_and(|of| of < Some(epoch)) {
                self.withdraw(&name, opened.generation).await;
            }
        }
        Ok(())
    }

    async fn raise_known(&self, partition: &Partition) -> Result<(), Trouble> {
        match self.recent.epoch(partition) {
            Some(epoch) => self.raise(partition, epoch).await.map(drop),
            None => Ok(()),
        }
    }

    /// Makes an account's epoch at least this one in the store. Returns a higher one that stands there.
    async fn raise(&self, partition: &Partition, epoch: NonZeroU64) -> Result<Epoch, Trouble> {
        let mut highest = None;
        for names in self.all_names() {
            highest = self.raise_at(&names.place(partition), epoch).await?.max(highest);
        }
        if let Some(higher) = highest {
            self.recent.note(partition, higher);
        }
        Ok(highest)
    }

    /// The same under the names of one version.
    pub(super) async fn raise_at(&self, place: &Place<'_>, epoch: NonZeroU64) -> Result<Epoch, Trouble> {
        let name = place.epoch();
        let note = Note { key: &name, value: &epoch.get().to_be_bytes(), ttl: EPOCH };
        match self.store.raise(note).await? {
            Raised::Stood => Ok(None),
            Raised::Raised => {
                self.metrics.restored_epochs.inc();
                Ok(None)
            }
            Raised::Higher(higher) => Ok(epoch_of(Some(&Some(higher)))),
        }
    }

    async fn look_at_markers(&self, looked: &mut StoreMarkers) {
        let reconnects = self.store.reconnects();
        let mut changed = std::mem::replace(&mut looked.reconnects, reconnects) != reconnects;
        let mut lost = false;
        let names = self.store.markers();
        let read = self.store.read_each(&names).await;
        if read.is_err() && names.len() > 1 {
            // Another master may take its place, and no connection of messages or to somebody else is made anew for that.
            if !std::mem::replace(&mut looked.failed, true) {
                self.restore.begin_settling();
            }
        }
        if let Ok(markers) = read {
            changed |= std::mem::take(&mut looked.failed);
            let mut found = Vec::with_capacity(markers.len());
            let before = looked.markers.iter().map(Option::as_ref).chain(std::iter::repeat(None));
            for ((name, marker), before) in names.iter().zip(markers).zip(before) {
                changed |= before.is_some() && before != marker.as_ref();
                // Nobody knows what was there before: what this process knows is little then.
                lost |= before.is_none() || marker.is_none();
                found.push(match marker {
                    Some(marker) => Some(marker),
                    None => self.mark(name).await,
                });
            }
            looked.markers = found;
        }
        if changed {
            self.restore.begin_settling();
        }
        if lost || changed {
            self.restore.all();
        }
    }

    /// Sets a marker that is missing. Returns it, if nobody else was faster.
    async fn mark(&self, name: &str) -> Option<Bytes> {
        let marker: [u8; 16] = rand::random();
        let set = self.store.set_if_absent(Note { key: name, value: &marker, ttl: MARKER }).await;
        (set == Ok(true)).then(|| Bytes::copy_from_slice(&marker))
    }

    fn look_at_ages(&self, looked: &mut StoreMarkers) {
        let now = self.moment();
        let before = looked.at.replace(now).unwrap_or(now);
        for age in AGES {
            for partition in self.recent.aged(age, before, now) {
                self.restore.one(&partition);
            }
        }
    }
}

const _: () = assert!(AGES[1].as_secs() < KNOWN.as_secs());
