//! One at a time per key. Of an account: a refresh token that is good for one use must not be sent twice.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use crate::token::Partition;
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

/// Locks by key, for as long as somebody holds or wants one.
#[derive(Clone, Debug)]
pub(super) struct KeyLocks<K: Copy + Eq + Hash = Partition>(Arc<Mutex<HashMap<K, Arc<Lock<()>>>>>);

/// Held until it is dropped; then the next one gets it.
#[derive(Debug)]
pub(super) struct KeyLock<K: Copy + Eq + Hash = Partition> {
    locks: KeyLocks<K>,
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
}

// === impl KeyLocks ===

impl<K: Copy + Eq + Hash> Default for KeyLocks<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Copy + Eq + Hash> KeyLocks<K> {
    pub(super) async fn lock(&self, key: K) -> KeyLock<K> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(key).or_default())
        };
        // Made first: whoever leaves while it waits leaves nothing behind either.
        let mut held = KeyLock { locks: self.clone(), key, guard: None };
        held.guard = Some(lock.lock_owned().await);
        held
    }
}

impl<K: Copy + Eq + Hash> Drop for KeyLock<K> {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut locks = self.locks.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's own is the only one left: nobody holds it and nobody waits.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyLocks, Partition};

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left_behind() {
        let locks = KeyLocks::default();
        let first = locks.lock(Partition::new([1; 32])).await;
        let other = locks.lock(Partition::new([2; 32])).await;
        let mut second = Box::pin(locks.lock(Partition::new([1; 32])));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
        let first = locks.lock(Partition::new([1; 32])).await;
        let mut leaving = Box::pin(locks.lock(Partition::new([1; 32])));
        assert!(futures_util::poll!(&mut leaving).is_pending());
        drop(first);
        drop(leaving);
        drop(other);
        assert!(locks.0.lock().unwrap().is_empty());
    }
}
