//! Failures that replicas remember together, sealed like everything else, and attempts that they count together: under names of
//! their app.

use std::time::Duration;

use bytes::Bytes;

use super::core::Fleet;
use crate::store::Note;
use crate::token::{HoldKey, SpaceId};

// === impl Fleet ===

impl Fleet {
    /// Remembered failures of an app, by key: what was said, and how long it stands.
    pub async fn holds(&self, space: &SpaceId, keys: &[HoldKey]) -> Vec<Option<(Bytes, Duration)>> {
        let place = self.names.holds(space);
        let names: Vec<String> = keys.iter().map(|key| place.hold(key)).collect();
        let found = self.store.holds(&names.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap_or_default();
        for (value, _) in found.iter().flatten() {
            self.meet([value]).await;
        }
        let opened = names.iter().zip(found).map(|(name, hold)| {
            let (value, left) = hold?;
            Some((self.open(name, &value)?, left))
        });
        opened.collect()
    }

    /// Remembers a failure for all replicas.
    pub async fn hold(&self, space: &SpaceId, key: &HoldKey, said: &[u8], stands: Duration) {
        let name = self.names.holds(space).hold(key);
        if let Some(value) = self.seal(&name, 0, said) {
            // What cannot be shared is remembered here alone.
            let _alone = self.store.set(Note { key: &name, value: &value, ttl: stands }).await;
        }
    }

    /// Notes an attempt under a key of an app, if there were fewer than `most` of the fleet's within `window`. Returns how long ago
    /// the oldest of them was if there is no room; a store that does not answer says that there is.
    pub async fn attempt(&self, space: &SpaceId, key: &HoldKey, id: &[u8], window: Duration, most: usize) -> Option<Duration> {
        let name = self.names.holds(space).attempts(key);
        self.store.attempt(&name, id, window, most).await.ok().flatten()
    }

    /// Takes an attempt back.
    pub async fn give_back(&self, space: &SpaceId, key: &HoldKey, id: &[u8]) {
        let name = self.names.holds(space).attempts(key);
        // What cannot be taken back ends by itself.
        let _ends = self.store.leave(&name, &[Bytes::copy_from_slice(id)]).await;
    }

    /// Forgets failures of an app everywhere.
    pub async fn clear_holds(&self, space: &SpaceId, keys: &[HoldKey]) {
        let place = self.names.holds(space);
        let names: Vec<String> = keys.iter().map(|key| place.hold(key)).collect();
        // What cannot be cleared ends by itself.
        let _ends = self.store.clear(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
}
