//! What could not be stored while Redis was away goes there when it is back: a little at first and then more at once, and only
//! where nothing newer stands.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::core::CachedAccounts;
use super::outcome::{Base, Kept, Unavailable};
use crate::cache::generation::{next_generation, next_sign_in};
use crate::cache::level::SharedLevel;
use crate::cache::publish::{TokenPut, put_token};
use crate::cache::queue::{Pending, Room};
use crate::cache::watches::Watch;
use crate::store::{BreakerState, Placed};
use crate::token::{CachedToken, Partition, SignIn, Variant};

/// How much is brought at once in the end. A Redis that has just come back has other things to do: it is one at first, and twice as
/// many each time that all of them were taken.
const AT_ONCE: usize = 64;
/// How long Redis has a rest after each time.
const REST: Duration = Duration::from_millis(10);
/// How often it is looked at where nothing announced a recovery: a single call that failed opens no breaker.
const LOOK: Duration = Duration::from_secs(5);
/// How often while a sign-in waits: until it is stored, another replica may send the refresh token that it replaces.
const SOON: Duration = Duration::from_millis(250);
/// How often a new sign-in yields to one that came between.
const ATTEMPTS: usize = 3;

/// How much is brought at once.
struct Batch(usize);

impl Default for Batch {
    fn default() -> Self {
        Self(1)
    }
}

/// A sign-in that is tried to be stored.
struct StoringAttempt {
    base: Base,
    generation: u64,
    /// What is stored in place of the one that waits: it goes on with the lineage that stands there.
    descendant: Option<SignIn>,
}

// === impl CachedAccounts ===

impl CachedAccounts {
    /// Keeps room for a sign-in that may have to wait to be stored, before what brings it is sent. `None`: there is none, and it
    /// must not be sent, because what it brings could be lost.
    pub fn room_for_sign_in(&self) -> Option<Room> {
        self.shared.as_ref().map_or_else(|| Some(Room::unbounded()), |shared| shared.queue.room())
    }

    /// Pushes back whenever the store can be written to again, until the soft stop; what must not be lost also then.
    pub(super) fn push_back(self: &Arc<Self>, shared: &Arc<SharedLevel>) {
        let (this, inner) = (Arc::clone(self), Arc::clone(shared));
        let mut recoveries = shared.fleet.store().recoveries();
        self.tasks.background("push back", async move {
            loop {
                // Either way: the end of the channel would only mean that nothing announces recoveries any more.
                let look = if inner.queue.has_accounts() || !this.unlisted.is_empty() { SOON } else { LOOK };
                let _announced = tokio::time::timeout(look, recoveries.changed()).await;
                this.bring_waiting(&inner).await;
            }
        });
        let (this, inner, soft) = (Arc::clone(self), Arc::clone(shared), self.tasks.soft().clone());
        self.tasks.awaited("last push back", async move {
            soft.cancelled().await;
            this.bring_sign_ins(&inner).await;
            this.list_waiting(&inner).await;
        });
    }

    /// Brings the sign-ins at the end, until none waits or the process has to end; one task is enough for all.
    pub(super) async fn bring_sign_ins(&self, shared: &SharedLevel) {
        while shared.queue.begin_ending() {
            self.bring_round(shared).await;
            while shared.queue.has_accounts() {
                tokio::time::sleep(SOON).await;
                self.bring_round(shared).await;
            }
            shared.queue.end_ending();
        }
    }

    /// Brings what waits, each once, accounts first, for as long as the store takes writes.
    async fn bring_waiting(&self, shared: &SharedLevel) {
        if shared.fleet.store().state().writes == BreakerState::Closed {
            self.bring_round(shared).await;
        }
        self.bring_tokens(shared).await;
        self.list_waiting(shared).await;
    }

    async fn bring_tokens(&self, shared: &SharedLevel) {
        let (mut left, mut batch) = (shared.queue.tokens(), Batch::default());
        while left > 0 && shared.fleet.store().state().writes == BreakerState::Closed {
            let tokens = shared.queue.next_tokens(batch.of(left));
            left = if tokens.is_empty() { 0 } else { left - tokens.len() };
            let brought =
                join_all(tokens.iter().map(|token| self.bring_token(shared, &token.partition, &token.variant, &token.asked)));
            let mut all_taken = true;
            for (token, outcome) in tokens.iter().zip(brought.await) {
                // One that is refused has its turn again, after all others.
                all_taken &= outcome.is_some();
                if let Some(outcome) = outcome {
                    shared.queue.done_token(token);
                    shared.fleet.metrics().pushed_back(outcome);
                }
            }
            batch.rest(shared, all_taken).await;
        }
    }

    /// Tries each account once, whatever comes of the others.
    async fn bring_round(&self, shared: &SharedLevel) {
        let (mut left, mut batch) = (shared.queue.accounts(), Batch::default());
        while left > 0 {
            let accounts = shared.queue.next_accounts(batch.of(left));
            left = if accounts.is_empty() { 0 } else { left - accounts.len() };
            let brought = join_all(accounts.iter().map(|partition| self.bring_first(shared, partition))).await;
            batch.rest(shared, !brought.contains(&false)).await;
        }
    }

    async fn bring_token(
        &self,
        shared: &SharedLevel,
        partition: &Partition,
        variant: &Variant,
        asked: &str,
    ) -> Option<&'static str> {
        // A sign-out leaves no epoch in the store if nothing stood there: this process only hears of it.
        let since = self.local.watches().watch(*partition);
        let same =
            |stored: &CachedToken| (stored.facts.variant == *variant && *stored.facts.asked == *asked).then(|| stored.clone());
        let Some(stored) = self.local.memory().find_map(partition, same).filter(|stored| stored.expires_on > self.clock.unix())
        else {
            return Some("gone");
        };
        let place = shared.fleet.names().place(partition);
        let base = Some(stored.facts.shared).filter(|base| *base > 0);
        let mut stored = stored;
        stored.facts.shared = next_generation(base);
        let put = TokenPut { place: &place, partition, owned: true, base, stored: &stored, lease: None };
        // An app's own token is put with the name of an epoch too. There never is one, so that nothing is refused.
        match put_token(shared, put).await {
            Ok(Placed::Stored) if since.is_signed_out(stored.facts.epoch) => {
                let name = place.token(&shared.fleet.names().entry(variant, asked));
                shared.fleet.withdraw(&name, stored.facts.shared).await;
                self.local.memory().remove(partition);
                Some("signed_out")
            }
            Ok(Placed::Stored) => Some("stored"),
            Ok(Placed::Stale(_)) => Some("stale"),
            Ok(Placed::SignedOut) => {
                self.local.memory().remove(partition);
                Some("signed_out")
            }
            Ok(Placed::Lost) | Err(_) => None,
        }
    }

    /// Brings the sign-in of an account if one waits, before anything is read of it. Returns whether none waits any more.
    pub(super) async fn bring_first(&self, shared: &SharedLevel, partition: &Partition) -> bool {
        if shared.queue.pending(partition).is_none() {
            return true;
        }
        // One at a time: a second one would take what the first one stored for another replica's.
        let _one = self.bringing.lock(*partition).await;
        let since = self.local.watches().watch(*partition);
        let Some(pending) = shared.queue.pending(partition) else { return true };
        let Some(outcome) = self.bring_sign_in(shared, partition, &pending, &since).await else { return false };
        shared.fleet.metrics().pushed_back(outcome);
        shared.queue.done(partition, &pending.sign_in);
        true
    }

    async fn bring_sign_in(
        &self,
        shared: &SharedLevel,
        partition: &Partition,
        pending: &Pending,
        since: &Watch,
    ) -> Option<&'static str> {
        let sign_in = &pending.sign_in;
        if sign_in.expires_on <= self.clock.unix() {
            return Some("gone");
        }
        let base = Base { generation: Some(sign_in.shared).filter(|base| *base > 0), epoch: sign_in.epoch };
        let mut attempt = StoringAttempt { base, generation: pending.generation, descendant: None };
        for _ in 0..ATTEMPTS {
            let StoringAttempt { base, generation, descendant } = &attempt;
            let brought = descendant.as_ref().unwrap_or(&**sign_in);
            match self.put_sign_in(shared, partition, brought, *base, *generation).await {
                Kept::Stored if since.is_signed_out(base.epoch) => {
                    shared.fleet.withdraw(&shared.fleet.names().place(partition).sign_in(), *generation).await;
                    shared.recent.signed_out(partition, None);
                    self.local.memory().remove(partition);
                    return Some("signed_out");
                }
                Kept::Stored => {
                    if descendant.is_some() {
                        // Memory has another lineage.
                        self.local.memory().remove_sign_in(partition, sign_in);
                    }
                    return Some("stored");
                }
                Kept::SignedOut => {
                    self.local.memory().remove(partition);
                    return Some("signed_out");
                }
                Kept::Later => return None,
                Kept::Stale => match self.outrun(shared, partition, pending, &mut attempt).await {
                    ControlFlow::Continue(()) => {}
                    ControlFlow::Break(Kept::Stored) => return Some("stored"),
                    ControlFlow::Break(Kept::Later) => return None,
                    ControlFlow::Break(_) => break,
                },
            }
        }
        // Somebody signed in or renewed meanwhile; what stands there is newer.
        self.local.memory().remove_sign_in(partition, sign_in);
        Some("stale")
    }

    /// Another sign-in stands there than the one that the attempt was made over: what comes of that, or how it is tried again.
    async fn outrun(
        &self,
        shared: &SharedLevel,
        partition: &Partition,
        pending: &Pending,
        attempt: &mut StoringAttempt,
    ) -> ControlFlow<Kept> {
        let (sign_in, generation) = (&pending.sign_in, attempt.generation);
        match self.read_signed(shared, &sign_in.space, partition).await {
            // The answer was lost, or somebody has renewed it by now. In the first case nobody has listed it.
            Ok((_, theirs)) if theirs.generation == Some(generation) || pending.is_ancestor_of(theirs.generation) => {
                if theirs.generation == Some(generation) {
                    let brought = attempt.descendant.as_ref().unwrap_or(&**sign_in);
                    let stands = SignIn { epoch: attempt.base.epoch, shared: generation, ..brought.clone() };
                    shared.recent.brought(partition, Arc::new(stands));
                }
                self.list(shared, partition, sign_in).await;
                ControlFlow::Break(Kept::Stored)
            }
            // A session of another user stays, and this one is lost.
            Ok((Some(theirs), _)) if theirs.is_anothers(sign_in) => ControlFlow::Break(Kept::Stale),
            Ok((theirs, stands)) if pending.new => {
                // This replica did not know the sign-in that stands. The new one goes on with its lineage, above it: if it were
                // lower, it would be taken for an older one.
                attempt.base.generation = stands.generation;
                if stands.generation > Some(generation) {
                    attempt.generation = next_sign_in(stands.generation);
                    shared.queue.tried_as(partition, sign_in, attempt.generation);
                }
                attempt.descendant = theirs.map(|theirs| {
                    let mut descendant = SignIn::clone(sign_in);
                    descendant.join(&theirs);
                    descendant
                });
                ControlFlow::Continue(())
            }
            // The store had lost it, and has it again.
            Ok((_, theirs)) if theirs.generation == attempt.base.generation => ControlFlow::Continue(()),
            Ok(_) | Err(Unavailable::Unreadable) => ControlFlow::Break(Kept::Stale),
            Err(Unavailable::Unreachable | Unavailable::Busy) => ControlFlow::Break(Kept::Later),
        }
    }
}

// === impl Batch ===

impl Batch {
    fn of(&self, left: usize) -> usize {
        self.0.min(left)
    }

    /// Has the store rest, and brings more next time if all were taken, else less.
    async fn rest(&mut self, shared: &SharedLevel, all_taken: bool) {
        self.0 = if all_taken { (self.0 * 2).min(AT_ONCE) } else { (self.0 / 2).max(1) };
        tokio::time::sleep(shared.fleet.spread(REST)).await;
    }
}
