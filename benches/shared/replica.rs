//! A cache over Redis as a replica has it: sealed values, breakers, deadlines and metrics; and the tokens that it is filled with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokend::cache::{Bypass, Cache, CacheLevel, ErrorCodec, Fleet, Loaded, Parts, Query, Settings};
use tokend::clock::Clock;
use tokend::reload::{Place, Source};
use tokend::secret::Secret;
use tokend::store::{Access, Encryption, NodeNames, RedisSettings, RedisUrl, Ring, Shared, Topology, VERSIONS};
use tokend::tasks::Tasks;
use tokend::telemetry::Metrics;
use tokend::token::{IssuedToken, KeySpace, Partition, PartitionOwner, RoomTaker, Times, TokenKey, Variant, VariantMembers};

/// Sealing is measured, not secrecy: these keys are for nothing else.
const KEY_RING: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nname:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=\n";
const PREFIX: &str = "bench";
/// The folded scopes of every token.
const SCOPES: &str = "stock.read stock.write";
/// Half a second of other people's work on this machine is no outage.
const PATIENCE: Duration = Duration::from_secs(5);
/// The life of a token, in seconds: longer than a run.
const LIFE: i64 = 24 * 3600;

/// A replica.
#[derive(Clone)]
pub(crate) struct Replica {
    cache: Arc<Cache<&'static str>>,
    clock: Clock,
    variant: Variant,
    calls: Arc<AtomicU64>,
}

/// Tokens of one kind, each in a partition of its own.
#[derive(Clone)]
pub(crate) struct Tokens {
    partitions: Arc<[Partition]>,
    owned: bool,
}

// === impl Tokens ===

impl Tokens {
    /// An app's, in so many tenants: one `GET` each.
    pub(crate) fn of_apps(count: usize) -> Self {
        Self::of(count, false, |name| space().partition(PartitionOwner::App(name)))
    }

    /// Of so many users: each is read with the account's epoch.
    pub(crate) fn of_users(count: usize) -> Self {
        Self::of(count, true, |name| space().partition(PartitionOwner::Account(name)))
    }

    pub(crate) fn count(&self) -> usize {
        self.partitions.len()
    }

    fn of(count: usize, owned: bool, partition: impl Fn(&str) -> Partition) -> Self {
        Self { partitions: (0..count).map(|index| partition(&format!("{index:06}"))).collect(), owned }
    }
}

// === impl Replica ===

impl Replica {
    /// A replica whose memory holds `max_bytes`.
    pub(crate) fn new(url: &str, max_bytes: u64) -> Self {
        let (clock, tasks, metrics) = (Clock::system(), Tasks::default(), Metrics::default());
        let settings = settings(url);
        let ring = Ring::load(&settings.encryption, &clock).expect("a key ring");
        ring.observe(&metrics);
        let access = Access::load(&settings).expect("no files");
        let fleet = Fleet::new(Parts {
            store: Shared::new(&settings, access, clock.clone(), tasks.clone(), &metrics, rand::random::<f64>),
            ring,
            prefix: PREFIX.to_owned(),
            version: VERSIONS.newest(),
            versions: VERSIONS,
            recheck: Duration::from_secs(60),
            longest: Duration::from_secs(15),
            metrics: metrics.clone(),
            jitter: rand::random::<f64>,
            clock: clock.clone(),
        });
        let wire = ErrorCodec { write: |_, _| None, read: |_, _| None, late: || "it took too long" };
        let settings = Settings { max_bytes, ..Settings::default() };
        let cache = Cache::new(&settings, Some(fleet), wire, &metrics, clock.clone(), tasks);
        Self { cache, clock, variant: VariantMembers::default().variant(), calls: Arc::default() }
    }

    /// What a request does that has found nothing in memory. Returns where it was found.
    pub(crate) async fn load(&self, tokens: &Tokens, index: usize) -> CacheLevel {
        let key = TokenKey { partition: tokens.partitions[index], variant: self.variant, scopes: SCOPES.into() };
        let query = Query {
            by: "shop",
            credential: 1,
            key: &key,
            owned: tokens.owned,
            taker: RoomTaker::default(),
            superset: true,
            bypass: Bypass::None,
        };
        // Nothing is issued before Redis was asked: a hit pays for no token.
        let issue = |permit| {
            let (calls, now) = (Arc::clone(&self.calls), self.clock.unix());
            async move {
                let _until_it_ends = permit;
                calls.fetch_add(1, Ordering::Relaxed);
                Ok(issued(now))
            }
        };
        let flown = self.cache.load(&query, 0, issue).await.outcome.expect("an outcome").expect("a token");
        assert!(flown.head.token().is_some_and(|token| token.len() > 1600));
        flown.level
    }

    /// Memory forgets one token; Redis does not.
    pub(crate) fn forget(&self, tokens: &Tokens, index: usize) {
        self.cache.memory().remove(&tokens.partitions[index]);
    }

    /// How many tokens were issued: more than were filled in are tokens that Redis did not give.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

fn space() -> KeySpace {
    KeySpace::new("issuer.example", "shop")
}

fn settings(url: &str) -> RedisSettings {
    let key_ring = Place::Value(Secret::new(KEY_RING));
    RedisSettings {
        key: "cache.redis".to_owned(),
        file: None,
        topology: Topology::Standalone(RedisUrl::parse(url).expect("an address")),
        node_names: NodeNames::default(),
        username: None,
        password: None,
        ca_file: None,
        client_cert: None,
        client_key: None,
        key_prefix: PREFIX.to_owned(),
        encryption: Encryption::KeyRing(Source { key: "key_ring".to_owned(), file: None, place: key_ring }),
        timeout: PATIENCE,
        write_timeout: PATIENCE,
        wait_replicas: 0,
        wait_timeout: Duration::from_millis(500),
        write_version: VERSIONS.newest(),
        versions: VERSIONS,
    }
}

/// A token of 1.8 kB.
fn issued(now: i64) -> Loaded {
    let text: String = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.".chars().chain("abcdefghij".chars().cycle()).take(1800).collect();
    let grant = IssuedToken {
        access_token: Secret::new(text),
        token_type: "Bearer".to_owned(),
        scope: SCOPES.to_owned(),
        times: Times { received_on: now, expires_on: Some(now + LIFE), ext_expires_on: None, refresh_on: Some(now + LIFE / 2) },
        tenant_id: None,
        account: None,
        id_token: None,
        issued_token_type: None,
    };
    Loaded { grant, granted: SCOPES.into(), kept: true }
}
