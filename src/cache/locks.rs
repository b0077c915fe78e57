//! One at a time per account: a refresh token that is good for one use must not be sent twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use crate::store::Partition;

/// Locks by account, for as long as somebody holds or wants one.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyLocks(Arc<Mutex<HashMap<Partition, Arc<Lock<()>>>>>);

/// Held until it is dropped; then the next one gets it.
#[derive(Debug)]
pub(super) struct KeyLock {
    locks: KeyLocks,
    partition: Partition,
    guard: Option<OwnedMutexGuard<()>>,
}

// === impl KeyLocks ===

impl KeyLocks {
    pub(super) async fn lock(&self, partition: Partition) -> KeyLock {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(partition).or_default())
        };
        // Made first: whoever leaves while it waits leaves nothing behind either.
        let mut held = KeyLock { locks: self.clone(), partition, guard: None };
        held.guard = Some(lock.lock_owned().await);
        held
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut locks = self.locks.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's own is the only one left: nobody holds it and nobody waits.
        if locks.get(&self.partition).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KeyLocks;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left_behind() {
        let locks = KeyLocks::default();
        let first = locks.lock([1; 32]).await;
        let other = locks.lock([2; 32]).await;
        let mut second = Box::pin(locks.lock([1; 32]));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
        let first = locks.lock([1; 32]).await;
        let mut leaving = Box::pin(locks.lock([1; 32]));
        assert!(futures_util::poll!(&mut leaving).is_pending());
        drop(first);
        drop(leaving);
        drop(other);
        assert!(locks.0.lock().unwrap().is_empty());
    }
}
