//! What this process knows and Redis may lose: how often accounts were signed out, and the sign-ins that this process brought. Both
//! for a quarter of an hour, which is longer than a failover takes, or a restart.
//!
//! An epoch is a number that only rises: its high 40 bits count the sign-outs, and the others are random, so that no two sign-outs
//! make the same one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::token::{Epoch, Partition, SignIn};

/// How long it is known.
pub(super) const KNOWN: Duration = Duration::from_secs(15 * 60);
/// How many accounts' epochs are known at most; the oldest leave first.
const MOST: usize = 65_536;
/// What the sign-ins may weigh, in bytes; the oldest leave first.
const MOST_BYTES: usize = 8 << 20;
/// What one of them weighs besides.
const OVERHEAD: usize = 192;
/// The bits of an epoch that are random.
const RANDOM: u32 = 24;

/// What is known. Asked by every read and every write of what an account has in Redis.
#[derive(Debug)]
pub(super) struct Recent {
    known: Mutex<KnownFacts>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct KnownFacts {
    epochs: Aged<NonZeroU64>,
    sign_ins: Aged<Arc<SignIn>>,
    /// Whose sign-in is not served: a sign-out of it began.
    hidden: HashSet<Partition>,
    /// What the sign-ins weigh.
    bytes: usize,
}

/// One value for each partition, by age.
#[derive(Debug)]
struct Aged<T> {
    values: HashMap<Partition, (Age, T)>,
    order: BTreeMap<Age, Partition>,
    count: u64,
}

/// When something was noted; the number tells apart what came in the same millisecond.
type Age = (Moment, u64);

/// The epoch of a sign-out where this was the highest that was known.
pub(super) fn next_epoch(known: Epoch) -> NonZeroU64 {
    let known = known.map_or(0, NonZeroU64::get);
    let count = (known >> RANDOM) + 1;
    let random = rand::random::<u64>() >> (u64::BITS - RANDOM);
    // Only what nobody but a stranger wrote is as high as that.
    let next = count.checked_mul(1 << RANDOM).map_or(known.saturating_add(1), |next| next | random);
    NonZeroU64::new(next).unwrap_or(NonZeroU64::MAX)
}

// === impl Recent ===

impl Recent {
    pub(super) fn new(clock: Clock) -> Self {
        Self { known: Mutex::default(), clock }
    }

    /// The highest epoch of an account that is known.
    pub(super) fn epoch(&self, partition: &Partition) -> Epoch {
        let known = self.known();
        // Of most accounts nothing is known, and then the age does not matter.
        known.epochs.get(partition)?;
        known.epochs.since(partition, self.oldest()).copied()
    }

    /// The sign-in of an account that may be served where the store cannot be asked.
    pub(super) fn served(&self, partition: &Partition) -> Option<Arc<SignIn>> {
        let oldest = self.oldest();
        let known = self.known();
        known.sign_ins.since(partition, oldest).filter(|_| !known.hidden.contains(partition)).cloned()
    }

    /// Serves the sign-in of an account no more, until there is another one. Returns whether there is one.
    pub(super) fn hide(&self, partition: &Partition) -> bool {
        let mut known = self.known();
        let is_there = known.sign_ins.get(partition).is_some();
        if is_there {
            known.hidden.insert(*partition);
        }
        is_there
    }

    /// The sign-in of an account as this process brought it, or as it has seen it since.
    pub(super) fn sign_in(&self, partition: &Partition) -> Option<Arc<SignIn>> {
        let oldest = self.oldest();
        self.known().sign_ins.since(partition, oldest).cloned()
    }

    /// A sign-out that this process made or hears of. Without an epoch nothing stood in the store. Returns whether a sign-in is
    /// known no more.
    pub(super) fn signed_out(&self, partition: &Partition, epoch: Epoch) -> bool {
        let mut known = self.known();
        if let Some(epoch) = epoch {
            known.raise(partition, epoch, self.clock.moment());
        }
        // One of this very epoch came after the sign-out, whose message is late. One of a higher epoch may have: it is in the
        // store, and only not put back.
        let stays = known.sign_ins.get(partition).is_some_and(|sign_in| epoch.is_some() && sign_in.epoch == epoch);
        !stays && known.drop_sign_in(partition)
    }

    /// An epoch that stands somewhere, or stood.
    pub(super) fn note(&self, partition: &Partition, epoch: NonZeroU64) {
        let mut known = self.known();
        known.raise(partition, epoch, self.clock.moment());
        if known.sign_ins.get(partition).is_some_and(|sign_in| sign_in.epoch < Some(epoch)) {
            known.drop_sign_in(partition);
        }
    }

    /// A sign-in that this process brought to the store, with its generation there.
    pub(super) fn brought(&self, partition: &Partition, sign_in: Arc<SignIn>) {
        let mut known = self.known();
        if known.epochs.get(partition).copied() <= sign_in.epoch {
            known.keep(partition, sign_in, self.clock.moment());
        }
    }

    /// A sign-in that was found in the store. It takes the place of an older one, which must not be put back any more. The
    /// generations of two lineages say nothing of their order: between those, what stands counts.
    pub(super) fn seen(&self, partition: &Partition, sign_in: &Arc<SignIn>) {
        let mut known = self.known();
        let Some(older) = known.sign_ins.get(partition) else { return };
        let (is_other, is_foreign) = (older.shared != sign_in.shared, older.lineage != sign_in.lineage);
        if is_foreign && older.epoch <= sign_in.epoch {
            known.drop_sign_in(partition);
        }
        if is_other || is_foreign {
            known.keep(partition, Arc::clone(sign_in), self.clock.moment());
        }
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        let known = self.known();
        known.epochs.values.is_empty() && known.sign_ins.values.is_empty()
    }

    /// Every account of which something is known.
    pub(super) fn all(&self) -> Vec<Partition> {
        let known = self.known();
        let sign_ins = known.sign_ins.values.keys().filter(|partition| !known.epochs.values.contains_key(*partition));
        known.epochs.values.keys().chain(sign_ins).copied().collect()
    }

    /// The accounts of which some entry became `age` old after `looked` and until `now`.
    pub(super) fn aged(&self, age: Duration, looked: Moment, now: Moment) -> Vec<Partition> {
        let known = self.known();
        let then = |moment: Moment| (before(moment, age), u64::MAX);
        let (from, to) = (then(looked), then(now));
        if from >= to {
            return Vec::new();
        }
        let mut aged: Vec<_> = known.epochs.noted(from, to).chain(known.sign_ins.noted(from, to)).collect();
        aged.sort_unstable();
        aged.dedup();
        aged
    }

    /// Forgets what is older.
    pub(super) fn sweep(&self) {
        let (mut known, oldest) = (self.known(), self.oldest());
        while known.epochs.oldest().is_some_and(|(noted, _)| noted < oldest) {
            known.epochs.pop();
        }
        while known.sign_ins.oldest().is_some_and(|(noted, _)| noted < oldest) {
            known.pop_sign_in();
        }
    }

    fn oldest(&self) -> Moment {
        before(self.clock.moment(), KNOWN)
    }

    fn known(&self) -> MutexGuard<'_, KnownFacts> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl KnownFacts ===

impl KnownFacts {
    fn raise(&mut self, partition: &Partition, epoch: NonZeroU64, now: Moment) {
        if self.epochs.get(partition).is_some_and(|known| *known >= epoch) {
            return;
        }
        self.epochs.put(partition, epoch, now);
        if self.epochs.values.len() > MOST {
            self.epochs.pop();
        }
    }

    /// Keeps a sign-in unless a later one of the account is known.
    fn keep(&mut self, partition: &Partition, sign_in: Arc<SignIn>, now: Moment) {
        let place = |sign_in: &SignIn| (sign_in.epoch, sign_in.shared);
        if self.sign_ins.get(partition).is_some_and(|known| place(known) > place(&sign_in)) {
            return;
        }
        self.drop_sign_in(partition);
        self.bytes += weight(&sign_in);
        self.sign_ins.put(partition, sign_in, now);
        while self.bytes > MOST_BYTES {
            self.pop_sign_in();
        }
    }

    fn drop_sign_in(&mut self, partition: &Partition) -> bool {
        let dropped = self.sign_ins.take(partition);
        self.hidden.remove(partition);
        self.bytes -= dropped.as_deref().map_or(0, weight);
        dropped.is_some()
    }

    fn pop_sign_in(&mut self) {
        let Some((partition, dropped)) = self.sign_ins.pop() else { return };
        self.hidden.remove(&partition);
        self.bytes -= weight(&dropped);
    }
}

fn weight(sign_in: &SignIn) -> usize {
    OVERHEAD + sign_in.weight()
}

fn before(moment: Moment, by: Duration) -> Moment {
    Moment::of_millis(moment.millis().saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
}

// === impl Aged ===

impl<T> Default for Aged<T> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: BTreeMap::new(), count: 0 }
    }
}

impl<T> Aged<T> {
    fn get(&self, partition: &Partition) -> Option<&T> {
        self.values.get(partition).map(|(_, value)| value)
    }

    /// The value of a partition, unless it was noted before that moment.
    fn since(&self, partition: &Partition, oldest: Moment) -> Option<&T> {
        self.values.get(partition).filter(|((noted, _), _)| *noted >= oldest).map(|(_, value)| value)
    }

    fn put(&mut self, partition: &Partition, value: T, now: Moment) {
        self.count += 1;
        let age = (now, self.count);
        if let Some((older, _)) = self.values.insert(*partition, (age, value)) {
            self.order.remove(&older);
        }
        self.order.insert(age, *partition);
    }

    fn take(&mut self, partition: &Partition) -> Option<T> {
        let (age, value) = self.values.remove(partition)?;
        self.order.remove(&age);
        Some(value)
    }

    fn oldest(&self) -> Option<Age> {
        self.order.keys().next().copied()
    }

    fn pop(&mut self) -> Option<(Partition, T)> {
        let (_, partition) = self.order.pop_first()?;
        self.values.remove(&partition).map(|(_, value)| (partition, value))
    }

    fn noted(&self, after: Age, until: Age) -> impl Iterator<Item = Partition> {
        let range = (std::ops::Bound::Excluded(after), std::ops::Bound::Included(until));
        self.order.range(range).map(|(_, partition)| *partition)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::Arc;
    use std::time::Duration;

    use super::{KNOWN, MOST, MOST_BYTES, Partition, Recent, next_epoch};
    use crate::clock::Clock;
    use crate::secret::Secret;
    use crate::token::{Account, Epoch, SignIn, SpaceId};

    fn sign_in(epoch: Epoch, shared: u64, token: &str) -> Arc<SignIn> {
        let account = Account {
            home_account_id: "oid.tid".to_owned(),
            local_account_id: "oid".to_owned(),
            username: None,
            environment: "host".to_owned(),
            tenant_id: None,
        };
        let refresh_token = Some(Secret::new(token));
        Arc::new(SignIn {
            account,
            refresh_token,
            expires_on: 99,
            space: SpaceId::new([4; 32]),
            epoch,
            shared,
            lineage: [0; 16],
            more: Default::default(),
        })
    }

    fn epoch(number: u64) -> NonZeroU64 {
        NonZeroU64::new(number).unwrap()
    }

    fn numbered(number: usize) -> Partition {
        let mut partition = [0; 32];
        partition[..8].copy_from_slice(&number.to_le_bytes());
        Partition::new(partition)
    }

    #[test]
    fn each_epoch_is_higher_than_the_one_before() {
        let mut last = next_epoch(None);
        for _ in 0..1000 {
            let next = next_epoch(Some(last));
            assert!(next > last && (next.get() >> 24) == (last.get() >> 24) + 1);
            last = next;
        }
        // What a stranger wrote.
        assert_eq!(next_epoch(Some(NonZeroU64::MAX)), NonZeroU64::MAX);
        assert!(next_epoch(epoch(u64::MAX - 5).into()) > epoch(u64::MAX - 5));
    }

    #[test]
    fn the_highest_epoch_is_known_for_its_time() {
        let clock = Clock::manual(1000);
        let recent = Recent::new(clock.clone());
        recent.signed_out(&Partition::new([1; 32]), Some(epoch(7)));
        recent.note(&Partition::new([1; 32]), epoch(5));
        assert_eq!((recent.epoch(&Partition::new([1; 32])), recent.epoch(&Partition::new([2; 32]))), (Some(epoch(7)), None));
        clock.advance(KNOWN);
        recent.sweep();
        assert_eq!(recent.epoch(&Partition::new([1; 32])), Some(epoch(7)));
        clock.advance(Duration::from_millis(1));
        assert_eq!((recent.epoch(&Partition::new([1; 32])), recent.all().len()), (None, 1));
        recent.sweep();
        assert_eq!(recent.all().len(), 0);
    }

    #[test]
    fn a_sign_out_ends_the_sign_ins_of_before_and_not_those_of_after() {
        let recent = Recent::new(Clock::manual(1000));
        recent.brought(&Partition::new([1; 32]), sign_in(None, 5, "a"));
        assert!(recent.signed_out(&Partition::new([1; 32]), Some(epoch(7))));
        assert!(recent.sign_in(&Partition::new([1; 32])).is_none());
        // A store of before that comes late, and a sign-in of after.
        recent.brought(&Partition::new([1; 32]), sign_in(None, 6, "b"));
        assert!(recent.sign_in(&Partition::new([1; 32])).is_none());
        recent.brought(&Partition::new([1; 32]), sign_in(Some(epoch(7)), 1, "c"));
        assert!(!recent.signed_out(&Partition::new([1; 32]), Some(epoch(7))), "its message is late");
        assert!(recent.sign_in(&Partition::new([1; 32])).is_some());
        // Of an epoch that this process has never heard of, and of an account of which nothing stood.
        for other in [Some(epoch(6)), None] {
            recent.brought(&Partition::new([1; 32]), sign_in(Some(epoch(7)), 2, "d"));
            assert!(recent.signed_out(&Partition::new([1; 32]), other));
        }
        assert_eq!(recent.epoch(&Partition::new([1; 32])), Some(epoch(7)));
    }

    #[test]
    fn the_latest_sign_in_is_known() {
        let recent = Recent::new(Clock::manual(1000));
        let known = || recent.sign_in(&Partition::new([1; 32])).map(|sign_in| sign_in.shared);
        recent.seen(&Partition::new([1; 32]), &sign_in(None, 4, "a"));
        assert_eq!(known(), None, "somebody else brought it");
        for (shared, expected) in [(5, 5), (4, 5), (6, 6)] {
            recent.brought(&Partition::new([1; 32]), sign_in(None, shared, "a"));
            assert_eq!(known(), Some(expected));
        }
        recent.seen(&Partition::new([1; 32]), &sign_in(None, 9, "a"));
        assert_eq!(known(), Some(9));
        recent.note(&Partition::new([1; 32]), epoch(1));
        assert_eq!(known(), None);
    }

    #[test]
    fn what_is_known_is_bounded_and_the_oldest_leaves() {
        let recent = Recent::new(Clock::manual(1000));
        for number in 0..=MOST {
            recent.note(&numbered(number), epoch(1));
        }
        assert_eq!((recent.epoch(&numbered(0)), recent.epoch(&numbered(1))), (None, Some(epoch(1))));
        assert_eq!(recent.known().epochs.order.len(), MOST);
        let token = "x".repeat(100_000);
        for number in 0..200 {
            recent.brought(&numbered(number), sign_in(Some(epoch(1)), 1, &token));
            assert!(recent.known().bytes <= MOST_BYTES);
        }
        assert!(recent.sign_in(&numbered(1)).is_none() && recent.sign_in(&numbered(199)).is_some());
        for number in 0..200 {
            recent.signed_out(&numbered(number), None);
        }
        let known = recent.known();
        assert_eq!((known.bytes, known.sign_ins.order.len(), known.sign_ins.values.len()), (0, 0, 0));
    }

    #[test]
    fn what_becomes_as_old_is_found_once() {
        let clock = Clock::manual(1000);
        let recent = Recent::new(clock.clone());
        let age = Duration::from_secs(20);
        let mut looked = clock.moment();
        let mut found = |seconds| {
            clock.advance(Duration::from_secs(seconds));
            let found = recent.aged(age, looked, clock.moment());
            looked = clock.moment();
            found
        };
        recent.note(&Partition::new([1; 32]), epoch(1));
        recent.brought(&Partition::new([1; 32]), sign_in(Some(epoch(1)), 1, "a"));
        recent.brought(&Partition::new([2; 32]), sign_in(None, 1, "a"));
        assert_eq!(found(19), vec![]);
        assert_eq!(found(1), [Partition::new([1; 32]), Partition::new([2; 32])]);
        assert_eq!((found(0), found(100)), (vec![], vec![]));
        assert_eq!(recent.all().len(), 2);
    }

    #[test]
    fn what_a_sign_out_hides_is_known_and_not_served_until_there_is_another_one() {
        let recent = Recent::new(Clock::manual(1000));
        let partition = Partition::new([1; 32]);
        assert!(!recent.hide(&partition), "nothing is there");
        recent.brought(&partition, sign_in(None, 5, "first"));
        assert!(recent.served(&partition).is_some() && recent.hide(&partition));
        assert!(recent.served(&partition).is_none() && recent.sign_in(&partition).is_some());
        recent.brought(&partition, sign_in(None, 6, "second"));
        assert!(recent.served(&partition).is_some_and(|served| served.shared == 6));
        assert!(recent.hide(&partition) && recent.signed_out(&partition, Some(epoch(7))));
        assert!(recent.sign_in(&partition).is_none() && recent.known().hidden.is_empty());
    }
}
