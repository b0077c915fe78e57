//! The memory level: one entry per partition, an immutable list of its tokens, bounded in bytes.
//!
//! There is no time-out in here: freshness decides at each look, and a sweep removes what has ended.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::token::Stored;

/// The most tokens of one partition; the oldest leave first.
const MOST_TOKENS: usize = 256;
/// The most bytes of one partition.
const MOST_BYTES: usize = 256 * 1024;
/// What the index spends on one partition, in bytes: its key twice, the pointer, its place in the queue, and the list's own header.
const PARTITION_OVERHEAD: usize = 192;
/// The least capacity of one shard, in bytes: several full partitions have to fit.
const SHARD: u64 = 4 * 1024 * 1024;
/// Locks for writers: two stores into one partition must not lose one of them.
const STRIPES: usize = 16;

/// All tokens of one app, of one account or of one assertion.
pub type Partition = [u8; 32];

type List = Arc<[Stored]>;

/// Tokens in memory.
pub struct Memory {
    partitions: Cache<Partition, List, Weigh>,
    writers: [Mutex<()>; STRIPES],
    max_bytes: u64,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Partition, List> for Weigh {
    fn weight(&self, _: &Partition, list: &List) -> u64 {
        let tokens: usize = list.iter().map(Stored::weight).sum();
        u64::try_from(PARTITION_OVERHEAD + tokens).unwrap_or(u64::MAX)
    }
}

// === impl Memory ===

impl Memory {
    /// Memory for this many bytes of keys, values and index.
    pub fn new(max_bytes: u64) -> Self {
        let shards = usize::try_from(max_bytes / SHARD).unwrap_or(1).clamp(1, 16).next_power_of_two();
        // What an entry is expected to weigh; a wrong guess costs a resize.
        let items = usize::try_from(max_bytes / 2048).unwrap_or(usize::MAX).clamp(16, 4096);
        let options = OptionsBuilder::new().estimated_items_capacity(items).weight_capacity(max_bytes).shards(shards).build();
        let partitions = match options {
            Ok(options) => Cache::with_options(options, Weigh, DefaultHashBuilder::default(), DefaultLifecycle::default()),
            Err(_) => Cache::with_weighter(items, max_bytes, Weigh),
        };
        Self { partitions, writers: Default::default(), max_bytes }
    }

    /// What `judged` makes of the first token of the partition that it makes anything of, the newest first.
    pub fn find_map<T>(&self, partition: &Partition, judged: impl Fn(&Stored) -> Option<T>) -> Option<T> {
        self.partitions.get(partition)?.iter().rev().find_map(judged)
    }

    /// Adds a token; one that answers the identical request goes, and so do those that ended before `now` (Unix seconds).
    pub fn put(&self, partition: Partition, stored: Stored, now: i64) {
        let stripe = usize::from(partition[0]) % STRIPES;
        let _one_writer = self.writers.get(stripe).map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner));
        let old = self.partitions.peek(&partition);
        let stays = |kept: &&Stored| {
            kept.expires_on > now && !(kept.facts.variant == stored.facts.variant && kept.facts.asked == stored.facts.asked)
        };
        let mut tokens: Vec<Stored> = old.iter().flat_map(|list| list.iter()).filter(stays).cloned().collect();
        tokens.push(stored);
        let excess = excess(&tokens);
        tokens.drain(..excess);
        self.partitions.insert(partition, tokens.into());
    }

    /// Removes what ended before `now` (Unix seconds).
    pub fn sweep(&self, now: i64) {
        self.partitions.retain(|_, list| list.iter().any(|stored| stored.expires_on > now));
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// What they weigh, in bytes.
    pub fn bytes(&self) -> u64 {
        self.partitions.weight()
    }

    /// What they may weigh, in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}

/// How many of the oldest tokens have to go for the rest to fit.
fn excess(tokens: &[Stored]) -> usize {
    let mut bytes: usize = tokens.iter().map(Stored::weight).sum();
    let mut out = tokens.len().saturating_sub(MOST_TOKENS);
    bytes -= tokens.iter().take(out).map(Stored::weight).sum::<usize>();
    while bytes > MOST_BYTES && out + 1 < tokens.len() {
        bytes -= tokens.get(out).map_or(0, Stored::weight);
        out += 1;
    }
    out
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("partitions", &self.partitions()).field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_TOKENS, Memory};
    use crate::secret::Secret;
    use crate::token::{Facts, Grant, Stored, Times};

    fn stored(asked: &str, expires_on: i64, size: usize) -> Stored {
        let times = Times { received_on: 0, expires_on: Some(expires_on), ext_expires_on: None, refresh_on: None };
        let grant = Grant {
            access_token: Secret::new("x".repeat(size)),
            token_type: "Bearer".to_owned(),
            scope: asked.to_owned(),
            times,
            tenant_id: None,
            account: None,
            id_token: None,
            issued_token_type: None,
        };
        let facts = Facts { asked: asked.into(), granted: asked.into(), variant: [0; 32], challenge: 0, generation: 0 };
        grant.write().keep(&times, facts).unwrap()
    }

    fn ends(memory: &Memory, partition: [u8; 32], asked: &str) -> Option<i64> {
        memory.find_map(&partition, |stored| (*stored.facts.asked == *asked).then_some(stored.expires_on))
    }

    #[test]
    fn the_identical_request_replaces_and_others_stay() {
        let memory = Memory::new(1 << 20);
        memory.put([1; 32], stored("a", 100, 10), 0);
        memory.put([1; 32], stored("b", 100, 10), 0);
        memory.put([1; 32], stored("a", 200, 10), 0);
        assert_eq!(ends(&memory, [1; 32], "a"), Some(200));
        assert!(ends(&memory, [1; 32], "b").is_some());
        assert!(memory.find_map(&[2; 32], |_| Some(())).is_none());
        memory.sweep(150);
        assert_eq!(memory.partitions(), 1);
        memory.sweep(200);
        assert_eq!(memory.partitions(), 0);
    }

    #[test]
    fn a_partition_is_bounded_in_tokens_and_bytes() {
        let memory = Memory::new(16 << 20);
        for index in 0..MOST_TOKENS + 10 {
            memory.put([1; 32], stored(&format!("s{index}"), 100, 10), 0);
        }
        assert!(ends(&memory, [1; 32], "s9").is_none());
        assert!(ends(&memory, [1; 32], "s10").is_some());
        for index in 0..10 {
            memory.put([2; 32], stored(&format!("s{index}"), 100, 100_000), 0);
        }
        assert!(ends(&memory, [2; 32], "s7").is_none());
        assert!(ends(&memory, [2; 32], "s9").is_some());
    }

    #[test]
    fn the_whole_is_bounded_in_bytes_and_new_partitions_get_in() {
        let memory = Memory::new(1 << 20);
        for index in 0..5_000_u32 {
            let mut partition = [0; 32];
            partition[..4].copy_from_slice(&index.to_le_bytes());
            memory.put(partition, stored("a", 100, 1600), 0);
            assert!(memory.find_map(&partition, |_| Some(())).is_some(), "partition {index} was not taken in");
            assert!(memory.bytes() <= memory.max_bytes());
        }
    }

    #[test]
    fn what_surrounds_a_token_weighs_little() {
        let stored = stored("https://graph.microsoft.com/.default", 100, 1600);
        assert!(stored.weight() + super::PARTITION_OVERHEAD <= 2200, "{}", stored.weight());
    }
}
