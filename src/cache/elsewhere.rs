//! Accounts whose tokens stand in more than one partition: guests.
//!
//! Before the authority is asked, an on-behalf-of token's owner is known by the inbound token alone: the user as the tenant knows them.
//! The answer may say that this is a guest, at home in another tenant. Then the home account remembers where else its tokens are,
//! so that signing it out reaches them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::fleet::Fleet;
use super::sign_ins::Unavailable;
use super::sign_outs::OpenWatch;
use super::{Cache, Partition};
use crate::clock::Moment;
use crate::store::{Names, Placed, Put, Ring};

/// How long it is remembered at least after the last token: longer than tokens last.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often a change yields to one that came between.
const ATTEMPTS: usize = 3;
/// How long a token may be on its way into memory.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

/// What this process knows of it, for what stands in its memory.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<HashMap<Partition, HashMap<Partition, Moment>>>);

// === impl Links ===

impl Links {
    fn add(&self, home: Partition, partition: Partition, now: Moment) {
        self.links().entry(home).or_default().insert(partition, now);
    }

    /// Takes the partitions that have tokens of an account.
    pub(super) fn take(&self, home: &Partition) -> Vec<Partition> {
        self.links().remove(home).into_iter().flat_map(HashMap::into_keys).collect()
    }

    /// Forgets what is in memory no more. What came a moment ago may be on its way there.
    pub(super) fn sweep(&self, now: Moment, is_there: impl Fn(&Partition) -> bool) {
        self.links().retain(|_, partitions| {
            partitions.retain(|partition, since| now.since(*since) < ON_ITS_WAY || is_there(partition));
            !partitions.is_empty()
        });
    }

    fn links(&self) -> MutexGuard<'_, HashMap<Partition, HashMap<Partition, Moment>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Remembers that tokens of the account of `home` stand in `partition`, for `lasting` at least. Returns false if that cannot be
    /// remembered: then the token must not be kept, or a sign-out would miss it.
    /// The same if the account was signed out since the call began ([`Cache::watch_sign_outs`]), when it was not known yet whose token it
    /// would be.
    pub async fn link(&self, home: &Partition, partition: &Partition, lasting: Duration, since: &OpenWatch) -> bool {
        self.links.add(*home, *partition, self.clock.moment());
        self.write_link(home, partition, lasting).await && !since.is_signed_out(home)
    }

    async fn write_link(&self, home: &Partition, partition: &Partition, lasting: Duration) -> bool {
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
}

// === impl Fleet ===

impl Fleet {
    /// Every partition that has tokens of the account of `home`, that one last.
    pub(super) async fn elsewhere_first(&self, home: &Partition) -> Result<Vec<Partition>, Unavailable> {
        let (known, _) = self.elsewhere(home).await?;
        Ok(known.into_iter().filter(|partition| partition != home).chain([*home]).collect())
    }

    async fn elsewhere(&self, home: &Partition) -> Result<(BTreeSet<Partition>, Option<u64>), Unavailable> {
        let (mut known, base) = self.elsewhere_at(&self.names, home).await?;
        for names in &self.others {
            known.extend(self.elsewhere_at(names, home).await?.0);
        }
        Ok((known, base))
    }

    async fn elsewhere_at(&self, names: &Names, home: &Partition) -> Result<(BTreeSet<Partition>, Option<u64>), Unavailable> {
        let name = names.place(home).elsewhere();
        let mut values = self.store.patient().read(&[&name]).await.map_err(|_| Unavailable::Unreachable)?;
        let Some(value) = values.pop().flatten() else { return Ok((BTreeSet::new(), None)) };
        self.meet([&value]).await;
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
        let value = self.ring.seal(&name, Self::next_generation(base), self.version, &payload)?;
        let put = Put { key: &name, value: &value, ttl, base, epoch: None, index: None, lease: None, grant: false };
        match self.store.put(&put).await {
            Ok(Placed::Stored) => Some(true),
            Ok(_) => Some(false),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Links, Partition};
    use crate::clock::Clock;

    #[test]
    fn a_link_lasts_as_long_as_what_it_leads_to() {
        let (links, clock) = (Links::default(), Clock::manual(0));
        links.add(Partition::new([1; 32]), Partition::new([2; 32]), clock.moment());
        links.add(Partition::new([1; 32]), Partition::new([3; 32]), clock.moment());
        links.sweep(clock.moment(), |_| false);
        clock.advance(Duration::from_secs(120));
        links.sweep(clock.moment(), |partition| *partition == Partition::new([3; 32]));
        assert_eq!(
            (links.take(&Partition::new([1; 32])), links.take(&Partition::new([1; 32]))),
            (vec![Partition::new([3; 32])], vec![])
        );
    }
}
