//! Who signed in, and what renews their tokens: over both levels, never lost to a slower replica, never served after a sign-out.
//!
//! With a shared store that is where the truth stands, and memory only helps where it cannot be asked.

use std::sync::Arc;
use std::time::Duration;

use super::fleet::{Fleet, epoch_bytes, epoch_of};
use super::queue::Pending;
use super::restore::is_ancestor;
use super::sign_outs::Watch;
use super::{Cache, Partition, SpaceId, challenge_hash};
use crate::store::{Names, Placed, Put, Ring, read_sign_in, write_sign_in};
use crate::token::{Epoch, SignIn};

/// How often a new sign-in yields to one that came between.
const ATTEMPTS: usize = 3;

/// What a change of a sign-in is compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Base {
    /// The generation that was read.
    pub generation: Option<u64>,
    /// The account's epoch.
    pub epoch: Epoch,
}

/// A sign-in, or that there is none, and what a change of it is compared with.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The sign-in.
    pub sign_in: Option<Arc<SignIn>>,
    /// What was read.
    pub base: Base,
    /// The sign-outs that this process hears of since.
    since: Watch,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It stands.
    Stored,
    /// Another one came between, and stands.
    Stale,
    /// The user signed out meanwhile: nothing is kept.
    SignedOut,
    /// Memory has it, and the shared store gets it when it can.
    Later,
}

/// What a sign-in that renews another one is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The older one is as good: nothing is lost with this one.
    Reusable,
    /// The older one is used up.
    SingleUse,
}

/// Why nothing can be said of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The shared store cannot be asked.
    Unreachable,
    /// A newer release, or one with another key ring, wrote it.
    Unreadable,
    /// Others work on the account for longer than anybody waits for them.
    Busy,
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// The sign-in of an account; where the shared store cannot be asked, what waits to be stored there, or what memory has.
    ///
    /// # Errors
    /// As for [`Cache::signed`].
    pub async fn signed_or_remembered(&self, space: &SpaceId, partition: &Partition) -> Result<Signed, Unavailable> {
        match self.signed(space, partition).await {
            Err(Unavailable::Unreachable) => {
                let since = self.sign_outs.watch(*partition);
                let waiting = self.fleet.as_ref().and_then(|fleet| fleet.queue.waiting_sign_in(partition));
                let brought = || self.fleet.as_ref().and_then(|fleet| fleet.recent.sign_in(partition));
                let now = self.clock.unix();
                let known = waiting.or_else(|| self.memory.sign_in(partition, now)).or_else(brought);
                let sign_in = known.filter(|sign_in| sign_in.expires_on > now).ok_or(Unavailable::Unreachable)?;
                let base = Base { generation: Some(sign_in.shared).filter(|shared| *shared > 0), epoch: sign_in.epoch };
                Ok(Signed { sign_in: Some(sign_in), base, since })
            }
            known => known,
        }
    }

    /// Names the refresh token that memory has of an account, by hash; zero if it has none.
    pub fn refresh_token(&self, partition: &Partition) -> u64 {
        let sign_in = self.memory.sign_in(partition, self.clock.unix());
        let token = sign_in.as_ref().and_then(|sign_in| sign_in.refresh_token.as_ref());
        token.map_or(0, |token| challenge_hash(token.expose()))
    }

    /// The sign-in of an account.
    ///
    /// # Errors
    /// Nothing can be said of it: it may be there or not.
    pub async fn signed(&self, space: &SpaceId, partition: &Partition) -> Result<Signed, Unavailable> {
        let Some(fleet) = &self.fleet else {
            let since = self.sign_outs.watch(*partition);
            let sign_in = self.memory.sign_in(partition, self.clock.unix());
            return Ok(Signed { sign_in, base: Base::default(), since });
        };
        // What waits to be stored is newer than what stands there: it goes there first.
        if !self.bring_first(fleet, partition).await {
            return Err(Unavailable::Unreachable);
        }
        let since = self.sign_outs.watch(*partition);
        let remembered = self.memory.sign_in(partition, self.clock.unix());
        let (sign_in, base) = self.read_signed(fleet, space, partition).await?;
        let sign_in = sign_in.map(Arc::new);
        match (&sign_in, &remembered) {
            (Some(sign_in), _) => {
                fleet.recent.seen(partition, sign_in);
                self.remember_sign_in(partition, sign_in, &since);
            }
            // The user signed out, or all was lost: memory must not know better when the store is away.
            (None, Some(remembered)) => self.memory.remove_sign_in(partition, remembered),
            (None, None) => {}
        }
        Ok(Signed { sign_in, base, since })
    }

    fn remember_sign_in(&self, partition: &Partition, sign_in: &Arc<SignIn>, since: &Watch) {
        let allowed = || !self.is_over(partition, sign_in.epoch, since);
        self.memory.put_sign_in(*partition, Arc::clone(sign_in), allowed);
    }

    /// Whether a sign-in of this epoch has been signed out, as far as this process knows.
    fn is_over(&self, partition: &Partition, epoch: Epoch, since: &Watch) -> bool {
        let known = self.fleet.as_ref().and_then(|fleet| fleet.recent.epoch(partition));
        known > epoch || since.is_signed_out(epoch)
    }

    /// Keeps a sign-in that renews the one that was read as `over`: it is refused if that changed meanwhile, or if the user signed
    /// out.
    pub async fn renew_sign_in(self: &Arc<Self>, partition: &Partition, sign_in: SignIn, over: &Signed, renewed: Renewed) -> Kept {
        let generation = Fleet::next_generation(over.newest());
        self.keep_over(partition, sign_in, over, generation, Some(renewed)).await
    }

    /// Keeps a new sign-in, whatever stood there. What another release wrote stays all the same, and the sign-in is then `Stale`.
    ///
    /// It is of the lineage of the sign-in that stands, and keeps what later releases have put there; after a sign-out, or where there was none,
    /// it begins a lineage of its own.
    pub async fn keep_sign_in(self: &Arc<Self>, space: &SpaceId, partition: &Partition, sign_in: SignIn) -> Kept {
        let lineage = rand::random();
        for _ in 0..ATTEMPTS {
            let over = match self.signed_or_remembered(space, partition).await {
                Ok(over) => over,
                Err(Unavailable::Unreadable) => return Kept::Stale,
                Err(Unavailable::Unreachable | Unavailable::Busy) => {
                    let epoch = self.fleet.as_ref().and_then(|fleet| fleet.recent.epoch(partition));
                    let base = Base { generation: None, epoch };
                    Signed { sign_in: None, base, since: self.sign_outs.watch(*partition) }
                }
            };
            let generation = Fleet::next_sign_in(over.newest());
            let mut sign_in = SignIn { lineage, ..sign_in.clone() };
            if let Some(old) = &over.sign_in {
                sign_in.descend_from(old);
            }
            match self.keep_over(partition, sign_in, &over, generation, None).await {
                Kept::Stale | Kept::SignedOut => {}
                kept => return kept,
            }
        }
        Kept::Stale
    }

    async fn keep_over(
        self: &Arc<Self>,
        partition: &Partition,
        mut sign_in: SignIn,
        over: &Signed,
        generation: u64,
        renewed: Option<Renewed>,
    ) -> Kept {
        sign_in.epoch = over.base.epoch;
        sign_in.shared = over.base.generation.unwrap_or(0);
        let Some(fleet) = &self.fleet else {
            self.remember_sign_in(partition, &Arc::new(sign_in), &over.since);
            return if over.since.is_signed_out(None) { Kept::SignedOut } else { Kept::Stored };
        };
        // A sign-out without an epoch may be an older one than a new sign-in. A renewed one is of before.
        let is_over = || renewed.is_some() && over.since.is_signed_out(over.base.epoch);
        let mut kept = Kept::SignedOut;
        if !is_over() {
            kept = self.put_sign_in(fleet, partition, &sign_in, over.base, generation).await;
        }
        if kept == Kept::Stored && is_over() {
            fleet.withdraw(&fleet.names.place(partition).sign_in(), generation).await;
            fleet.recent.signed_out(partition, None);
            kept = Kept::SignedOut;
        }
        match kept {
            Kept::Stored => {
                sign_in.shared = generation;
                // `put_sign_in` has told what this process knows.
                self.remember_sign_in(partition, &Arc::new(sign_in), &over.since);
                if let Some(renewed) = &over.sign_in {
                    fleet.queue.done(partition, renewed);
                }
            }
            Kept::Later => return self.keep_for_later(fleet, partition, sign_in, over, generation, renewed),
            Kept::SignedOut => {
                self.memory.remove(partition);
            }
            Kept::Stale => {}
        }
        kept
    }

    fn keep_for_later(
        self: &Arc<Self>,
        fleet: &Arc<Fleet>,
        partition: &Partition,
        sign_in: SignIn,
        over: &Signed,
        generation: u64,
        renewed: Option<Renewed>,
    ) -> Kept {
        let sign_in = Arc::new(sign_in);
        self.remember_sign_in(partition, &sign_in, &over.since);
        let pending = Pending { sign_in, new: renewed.is_none(), spare: renewed == Some(Renewed::Reusable), generation };
        fleet.queue.sign_in(*partition, pending, over.sign_in.as_ref());
        if self.is_over(partition, over.base.epoch, &over.since) {
            fleet.queue.forget(partition);
            return Kept::SignedOut;
        }
        if self.tasks.soft().is_cancelled() {
            // The last push back may be over.
            let (this, fleet) = (Arc::clone(self), Arc::clone(fleet));
            self.tasks.awaited("last push back", async move { this.bring_sign_ins(&fleet).await });
        }
        Kept::Later
    }

    pub(super) async fn put_sign_in(
        &self,
        fleet: &Fleet,
        partition: &Partition,
        sign_in: &SignIn,
        base: Base,
        generation: u64,
    ) -> Kept {
        let place = fleet.names.place(partition);
        let (key, epoch) = (place.sign_in(), place.epoch());
        let sign_in = SignIn { epoch: base.epoch, shared: generation, ..sign_in.clone() };
        let sealed =
            write_sign_in(partition, &sign_in).and_then(|payload| fleet.ring.seal(&key, generation, fleet.version, &payload));
        let Some(value) = sealed else { return Kept::Later };
        let left = u64::try_from(sign_in.expires_on.saturating_sub(self.clock.unix())).unwrap_or(0).max(1);
        let ttl = Duration::from_secs(left);
        let named = epoch_bytes(base.epoch);
        let mut put = Put {
            key: &key,
            value: &value,
            ttl,
            base: base.generation,
            epoch: Some(crate::store::Epoch { key: &epoch, named: &named }),
            index: None,
            lease: None,
            grant: true,
        };
        for _ in 0..ATTEMPTS {
            match fleet.put_named(partition, base.epoch, &put).await {
                Ok(Placed::Stored) => {
                    for names in &fleet.others {
                        // What another version has is older, which its generation says until it has gone.
                        let _older = fleet.store.clear(&[&names.place(partition).sign_in()]).await;
                    }
                    self.list(fleet, partition, &sign_in).await;
                    fleet.recent.brought(partition, Arc::new(sign_in));
                    return Kept::Stored;
                }
                // The store has lost what was read there, and has again what came before that.
                Ok(Placed::Stale(theirs)) if is_before(fleet, partition, &sign_in, &theirs, base) => {
                    put.base = Ring::generation(&theirs);
                }
                Ok(Placed::Stale(_)) => return Kept::Stale,
                Ok(Placed::SignedOut) => return Kept::SignedOut,
                Ok(Placed::Lost) | Err(_) => return Kept::Later,
            }
        }
        Kept::Later
    }
}

// === impl Signed ===

impl Signed {
    /// The highest generation that was read.
    fn newest(&self) -> Option<u64> {
        self.base.generation.max(self.sign_in.as_ref().map(|sign_in| sign_in.shared).filter(|shared| *shared > 0))
    }
}

// === impl Fleet ===

impl Fleet {
    /// The sign-in under the names of one version, whether or not it still stands, and what a change of it there is compared with.
    pub(super) async fn sign_in_at(
        &self,
        names: &Names,
        space: &SpaceId,
        partition: &Partition,
    ) -> Result<(Option<SignIn>, Base), Unavailable> {
        let place = names.place(partition);
        let (name, epoch) = (place.sign_in(), place.epoch());
        let (values, left) = self.store.patient().read_timed(&[&name, &epoch]).await.map_err(|_| Unavailable::Unreachable)?;
        let epoch = epoch_of(values.get(1));
        let Some(value) = values.first().and_then(Option::as_ref) else {
            return Ok((None, Base { generation: None, epoch }));
        };
        self.meet([value]).await;
        let opened = self.needed(&name, value).map_err(|_| Unavailable::Unreadable)?;
        let read = opened.and_then(|opened| read_sign_in(&opened.payload, opened.generation, space, Some(partition)));
        Ok((read.map(|(_, sign_in)| self.signed_in_until(sign_in, left)), Base { generation: Ring::generation(value), epoch }))
    }
}

/// Whether what stands in the store is of before what a change of this sign-in was made over.
fn is_before(fleet: &Fleet, partition: &Partition, sign_in: &SignIn, standing: &[u8], base: Base) -> bool {
    let Some(generation) = base.generation else { return false };
    let name = fleet.names.place(partition).sign_in();
    let Ok(Some(opened)) = fleet.needed(&name, standing) else { return false };
    let read = read_sign_in(&opened.payload, opened.generation, &sign_in.space, Some(partition));
    // What is put descends from what was read.
    let over = SignIn { epoch: base.epoch, shared: generation, ..sign_in.clone() };
    read.is_some_and(|(_, standing)| is_ancestor(&standing, &over))
}
