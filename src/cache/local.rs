//! What this process has in memory, and which of it may be used: tokens and sign-ins, the order in which they came, and the
//! sign-outs that calls under way overlap with.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::again::Again;
use super::freshness::{Freshness, judge, lifetime_is_credible};
use super::level::SharedLevel;
use super::outcome::{CacheLevel, FlightOutcome, Loaded, Miss};
use super::query::{Bypass, OwnedQuery, SoughtToken};
use super::watches::{Watch, Watches};
use crate::clock::{Clock, Moment};
use crate::store::Memory;
use crate::token::{AnswerHead, CachedToken, Epoch, Facts, Partition, SignIn};

/// The level of this process alone.
#[derive(Debug)]
pub(super) struct LocalLevel {
    memory: Memory,
    watches: Watches,
    generation: AtomicU64,
    again: Again,
    /// Where it is known what others did.
    shared: Option<Arc<SharedLevel>>,
    clock: Clock,
}

/// A moment before something was asked for, in the orders of sign-outs and of stores.
#[derive(Debug)]
pub(super) struct Since {
    watch: Option<Watch>,
    generation: u64,
    /// As in [`super::fleet::Checks::check_moment`].
    began: Moment,
}

/// A token in memory that may be used.
pub(super) struct Found {
    pub(super) flown: FlightOutcome,
    pub(super) due: bool,
    pub(super) unchecked: bool,
}

/// A loaded token as it is kept; `None` if it may not be, or does not say credibly when it ends.
pub(super) fn written(head: AnswerHead, wanted: &OwnedQuery, loaded: &Loaded, epoch: Epoch) -> Option<CachedToken> {
    let times = &loaded.grant.times;
    let facts = Facts {
        asked: wanted.asked.clone(),
        granted: loaded.granted.clone(),
        variant: wanted.variant,
        challenge: wanted.bypass.challenge(),
        epoch,
        ..Facts::default()
    };
    let kept = if loaded.kept && lifetime_is_credible(times) { head.keep(times, facts) } else { None };
    kept.map(|stored| stored.asked_by(wanted.taker))
}

// === impl Since ===

impl Since {
    /// The moment that is noted of what is asked for then.
    pub(super) fn began(&self) -> Moment {
        self.began
    }
}

// === impl LocalLevel ===

impl LocalLevel {
    /// Empty memory of so many bytes.
    pub(super) fn new(max_bytes: u64, shared: Option<Arc<SharedLevel>>, clock: Clock) -> Self {
        Self {
            memory: Memory::new(max_bytes),
            watches: Watches::default(),
            generation: AtomicU64::new(1),
            again: Again::default(),
            shared,
            clock,
        }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The calls under way that a sign-out may concern.
    pub(super) fn watches(&self) -> &Watches {
        &self.watches
    }

    /// A point in the order of stores: what is stored later has a higher one.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Looks for a token, without counting it.
    pub(super) fn find(&self, sought: SoughtToken<'_>) -> Result<Found, Miss> {
        let SoughtToken { partition, variant, asked, superset, bypass, taker } = sought;
        let now = self.clock.unix();
        let expired = Cell::new(false);
        let judged = |stored: &CachedToken| {
            let exact = stored.answer(variant, asked, superset)?;
            let facts = &stored.facts;
            let flown = FlightOutcome { head: stored.head(), level: CacheLevel::Memory, exact, generation: facts.generation };
            if bypass.wants_another(facts.challenge) || (bypass.skips(&flown) && !self.came_again(bypass)) {
                return Some(Err(Miss::Bypassed));
            }
            let unchecked = self.shared.as_ref().is_some_and(|shared| shared.fleet.checks().is_unchecked(stored.checked()));
            match judge(stored.expires_on, stored.received_on, stored.refresh_on, now) {
                // An older one that is good for more may last longer.
                Freshness::Expired => {
                    expired.set(true);
                    None
                }
                freshness => {
                    stored.user.used_by(taker);
                    Some(Ok(Found { flown, due: freshness == Freshness::RefreshDue, unchecked }))
                }
            }
        };
        let found = self.memory.find_map(partition, judged);
        found.unwrap_or_else(|| Err(if expired.get() { Miss::Expired } else { Miss::Absent }))
    }

    /// Keeps what was loaded in memory alone.
    pub(super) fn keep(&self, wanted: &OwnedQuery, loaded: &Loaded, since: &Since, epoch: Epoch) -> FlightOutcome {
        let flown = self.brought(wanted, loaded);
        if let Some(stored) = written(flown.head.clone(), wanted, loaded, epoch) {
            self.remember(&wanted.partition, stored, flown.generation, since);
        }
        flown
    }

    /// What the authority has just brought.
    pub(super) fn brought(&self, wanted: &OwnedQuery, loaded: &Loaded) -> FlightOutcome {
        let head = loaded.grant.write();
        if wanted.bypass.rejects(&head) {
            self.note_again(&wanted.bypass);
        }
        FlightOutcome { head, level: CacheLevel::Authority, exact: true, generation: self.next() }
    }

    /// The authority gave the rejected token again.
    pub(super) fn note_again(&self, bypass: &Bypass) {
        if let Some(sha256) = bypass.rejected() {
            self.again.note(*sha256, self.clock.moment());
        }
    }

    /// Whether it did so a moment ago.
    fn came_again(&self, bypass: &Bypass) -> bool {
        bypass.rejected().is_some_and(|sha256| self.again.has(sha256, self.clock.moment()))
    }

    /// Puts a token into memory, unless since that moment its partition was signed out, or a better token came.
    pub(super) fn remember(&self, partition: &Partition, mut stored: CachedToken, generation: u64, since: &Since) {
        stored.facts.generation = generation;
        if self.shared.is_some() {
            // What is said of it is as old as the question: messages may have been missed since.
            stored.set_checked(since.began);
        }
        let (shared, challenge, epoch) = (stored.facts.shared, stored.facts.challenge, stored.facts.epoch);
        let allowed = |old: Option<&CachedToken>| {
            // It came while this one was under way, and stands after it in the shared store, or answers a challenge that this one
            // knows nothing of.
            let better = |old: &CachedToken| {
                let meanwhile = old.facts.generation > since.generation;
                meanwhile && (old.facts.shared > shared || (old.facts.challenge != 0 && challenge == 0))
            };
            !self.is_signed_out(partition, epoch, since) && !old.is_some_and(better)
        };
        self.memory.put(*partition, stored, || self.clock.unix(), allowed);
    }

    /// This moment, for a call that begins. Nobody signs an app out.
    pub(super) fn since(&self, partition: &Partition, owned: bool) -> Since {
        let watch = owned.then(|| self.watches.watch(*partition));
        let began = self.shared.as_ref().map_or(Moment::of_millis(0), |shared| shared.fleet.checks().check_moment());
        Since { watch, generation: self.generation(), began }
    }

    /// The next place in the order of stores.
    pub(super) fn next(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Whether an account was signed out since a call for it began, or is signed out by what this process knows. `epoch` is the one
    /// that the call goes by.
    pub(super) fn is_signed_out(&self, partition: &Partition, epoch: Epoch, since: &Since) -> bool {
        since.watch.as_ref().is_some_and(|watch| self.is_over(partition, epoch, watch))
    }

    /// Keeps a sign-in, unless it is over by what this process knows.
    pub(super) fn remember_sign_in(&self, partition: &Partition, sign_in: &Arc<SignIn>, since: &Watch) {
        let allowed = || !self.is_over(partition, sign_in.epoch, since);
        self.memory.put_sign_in(*partition, Arc::clone(sign_in), allowed);
    }

    /// Whether what is of this epoch has been signed out, as far as this process knows.
    pub(super) fn is_over(&self, partition: &Partition, epoch: Epoch, since: &Watch) -> bool {
        let known = self.shared.as_ref().and_then(|shared| shared.recent.epoch(partition));
        known > epoch || since.is_signed_out(epoch)
    }

    /// A sign-out that this process makes or hears of, with the account's new epoch if anything stood of it: nothing is kept from
    /// now on that was asked for before, and memory forgets. Returns whether it knew anything.
    pub(super) fn forget(&self, partition: &Partition, epoch: Epoch) -> bool {
        let mut known = false;
        if let Some(shared) = &self.shared {
            known |= shared.recent.signed_out(partition, epoch);
            // A new sign-in may wait there by the time that the message comes.
            let waiting = shared.queue.waiting_sign_in(partition);
            if waiting.is_some_and(|waiting| epoch.is_none() || waiting.epoch < epoch) {
                known |= shared.queue.forget(partition);
            }
        }
        self.watches.mark(partition, epoch);
        self.memory.remove(partition) || known
    }

    /// Serves an account no more whose sign-out begins. What the store may have lost of it, or never had, stays known until the
    /// sign-out is done: where that fails, somebody else may put back an older sign-in, and without its successor a used refresh
    /// token would be sent. Returns whether anything was known.
    pub(super) fn purge(&self, partition: &Partition) -> bool {
        let mut known = false;
        if let Some(shared) = &self.shared {
            if let Some(pending) = shared.queue.pending(partition) {
                let sign_in = SignIn { shared: pending.generation, ..(*pending.sign_in).clone() };
                shared.recent.brought(partition, Arc::new(sign_in));
            }
            known |= shared.queue.forget(partition);
            known |= shared.recent.hide(partition);
        } else {
            // In memory alone that is all of the sign-out. Else calls under way are told when it is done: what they bring of a
            // refresh token must not be lost to a sign-out that fails.
            self.watches.mark(partition, None);
        }
        self.memory.remove(partition) || known
    }

    /// Removes what has ended.
    pub(super) fn sweep(&self) {
        self.memory.sweep(self.clock.unix());
    }
}
