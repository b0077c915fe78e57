//! The memory level: one entry per partition, an immutable list of its tokens, bounded in bytes; and beside them the sign-ins.
//!
//! There is no time-out in here: freshness decides at each look, and a sweep removes what has ended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::token::{CachedToken, Partition, RoomTaker, SignIn, SpaceId};

/// The most tokens of one partition; of whoever has most of them the oldest leave first.
const MOST_TOKENS: usize = 256;
/// The most bytes of one partition.
const MOST_BYTES: usize = 256 * 1024;
/// What the index spends on one partition, in bytes: its key twice, the pointer, its place in the queue, and the list's own header.
const PARTITION_OVERHEAD: usize = 192;
/// The least capacity of one shard, in bytes: several full partitions have to fit.
const SHARD: u64 = 4 * 1024 * 1024;
/// Locks for writers: two stores into one partition must not lose one of them.
const STRIPES: usize = 16;

/// What part of the bound sign-ins may take: they are small, and live longer than tokens.
const SIGN_INS: u64 = 4;

type TokenList = Arc<[CachedToken]>;

/// Tokens and sign-ins in memory.
pub struct Memory {
    partitions: Cache<Partition, TokenList, WeighList>,
    sign_ins: Cache<Partition, Arc<SignIn>, WeighList>,
    writers: [Mutex<()>; STRIPES],
    max_bytes: u64,
}

#[derive(Clone)]
struct WeighList;

impl Weighter<Partition, TokenList> for WeighList {
    fn weight(&self, _: &Partition, list: &TokenList) -> u64 {
        let tokens: usize = list.iter().map(CachedToken::weight).sum();
        u64::try_from(PARTITION_OVERHEAD + tokens).unwrap_or(u64::MAX)
    }
}

impl Weighter<Partition, Arc<SignIn>> for WeighList {
    fn weight(&self, _: &Partition, sign_in: &Arc<SignIn>) -> u64 {
        u64::try_from(PARTITION_OVERHEAD + sign_in.weight()).unwrap_or(u64::MAX)
    }
}

// === impl Memory ===

impl Memory {
    /// Memory for this many bytes of keys, values and index.
    pub fn new(max_bytes: u64) -> Self {
        let for_sign_ins = max_bytes / SIGN_INS;
        // What an entry is expected to weigh; a wrong guess costs a resize.
        Self {
            partitions: bounded(max_bytes - for_sign_ins, 2048),
            sign_ins: bounded(for_sign_ins, 2048),
            writers: Default::default(),
            max_bytes,
        }
    }

    /// What `judged` makes of the first token of the partition that it makes anything of, the newest first.
    pub fn find_map<T>(&self, partition: &Partition, judged: impl Fn(&CachedToken) -> Option<T>) -> Option<T> {
        self.partitions.get(partition)?.iter().rev().find_map(judged)
    }

    /// Adds a token; one that answers the identical request goes, and so do those that ended before `now` (Unix seconds),
    /// which is asked only where there are others.
    ///
    /// `allowed` is asked, with the token that would go, where no other change can come between: the partition may just have been
    /// removed, or a newer token may have come.
    pub fn put(
        &self,
        partition: Partition,
        stored: CachedToken,
        now: impl FnOnce() -> i64,
        allowed: impl FnOnce(Option<&CachedToken>) -> bool,
    ) {
        let _one_writer = self.writer(&partition);
        let Some(old) = self.partitions.peek(&partition) else {
            if allowed(None) {
                self.partitions.insert(partition, [stored].into());
            }
            return;
        };
        let identical = |kept: &&CachedToken| kept.facts.variant == stored.facts.variant && kept.facts.asked == stored.facts.asked;
        if !allowed(old.iter().find(identical)) {
            return;
        }
        let now = now();
        let stays = |kept: &&CachedToken| kept.expires_on > now && !identical(kept);
        let mut tokens: Vec<CachedToken> = old.iter().filter(stays).cloned().collect();
        if let Some(old) = old.iter().find(identical) {
            stored.user.succeed(&old.user);
        }
        tokens.push(stored);
        fit(&mut tokens);
        self.partitions.insert(partition, tokens.into());
    }

    /// The sign-in of an account, if it has not ended before `now` (Unix seconds).
    pub fn sign_in(&self, partition: &Partition, now: i64) -> Option<Arc<SignIn>> {
        self.sign_ins.get(partition).filter(|sign_in| sign_in.expires_on > now)
    }

    /// Keeps a sign-in, in place of an older one; `allowed` is asked as in [`Memory::put`].
    pub fn put_sign_in(&self, partition: Partition, sign_in: Arc<SignIn>, allowed: impl FnOnce() -> bool) {
        let _one_writer = self.writer(&partition);
        if allowed() {
            self.sign_ins.insert(partition, sign_in);
        }
    }

    /// The sign-ins of one app's accounts whose partitions come after `after`, in the order of partitions.
    pub fn sign_ins(&self, space: &SpaceId, after: Option<Partition>, now: i64) -> Vec<(Partition, Arc<SignIn>)> {
        let wanted = |(partition, sign_in): &(Partition, Arc<SignIn>)| {
            sign_in.space == *space && sign_in.expires_on > now && after.is_none_or(|after| *partition > after)
        };
        let mut all: Vec<_> = self.sign_ins.iter().filter(wanted).collect();
        all.sort_unstable_by_key(|(partition, _)| *partition);
        all
    }

    /// Whether a partition has tokens.
    pub fn has(&self, partition: &Partition) -> bool {
        self.partitions.peek(partition).is_some()
    }

    /// Removes a partition with its sign-in. Returns whether there was anything.
    pub fn remove(&self, partition: &Partition) -> bool {
        let _one_writer = self.writer(partition);
        let tokens = self.partitions.remove(partition).is_some();
        self.sign_ins.remove(partition).is_some() || tokens
    }

    /// Removes the tokens of a partition of which `unwanted` holds.
    pub fn remove_tokens(&self, partition: &Partition, unwanted: impl Fn(&CachedToken) -> bool) {
        let _one_writer = self.writer(partition);
        let Some(list) = self.partitions.peek(partition) else { return };
        let kept: Vec<CachedToken> = list.iter().filter(|stored| !unwanted(stored)).cloned().collect();
        if kept.is_empty() {
            self.partitions.remove(partition);
        } else if kept.len() < list.len() {
            self.partitions.insert(*partition, kept.into());
        }
    }

    /// Removes all sign-ins.
    pub fn clear_sign_ins(&self) {
        self.sign_ins.clear();
    }

    /// Removes a sign-in alone, if it is still this one.
    pub fn remove_sign_in(&self, partition: &Partition, sign_in: &Arc<SignIn>) {
        let _one_writer = self.writer(partition);
        if self.sign_ins.peek(partition).is_some_and(|kept| Arc::ptr_eq(&kept, sign_in)) {
            self.sign_ins.remove(partition);
        }
    }

    fn writer(&self, partition: &Partition) -> Option<MutexGuard<'_, ()>> {
        let stripe = usize::from(partition[0]) % STRIPES;
        self.writers.get(stripe).map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Removes what ended before `now` (Unix seconds).
    pub fn sweep(&self, now: i64) {
        self.partitions.retain(|_, list| list.iter().any(|stored| stored.expires_on > now));
        self.sign_ins.retain(|_, sign_in| sign_in.expires_on > now);
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// What they weigh, in bytes.
    pub fn bytes(&self) -> u64 {
        self.partitions.weight() + self.sign_ins.weight()
    }

    /// What they may weigh, in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}

fn bounded<V: Clone>(bytes: u64, expected: u64) -> Cache<Partition, V, WeighList>
where
    WeighList: Weighter<Partition, V>,
{
    let shards = usize::try_from(bytes / SHARD).unwrap_or(1).clamp(1, 16).next_power_of_two();
    let items = usize::try_from(bytes / expected).unwrap_or(usize::MAX).clamp(16, 4096);
    let options = OptionsBuilder::new().estimated_items_capacity(items).weight_capacity(bytes).shards(shards).build();
    match options {
        Ok(options) => Cache::with_options(options, WeighList, DefaultHashBuilder::default(), DefaultLifecycle::default()),
        Err(_) => Cache::with_weighter(items, bytes, WeighList),
    }
}

/// Removes tokens until the rest fits, never the last one: of whoever takes most of the room, the oldest.
fn fit(tokens: &mut Vec<CachedToken>) {
    while tokens.len() > 1 {
        let too_many = tokens.len() > MOST_TOKENS;
        let measure = |token: &CachedToken| if too_many { 1 } else { token.weight() };
        let mut taken: BTreeMap<RoomTaker, usize> = BTreeMap::new();
        for token in tokens.iter() {
            *taken.entry(token.user.taker()).or_default() += measure(token);
        }
        if !too_many && taken.values().sum::<usize>() <= MOST_BYTES {
            return;
        }
        let room = |token: &CachedToken| taken.get(&token.user.taker()).copied().unwrap_or_default();
        let older = tokens.len() - 1;
        // The first of those that are as large: the list is in the order in which they came.
        let Some(most) = tokens.iter().take(older).map(room).max() else { return };
        let Some(at) = tokens.iter().take(older).position(|token| room(token) == most) else { return };
        tokens.remove(at);
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("partitions", &self.partitions()).field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_TOKENS, Memory, Partition};
    use crate::secret::Secret;
    use crate::token::{CachedToken, Facts, IssuedToken, RoomTaker, Times};

    fn stored(asked: &str, expires_on: i64, size: usize) -> CachedToken {
        let times = Times { received_on: 0, expires_on: Some(expires_on), ext_expires_on: None, refresh_on: None };
        let grant = IssuedToken {
            access_token: Secret::new("x".repeat(size)),
            token_type: "Bearer".to_owned(),
            scope: asked.to_owned(),
            times,
            tenant_id: None,
            account: None,
            id_token: None,
            issued_token_type: None,
        };
        let facts = Facts { asked: asked.into(), granted: asked.into(), ..Facts::default() };
        grant.write().keep(&times, facts).unwrap()
    }

    fn ends(memory: &Memory, partition: Partition, asked: &str) -> Option<i64> {
        memory.find_map(&partition, |stored| (*stored.facts.asked == *asked).then_some(stored.expires_on))
    }

    #[test]
    fn the_identical_request_replaces_and_others_stay() {
        let memory = Memory::new(1 << 20);
        memory.put(Partition::new([1; 32]), stored("a", 100, 10), || 0, |_| true);
        memory.put(Partition::new([1; 32]), stored("b", 100, 10), || 0, |_| true);
        memory.put(Partition::new([1; 32]), stored("a", 200, 10), || 0, |_| true);
        assert_eq!(ends(&memory, Partition::new([1; 32]), "a"), Some(200));
        assert!(ends(&memory, Partition::new([1; 32]), "b").is_some());
        assert!(memory.find_map(&Partition::new([2; 32]), |_| Some(())).is_none());
        memory.sweep(150);
        assert_eq!(memory.partitions(), 1);
        memory.sweep(200);
        assert_eq!(memory.partitions(), 0);
    }

    #[test]
    fn a_partition_is_bounded_in_tokens_and_bytes() {
        let memory = Memory::new(16 << 20);
        for index in 0..MOST_TOKENS + 10 {
            memory.put(Partition::new([1; 32]), stored(&format!("s{index}"), 100, 10), || 0, |_| true);
        }
        assert!(ends(&memory, Partition::new([1; 32]), "s9").is_none());
        assert!(ends(&memory, Partition::new([1; 32]), "s10").is_some());
        for index in 0..10 {
            memory.put(Partition::new([2; 32]), stored(&format!("s{index}"), 100, 100_000), || 0, |_| true);
        }
        assert!(ends(&memory, Partition::new([2; 32]), "s7").is_none());
        assert!(ends(&memory, Partition::new([2; 32]), "s9").is_some());
    }

    /// As `stored`, for somebody.
    fn of(taker: RoomTaker, asked: &str, size: usize) -> CachedToken {
        stored(asked, 100, size).asked_by(taker)
    }

    #[test]
    fn whoever_asks_for_many_pushes_out_nobody_elses() {
        let partition = Partition::new([1; 32]);
        let [usual, unusual] = [true, false].map(|is_usual| RoomTaker::new(Some(0), is_usual));
        let other = RoomTaker::new(Some(1), true);
        for (taker, size) in [(unusual, 10), (usual, 10), (unusual, 10_000), (usual, 10_000)] {
            let memory = Memory::new(64 << 20);
            memory.put(partition, of(other, "others", size), || 0, |_| true);
            memory.put(partition, of(RoomTaker::new(Some(0), !taker.is_usual), "own", size), || 0, |_| true);
            // What both use is nobody's alone.
            memory.put(partition, of(taker, "both", size), || 0, |_| true);
            let used = memory.find_map(&partition, |token| (*token.facts.asked == *"both").then(|| token.user.used_by(other)));
            assert!(used.is_some());
            for index in 0..2 * MOST_TOKENS {
                memory.put(partition, of(taker, &format!("s{index}"), size), || 0, |_| true);
            }
            for asked in ["others", "own", "both", "s511"] {
                assert!(ends(&memory, partition, asked).is_some(), "{asked} of {size} bytes");
            }
            assert!(ends(&memory, partition, "s0").is_none(), "{size}");
        }
    }

    #[test]
    fn the_whole_is_bounded_in_bytes_and_new_partitions_get_in() {
        let memory = Memory::new(1 << 20);
        for index in 0..5_000_u32 {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&index.to_le_bytes());
            let partition = Partition::new(bytes);
            memory.put(partition, stored("a", 100, 1600), || 0, |_| true);
            assert!(memory.find_map(&partition, |_| Some(())).is_some(), "partition {index} was not taken in");
            assert!(memory.bytes() <= memory.max_bytes());
        }
    }

    #[test]
    fn what_surrounds_a_token_weighs_little() {
        let stored = stored("https://graph.microsoft.com/.default", 100, 1600);
        assert!(stored.weight() + super::PARTITION_OVERHEAD <= 2208, "{}", stored.weight());
    }
}
