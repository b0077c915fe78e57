//! Who signed in, and what renews their tokens: over both levels, never lost to a slower replica, never served after a sign-out.
//!
//! With a shared store that is where the truth stands, and memory only helps where it cannot be asked.

use std::sync::Arc;

use super::core::CachedAccounts;
use super::outcome::{Base, Kept, KeptSignIn, Renewed, Signed, Unavailable};
use crate::cache::generation::{next_generation, next_sign_in};
use crate::cache::level::SharedLevel;
use crate::cache::queue::Pending;
use crate::cache::watches::Watch;
use crate::token::{Partition, SignIn, SpaceId, challenge_hash};

/// How often a new sign-in yields to one that came between.
const ATTEMPTS: usize = 3;

// === impl CachedAccounts ===

impl CachedAccounts {
    /// The sign-in of an account; where the shared store cannot be asked, what waits to be stored there, or what memory has.
    ///
    /// # Errors
    /// As for [`CachedAccounts::signed`].
    pub async fn signed_or_remembered(&self, space: &SpaceId, partition: &Partition) -> Result<Signed, Unavailable> {
        match self.signed(space, partition).await {
            Err(Unavailable::Unreachable) => {
                let since = self.local.watches().watch(*partition);
                let waiting = self.shared.as_ref().and_then(|shared| shared.queue.waiting_sign_in(partition));
                let brought = || self.shared.as_ref().and_then(|shared| shared.recent.served(partition));
                let now = self.clock.unix();
                let known = waiting.or_else(|| self.local.memory().sign_in(partition, now)).or_else(brought);
                let sign_in = known.filter(|sign_in| sign_in.expires_on > now).ok_or(Unavailable::Unreachable)?;
                let base = Base { generation: Some(sign_in.shared).filter(|shared| *shared > 0), epoch: sign_in.epoch };
                Ok(Signed { sign_in: Some(sign_in), base, since })
            }
            known => known,
        }
    }

    /// The sign-in of an account as memory has it.
    pub fn remembered(&self, partition: &Partition) -> Option<Arc<SignIn>> {
        self.local.memory().sign_in(partition, self.clock.unix())
    }

    /// Names the refresh token that memory has of an account, by hash; zero if it has none.
    pub fn refresh_token(&self, partition: &Partition) -> u64 {
        let sign_in = self.local.memory().sign_in(partition, self.clock.unix());
        let token = sign_in.as_ref().and_then(|sign_in| sign_in.refresh_token.as_ref());
        token.map_or(0, |token| challenge_hash(token.expose()))
    }

    /// The sign-in of an account.
    ///
    /// # Errors
    /// Nothing can be said of it: it may be there or not.
    pub async fn signed(&self, space: &SpaceId, partition: &Partition) -> Result<Signed, Unavailable> {
        let Some(shared) = &self.shared else {
            let since = self.local.watches().watch(*partition);
            let sign_in = self.local.memory().sign_in(partition, self.clock.unix());
            return Ok(Signed { sign_in, base: Base::default(), since });
        };
        // What waits to be stored is newer than what stands there: it goes there first.
        if !self.bring_first(shared, partition).await {
            return Err(Unavailable::Unreachable);
        }
        let since = self.local.watches().watch(*partition);
        let remembered = self.local.memory().sign_in(partition, self.clock.unix());
        let (sign_in, base) = self.read_signed(shared, space, partition).await?;
        let sign_in = sign_in.map(Arc::new);
        match (&sign_in, &remembered) {
            (Some(sign_in), _) => {
                shared.recent.seen(partition, sign_in);
                self.remember(partition, sign_in, &since);
            }
            // The user signed out, or all was lost: memory must not know better when the store is away.
            (None, Some(remembered)) => self.local.memory().remove_sign_in(partition, remembered),
            (None, None) => {}
        }
        Ok(Signed { sign_in, base, since })
    }

    /// Keeps a sign-in that renews `over`, which was read before. It is refused if that changed meanwhile, or if the user signed
    /// out.
    pub async fn renew_sign_in(self: &Arc<Self>, partition: &Partition, sign_in: SignIn, over: &Signed, renewed: Renewed) -> Kept {
        let generation = next_generation(over.newest());
        self.keep_over(partition, sign_in, over, generation, Some(renewed)).await
    }

    /// Keeps a new sign-in, whatever stood there. What another release wrote stays all the same, and the sign-in is then `Stale`.
    ///
    /// It is of the lineage of the sign-in that stands, and keeps what later releases have put there; after a sign-out, or where
    /// there was none, it begins a lineage of its own. A session of another user stays as well, and the new one is `Stale`. One
    /// whose home was signed out meanwhile is `SignedOut`.
    pub async fn keep_sign_in(self: &Arc<Self>, space: &SpaceId, partition: &Partition, sign_in: SignIn) -> KeptSignIn {
        let lineage = rand::random();
        let mut last = Kept::Stale;
        let stale = KeptSignIn { kept: Kept::Stale, lineage };
        for _ in 0..ATTEMPTS {
            let over = match self.signed_or_remembered(space, partition).await {
                Ok(over) => over,
                Err(Unavailable::Unreadable) => return stale,
                Err(Unavailable::Unreachable | Unavailable::Busy) => {
                    let epoch = self.shared.as_ref().and_then(|shared| shared.recent.epoch(partition));
                    let base = Base { generation: None, epoch };
                    Signed { sign_in: None, base, since: self.local.watches().watch(*partition) }
                }
            };
            let generation = next_sign_in(over.newest());
            let mut sign_in = SignIn { lineage, ..sign_in.clone() };
            if let Some(old) = &over.sign_in {
                if sign_in.is_anothers(old) {
                    return stale;
                }
                sign_in.descend_from(old);
            }
            let lineage = sign_in.lineage;
            match self.keep_over(partition, sign_in, &over, generation, None).await {
                kept @ (Kept::Stale | Kept::SignedOut) => last = kept,
                kept => return KeptSignIn { kept, lineage },
            }
        }
        KeptSignIn { kept: last, lineage }
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
        let Some(shared) = &self.shared else {
            self.remember(partition, &Arc::new(sign_in), &over.since);
            return if over.since.is_signed_out(None) { Kept::SignedOut } else { Kept::Stored };
        };
        // A renewal is older than a sign-out that was heard of since. A new sign-in need not be, if the sign-out has no epoch.
        let is_over = || renewed.is_some() && over.since.is_signed_out(over.base.epoch);
        let mut kept = Kept::SignedOut;
        if !is_over() {
            kept = self.put_sign_in(shared, partition, &sign_in, over.base, generation).await;
        }
        if kept == Kept::Stored && is_over() {
            shared.fleet.withdraw(&shared.fleet.names().place(partition).sign_in(), generation).await;
            shared.recent.signed_out(partition, None);
            kept = Kept::SignedOut;
        }
        match kept {
            Kept::Stored => {
                sign_in.shared = generation;
                // `put_sign_in` has told what this process knows.
                self.remember(partition, &Arc::new(sign_in), &over.since);
                if let Some(renewed) = &over.sign_in {
                    shared.queue.done(partition, renewed);
                }
            }
            Kept::Later => return self.keep_for_later(shared, partition, sign_in, over, generation, renewed),
            Kept::SignedOut => {
                self.local.memory().remove(partition);
            }
            Kept::Stale => {}
        }
        kept
    }

    fn keep_for_later(
        self: &Arc<Self>,
        shared: &Arc<SharedLevel>,
        partition: &Partition,
        sign_in: SignIn,
        over: &Signed,
        generation: u64,
        renewed: Option<Renewed>,
    ) -> Kept {
        let sign_in = Arc::new(sign_in);
        self.remember(partition, &sign_in, &over.since);
        let pending = Pending { sign_in, new: renewed.is_none(), spare: renewed == Some(Renewed::Reusable), generation };
        shared.queue.sign_in(*partition, pending, over.sign_in.as_ref());
        if self.local.is_over(partition, over.base.epoch, &over.since) {
            shared.queue.forget(partition);
            return Kept::SignedOut;
        }
        if self.tasks.soft().is_cancelled() {
            // The last push back may be over.
            let (this, shared) = (Arc::clone(self), Arc::clone(shared));
            self.tasks.awaited("last push back", async move { this.bring_sign_ins(&shared).await });
        }
        Kept::Later
    }
    /// Memory has a sign-in from now on. A session's home knows of it first.
    fn remember(&self, partition: &Partition, sign_in: &Arc<SignIn>, since: &Watch) {
        if let Some(session) = sign_in.session() {
            self.links.add(session.home, *partition, self.clock.moment());
        }
        self.local.remember_sign_in(partition, sign_in, since);
    }
}
