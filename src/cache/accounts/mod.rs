//! Who signed in, and what renews their tokens: over both levels, never lost to a slower replica, never served after a sign-out.
//!
//! `standing` is the sign-in as the store has it, `sign_in` reads and keeps one, `refresh_lease` lets one in the fleet use its
//! refresh token, `listing` shows who is signed in, with `unlisted` for those who could not be listed yet, `known` asks of many at
//! once, `sign_out` ends it, `guests` and `links` are about accounts that have tokens elsewhere. `push_back` brings to the store
//! what it missed, `restore` what it has lost, and `hearing` heeds what the other replicas tell.

mod guests;
mod hearing;
mod known;
mod links;
mod listing;
mod outcome;
mod push_back;
mod refresh_lease;
mod restore;
mod sign_in;
mod sign_out;
mod standing;
mod unlisted;

use std::sync::Arc;

pub use known::Known;
pub use listing::{Cursor, Listed};
pub use outcome::{Base, Kept, Renewed, Signed, Unavailable};
pub use refresh_lease::RefreshLease;

use links::Links;
use unlisted::Unlisted;

use super::level::SharedLevel;
use super::local::LocalLevel;
use super::locks::KeyLocks;
use super::watches::OpenWatch;
use crate::clock::Clock;
use crate::tasks::Tasks;

/// The accounts of one process, and of the fleet that it is part of.
#[derive(Debug)]
pub struct CachedAccounts {
    local: Arc<LocalLevel>,
    /// The level that replicas share, where there is one.
    shared: Option<Arc<SharedLevel>>,
    /// Refresh tokens that are good for one use, one at a time per account.
    using: KeyLocks,
    /// Sign-ins on their way to the store, one at a time per account.
    bringing: KeyLocks,
    links: Links,
    /// Who may be missing in listings.
    unlisted: Unlisted,
    clock: Clock,
    tasks: Tasks,
}

// === impl CachedAccounts ===

impl CachedAccounts {
    pub(super) fn new(local: Arc<LocalLevel>, shared: Option<Arc<SharedLevel>>, clock: Clock, tasks: Tasks) -> Arc<Self> {
        Arc::new(Self {
            local,
            shared,
            using: KeyLocks::default(),
            bringing: KeyLocks::default(),
            links: Links::default(),
            unlisted: Unlisted::default(),
            clock,
            tasks,
        })
    }

    /// Begins a call of which only the answer says whose token it brings: see [`CachedAccounts::link`].
    pub fn watch_sign_outs(&self) -> OpenWatch {
        self.local.watches().watch_all()
    }

    /// How much waits to be stored, for `/status`; `None`: nothing ever does.
    pub fn waiting(&self) -> Option<usize> {
        self.shared.as_ref().map(|shared| shared.queue.len())
    }

    /// What that weighs, in bytes.
    pub fn waiting_bytes(&self) -> Option<usize> {
        self.shared.as_ref().map(|shared| shared.queue.bytes())
    }

    /// Forgets links to what is in memory no more.
    pub(super) fn sweep(&self) {
        self.links.sweep(self.clock.moment(), |partition| self.local.memory().has(partition));
    }
}
