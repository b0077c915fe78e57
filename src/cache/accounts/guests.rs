//! Accounts that have something in more than one partition: guests, users who are known by an assertion, and who has long-running
//! sessions.
//!
//! Before the authority is asked, an on-behalf-of token's owner is known by the inbound token alone: the user as the tenant knows
//! them, or whoever it is whom an assertion names that nobody here can verify. The answer may say whose account it is, a guest's
//! for instance, at home in another tenant. And a session stands under its own key. So that account remembers where else something
//! of it stands, so that signing it out reaches that.

use std::collections::BTreeMap;
use std::time::Duration;

use super::core::CachedAccounts;
use super::outcome::Unavailable;
use crate::cache::epochs::epoch_of;
use crate::cache::fleet::Fleet;
use crate::cache::generation::next_generation;
use crate::cache::level::SharedLevel;
use crate::cache::watches::OpenWatch;
use crate::store::{Names, Placed, Put, Ring};
use crate::token::{Epoch, Partition};

/// How long a place is remembered at least after its last token: longer than tokens last.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How much longer than its token a place is remembered that has no other: more than clocks differ by.
const SPARE: Duration = Duration::from_secs(3600);
/// How many places are remembered of an account. Of more, the one that ends first is ended.
const MOST: usize = 1024;
/// How often a change yields to one that came between: here they come one at a time, so that it is another replica's.
const ATTEMPTS: usize = 8;

/// How long it is remembered where an account has a token that lasts as long as this.
#[derive(Clone, Copy, Debug)]
pub enum Remembering {
    /// The place stays the account's: a tenant where the user is a guest.
    Place(Duration),
    /// It was the account's for this token alone: an assertion.
    Token(Duration),
}

/// Where else something of an account stands, and until when, in seconds since the Unix epoch.
type LinkedPlaces = BTreeMap<Partition, i64>;

/// What the store has of it.
#[derive(Default)]
struct Elsewhere {
    places: LinkedPlaces,
    base: Option<u64>,
    /// The account's epoch beside it.
    epoch: Epoch,
}

/// Until when a place is remembered.
#[derive(Clone, Copy)]
pub(super) struct LinkedUntil {
    /// If it is remembered for as long as this, nothing has to be written.
    pub(super) needed: i64,
    pub(super) written: i64,
}

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
        let Some(shared) = &self.shared else { return !since.is_signed_out(home) };
        let seconds = i64::try_from(time.time().as_secs()).unwrap_or(i64::MAX);
        let written = self.clock.unix().saturating_add(seconds);
        let linked = self.write_link(shared, home, partition, LinkedUntil { needed: written, written }).await;
        linked.is_ok() && !since.is_signed_out(home)
    }

    /// A session has ended: its home need not know of it any more.
    pub(super) async fn unlink(&self, shared: &SharedLevel, home: &Partition, partition: &Partition) {
        self.links.remove(home, partition);
        for _ in 0..ATTEMPTS {
            let Ok(Elsewhere { mut places, base, .. }) = elsewhere(&shared.fleet, home).await else { return };
            if places.remove(partition).is_none() {
                return;
            }
            if places.is_empty()
                && let Some(generation) = base
            {
                shared.fleet.withdraw(&shared.fleet.names().place(home).elsewhere(), generation).await;
                return;
            }
            // Where it cannot be written it is of no harm, until its time is over.
            if self.write_elsewhere(&shared.fleet, home, &places, base).await != Some(false) {
                return;
            }
        }
    }

    /// The epoch of an account that may have something elsewhere.
    pub(super) async fn home_epoch(&self, shared: &SharedLevel, home: &Partition) -> Result<Epoch, Unavailable> {
        elsewhere(&shared.fleet, home).await.map(|found| found.epoch)
    }

    /// Returns the home's epoch, as it stands after the link does.
    pub(super) async fn write_link(
        &self,
        shared: &SharedLevel,
        home: &Partition,
        partition: &Partition,
        until: LinkedUntil,
    ) -> Result<Epoch, Unavailable> {
        let _one = self.linking.lock(*home).await;
        for _ in 0..ATTEMPTS {
            let Elsewhere { mut places, base, epoch } = elsewhere(&shared.fleet, home).await?;
            if places.get(partition).is_some_and(|ends| *ends >= until.needed) {
                return Ok(epoch);
            }
            let now = self.clock.unix();
            places.retain(|_, ends| *ends > now);
            places.insert(*partition, until.written);
            let displaced = displaced(&mut places, partition);
            match self.write_elsewhere(&shared.fleet, home, &places, base).await {
                Some(true) => {
                    for one in &displaced {
                        // Nobody would find it.
                        Box::pin(self.remove(shared, one, None, true)).await?;
                    }
                    return self.home_epoch(shared, home).await;
                }
                Some(false) => {}
                None => return Err(Unavailable::Unreachable),
            }
        }
        Err(Unavailable::Unreachable)
    }

    /// `Some(false)`: another change came between. `None`: it cannot be written.
    async fn write_elsewhere(&self, fleet: &Fleet, home: &Partition, places: &LinkedPlaces, base: Option<u64>) -> Option<bool> {
        let name = fleet.names().place(home).elsewhere();
        let payload = postcard::to_stdvec(places).ok()?;
        let value = fleet.seal(&name, next_generation(base), &payload)?;
        let left = places.values().max().map_or(0, |ends| ends.saturating_sub(self.clock.unix()));
        let ttl = Duration::from_secs(u64::try_from(left).unwrap_or(0).max(1));
        let put = Put { key: &name, value: &value, ttl, base, epoch: None, index: None, lease: None, grant: false };
        match fleet.store().put(&put).await {
            Ok(Placed::Stored) => Some(true),
            Ok(_) => Some(false),
            Err(_) => None,
        }
    }
}

/// Takes out the places that there are too many, those first that end first, and never this one.
fn displaced(places: &mut LinkedPlaces, but: &Partition) -> Vec<Partition> {
    let mut displaced = Vec::new();
    while places.len() > MOST {
        let others = places.iter().filter(|(partition, _)| *partition != but);
        let Some(first) = others.min_by_key(|(_, ends)| **ends).map(|(partition, _)| *partition) else { break };
        places.remove(&first);
        displaced.push(first);
    }
    displaced
}

/// Every other partition that has something of the account of `home`.
pub(super) async fn elsewhere_of(fleet: &Fleet, home: &Partition) -> Result<Vec<Partition>, Unavailable> {
    let found = elsewhere(fleet, home).await?;
    Ok(found.places.into_keys().filter(|partition| partition != home).collect())
}

async fn elsewhere(fleet: &Fleet, home: &Partition) -> Result<Elsewhere, Unavailable> {
    let mut found = elsewhere_at(fleet, fleet.names(), home).await?;
    for names in fleet.other_names() {
        let other = elsewhere_at(fleet, names, home).await?;
        found.epoch = found.epoch.max(other.epoch);
        for (partition, ends) in other.places {
            let known = found.places.entry(partition).or_insert(ends);
            *known = ends.max(*known);
        }
    }
    Ok(found)
}

async fn elsewhere_at(fleet: &Fleet, names: &Names, home: &Partition) -> Result<Elsewhere, Unavailable> {
    let place = names.place(home);
    let (name, epoch) = (place.elsewhere(), place.epoch());
    let values = fleet.store().patient().read(&[&name, &epoch]).await.map_err(|_| Unavailable::Unreachable)?;
    let epoch = epoch_of(values.get(1));
    let Some(value) = values.into_iter().next().flatten() else { return Ok(Elsewhere { epoch, ..Elsewhere::default() }) };
    fleet.meet([&value]).await;
    let opened = fleet.open_needed(&name, &value).map_err(|_| Unavailable::Unreadable)?;
    let places = opened.and_then(|opened| postcard::from_bytes(&opened.payload).ok()).unwrap_or_default();
    Ok(Elsewhere { places, base: Ring::generation(&value), epoch })
}

#[cfg(test)]
mod tests {
    use super::{LinkedPlaces, MOST, displaced};
    use crate::token::Partition;

    fn numbered(number: usize) -> Partition {
        let mut partition = [0; 32];
        partition[..8].copy_from_slice(&number.to_le_bytes());
        Partition::new(partition)
    }

    #[test]
    fn of_too_many_places_those_go_that_end_first_and_never_the_new_one() {
        let ends = |number: usize| i64::try_from(10_000 - number).unwrap_or_default();
        let mut places: LinkedPlaces = (0..MOST).map(|number| (numbered(number), ends(number))).collect();
        assert!(displaced(&mut places, &numbered(0)).is_empty());
        // The new one ends before all others.
        places.insert(numbered(MOST), 0);
        places.insert(numbered(MOST + 1), 20_000);
        assert_eq!(displaced(&mut places, &numbered(MOST)), [numbered(MOST - 1), numbered(MOST - 2)]);
        assert!(places.len() == MOST && places.contains_key(&numbered(MOST)));
    }
}
