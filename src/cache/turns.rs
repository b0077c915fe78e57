//! One at a time per account: a refresh token that is good for one use must not be sent twice.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use super::Partition;

/// Locks by account, for as long as somebody holds or wants one.
#[derive(Clone, Debug)]
pub(super) struct Turns<K: Copy + Eq + Hash = Partition>(Arc<Mutex<HashMap<K, Arc<Lock<()>>>>>);

/// A turn; the next one comes when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<K: Copy + Eq + Hash = Partition> {
    turns: Turns<K>,
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
}

// === impl Turns ===

impl<K: Copy + Eq + Hash> Default for Turns<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Copy + Eq + Hash> Turns<K> {
    pub(super) async fn turn(&self, key: K) -> Turn<K> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(key).or_default())
        };
        // Made first: whoever leaves while it waits leaves nothing behind either.
        let mut turn = Turn { turns: self.clone(), key, guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl<K: Copy + Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut locks = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's own is the only one left: nobody holds it and nobody waits.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Partition, Turns};

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left_behind() {
        let turns = Turns::default();
        let first = turns.turn(Partition::new([1; 32])).await;
        let other = turns.turn(Partition::new([2; 32])).await;
        let mut second = Box::pin(turns.turn(Partition::new([1; 32])));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
        let first = turns.turn(Partition::new([1; 32])).await;
        let mut leaving = Box::pin(turns.turn(Partition::new([1; 32])));
        assert!(futures_util::poll!(&mut leaving).is_pending());
        drop(first);
        drop(leaving);
        drop(other);
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
