//! The store that replicas share, as the cache sees it: what a token is called there, what its bytes say, and who may ask for a new
//! one.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::clocks::{Clocks, Dated};
use super::freshness::{Freshness, judge};
use super::lease::Leases;
use super::metrics::Metrics;
use super::pace::Pace;
use super::pulse::{BEAT, Pulse};
use super::query::Wanted;
use super::queue::Queue;
use super::recent::Recent;
use super::restore::Restore;
use super::unlisted::Unlisted;
use super::{Jitter, Partition};
use crate::clock::{self, Clock, Moment};
use crate::store::{Names, Note, Ring, Shared, Sought, State, Trouble, Unreadable, Versions, read_token};
use crate::token::{Epoch, Stored};

/// How many tokens the index of a partition lists; the store has no room for more in memory either.
pub(super) const MOST_LISTED: usize = 256;
/// How many tokens for more scopes than asked are looked at before the authority is asked.
const MOST_COVERING: usize = 4;
/// How many bits of a generation renewals count in, above which new sign-ins do.
const RENEWALS: u32 = 20;
/// How soon the store is asked again whether something stands, after it could not say.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long an epoch outlives the sign-out: longer than any token that may have escaped it.
pub(super) const EPOCH: Duration = Duration::from_secs(30 * 24 * 3600);

/// The level that replicas share.
#[derive(Debug)]
pub struct Fleet {
    pub(super) store: Arc<Shared>,
    pub(super) ring: Ring,
    /// What is written is called so.
    pub(super) names: Names,
    /// Where the other versions that this release knows have other names, the newest first: read besides, and signed out as well.
    pub(super) others: Vec<Names>,
    /// All of them, the oldest first.
    by_age: Vec<Names>,
    pub(super) leases: Leases,
    pub(super) version: u8,
    pub(super) versions: Versions,
    pub(super) metrics: Metrics,
    pub(super) queue: Arc<Queue>,
    /// What this process knows of sign-outs and sign-ins, and what of it the store has to be told again.
    pub(super) recent: Recent,
    pub(super) restore: Restore,
    pub(super) unlisted: Unlisted,
    pub(super) pace: Pace,
    pub(super) clocks: Clocks,
    pub(super) jitter: Jitter,
    /// Tells this replica's messages from those of others.
    pub(super) sender: [u8; 16],
    recheck: Duration,
    /// What was checked before this moment is asked about once more: messages may have been missed.
    suspect: AtomicU64,
    /// Until this moment nothing is asked about: the store could not say a moment ago.
    not_before: AtomicU64,
    pulse: Pulse,
    /// How long a call to the authority may take, its repetition included.
    pub(super) longest: Duration,
    clock: Clock,
}

/// What a fleet is made of.
#[derive(Debug)]
pub struct Parts {
    /// The store.
    pub store: Arc<Shared>,
    /// What seals and names.
    pub ring: Ring,
    /// What all names begin with.
    pub prefix: String,
    /// Which version is written.
    pub version: u8,
    /// Which versions are known.
    pub versions: Versions,
    /// After how long memory asks the store again.
    pub recheck: Duration,
    /// How long a call to the authority may take, its repetition included.
    pub longest: Duration,
    /// What waits in memory to be stored may weigh so many bytes.
    pub queue: usize,
    /// What is counted.
    pub metrics: crate::telemetry::Metrics,
    /// Where jitter comes from.
    pub jitter: Jitter,
    /// The time.
    pub clock: Clock,
}

/// What the store has of one token.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    /// The token: the very one, or one for more scopes.
    pub(super) stored: Option<Stored>,
    /// What that one said itself of its end.
    pub(super) dated: Dated,
    /// The generation of what stands under the exact name, readable or not.
    pub(super) base: Option<u64>,
    /// The account's epoch.
    pub(super) epoch: Epoch,
}

// === impl Fleet ===

impl Fleet {
    /// A fleet over a store; nothing is connected to.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { store, ring, prefix, version, versions, recheck, longest, queue, metrics, jitter, clock } = parts;
        let (names, others, by_age) = Names::of(&prefix, &ring, versions, version);
        Arc::new(Self {
            names,
            others,
            by_age,
            leases: Leases::default(),
            versions,
            metrics: Metrics::new(&metrics),
            queue: Queue::new(queue, &metrics),
            recent: Recent::new(clock.clone()),
            restore: Restore::default(),
            pace: Pace::new(clock.clone()),
            clocks: Clocks::new(clock.clone()),
            sender: rand::random(),
            suspect: AtomicU64::new(0),
            not_before: AtomicU64::new(0),
            unlisted: Unlisted::default(),
            pulse: Pulse::default(),
            store,
            ring,
            version,
            jitter,
            recheck,
            longest,
            clock,
        })
    }

    /// The states of its breakers.
    pub fn state(&self) -> State {
        self.store.state()
    }

    /// Wall time, in seconds.
    pub(super) fn now(&self) -> i64 {
        self.clock.unix()
    }

    /// The monotonic clock.
    pub(super) fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// How much waits to be stored, for `/status`.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// What that weighs, in bytes.
    pub fn waiting_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Whether what was checked then has to be asked about again.
    pub(super) fn is_unchecked(&self, checked: Moment) -> bool {
        let now = self.clock.moment();
        // A check may be dated to the next millisecond: see `check_moment`.
        let age = now.since(checked) + Duration::from_millis(1);
        let old = self.is_suspect(checked) || age >= self.recheck;
        old && now.millis() >= self.not_before.load(Ordering::Relaxed)
    }

    /// Whether messages may have been missed since that moment, of what was checked then: nobody may be served it before somebody has looked.
    pub(super) fn is_suspect(&self, checked: Moment) -> bool {
        self.look_back();
        checked.millis() < self.suspect.load(Ordering::Relaxed)
    }

    /// What others told while this process stood still is still to be heard.
    fn look_back(&self) {
        let now = clock::running();
        if self.pulse.is_late(now) {
            self.suspect_all();
            // Who comes now finds memory suspect already.
            self.pulse.note(now);
        }
    }

    /// Notes all the time that the process runs, so that requests find out that it did not.
    pub(super) async fn keep_pulse(&self) {
        let _until_the_end = self.pulse.begin(clock::running());
        loop {
            tokio::time::sleep(BEAT).await;
            let now = clock::running();
            self.look_back();
            self.pulse.note(now);
        }
    }

    /// When something was checked that is to be asked about again in a second.
    pub(super) fn due_again(&self, now: Moment) -> Moment {
        let back = self.recheck.saturating_sub(ASK_AGAIN);
        Moment::of_millis(now.millis().saturating_sub(u64::try_from(back.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The store could not say whether something still stands: it is asked again in a second, and not by every request until then.
    pub(super) fn ask_later(&self) {
        let later = self.clock.moment().after(ASK_AGAIN);
        self.not_before.store(later.millis(), Ordering::Relaxed);
    }

    /// The generation after the one that was read. The first one is any: after everything was lost it must not be one of before.
    pub(super) fn next_generation(base: Option<u64>) -> u64 {
        base.map_or_else(|| rand::random::<u64>() >> 16 | 1, |base| base.wrapping_add(1))
    }

    /// The generation of a new sign-in: above all that renewals of the one before come to, with room for half a million of its own, and unlike
    /// that of another new sign-in over the same one. So of one lineage the lower generation is the ancestor.
    pub(super) fn next_sign_in(base: Option<u64>) -> u64 {
        let Some(base) = base else { return Self::next_generation(None) };
        let above = (base >> RENEWALS).saturating_add(1).min(u64::MAX >> RENEWALS);
        (above << RENEWALS) | (rand::random::<u64>() >> (u64::BITS - RENEWALS + 1))
    }

    /// What things are called, in every version that is known, as it is written first.
    pub(super) fn all_names(&self) -> impl Iterator<Item = &Names> {
        std::iter::once(&self.names).chain(&self.others)
    }

    /// The same, those of the oldest version first: in one order in every replica.
    pub(super) fn by_age(&self) -> &[Names] {
        &self.by_age
    }

    /// Messages may have been missed until now.
    pub(super) fn suspect_all(&self) {
        // What was checked in this very millisecond may have been checked before.
        self.suspect.store(self.clock.moment().millis() + 1, Ordering::Relaxed);
    }

    /// The moment that is noted of what is checked now.
    pub(super) fn check_moment(&self) -> Moment {
        let now = self.clock.moment();
        now.max(Moment::of_millis(self.suspect.load(Ordering::Relaxed)))
    }

    /// Looks for a token: under its exact name, and then in the index for one that is good for more. `token` and `epoch` are the names
    /// of what is wanted.
    pub(super) async fn look(&self, wanted: &Wanted, token: &str, epoch: &str) -> Result<Lookup, Trouble> {
        let sought = Sought { partition: &wanted.partition, variant: &wanted.variant, asked: Some(&wanted.asked) };
        let mut lookup = self.named(token, wanted.owned.then_some(epoch), &sought).await?;
        if !self.others.is_empty() {
            lookup = Box::pin(self.named_otherwise(lookup, wanted.owned, &wanted.asked, &sought)).await?;
        }
        // Nothing at hand will do where a new token is wanted; one that has ended hides none that is good for more.
        let is_good = lookup.stored.as_ref().is_some_and(|stored| self.is_good(stored));
        if !is_good && wanted.superset && !wanted.bypass.is_forced() {
            for names in self.all_names() {
                // Boxed as in `Cache::shared`: a hit has no need of it.
                let covering = Box::pin(self.covered(names, wanted, lookup.epoch)).await?;
                if covering.is_some() {
                    lookup.stored = covering;
                    break;
                }
            }
        }
        Ok(lookup)
    }

    async fn covered(&self, names: &Names, wanted: &Wanted, epoch: Epoch) -> Result<Option<Stored>, Trouble> {
        let Some((stored, dated)) = self.covering(names, wanted, epoch).await? else { return Ok(None) };
        let facts = &stored.facts;
        let name = names.place(&wanted.partition).token(&names.entry(&facts.variant, &facts.asked));
        Ok(Some(self.timed(&name, stored, dated).await))
    }

    /// Looks for a token under its exact name.
    pub(super) async fn exact(
        &self,
        partition: &Partition,
        variant: &[u8; 32],
        asked: &str,
        owned: bool,
    ) -> Result<Lookup, Trouble> {
        let place = self.names.place(partition);
        let token = place.token(&self.names.entry(variant, asked));
        let epoch = owned.then(|| place.epoch());
        let sought = Sought { partition, variant, asked: Some(asked) };
        let lookup = self.named(&token, epoch.as_deref(), &sought).await?;
        if self.others.is_empty() { Ok(lookup) } else { Box::pin(self.named_otherwise(lookup, owned, asked, &sought)).await }
    }

    /// What was seen under the names that are written, with what stands under those of the other versions: a token where there is none yet, and
    /// a sign-out whoever made it.
    async fn named_otherwise(&self, mut lookup: Lookup, owned: bool, asked: &str, sought: &Sought<'_>) -> Result<Lookup, Trouble> {
        for names in &self.others {
            let place = names.place(sought.partition);
            let token = place.token(&names.entry(sought.variant, asked));
            let epoch = owned.then(|| place.epoch());
            let other = self.named(&token, epoch.as_deref(), sought).await?;
            lookup.epoch = lookup.epoch.max(other.epoch);
            let stored = lookup.stored.take().filter(|stored| self.is_good(stored));
            lookup.stored = stored.or(other.stored);
        }
        let epoch = lookup.epoch;
        lookup.stored = lookup.stored.filter(|stored| is_of(stored, epoch));
        Ok(lookup)
    }

    /// Whether a token may be handed out now.
    fn is_good(&self, stored: &Stored) -> bool {
        judge(stored.expires_on, stored.received_on, stored.refresh_on, self.now()) != Freshness::Expired
    }

    async fn named(&self, token: &str, epoch: Option<&str>, sought: &Sought<'_>) -> Result<Lookup, Trouble> {
        let began = self.check_moment();
        let mut values = self.read_with(token, epoch).await?;
        if self.is_suspect(began) {
            // The process stood still meanwhile, or there is a new subscription: what was read may be of before.
            values = self.read_with(token, epoch).await?;
        }
        self.meet(values.first().into_iter().flatten()).await;
        let mut lookup = self.lookup(token, &values, sought);
        if lookup.stored.is_some() && !self.clocks.agrees(&lookup.dated.clock) {
            // Boxed as in `Cache::shared`: few hits have need of it.
            Box::pin(self.time(token, &mut lookup)).await;
        }
        Ok(lookup)
    }

    async fn read_with(&self, token: &str, epoch: Option<&str>) -> Result<Vec<Option<Bytes>>, Trouble> {
        match epoch {
            Some(epoch) => self.store.read(&[token, epoch]).await,
            None => self.store.read(&[token]).await,
        }
    }

    /// What values of a token and its account's epoch say, and what this process knows of that epoch.
    pub(super) fn lookup(&self, name: &str, values: &[Option<Bytes>], sought: &Sought<'_>) -> Lookup {
        let value = values.first().and_then(Option::as_ref);
        let base = value.and_then(|value| Ring::generation(value));
        let (stored, dated) = value.and_then(|value| self.open(name, value, sought)).unzip();
        let mut epoch = epoch_of(values.get(1));
        // Nobody signs an app out: its own tokens are read without an epoch.
        if values.len() > 1 {
            epoch = self.known_epoch(sought.partition, epoch, stored.as_ref().and_then(|stored| stored.facts.epoch));
        }
        Lookup { stored: stored.filter(|stored| is_of(stored, epoch)), dated: dated.unwrap_or_default(), base, epoch }
    }

    /// To be called with what the store says before it is opened: replicas may have a newer key ring.
    pub(super) async fn meet<'a>(&self, values: impl IntoIterator<Item = &'a Bytes>) {
        self.ring.meet(values.into_iter().map(|value| &**value)).await;
    }

    pub(super) fn open(&self, name: &str, value: &[u8], sought: &Sought<'_>) -> Option<(Stored, Dated)> {
        // Whatever cannot be read is counted by the ring, and is no token.
        let opened = self.ring.open(name, value, self.versions).ok()?;
        let (stored, clock) = read_token(&opened.payload, opened.generation, sought)?;
        // Whatever clock it was stored by, it has no longer to live than a new one.
        let length = stored.expires_on.saturating_sub(stored.received_on);
        let dated = Dated { clock, ends: stored.expires_on };
        Some((stored.ending_by(self.now().saturating_add(length)), dated))
    }

    async fn covering(&self, names: &Names, wanted: &Wanted, epoch: Epoch) -> Result<Option<(Stored, Dated)>, Trouble> {
        let place = names.place(&wanted.partition);
        let members = self.store.members(&place.index(), MOST_LISTED).await?;
        let covering = names.covering(&members, &wanted.variant, &wanted.asked).take(MOST_COVERING);
        let names: Vec<String> = covering.map(|entry| place.token(&entry)).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let values = self.store.read(&names.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        self.meet(values.iter().flatten()).await;
        let sought = Sought { partition: &wanted.partition, variant: &wanted.variant, asked: None };
        let opened = names.iter().zip(&values).filter_map(|(name, value)| self.open(name, value.as_ref()?, &sought));
        let answers = |stored: &Stored| self.is_good(stored) && stored.answers(&wanted.variant, &wanted.asked);
        let mut good = opened.filter(|(stored, _)| is_of(stored, epoch) && answers(stored));
        Ok(good.next())
    }

    /// As [`Fleet::meet`], for an outcome's value.
    pub(super) async fn meet_outcome(&self, value: &[u8]) {
        self.ring.meet(value.get(16..)).await;
    }

    /// What an outcome's value tells.
    pub(super) fn heard(&self, name: &str, value: &[u8]) -> Option<Bytes> {
        let sealed = value.get(16..)?;
        self.ring.open(name, sealed, self.versions).ok().map(|opened| opened.payload)
    }

    /// Remembered failures of an app, by key: what was said, and how long it stands.
    pub async fn holds(&self, space: &[u8; 32], keys: &[[u8; 32]]) -> Vec<Option<(Bytes, Duration)>> {
        let place = self.names.holds(space);
        let names: Vec<String> = keys.iter().map(|key| place.hold(key)).collect();
        let found = self.store.holds(&names.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap_or_default();
        for (value, _) in found.iter().flatten() {
            self.meet([value]).await;
        }
        let opened = names.iter().zip(found).map(|(name, hold)| {
            let (value, left) = hold?;
            Some((self.ring.open(name, &value, self.versions).ok()?.payload, left))
        });
        opened.collect()
    }

    /// Remembers a failure for all replicas.
    pub async fn hold(&self, space: &[u8; 32], key: &[u8; 32], said: &[u8], stands: Duration) {
        let name = self.names.holds(space).hold(key);
        if let Some(value) = self.ring.seal(&name, 0, self.version, said) {
            // What cannot be shared is remembered here alone.
            let _alone = self.store.set(Note { key: &name, value: &value, ttl: stands }).await;
        }
    }

    /// Forgets failures of an app everywhere.
    pub async fn clear_holds(&self, space: &[u8; 32], keys: &[[u8; 32]]) {
        let place = self.names.holds(space);
        let names: Vec<String> = keys.iter().map(|key| place.hold(key)).collect();
        // What cannot be cleared ends by itself.
        let _ends = self.store.clear(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }

    /// What may be read of a value that is needed: `Err` if another release or another ring wrote it.
    pub(super) fn needed(&self, name: &str, value: &[u8]) -> Result<Option<crate::store::Opened>, Unreadable> {
        match self.ring.open(name, value, self.versions) {
            Ok(opened) => Ok(Some(opened)),
            Err(Unreadable::Garbage) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

/// The epoch that a value says.
pub(super) fn epoch_of(value: Option<&Option<Bytes>>) -> Epoch {
    let bytes = <[u8; 8]>::try_from(&**value?.as_ref()?).ok()?;
    NonZeroU64::new(u64::from_be_bytes(bytes))
}

/// An epoch as a value.
pub(super) fn epoch_bytes(epoch: Epoch) -> [u8; 8] {
    epoch.map_or(0, NonZeroU64::get).to_be_bytes()
}

/// Whether a record was stored since the account's last sign-out. Only an epoch is a sign-out: where there is none, everything stands.
pub(super) fn is_of(stored: &Stored, epoch: Epoch) -> bool {
    stored.facts.epoch >= epoch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Fleet;

    proptest! {
        #[test]
        fn a_new_sign_in_stands_above_all_renewals_of_the_one_before(first in 1..u64::MAX >> 8, renewals in 0_u64..500_000) {
            let before = Fleet::next_sign_in(Some(first));
            let renewed = before + renewals;
            let after = Fleet::next_sign_in(Some(before));
            prop_assert!(first < before && renewed < after, "{first:x} {renewed:x} {after:x}");
            prop_assert!(renewed < Fleet::next_sign_in(Some(renewed)));
            prop_assert_eq!(Fleet::next_generation(Some(renewed)), renewed + 1);
        }
    }

    #[test]
    fn the_first_generation_is_any_and_leaves_room_for_more() {
        for _ in 0..1000 {
            assert!((1..1 << 48).contains(&Fleet::next_generation(None)));
        }
    }
}
