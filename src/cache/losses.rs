//! What the store may have lost: everything, or what it had of single accounts; and for how long nobody may trust it alone.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::token::Partition;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long what must not be sent twice waits after the store may have become another one: until then those who know more have
/// brought it.
const SETTLING: Duration = Duration::from_secs(3);
/// Of how many single accounts it is remembered that they have to be restored: of more, all are.
pub(super) const MOST: usize = 1024;

/// What has to be restored.
#[derive(Debug, Default)]
pub(super) struct Losses {
    wanted: Mutex<WantedChecks>,
    asked: Notify,
    settling: Mutex<Settling>,
}

/// Since when the store is the one that it is.
#[derive(Debug, Default)]
struct Settling {
    until: Option<Instant>,
    /// Accounts whose sign-in it had lost: until when they are not trusted.
    accounts: HashMap<Partition, Instant>,
    reconnects: u64,
    subscribed: bool,
}

#[derive(Debug, Default)]
struct WantedChecks {
    all: bool,
    some: HashSet<Partition>,
    /// It is being done.
    running: bool,
}

// === impl Losses ===

impl Losses {
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
    pub(super) fn is_pending(&self) -> bool {
        let wanted = self.wanted();
        wanted.all || wanted.running || !wanted.some.is_empty()
    }

    /// What is to be restored now: everything, or some accounts.
    pub(super) fn begin(&self) -> Option<(bool, Vec<Partition>)> {
        let mut wanted = self.wanted();
        let (all, some) = (std::mem::take(&mut wanted.all), std::mem::take(&mut wanted.some));
        wanted.running = all || !some.is_empty();
        wanted.running.then(|| (all, some.into_iter().collect()))
    }

    /// `rest`: what could not be restored.
    pub(super) fn end(&self, all: bool, rest: impl IntoIterator<Item = Partition>) {
        let mut wanted = self.wanted();
        wanted.running = false;
        wanted.all |= all;
        wanted.some.extend(rest);
    }

    /// The store may be another one, or empty.
    pub(super) fn begin_settling(&self) {
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
    pub(super) fn settles_in(&self, partition: &Partition, reconnects: u64) -> Option<Duration> {
        let (mut settling, now) = (self.settling(), Instant::now());
        if std::mem::replace(&mut settling.reconnects, reconnects) != reconnects {
            settling.until = Some(now + SETTLING);
        }
        let until = settling.until.max(settling.accounts.get(partition).copied());
        until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Waits until something was asked for.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Listens to the others, for the first time or again: it may be another master, or one that has lost something.
    pub(super) fn subscribed(&self) {
        if std::mem::replace(&mut self.settling().subscribed, true) {
            self.begin_settling();
        }
        self.all();
    }

    fn settling(&self) -> MutexGuard<'_, Settling> {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> MutexGuard<'_, WantedChecks> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
