//! Caches over one Redis whose calls the test makes itself: how long they take, and what becomes of the leases meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokend::cache::{
    Bypass, Cache, ErrorCodec, Fleet, LoadOutcome, Loaded, Parts, Permit, Query, RefreshLease, Settings, Unavailable, Work,
};
use tokend::clock::Clock;
use tokend::secret::Secret;
use tokend::store::{
    Access, Encryption, Holder, NodeNames, Note, RedisSettings, RedisUrl, Ring, Shared, Topology, VERSIONS, Version, Versions,
};
use tokend::tasks::Tasks;
use tokend::telemetry::Metrics;
use tokend::token::{IssuedToken, KeySpace, Partition, PartitionOwner, Times, TokenKey, VariantMembers};
use tokio::sync::Notify;

use super::PATIENCE;
use crate::support::redis::RedisServer;
use crate::support::{eventually, soon};

/// What a call may take, as far as the caches know.
const LONGEST: Duration = Duration::from_secs(1);
const LATE: &str = "late";

/// A cache as a replica has it.
pub(super) struct Replica {
    pub(super) cache: Arc<Cache<&'static str>>,
    store: Option<Arc<Shared>>,
    clock: Clock,
    metrics: Metrics,
}

impl Replica {
    pub(super) fn on(url: &str) -> Self {
        Self::of(url, VERSIONS, VERSIONS.newest())
    }

    /// A replica of another release: it knows these versions, and writes this one.
    fn of(url: &str, versions: Versions, version: u8) -> Self {
        let (clock, tasks, metrics) = (Clock::system(), Tasks::default(), Metrics::default());
        let settings = settings(url);
        let ring = Ring::load(&settings.encryption, &clock).expect("no ring");
        let access = Access::load(&settings).expect("no files");
        let store = Shared::new(&settings, access, clock.clone(), tasks.clone(), &metrics, rand::random::<f64>);
        let fleet = Fleet::new(Parts {
            store: Arc::clone(&store),
            ring,
            prefix: settings.key_prefix,
            version,
            versions,
            recheck: Duration::from_secs(60),
            longest: LONGEST,
            metrics: metrics.clone(),
            jitter: rand::random::<f64>,
            clock: clock.clone(),
        });
        Self::made(Some(fleet), Some(store), clock, tasks, metrics)
    }

    /// With memory alone.
    pub(super) fn alone() -> Self {
        Self::made(None, None, Clock::system(), Tasks::default(), Metrics::default())
    }

    fn made(fleet: Option<Arc<Fleet>>, store: Option<Arc<Shared>>, clock: Clock, tasks: Tasks, metrics: Metrics) -> Self {
        let wire = ErrorCodec { write: |_, _| None, read: |_, _| None, late: || LATE };
        let cache = Cache::new(&Settings::default(), fleet, wire, &metrics, clock.clone(), tasks);
        Self { cache, store, clock, metrics }
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.unix()
    }

    fn store(&self) -> &Arc<Shared> {
        self.store.as_ref().expect("a store")
    }

    /// Asks for the one token that there is; a call counts itself and lasts until the gate opens.
    async fn load(&self, calls: &Arc<AtomicUsize>, gate: &Arc<Gate>) -> LoadOutcome<&'static str> {
        let key = key();
        let work = |permit| self.call(calls, gate, permit);
        self.cache.load(&query(&key), 0, work).await
    }

    /// Renews the one token that there is, in the background.
    fn renew(&self, calls: &Arc<AtomicUsize>, gate: &Arc<Gate>) {
        let key = key();
        let Some(permit) = self.cache.budget().take(Work::Renewal, 0) else { return };
        self.cache.renew(&query(&key), permit.clone(), self.call(calls, gate, permit));
    }

    fn call(
        &self,
        calls: &Arc<AtomicUsize>,
        gate: &Arc<Gate>,
        permit: Permit,
    ) -> impl Future<Output = Result<Loaded, &'static str>> + Send + 'static {
        let (calls, gate, now) = (Arc::clone(calls), Arc::clone(gate), self.now());
        async move {
            let _until_it_ends = permit;
            calls.fetch_add(1, Ordering::SeqCst);
            gate.opened().await;
            Ok(issued(now))
        }
    }

    fn leases(&self, outcome: &str) -> f64 {
        let text = String::from_utf8(self.metrics.render()).expect("text");
        let name = format!("tokend_cache_leases_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
    }
}

/// What calls wait for.
#[derive(Default)]
struct Gate {
    open: std::sync::atomic::AtomicBool,
    told: Notify,
}

impl Gate {
    async fn opened(&self) {
        let told = self.told.notified();
        if !self.open.load(Ordering::SeqCst) {
            told.await;
        }
    }

    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
    }
}

pub(super) fn space() -> KeySpace {
    KeySpace::new("issuer.example", "shop")
}

fn key() -> TokenKey<'static> {
    TokenKey { partition: partition(), variant: VariantMembers::default().variant(), scopes: "a".into() }
}

fn query<'a>(key: &'a TokenKey<'a>) -> Query<'a> {
    let taker = tokend::token::RoomTaker::default();
    Query { by: "shop", credential: 1, key, owned: true, taker, superset: false, bypass: Bypass::None }
}

fn partition() -> Partition {
    space().partition(PartitionOwner::Account("somebody"))
}

fn settings(url: &str) -> RedisSettings {
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
        key_prefix: "tokend".to_owned(),
        encryption: Encryption::Plaintext,
        timeout: Duration::from_secs(1),
        write_timeout: Duration::from_secs(1),
        wait_replicas: 0,
        wait_timeout: Duration::from_millis(500),
        write_version: VERSIONS.newest(),
        versions: VERSIONS,
    }
}

fn issued(now: i64) -> Loaded {
    let grant = IssuedToken {
        access_token: Secret::new("a.b.c"),
        token_type: "Bearer".to_owned(),
        scope: "a".to_owned(),
        times: Times { received_on: now, expires_on: Some(now + 3600), ext_expires_on: None, refresh_on: Some(now + 2800) },
        tenant_id: None,
        account: None,
        id_token: None,
        issued_token_type: None,
    };
    Loaded { grant, granted: "a".into(), kept: true }
}

/// The one lease in Redis, as it stands there.
async fn lease(redis: &RedisServer) -> (String, Vec<u8>) {
    let mut found = None;
    eventually(PATIENCE, async || {
        let name = redis.keys().await.into_iter().find(|key| key.contains("}:l:"));
        if let Some(name) = name {
            let value: Option<Vec<u8>> = redis.admin().ask(&["GET", &name]).await.ok();
            found = value.map(|value| (name, value));
        }
        found.is_some()
    })
    .await;
    found.expect("a lease")
}

/// The call waits for its place, its proof and its repetition. The lease lives as long as the call, and those who wait are told in
/// time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_takes_longer_than_expected_keeps_its_lease_and_those_who_wait_are_told() {
    let redis = RedisServer::start().await;
    let (leader, follower) = (Replica::on(&redis.url()), Replica::on(&redis.url()));
    let (calls, gate) = (Arc::<AtomicUsize>::default(), Arc::<Gate>::default());
    let (led, followed) = tokio::join!(soon(leader.load(&calls, &gate)), async {
        let (name, value) = lease(&redis).await;
        assert_eq!(Holder::read(&value).expect("a lease").sending, 0);
        let left: i64 = redis.admin().ask(&["PTTL", &name]).await.expect("a time");
        assert!(left > 86_000_000, "{left}");
        let clock = Clock::system();
        let followed = soon(follower.load(&calls, &gate)).await;
        let waited = clock.precise();
        assert!(waited >= LONGEST + Duration::from_secs(3) && waited < Duration::from_secs(20), "{waited:?}");
        let renewed = Holder::read(&lease(&redis).await.1).expect("a lease");
        assert!(renewed.renewed >= 3, "{}", renewed.renewed);
        gate.open();
        followed
    });
    assert!(led.outcome.expect("an end").is_ok());
    assert_eq!(followed.outcome.expect("an end").err(), Some(LATE));
    assert_eq!(calls.load(Ordering::SeqCst), 1, "nobody called without the lease");
    // It is over, and what it brought is there.
    assert!(soon(follower.load(&calls, &gate)).await.outcome.expect("an end").is_ok());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

/// One that nobody renews is waited for by the clock of whoever waits: whatever Redis thinks of its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_nobody_renews_is_taken_by_one_and_lost_for_good() {
    let redis = RedisServer::start().await;
    let replicas = [Replica::on(&redis.url()), Replica::on(&redis.url()), Replica::on(&redis.url())];
    let (calls, gate) = (Arc::<AtomicUsize>::default(), Arc::<Gate>::default());
    let (name, leader) = {
        let stopped = replicas[0].load(&calls, &gate);
        tokio::select! {
            _ = stopped => panic!("it ended"),
            found = lease(&redis) => found,
        }
    };
    // The flight goes on without its caller: to stop it as a process is stopped, it is made to look as if another one had it.
    let dead = Holder { renewed: 1, ..Holder::new([9; 16]) };
    replicas[0].store().set(Note { key: &name, value: &dead.bytes(), ttl: Duration::from_secs(3600) }).await.expect("written");
    assert_ne!(leader, dead.bytes());
    let clock = Clock::system();
    let (second, third) = tokio::join!(soon(replicas[1].load(&calls, &gate)), async {
        eventually(PATIENCE, async || calls.load(Ordering::SeqCst) == 2).await;
        assert!(clock.precise() >= Duration::from_secs(3), "{:?}", clock.precise());
        let taken = Holder::read(&lease(&redis).await.1).expect("a lease");
        assert_ne!(taken.owner, dead.owner);
        // Whoever lost it does not take it back, although it is at work; and whoever waits sees that the other one is there.
        let (third, ()) = tokio::join!(soon(replicas[2].load(&calls, &gate)), async {
            eventually(PATIENCE, async || Holder::read(&lease(&redis).await.1).is_some_and(|held| held.renewed >= 2)).await;
            assert_eq!(Holder::read(&lease(&redis).await.1).map(|held| held.owner), Some(taken.owner));
            gate.open();
        });
        third
    });
    assert!(second.outcome.expect("an end").is_ok() && third.outcome.expect("an end").is_ok());
    assert_eq!(calls.load(Ordering::SeqCst), 2, "one takes it and the other waits");
    assert!((replicas[1].leases("taken_over") - 1.0).abs() < 0.1 && replicas[2].leases("taken_over") < 0.1);
}

/// A renewal waits for nobody: it notes what it saw, and a later one takes the lease that has lapsed meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewals_go_on_from_what_the_last_one_saw() {
    let redis = RedisServer::start().await;
    let (leader, replica) = (Replica::on(&redis.url()), Replica::on(&redis.url()));
    let (calls, gate) = (Arc::<AtomicUsize>::default(), Arc::<Gate>::default());
    let (led, ()) = tokio::join!(soon(leader.load(&calls, &gate)), async {
        let (name, _) = lease(&redis).await;
        let dead = Holder { renewed: 5, ..Holder::new([9; 16]) };
        replica.store().set(Note { key: &name, value: &dead.bytes(), ttl: Duration::from_secs(3600) }).await.expect("written");
        let clock = Clock::system();
        eventually(PATIENCE, async || {
            replica.renew(&calls, &gate);
            calls.load(Ordering::SeqCst) == 2
        })
        .await;
        assert!(clock.precise() >= Duration::from_secs(3), "{:?}", clock.precise());
        assert!(replica.leases("given_up") >= 2.0);
        gate.open();
    });
    assert!(led.outcome.expect("an end").is_ok());
}

/// A mark is written before anything is sent, outlives what the store loses, and bars the others. A turn that was lost sends
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_sent_stands_in_the_lease_until_it_has_come_to_an_end() {
    let redis = RedisServer::start().await;
    let (holder, other) = (Replica::on(&redis.url()), Replica::on(&redis.url()));
    let partition = partition();
    let patience = Duration::from_millis(300);
    let waits = async || other.cache.accounts().in_turn(&partition, patience, |_turn| async {}).await;
    let work = |turn: RefreshLease| async move { (turn.sends(7).await.is_ok(), turn) };
    let held = holder.cache.accounts().in_turn(&partition, PATIENCE, |turn| async {
        let (sends, turn) = work(turn).await;
        assert!(sends);
        let (name, value) = lease(&redis).await;
        assert_eq!(Holder::read(&value).expect("a lease").sending, 7);
        assert_eq!(waits().await, Err(Unavailable::Busy));
        // The store loses everything: it is written anew.
        redis.flush().await;
        let again = Holder::read(&lease(&redis).await.1).expect("a lease");
        assert_eq!(again.sending, 7);
        assert_eq!(waits().await, Err(Unavailable::Busy));
        // Somebody else has it: nothing more is sent.
        let theirs = Holder::new([9; 16]).bytes();
        holder.store().set(Note { key: &name, value: &theirs, ttl: Duration::from_secs(60) }).await.expect("written");
        assert_eq!(turn.sends(8).await, Err(Unavailable::Unreachable));
        redis.flush().await;
        assert_eq!(turn.sends(8).await, Err(Unavailable::Unreachable), "not even when it is free again");
        assert!(redis.keys().await.iter().all(|key| !key.contains("}:l:")), "it was lost for good");
    });
    held.await.expect("a turn");
    // What it was told of the first one counts until no call can be under way any more.
    eventually(PATIENCE, async || waits().await.is_ok()).await;
}

/// A lease that the store has lost is not free for a replica that waited while something was sent: the holder has a second to write
/// it anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_that_the_store_lost_bars_those_who_saw_it() {
    let redis = RedisServer::start().await;
    let (holder, other) = (Replica::on(&redis.url()), Replica::on(&redis.url()));
    let partition = partition();
    let held = holder.cache.accounts().in_turn(&partition, PATIENCE, |turn| async move {
        turn.sends(7).await.expect("a mark");
        let began = AtomicUsize::new(0);
        let waiting =
            other.cache.accounts().in_turn(&partition, LONGEST * 3 / 2, |_turn| async { began.fetch_add(1, Ordering::SeqCst) });
        let (waited, ()) = tokio::join!(waiting, async {
            eventually(PATIENCE, async || other.leases("waited") >= 1.0).await;
            for _ in 0..10 {
                redis.flush().await;
                tokio::task::yield_now().await;
            }
        });
        assert_eq!((waited, began.load(Ordering::SeqCst)), (Err(Unavailable::Busy), 0));
    });
    held.await.expect("a turn");
}

/// Two releases that call everything otherwise still let one at a time send an account's refresh token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_releases_take_turns() {
    static KNOWN: [Version; 2] = [Version { number: 4, names: b"next" }, Version { number: 3, names: b"" }];
    let redis = RedisServer::start().await;
    let next = Versions::new(&KNOWN);
    let releases = [Replica::on(&redis.url()), Replica::of(&redis.url(), next, 3), Replica::of(&redis.url(), next, 4)];
    let partition = partition();
    for holder in &releases {
        let held = holder.cache.accounts().in_turn(&partition, PATIENCE, |turn| {
            let releases = &releases;
            async move {
                turn.sends(7).await.expect("a mark");
                for other in releases.iter().filter(|other| !Arc::ptr_eq(&other.cache, &holder.cache)) {
                    let waited = other.cache.accounts().in_turn(&partition, Duration::from_millis(200), |_turn| async {}).await;
                    assert_eq!(waited, Err(Unavailable::Busy));
                }
            }
        });
        held.await.expect("a turn");
    }
}
