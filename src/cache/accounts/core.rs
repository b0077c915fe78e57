//! What the accounts of a process are made of.

use std::sync::Arc;

use super::links::Links;
use super::unlisted::Unlisted;
use crate::cache::level::SharedLevel;
use crate::cache::local::LocalLevel;
use crate::cache::locks::KeyLocks;
use crate::cache::watches::OpenWatch;
use crate::clock::Clock;
use crate::tasks::Tasks;

/// The accounts of one process, and of the fleet that it is part of.
#[derive(Debug)]
pub struct CachedAccounts {
    pub(super) local: Arc<LocalLevel>,
    /// The level that replicas share, where there is one.
    pub(super) shared: Option<Arc<SharedLevel>>,
    /// Refresh tokens that are good for one use, one at a time per account.
    pub(super) using: KeyLocks,
    /// Sign-ins on their way to the store, one at a time per account.
    pub(super) bringing: KeyLocks,
    pub(super) links: Links,
    /// Links on their way to the store, one at a time per account.
    pub(super) linking: KeyLocks,
    /// Who may be missing in listings.
    pub(super) unlisted: Unlisted,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
}

// === impl CachedAccounts ===

impl CachedAccounts {
    pub(in crate::cache) fn new(local: Arc<LocalLevel>, shared: Option<Arc<SharedLevel>>, clock: Clock, tasks: Tasks) -> Arc<Self> {
        Arc::new(Self {
            local,
            shared,
            using: KeyLocks::default(),
            bringing: KeyLocks::default(),
            links: Links::default(),
            linking: KeyLocks::default(),
            unlisted: Unlisted::default(),
            clock,
            tasks,
        })
    }

    /// Begins a call whose answer alone says whose token it brings: see [`CachedAccounts::link`].
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
    pub(in crate::cache) fn sweep(&self) {
        let (memory, now) = (self.local.memory(), self.clock.unix());
        self.links.sweep(self.clock.moment(), |partition| memory.has(partition) || memory.sign_in(partition, now).is_some());
    }
}
