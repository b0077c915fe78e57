//! Accounts whose tokens stand in more than one partition: guests.
//!
//! Before the authority is asked, an on-behalf-of token's owner is known by the inbound token alone: the user as the tenant knows them.
//! The answer may say that this is a guest, at home in another tenant. Then the home account remembers where else its tokens are,
//! so that signing it out reaches them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::fleet::Fleet;
use super::sign_ins::Unavailable;
use super::{Cache, Partition};
use crate::store::{Placed, Put, Ring};
use crate::token::Stored;

/// How long it is remembered at least after the last token: longer than tokens last.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often a change yields to one that came between.
const ATTEMPTS: usize = 3;

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Remembers that tokens of the account of `home` stand in `partition`, for `lasting` at least. Returns false if that cannot be
    /// remembered: then the token must not be kept, or a sign-out would miss it.
    pub async fn link(&self, home: &Partition, partition: &Partition, lasting: Duration) -> bool {
        let Some(fleet) = &self.fleet else { return true };
        for _ in 0..ATTEMPTS {
            let Ok((mut known, base)) = fleet.elsewhere(home).await else { return false };
            known.insert(*partition);
            match fleet.write_elsewhere(home, &known, base, REMEMBERED.max(lasting)).await {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
        }
        false
    }

    /// The partitions in memory with a token whose answer names this account.
    pub(super) fn partitions_naming(&self, home_account_id: &str) -> Vec<Partition> {
        let Ok(id) = serde_json::to_string(home_account_id) else { return Vec::new() };
        let named = format!("\"home_account_id\":{id}");
        let finder = |stored: &Stored| {
            let head = stored.head();
            std::str::from_utf8(&head.text).is_ok_and(|text| text.contains(&named))
        };
        self.memory.partitions_with(finder)
    }
}

// === impl Fleet ===

impl Fleet {
    /// Every partition that has tokens of the account of `home`, that one last.
    pub(super) async fn elsewhere_first(&self, home: &Partition) -> Result<Vec<Partition>, Unavailable> {
        let (known, _) = self.elsewhere(home).await?;
        Ok(known.into_iter().filter(|partition| partition != home).chain([*home]).collect())
    }

    async fn elsewhere(&self, home: &Partition) -> Result<(BTreeSet<Partition>, Option<u64>), Unavailable> {
        let name = self.names.place(home).elsewhere();
        let mut values = self.store.read(&[&name]).await.map_err(|_| Unavailable::Unreachable)?;
        let Some(value) = values.pop().flatten() else { return Ok((BTreeSet::new(), None)) };
        let opened = self.needed(&name, &value).map_err(|_| Unavailable::Unreadable)?;
        let known = opened.and_then(|opened| postcard::from_bytes(&opened.payload).ok()).unwrap_or_default();
        Ok((known, Ring::generation(&value)))
    }

    /// `Some(false)`: another change came between. `None`: it cannot be written.
    async fn write_elsewhere(
        &self,
        home: &Partition,
        known: &BTreeSet<Partition>,
        base: Option<u64>,
        ttl: Duration,
    ) -> Option<bool> {
        let name = self.names.place(home).elsewhere();
        let payload = postcard::to_stdvec(known).ok()?;
        let value = self.ring.seal(&name, base.unwrap_or(0) + 1, self.version, &payload)?;
        let put = Put { key: &name, value: &value, ttl, base, epoch: None, index: None, lease: None, grant: false };
        match self.store.put(&put).await {
            Ok(Placed::Stored) => Some(true),
            Ok(_) => Some(false),
            Err(_) => None,
        }
    }
}
