//! Requests that go on beside a test whatever happens: for tokens in memory, for tokens that nobody had before, and for those that
//! another replica has just got.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::task::JoinSet;

use super::{PATIENCE, Replicas, WARM, Wanted, body, now, say};
use crate::support::{Answer, Client, eventually};

/// How long a hit may take besides what it takes when all is well, nine of ten: many times what is expected, because other tests
/// run on the same machine, and still less than any deadline that a hit could wait for. What it really took is printed.
const SLOWEST: Duration = Duration::from_millis(100);
/// How long every single hit may take: the deadline of a look into Redis, and a machine that stands still for a moment.
const STALLED: Duration = Duration::from_millis(1500);
/// How many hits and how many new tokens a phase has at least.
const HITS: usize = 150;
const NEW: usize = 6;

/// Requests at the first two replicas.
pub(super) struct Load<'a> {
    replicas: &'a Replicas,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    seen: Mutex<Seen>,
    stopped: AtomicBool,
    forms: AtomicUsize,
}

#[derive(Default)]
struct Seen {
    phase: &'static str,
    samples: Vec<Sample>,
    failed: Vec<String>,
}

struct Sample {
    phase: &'static str,
    kind: Kind,
    took: Duration,
}

/// Where a token came from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Memory,
    Redis,
    Authority,
}

/// Far from the forms that the tests themselves ask for.
const FORMS: usize = 100_000;

// === impl Load ===

impl<'a> Load<'a> {
    /// Starts it. Returns when there was enough of it to compare with.
    pub(super) async fn on(replicas: &'a Replicas) -> Self {
        let shared = Arc::new(Shared {
            seen: Mutex::new(Seen { phase: "well", ..Seen::default() }),
            stopped: AtomicBool::new(false),
            forms: AtomicUsize::new(FORMS),
        });
        // In memory, and known to be so, before anything fails.
        for replica in [0, 1] {
            for user in 0..WARM {
                replicas.ask(replica, Wanted { user, form: 0 }).await.token();
            }
        }
        let mut tasks = JoinSet::new();
        let users = Arc::<[String]>::from(replicas.users.clone());
        let clients = [0, 1].map(|replica| replicas.all[replica].client.clone());
        for client in clients.clone() {
            tasks.spawn(hits(client, Arc::clone(&users), Arc::clone(&shared)));
        }
        tasks.spawn(new_ones(clients, users, Arc::clone(&shared)));
        let admins = [0, 1].map(|replica| replicas.all[replica].admin.clone());
        tasks.spawn(probes(admins, Arc::clone(&shared)));
        let load = Self { replicas, shared, tasks };
        load.runs().await;
        load
    }

    /// What comes from now on is counted under this name. Call it before something fails.
    pub(super) fn enter(&self, phase: &'static str) {
        self.shared.seen().phase = phase;
    }

    /// Waits until the phase has shown what there is to see.
    pub(super) async fn runs(&self) {
        let phase = self.shared.seen().phase;
        eventually(PATIENCE, async || {
            let seen = self.shared.seen();
            let count = |memory: bool| seen.of(phase).filter(|sample| (sample.kind == Kind::Memory) == memory).count();
            count(true) >= HITS && count(false) >= NEW
        })
        .await;
    }

    /// Waits until these breakers of both replicas are open, and says how long that took.
    pub(super) async fn until_open(&self, breakers: &[&str]) {
        let (started, phase) = (now(), self.shared.seen().phase);
        for replica in [0, 1] {
            for breaker in breakers {
                eventually(PATIENCE, async || {
                    if *breaker == "writes" {
                        self.replicas.write(replica).await;
                    }
                    self.replicas.is_open(replica, breaker).await
                })
                .await;
            }
        }
        say(&format!("{phase}: {breakers:?} open after {:?}", started.elapsed()));
    }

    /// Waits until all is well again, after what failed was mended, and says how long that took.
    pub(super) async fn until_healed(&self) {
        let phase = self.shared.seen().phase;
        self.enter("healing");
        let (closed, shared) = self.replicas.until_healed().await;
        say(&format!("{phase}: breakers closed {closed:?} after it was mended, shared again after {shared:?}"));
        self.enter("healed");
        self.runs().await;
    }

    /// Ends it: nothing failed, and what was in memory was fast all the time.
    pub(super) async fn end(mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("every request is answered");
        }
        let seen = self.shared.seen();
        let mut phases: Vec<&'static str> = Vec::new();
        for sample in &seen.samples {
            if !phases.contains(&sample.phase) {
                phases.push(sample.phase);
            }
        }
        for phase in &phases {
            say(&seen.report(phase));
        }
        assert!(seen.failed.is_empty(), "{} failed, the first: {}", seen.failed.len(), seen.failed[0]);
        let usual = seen.quantiles("well", Kind::Memory);
        for phase in &phases {
            let hit = seen.quantiles(phase, Kind::Memory);
            // Of a few, the slowest tenth is whatever was slowest.
            let allowed = if seen.count(phase, Kind::Memory) < HITS { STALLED } else { SLOWEST };
            assert!(hit.p90 <= allowed + usual.p90 * 3, "{phase}: p90 {:?}, {:?} when all was well", hit.p90, usual.p90);
            assert!(hit.max <= STALLED + usual.max, "{phase}: one took {:?}, {:?} when all was well", hit.max, usual.max);
        }
    }
}

// === impl Shared ===

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }

    fn goes_on(&self) -> bool {
        !self.stopped.load(Ordering::SeqCst)
    }

    /// Asks, and notes what came and how long it took. `warm`: it has to be in the cache.
    async fn note(&self, client: &Client, user: &str, wanted: Wanted, warm: bool) {
        let (phase, started) = (self.seen().phase, now());
        let answer = client.post_as("/obo", user, &body(wanted)).await;
        let took = started.elapsed();
        let mut seen = self.seen();
        match kind(&answer) {
            Some(kind) if !warm || kind != Kind::Authority => seen.samples.push(Sample { phase, kind, took }),
            _ => seen.failed.push(format!("{phase}: {wanted:?}: {} {}", answer.status, answer.text)),
        }
    }
}

struct Quantiles {
    p50: Duration,
    p90: Duration,
    p99: Duration,
    max: Duration,
}

// === impl Seen ===

impl Seen {
    fn of(&self, phase: &str) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.phase == phase)
    }

    fn count(&self, phase: &str, kind: Kind) -> usize {
        self.of(phase).filter(|sample| sample.kind == kind).count()
    }

    fn quantiles(&self, phase: &str, kind: Kind) -> Quantiles {
        let mut took: Vec<_> = self.of(phase).filter(|sample| sample.kind == kind).map(|sample| sample.took).collect();
        took.sort_unstable();
        let at = |part: usize| took.get((took.len() * part / 100).min(took.len().saturating_sub(1))).copied().unwrap_or_default();
        Quantiles { p50: at(50), p90: at(90), p99: at(99), max: at(100) }
    }

    fn report(&self, phase: &str) -> String {
        let mut text = format!("{phase}:");
        for kind in [Kind::Memory, Kind::Redis, Kind::Authority] {
            let Quantiles { p50, p99, max, .. } = self.quantiles(phase, kind);
            let count = self.count(phase, kind);
            text += &format!(" {count} from {kind:?}: p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?};");
        }
        text
    }
}

fn kind(answer: &Answer) -> Option<Kind> {
    match (answer.status, answer.member("token_source"), answer.member("cache_level")) {
        (200, "cache", "memory") => Some(Kind::Memory),
        (200, "cache", "redis") => Some(Kind::Redis),
        (200, "identity_provider", "") => Some(Kind::Authority),
        _ => None,
    }
}

async fn hits(client: Client, users: Arc<[String]>, shared: Arc<Shared>) {
    for user in (0..WARM).cycle() {
        if !shared.goes_on() {
            return;
        }
        shared.note(&client, &users[user], Wanted { user, form: 0 }, true).await;
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
}

/// Tokens that one replica gets, and then the other wants.
async fn new_ones(clients: [Client; 2], users: Arc<[String]>, shared: Arc<Shared>) {
    while shared.goes_on() {
        let number = shared.forms.fetch_add(1, Ordering::Relaxed);
        let wanted = Wanted { user: WARM + number % (users.len() - WARM), form: number };
        let first = number % 2;
        for client in [&clients[first], &clients[1 - first]] {
            shared.note(client, &users[wanted.user], wanted, false).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Readiness does not depend on Redis.
async fn probes(admins: [Client; 2], shared: Arc<Shared>) {
    while shared.goes_on() {
        for admin in &admins {
            let answer = admin.get("/readyz").await;
            if answer.status != 200 {
                let mut seen = shared.seen();
                let failed = format!("{}: /readyz: {} {}", seen.phase, answer.status, answer.text);
                seen.failed.push(failed);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
