//! Accounts whose tokens stand in more than one partition: guests, and users who are known by an assertion.
//!
//! Before the authority is asked, an on-behalf-of token's owner is known by the inbound token alone: the user as the tenant knows
//! them, or whoever it is whom an assertion names that nobody here can verify. The answer may say whose account it is, a guest's
//! for instance, at home in another tenant. Then that account remembers where else its tokens are, so that signing it out reaches
//! them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::core::CachedAccounts;
use super::outcome::Unavailable;
use crate::cache::fleet::Fleet;
use crate::cache::generation::next_generation;
use crate::cache::watches::OpenWatch;
use crate::store::{Names, Placed, Put, Ring};
use crate::token::Partition;

/// How long a place is remembered at least after its last token: longer than tokens last.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How much longer than its token a place is remembered that has no other: more than clocks differ by.
const SPARE: Duration = Duration::from_secs(3600);
/// How many places an account may have elsewhere. A guest has one for each tenant, and one for each assertion that has not ended.
const MOST_PLACES: usize = 256;
/// How often a change yields to one that came between.
const ATTEMPTS: usize = 3;

/// How long it is remembered where an account has a token that lasts as long as this.
#[derive(Clone, Copy, Debug)]
pub enum Remembering {
    /// The place stays the account's: a tenant where the user is a guest.
    Place(Duration),
    /// It was the account's for this token alone: an assertion.
    Token(Duration),
}

/// The places, and until when each is remembered, in seconds since the Unix epoch.
type Elsewhere = BTreeMap<Partition, i64>;

// === impl Remembering ===

impl Remembering {
    fn time(self) -> Duration {
        match self {
            Self::Place(token) => token.max(REMEMBERED),
            Self::Token(token) => token.saturating_add(SPARE),
        }
    }
}

// === impl CachedAccounts ===

impl CachedAccounts {
    /// Remembers that tokens of the account of `home` stand in `partition`. Returns false if that cannot be remembered: then the
    /// token must not be kept, or a sign-out would miss it. False, too, if the account was signed out since the call began
    /// ([`CachedAccounts::watch_sign_outs`]), when it was not known yet whose token it would be.
    pub async fn link(&self, home: &Partition, partition: &Partition, time: Remembering, since: &OpenWatch) -> bool {
        self.links.add(*home, *partition, self.clock.moment());
        self.write_link(home, partition, time.time()).await && !since.is_signed_out(home)
    }

    async fn write_link(&self, home: &Partition, partition: &Partition, time: Duration) -> bool {
        let Some(shared) = &self.shared else { return true };
        let now = self.clock.unix();
        let until = now.saturating_add(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
        for _ in 0..ATTEMPTS {
            let Ok((mut known, base)) = elsewhere(&shared.fleet, home).await else { return false };
            known.retain(|_, until| *until > now);
            if known.len() >= MOST_PLACES && !known.contains_key(partition) {
                return false;
            }
            let until_then = known.entry(*partition).or_insert(until);
            *until_then = until.max(*until_then);
            let last = known.values().max().map_or(0, |last| last.saturating_sub(now));
            let ttl = Duration::from_secs(u64::try_from(last).unwrap_or(0));
            match write_elsewhere(&shared.fleet, home, &known, base, ttl).await {
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
    Ok(known.into_keys().filter(|partition| partition != home).chain([*home]).collect())
}

async fn elsewhere(fleet: &Fleet, home: &Partition) -> Result<(Elsewhere, Option<u64>), Unavailable> {
    let (mut known, base) = elsewhere_at(fleet, fleet.names(), home).await?;
    for names in fleet.other_names() {
        for (place, until) in elsewhere_at(fleet, names, home).await?.0 {
            let known = known.entry(place).or_insert(until);
            *known = until.max(*known);
        }
    }
    Ok((known, base))
}

async fn elsewhere_at(fleet: &Fleet, names: &Names, home: &Partition) -> Result<(Elsewhere, Option<u64>), Unavailable> {
    let name = names.place(home).elsewhere();
    let mut values = fleet.store().patient().read(&[&name]).await.map_err(|_| Unavailable::Unreachable)?;
    let Some(value) = values.pop().flatten() else { return Ok((Elsewhere::new(), None)) };
    fleet.meet([&value]).await;
    let opened = fleet.open_needed(&name, &value).map_err(|_| Unavailable::Unreadable)?;
    let known = opened.and_then(|opened| postcard::from_bytes(&opened.payload).ok()).unwrap_or_default();
    Ok((known, Ring::generation(&value)))
}

/// `Some(false)`: another change came between. `None`: it cannot be written.
async fn write_elsewhere(fleet: &Fleet, home: &Partition, known: &Elsewhere, base: Option<u64>, ttl: Duration) -> Option<bool> {
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
