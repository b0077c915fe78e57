//! What a hit in Redis costs after a miss in memory, side by side in one run with bare `GET`s of the same
//! values by the same client.
//!
//! `cargo bench --bench shared` prints ratios; it needs a `redis-server`. Absolute times belong to the machine;
//! the ratios belong to the code.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints, and ends where it cannot go on")]

mod drive;
mod replica;
mod server;
#[path = "../cached/statistics.rs"]
mod statistics;

use std::sync::Arc;

use drive::Stretch;
use redis::aio::MultiplexedConnection;
use replica::{Replica, Tokens};
use server::Redis;
use statistics::{Rounds, median};
use tokend::cache::CacheLevel;

/// How many tokens of each kind are compared.
const TOKENS: usize = 2000;
/// How many users there are in the end.
const USERS: usize = 100_000;
/// How many requests there are at a time.
const AT_ONCE: usize = 64;
/// How often each way is measured, in turn with the others.
const ROUNDS: usize = 9;
/// How often a round asks for every token.
const PASSES: usize = 10;
/// How many hits, one after the other, make a round.
const ONE_BY_ONE: usize = 4000;
/// What memory holds, in bytes: all tokens that are compared.
const MEMORY: u64 = 64 << 20;

/// A way to a token.
#[derive(Clone)]
enum Way {
    /// By the client alone: the values of these names.
    Bare(MultiplexedConnection, Arc<[String]>),
    /// Through the cache, whose memory has forgotten it.
    Cache(Replica, Tokens),
}

fn main() {
    // Cargo passes `--bench`; a word beside it chooses a part.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    // What drives is a task too: the thread that waits for it does nothing.
    let all = async move {
        if wanted("hits") {
            hits().await?;
        }
        if wanted("users") {
            users().await?;
        }
        Some(())
    };
    if runtime.block_on(all).is_none() {
        println!("there is no redis-server on this machine: the shared cache was not measured");
    }
}

/// An app's and users' tokens from Redis against bare `GET`s: many at a time, and one by one.
async fn hits() -> Option<()> {
    let redis = Redis::start().await?;
    let replica = Replica::new(&redis.url(), MEMORY);
    let apps = Tokens::of_apps(TOKENS);
    fill(&replica, &apps).await;
    let names = redis.tokens().await.into();
    let users = Tokens::of_users(TOKENS);
    fill(&replica, &users).await;
    let ways = [
        ("bare GET", Way::Bare(redis.bare().await, names)),
        ("an app's token (GET)", Way::Cache(replica.clone(), apps)),
        ("a user's token (MGET)", Way::Cache(replica.clone(), users)),
    ];
    for (at_once, passes) in [(AT_ONCE, PASSES), (1, 1)] {
        compare(&ways, at_once, passes).await;
    }
    println!("  issued: {} (the {} that were filled in, if Redis gave all others)", replica.calls(), 2 * TOKENS);
    Some(())
}

async fn compare(ways: &[(&str, Way)], at_once: usize, passes: usize) {
    let mut rounds = Rounds::default();
    let mut percentiles = vec![(Vec::new(), Vec::new()); ways.len()];
    for round in 0..=ROUNDS {
        for ((name, way), (middle, worst)) in ways.iter().zip(&mut percentiles) {
            let mut stretch = Stretch::default();
            for _ in 0..passes {
                way.prepare();
                let asked = way.clone();
                stretch.run(TOKENS, at_once, move |index| ask(asked.clone(), index)).await;
            }
            // The first round connects, and warms up.
            if round > 0 {
                rounds.add(name, stretch.measured());
                middle.push(stretch.percentile(50));
                worst.push(stretch.percentile(99));
            }
        }
    }
    rounds.print(&format!("a miss in memory and a hit in Redis, {at_once} at a time (1.8 kB tokens, sealed, 2 threads)"));
    for ((name, _), (middle, worst)) in ways.iter().zip(percentiles) {
        println!("  {name}: p50 {:.0} µs, p99 {:.0} µs", median(middle.into_iter()), median(worst.into_iter()));
    }
    let Some(((bare, _), ours)) = ways.split_first() else { return };
    for (name, _) in ours {
        let [rate, cpu] = rounds.ratio(name, bare);
        let aim = if at_once == AT_ONCE { " (aim: at least 0.6)" } else { "" };
        println!("  {name} / {bare}: per second {rate:.2}{aim}, CPU {cpu:.2}");
    }
}

/// Hits in Redis, one by one, where it has one user and where it has a hundred thousand.
async fn users() -> Option<()> {
    let (few, many) = (Redis::start().await?, Redis::start().await?);
    let (one, all) = (Replica::new(&few.url(), MEMORY), Replica::new(&many.url(), MEMORY));
    let (single, spread) = (Tokens::of_users(1), Tokens::of_users(USERS));
    fill(&one, &single).await;
    println!("\nfilled {USERS} users, {:.0} a second", fill(&all, &spread).await);
    let mut rounds = Rounds::default();
    for round in 0..=ROUNDS {
        for (name, replica, tokens) in [("1 user", &one, &single), ("100,000 users", &all, &spread)] {
            let mut stretch = Stretch::default();
            let (replica, tokens) = (replica.clone(), tokens.clone());
            let hit = move |index: usize| {
                let (replica, tokens) = (replica.clone(), tokens.clone());
                // A step that has no factor in common with their number: no user twice in a row, and all over Redis.
                let index = (round * ONE_BY_ONE + index) * 7919 % tokens.count();
                async move {
                    replica.forget(&tokens, index);
                    assert_eq!(replica.load(&tokens, index).await, CacheLevel::Shared);
                }
            };
            stretch.run(ONE_BY_ONE, 1, hit).await;
            if round > 0 {
                rounds.add(name, stretch.measured());
            }
        }
    }
    rounds.print("hits in Redis by number of users there, one at a time");
    let [rate, cpu] = rounds.ratio("100,000 users", "1 user");
    println!("  100,000 users / 1 user: time per hit {:.2}, CPU per hit {cpu:.2} (aim: at most 1.2)", 1.0 / rate);
    println!("  issued: {} (the {} that were filled in, if Redis gave all others)", one.calls() + all.calls(), USERS + 1);
    Some(())
}

/// Has every token issued and stored. Returns how many a second.
async fn fill(replica: &Replica, tokens: &Tokens) -> f64 {
    let mut stretch = Stretch::default();
    let (replica, kept) = (replica.clone(), tokens.clone());
    let issue = move |index| {
        let (replica, kept) = (replica.clone(), kept.clone());
        async move { assert_eq!(replica.load(&kept, index).await, CacheLevel::Authority) }
    };
    stretch.run(tokens.count(), AT_ONCE, issue).await;
    stretch.measured().rate
}

async fn ask(way: Way, index: usize) {
    match way {
        Way::Bare(mut connection, names) => {
            let value: Vec<u8> = redis::cmd("GET").arg(&names[index]).query_async(&mut connection).await.expect("a value");
            assert!(value.len() > 1600);
        }
        Way::Cache(replica, tokens) => assert_eq!(replica.load(&tokens, index).await, CacheLevel::Shared),
    }
}

// === impl Way ===

impl Way {
    /// Brings about the miss in memory.
    fn prepare(&self) {
        if let Self::Cache(replica, tokens) = self {
            (0..tokens.count()).for_each(|index| replica.forget(tokens, index));
        }
    }
}
