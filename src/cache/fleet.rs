//! The store that replicas share, as the cache sees it: what a token is called there, what its bytes say, and who may ask for a new
//! one.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::metrics::Metrics;
use super::pace::Pace;
use super::pulse::{BEAT, Pulse};
use super::query::Wanted;
use super::queue::Queue;
use super::unlisted::Unlisted;
use super::{Jitter, Partition};
use crate::clock::{self, Clock, Moment};
use crate::store::{Claim, Names, Note, Ring, Shared, Sought, State, Trouble, Unreadable, read_token};
use crate::token::{Epoch, SignIn, Stored};

/// How many tokens the index of a partition lists; the store has no room for more in memory either.
pub(super) const MOST_LISTED: usize = 256;
/// How many tokens for more scopes than asked are looked at before the authority is asked.
const MOST_COVERING: usize = 4;
/// How long a lease holds without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(3);
/// How often its leader renews it.
const RENEWED: Duration = Duration::from_secs(1);
/// How soon the store is asked again whether something stands, after it could not say.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long an outcome waits for followers, who come back at least four times a second.
const OUTCOME: Duration = Duration::from_secs(5);

/// The level that replicas share.
#[derive(Debug)]
pub struct Fleet {
    pub(super) store: Arc<Shared>,
    pub(super) ring: Ring,
    pub(super) names: Names,
    pub(super) version: u8,
    pub(super) metrics: Metrics,
    pub(super) queue: Arc<Queue>,
    pub(super) unlisted: Unlisted,
    pub(super) pace: Pace,
    pub(super) jitter: Jitter,
    /// Tells this replica's messages from those of others.
    pub(super) sender: [u8; 16],
    recheck: Duration,
    /// What was checked before this moment is asked about once more: messages may have been missed.
    suspect: AtomicU64,
    /// Until this moment nothing is asked about: the store could not say a moment ago.
    not_before: AtomicU64,
    pulse: Pulse,
    /// How long a call to the authority may take.
    longest: Duration,
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
    /// Which version of records is written.
    pub version: u8,
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
pub(super) struct Sight {
    /// The token: the very one, or one for more scopes.
    pub(super) stored: Option<Stored>,
    /// The generation of what stands under the exact name, readable or not.
    pub(super) base: Option<u64>,
    /// The account's epoch.
    pub(super) epoch: Epoch,
}

/// A lease that this process holds.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) name: String,
    pub(super) outcome: String,
    pub(super) owner: [u8; 16],
}

// === impl Fleet ===

impl Fleet {
    /// A fleet over a store; nothing is connected to.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { store, ring, prefix, version, recheck, longest, queue, metrics, jitter, clock } = parts;
        Arc::new(Self {
            names: Names::new(&prefix, ring.clone()),
            metrics: Metrics::new(&metrics),
            queue: Queue::new(queue, &metrics),
            pace: Pace::new(clock.clone()),
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
            self.look_back();
            self.pulse.note(clock::running());
        }
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
    pub(super) async fn look(&self, wanted: &Wanted, token: &str, epoch: &str) -> Result<Sight, Trouble> {
        let sought = Sought { partition: &wanted.partition, variant: &wanted.variant, asked: Some(&wanted.asked) };
        let mut sight = self.named(token, wanted.owned.then_some(epoch), &sought).await?;
        // Nothing at hand will do where a new token is wanted.
        if sight.stored.is_none() && wanted.superset && !wanted.bypass.is_forced() {
            // Boxed as in `Cache::shared`: a hit has no need of it.
            sight.stored = Box::pin(self.covered(wanted, sight.epoch)).await?;
        }
        Ok(sight)
    }

    async fn covered(&self, wanted: &Wanted, epoch: Epoch) -> Result<Option<Stored>, Trouble> {
        let Some(stored) = self.covering(wanted, epoch).await? else { return Ok(None) };
        let facts = &stored.facts;
        let name = self.names.place(&wanted.partition).token(&self.names.entry(&facts.variant, &facts.asked));
        Ok(Some(self.timed(&name, stored).await))
    }

    /// Looks for a token under its exact name.
    pub(super) async fn exact(
        &self,
        partition: &Partition,
        variant: &[u8; 32],
        asked: &str,
        owned: bool,
    ) -> Result<Sight, Trouble> {
        let place = self.names.place(partition);
        let token = place.token(&self.names.entry(variant, asked));
        let epoch = owned.then(|| place.epoch());
        self.named(&token, epoch.as_deref(), &Sought { partition, variant, asked: Some(asked) }).await
    }

    async fn named(&self, token: &str, epoch: Option<&str>, sought: &Sought<'_>) -> Result<Sight, Trouble> {
        let began = self.check_moment();
        let (mut values, mut left) = self.read_with(token, epoch).await?;
        if self.is_suspect(began) {
            // The process stood still meanwhile, or there is a new subscription: what was read may be of before.
            (values, left) = self.read_with(token, epoch).await?;
        }
        self.meet(values.first().into_iter().flatten()).await;
        let mut sight = self.sight(token, &values, sought);
        if let Some(left) = left {
            sight.stored = sight.stored.map(|stored| self.ending(stored, left));
        }
        Ok(sight)
    }

    async fn read_with(&self, token: &str, epoch: Option<&str>) -> Result<(Vec<Option<Bytes>>, Option<Duration>), Trouble> {
        match epoch {
            Some(epoch) => self.store.read_timed(&[token, epoch]).await,
            None => self.store.read_timed(&[token]).await,
        }
    }

    /// A token that another replica may have stored, by its own clock: it ends when its key does.
    fn ending(&self, stored: Stored, left: Duration) -> Stored {
        stored.ending_by(self.now().saturating_add(whole_seconds(left)))
    }

    /// The same of one that was read without what is left of its key.
    pub(super) async fn timed(&self, name: &str, stored: Stored) -> Stored {
        match self.store.left(name).await {
            Ok(Some(left)) => self.ending(stored, left),
            _ => stored,
        }
    }

    /// The same of a sign-in.
    pub(super) fn signed_in_until(&self, sign_in: SignIn, left: Option<Duration>) -> SignIn {
        let ends = left.map_or(i64::MAX, |left| self.now().saturating_add(whole_seconds(left)));
        SignIn { expires_on: sign_in.expires_on.min(ends), ..sign_in }
    }

    /// What values of a token and its account's epoch say.
    pub(super) fn sight(&self, name: &str, values: &[Option<Bytes>], sought: &Sought<'_>) -> Sight {
        let epoch = epoch_of(values.get(1));
        let value = values.first().and_then(Option::as_ref);
        let base = value.and_then(|value| Ring::generation(value));
        let stored = value.and_then(|value| self.open(name, value, sought)).filter(|stored| is_of(stored, epoch));
        Sight { stored, base, epoch }
    }

    /// To be called with what the store says before it is opened: replicas may have a newer key ring.
    pub(super) async fn meet<'a>(&self, values: impl IntoIterator<Item = &'a Bytes>) {
        self.ring.meet(values.into_iter().map(|value| &**value)).await;
    }

    pub(super) fn open(&self, name: &str, value: &[u8], sought: &Sought<'_>) -> Option<Stored> {
        // Whatever cannot be read is counted by the ring, and is no token.
        let opened = self.ring.open(name, value, crate::store::NEWEST).ok()?;
        let stored = read_token(&opened.payload, opened.version, opened.generation, sought)?;
        // Whatever clock it was stored by, it has no longer to live than a new one.
        let length = stored.expires_on.saturating_sub(stored.received_on);
        Some(stored.ending_by(self.now().saturating_add(length)))
    }

    async fn covering(&self, wanted: &Wanted, epoch: Epoch) -> Result<Option<Stored>, Trouble> {
        let place = self.names.place(&wanted.partition);
        let members = self.store.members(&place.index(), MOST_LISTED).await?;
        let covering = self.names.covering(&members, &wanted.variant, &wanted.asked).take(MOST_COVERING);
        let names: Vec<String> = covering.map(|entry| place.token(&entry)).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let values = self.store.read(&names.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        self.meet(values.iter().flatten()).await;
        let sought = Sought { partition: &wanted.partition, variant: &wanted.variant, asked: None };
        let opened = names.iter().zip(&values).filter_map(|(name, value)| self.open(name, value.as_ref()?, &sought));
        let mut good = opened.filter(|stored| is_of(stored, epoch) && stored.answers(&wanted.variant, &wanted.asked));
        Ok(good.next())
    }

    /// Names the lease of a flight.
    pub(super) fn lease(&self, partition: &Partition, flight: &[u8; 32]) -> Held {
        let place = self.names.place(partition);
        Held { name: place.lease(flight), outcome: place.outcome(flight), owner: rand::random() }
    }

    /// Does some work while the lease is renewed, for no longer than a call to the authority takes.
    pub(super) async fn holding<T>(&self, lease: &Held, work: impl Future<Output = T>) -> T {
        let rounds = self.longest.as_millis() / RENEWED.as_millis().max(1);
        self.renewing(lease, rounds, work).await
    }

    /// The same for as long as the work takes: it ends with the process, and then the lease lapses.
    pub(super) async fn holding_on<T>(&self, lease: &Held, work: impl Future<Output = T>) -> T {
        self.renewing(lease, u128::MAX, work).await
    }

    async fn renewing<T>(&self, lease: &Held, rounds: u128, work: impl Future<Output = T>) -> T {
        let renewals = async {
            for _ in 0..rounds {
                tokio::time::sleep(RENEWED).await;
                // Trouble may pass, and a lease that is lost may be free. If somebody else has it, the work goes on, and what it
                // brings is compared.
                if self.store.extend(&lease.name, &lease.owner, LEASE).await == Ok(false) && !Box::pin(self.retaken(lease)).await {
                    break;
                }
            }
            std::future::pending::<T>().await
        };
        tokio::select! {
            outcome = work => outcome,
            never = renewals => never,
        }
    }

    async fn retaken(&self, lease: &Held) -> bool {
        let (owner, outcome) = (&lease.owner, &lease.outcome);
        let claim = Claim { lease: &lease.name, outcome, reads: &[], owner, ttl: LEASE, followed: &[] };
        self.store.claim(&claim).await.is_ok_and(|claimed| claimed.won)
    }

    /// The value of an outcome: its leader, and what followers are told.
    pub(super) fn told(&self, lease: &Held, payload: &[u8]) -> Vec<u8> {
        let sealed = self.ring.seal(&lease.outcome, 0, self.version, payload).unwrap_or_default();
        let mut value = lease.owner.to_vec();
        value.extend_from_slice(&sealed);
        value
    }

    /// As [`Fleet::meet`], for an outcome's value.
    pub(super) async fn meet_outcome(&self, value: &[u8]) {
        self.ring.meet(value.get(16..)).await;
    }

    /// What an outcome's value tells.
    pub(super) fn heard(&self, name: &str, value: &[u8]) -> Option<Bytes> {
        let sealed = value.get(16..)?;
        self.ring.open(name, sealed, crate::store::NEWEST).ok().map(|opened| opened.payload)
    }

    /// Gives a lease back without an answer, or with one for the followers.
    pub(super) async fn release(&self, lease: &Held, told: Option<&[u8]>) {
        let value = told.map(|payload| self.told(lease, payload));
        let note = value.as_deref().map(|value| Note { key: &lease.outcome, value, ttl: OUTCOME });
        // If it cannot be given back it lapses.
        let _lapses = self.store.release(&lease.name, &lease.owner, note).await;
    }

    /// How an outcome stands in the store.
    pub(super) fn note<'a>(lease: &'a Held, value: &'a [u8]) -> Note<'a> {
        Note { key: &lease.outcome, value, ttl: OUTCOME }
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
            Some((self.ring.open(name, &value, crate::store::NEWEST).ok()?.payload, left))
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
        match self.ring.open(name, value, crate::store::NEWEST) {
            Ok(opened) => Ok(Some(opened)),
            Err(Unreadable::Garbage) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

/// Rounded up: a key was given whole seconds, of which the last one may have begun.
fn whole_seconds(left: Duration) -> i64 {
    i64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
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
    epoch.is_none() || stored.facts.epoch == epoch
}
