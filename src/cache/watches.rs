//! Sign-outs while calls are under way: what was asked for before one must not bring the user back.
//!
//! A sign-out is remembered for those calls only that it may concern, and with them it is forgotten: whoever signs out accounts
//! that nobody knows leaves nothing behind.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::token::{Epoch, Partition};

/// How many sign-outs are remembered for calls whose owner is not known yet. If one finds no room, every call that began before it
/// is taken for signed out: its token is given, and not kept.
const MOST: usize = 1024;

/// Calls under way, and the sign-outs that they overlap with; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches(Arc<Mutex<SignOutLog>>);

#[derive(Debug, Default)]
struct SignOutLog {
    /// How many sign-outs there were: their order.
    count: u64,
    /// By the partition of a call under way.
    watched: HashMap<Partition, WatchedPartition>,
    /// How many calls there are under way that may bring anybody's token.
    open: usize,
    /// The last sign-outs, for those.
    recent: VecDeque<(u64, Partition)>,
    /// The newest one that had no room.
    forgotten: u64,
}

#[derive(Debug, Default)]
struct WatchedPartition {
    calls: usize,
    /// The last sign-out that has no epoch: nothing stood of the account, or there is no store.
    last: u64,
    /// The highest epoch of the others.
    epoch: Epoch,
}

/// A call under way for a partition: from its beginning to its end it knows of sign-outs.
#[derive(Debug)]
pub(super) struct Watch {
    outs: Watches,
    partition: Partition,
    since: u64,
}

/// A call under way whose answer alone says whose token it brings.
#[derive(Debug)]
pub struct OpenWatch {
    outs: Watches,
    since: u64,
}

// === impl Watches ===

impl Watches {
    /// Begins a call for a partition.
    pub(super) fn watch(&self, partition: Partition) -> Watch {
        let mut heard = self.heard();
        heard.watched.entry(partition).or_default().calls += 1;
        let since = heard.count;
        drop(heard);
        Watch { outs: self.clone(), partition, since }
    }

    /// Begins a call that may bring anybody's token.
    pub(super) fn watch_all(&self) -> OpenWatch {
        let mut heard = self.heard();
        heard.open += 1;
        let since = heard.count;
        drop(heard);
        OpenWatch { outs: self.clone(), since }
    }

    /// Notes a sign-out for the calls that are under way. What has its epoch came after it, however late this is heard.
    pub(super) fn mark(&self, partition: &Partition, epoch: Epoch) {
        let mut heard = self.heard();
        heard.count += 1;
        let count = heard.count;
        if let Some(watched) = heard.watched.get_mut(partition) {
            match epoch {
                Some(_) => watched.epoch = watched.epoch.max(epoch),
                None => watched.last = count,
            }
        }
        if heard.open > 0 {
            if heard.recent.len() == MOST
                && let Some((oldest, _)) = heard.recent.pop_front()
            {
                heard.forgotten = oldest;
            }
            heard.recent.push_back((count, *partition));
        }
    }

    fn heard(&self) -> MutexGuard<'_, SignOutLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Watch ===

impl Watch {
    /// Whether the account was signed out since the call began, for what that brings and stores under this epoch.
    pub(super) fn is_signed_out(&self, epoch: Epoch) -> bool {
        let is_over = |watched: &WatchedPartition| watched.last > self.since || watched.epoch > epoch;
        self.outs.heard().watched.get(&self.partition).is_some_and(is_over)
    }
}

impl Clone for Watch {
    fn clone(&self) -> Self {
        self.outs.heard().watched.entry(self.partition).or_default().calls += 1;
        Self { outs: self.outs.clone(), partition: self.partition, since: self.since }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut heard = self.outs.heard();
        if let Some(watched) = heard.watched.get_mut(&self.partition) {
            watched.calls -= 1;
            if watched.calls == 0 {
                heard.watched.remove(&self.partition);
            }
        }
    }
}

// === impl OpenWatch ===

impl OpenWatch {
    /// Whether an account was signed out since the call began, or may have been.
    pub(super) fn is_signed_out(&self, partition: &Partition) -> bool {
        let heard = self.outs.heard();
        let since = self.since;
        since < heard.forgotten || heard.recent.iter().any(|(count, signed_out)| *count > since && signed_out == partition)
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        let mut heard = self.outs.heard();
        heard.open -= 1;
        if heard.open == 0 {
            (heard.recent, heard.forgotten) = (VecDeque::new(), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Partition, Watches};

    fn numbered(number: usize) -> Partition {
        let mut partition = [0; 32];
        partition[..8].copy_from_slice(&number.to_le_bytes());
        Partition::new(partition)
    }

    /// How many calls it knows of by partition, and how many sign-outs it remembers besides.
    fn kept(outs: &Watches) -> (usize, usize) {
        let heard = outs.heard();
        (heard.watched.len(), heard.recent.len())
    }

    #[test]
    fn a_call_knows_of_the_sign_outs_since_it_began() {
        let outs = Watches::default();
        let first = outs.watch(Partition::new([1; 32]));
        outs.mark(&Partition::new([1; 32]), None);
        let (second, other) = (outs.watch(Partition::new([1; 32])), outs.watch(Partition::new([2; 32])));
        assert!(first.is_signed_out(None) && !second.is_signed_out(None) && !other.is_signed_out(None));
        assert!(first.clone().is_signed_out(None));
        outs.mark(&Partition::new([2; 32]), None);
        assert!(other.is_signed_out(None) && !second.is_signed_out(None));
    }

    #[test]
    fn what_has_the_epoch_of_a_sign_out_came_after_it() {
        let epoch = std::num::NonZeroU64::new;
        let outs = Watches::default();
        let call = outs.watch(Partition::new([1; 32]));
        outs.mark(&Partition::new([1; 32]), epoch(5));
        assert!(call.is_signed_out(None) && call.is_signed_out(epoch(4)));
        assert!(!call.is_signed_out(epoch(5)) && !call.is_signed_out(epoch(6)));
        outs.mark(&Partition::new([1; 32]), epoch(3));
        assert!(call.is_signed_out(epoch(4)) && !call.is_signed_out(epoch(5)));
        outs.mark(&Partition::new([1; 32]), None);
        assert!(call.is_signed_out(epoch(6)), "nothing stood");
    }

    #[test]
    fn nothing_is_remembered_when_no_call_is_under_way() {
        let outs = Watches::default();
        for number in 0..10 {
            outs.mark(&numbered(number), None);
        }
        let (call, open) = (outs.watch(Partition::new([1; 32])), outs.watch_all());
        for number in 0..10 {
            outs.mark(&numbered(number), None);
        }
        assert_eq!(kept(&outs), (1, 10));
        drop((call.clone(), call));
        drop(open);
        assert_eq!(kept(&outs), (0, 0));
    }

    #[test]
    fn a_call_for_anybody_knows_of_all_and_forgets_in_doubt_only() {
        let outs = Watches::default();
        let before = outs.watch_all();
        for number in 0..MOST {
            outs.mark(&numbered(number), None);
        }
        assert!(before.is_signed_out(&numbered(0)) && !before.is_signed_out(&Partition::new([9; 32])));
        let after = outs.watch_all();
        assert!(!after.is_signed_out(&numbered(0)));
        outs.mark(&numbered(MOST), None);
        assert!(before.is_signed_out(&Partition::new([9; 32])), "it may have been the one that is forgotten");
        assert!(!after.is_signed_out(&Partition::new([9; 32])) && after.is_signed_out(&numbered(MOST)));
        assert_eq!(kept(&outs), (0, MOST));
    }
}
