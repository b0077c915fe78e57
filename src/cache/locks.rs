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
    use std::time::Duration;

    use super::{KeyLocks, Partition};

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn whoever_leaves_at_any_moment_leaves_no_entry() {
        let locks = KeyLocks::default();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..400_u64 {
            let locks = locks.clone();
            tasks.spawn(async move {
                let key = Partition::new([u8::try_from(number % 3).unwrap_or(0); 32]);
                let mut wanted = Box::pin(locks.lock(key));
                // Some are asked once and leave, some wait for a while, and some have it when they go.
                let held = match number % 4 {
                    0 => std::task::Poll::is_ready(&futures_util::poll!(&mut wanted)),
                    1 => tokio::time::timeout(Duration::from_micros(number), &mut wanted).await.is_ok(),
                    _ => {
                        let held = (&mut wanted).await;
                        tokio::task::yield_now().await;
                        drop(held);
                        true
                    }
                };
                drop(wanted);
                held
            });
        }
        assert!(tasks.join_all().await.contains(&true));
        assert!(locks.0.lock().unwrap().is_empty());
    }

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
