//! Accounts whose tokens stand in more than one partition: guests.
//!
//! Before the authority is asked, an on-behalf-of token's owner is known by the inbound token alone: the user as the tenant knows
//! them. The answer may say that this is a guest, at home in another tenant. Then the home account remembers where else its tokens
//! are, so that signing it out reaches them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::core::CachedAccounts;
use super::outcome::Unavailable;
use crate::cache::fleet::Fleet;
use crate::cache::generation::next_generation;
use crate::cache::watches::OpenWatch;
use crate::store::{Names, Placed, Put, Ring};
use crate::token::Partition;

/// How long it is remembered at least after the last token: longer than tokens last.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often a change yields to one that came between.
const ATTEMPTS: usize = 3;
// === impl CachedAccounts ===

impl CachedAccounts {
    /// Remembers that tokens of the account of `home` stand in `partition`, for `lasting` at least. Returns false if that cannot be
    /// remembered: then the token must not be kept, or a sign-out would miss it. False, too, if the account was signed out since
    /// the call began ([`CachedAccounts::watch_sign_outs`]), when it was not known yet whose token it would be.
    pub async fn link(&self, home: &Partition, partition: &Partition, lasting: Duration, since: &OpenWatch) -> bool {
        self.links.add(*home, *partition, self.clock.moment());
        self.write_link(home, partition, lasting).await && !since.is_signed_out(home)
    }

    async fn write_link(&self, home: &Partition, partition: &Partition, lasting: Duration) -> bool {
        let Some(shared) = &self.shared else { return true };
        for _ in 0..ATTEMPTS {
            let Ok((mut known, base)) = elsewhere(&shared.fleet, home).await else { return false };
            known.insert(*partition);
            match write_elsewhere(&shared.fleet, home, &known, base, REMEMBERED.max(lasting)).await {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
        }
        false
    }
}

/// Every partition that has tokens of the account of `home`, that one last.
pub(super) async fn elsewhere_first(fleet: &Fleet, home: &Partition) -> Result<Vec<Partition>, Unavailable> {
    let (known, _) = elsewhere(fleet, home).await?;
    Ok(known.into_iter().filter(|partition| partition != home).chain([*home]).collect())
}

async fn elsewhere(fleet: &Fleet, home: &Partition) -> Result<(BTreeSet<Partition>, Option<u64>), Unavailable> {
    let (mut known, base) = elsewhere_at(fleet, fleet.names(), home).await?;
    for names in fleet.other_names() {
        known.extend(elsewhere_at(fleet, names, home).await?.0);
    }
    Ok((known, base))
}

async fn elsewhere_at(fleet: &Fleet, names: &Names, home: &Partition) -> Result<(BTreeSet<Partition>, Option<u64>), Unavailable> {
    let name = names.place(home).elsewhere();
    let mut values = fleet.store().patient().read(&[&name]).await.map_err(|_| Unavailable::Unreachable)?;
    let Some(value) = values.pop().flatten() else { return Ok((BTreeSet::new(), None)) };
    fleet.meet([&value]).await;
    let opened = fleet.open_needed(&name, &value).map_err(|_| Unavailable::Unreadable)?;
    let known = opened.and_then(|opened| postcard::from_bytes(&opened.payload).ok()).unwrap_or_default();
    Ok((known, Ring::generation(&value)))
}

/// `Some(false)`: another change came between. `None`: it cannot be written.
async fn write_elsewhere(
    fleet: &Fleet,
    home: &Partition,
    known: &BTreeSet<Partition>,
    base: Option<u64>,
    ttl: Duration,
) -> Option<bool> {
    let name = fleet.names().place(home).elsewhere();
    let payload = postcard::to_stdvec(known).ok()?;
    let value = fleet.seal(&name, next_generation(base), &payload)?;
    let put = Put { key: &name, value: &value, ttl, base, epoch: None, index: None, lease: None, grant: false };
    match fleet.store().put(&put).await {
        Ok(Placed::Stored) => Some(true),
        Ok(_) => Some(false),
        Err(_) => None,
    }
}
