//! Failures that replicas remember together: sealed like everything else, under names of their app.

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

    /// Forgets failures of an app everywhere.
    pub async fn clear_holds(&self, space: &SpaceId, keys: &[HoldKey]) {
        let place = self.names.holds(space);
        let names: Vec<String> = keys.iter().map(|key| place.hold(key)).collect();
        // What cannot be cleared ends by itself.
        let _ends = self.store.clear(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
}
