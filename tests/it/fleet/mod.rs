//! Several replicas on one Redis: what they share, what it costs, and what they never share.

mod clocks;
mod isolation;
mod keys;
mod levels;
mod one_call;
mod outcomes;
mod reach;
mod renewal;
mod resumed;
mod ring;
mod secrecy;
mod versions;

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;
use tokend::store::Versions;
use tokend::telemetry::Sampler;

use crate::support::redis::RedisServer;
use crate::support::{Answer, Emulator, GRAPH, NOW, Sidecar, configuration, eventually};

/// What most users' tokens are asked for.
const USER_READ: &str = "https://graph.microsoft.com/User.Read";
/// Another scope of the same resource.
const MAIL_READ: &str = "https://graph.microsoft.com/Mail.Read";

/// How long something may take on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(10);

/// The name that replicas' messages go by.
const CHANNEL: &str = "tokend:events";

/// One emulator, one Redis, one clock for all, and sidecars of one configuration.
struct Stage {
    emulator: Emulator,
    redis: RedisServer,
    clock: Clock,
    files: TempDir,
    /// The configuration without its cache.
    base: String,
    replicas: Vec<Replica>,
}

struct Replica {
    sidecar: Sidecar,
    yaml: String,
}

/// A release: which versions of what stands in Redis it knows, and which one it writes.
#[derive(Clone, Copy)]
struct Release {
    knows: Versions,
    writes: u8,
}

// === impl Stage ===

impl Stage {
    /// So many replicas of the usual configuration.
    async fn new(count: usize) -> Self {
        Self::changed(count, |_, yaml| yaml).await
    }

    /// A stage of `count` replicas, each with its configuration changed.
    async fn changed(count: usize, change: impl Fn(usize, String) -> String) -> Self {
        Self::on(RedisServer::start().await, count, change).await
    }

    /// Such a stage on a Redis that differs from the usual one.
    async fn on(redis: RedisServer, count: usize, change: impl Fn(usize, String) -> String) -> Self {
        let mut stage = Self::empty(redis).await;
        for index in 0..count {
            stage.add(change(index, stage.yaml(index))).await;
        }
        stage
    }

    /// No replica yet.
    async fn empty(redis: RedisServer) -> Self {
        let clock = Clock::manual(NOW);
        let emulator = Emulator::start(&clock).await;
        let files = tempfile::tempdir().expect("a folder");
        let base = configuration(&emulator, &files);
        Self { emulator, redis, clock, files, base, replicas: Vec::new() }
    }

    /// The usual configuration of a replica, whose key ring is written with it.
    fn yaml(&self, index: usize) -> String {
        self.write_ring(index, &["1"]);
        format!("{}{}", self.base, self.cache(index))
    }

    /// The configuration of the cache. Requests wait for Redis longer than usual:
    /// how long a machine under test takes is no question here.
    fn cache(&self, index: usize) -> String {
        let ring = self.ring_file(index).display().to_string();
        let url = self.redis.url();
        format!("cache: {{redis: {{url: \"{url}\", timeout: 1s, encryption: {{key_ring: {{file: {ring}}}}}}}}}\n")
    }

    /// Starts one more replica, and returns when it hears the others.
    async fn add(&mut self, yaml: String) {
        self.add_deaf(yaml).await;
        self.hearing(self.replicas.len()).await;
    }

    /// Adds a replica that cannot hear them.
    async fn add_deaf(&mut self, yaml: String) {
        let sidecar = Sidecar::start(&yaml, &self.clock).await;
        self.replicas.push(Replica { sidecar, yaml });
    }

    /// Waits until so many replicas listen.
    async fn hearing(&self, count: usize) {
        eventually(SOON, async || {
            let told: Result<(String, usize), _> = self.redis.admin().ask(&["PUBSUB", "NUMSUB", CHANNEL]).await;
            told.is_ok_and(|(_, listening)| listening >= count)
        })
        .await;
    }

    /// Stops a replica and starts it again, with an empty memory, as another release.
    async fn replace_by(&mut self, index: usize, release: Release) {
        let Replica { sidecar, yaml } = self.replicas.remove(index);
        assert!(sidecar.stop().await, "it ended by itself");
        let mut settings = Sidecar::settings(&yaml);
        let redis = settings.cache.redis.as_mut().expect("a Redis");
        (redis.versions, redis.write_version) = (release.knows, release.writes);
        let sidecar = Sidecar::start_from(settings, &self.clock, Sampler::new(None)).await;
        self.replicas.insert(index, Replica { sidecar, yaml });
        self.hearing(self.replicas.len()).await;
    }

    /// Stops a replica and starts it again, with an empty memory and its configuration changed.
    async fn restart(&mut self, index: usize, change: impl Fn(String) -> String) {
        let Replica { sidecar, yaml } = self.replicas.remove(index);
        assert!(sidecar.stop().await, "it ended by itself");
        let yaml = change(yaml);
        let sidecar = Sidecar::start(&yaml, &self.clock).await;
        self.replicas.insert(index, Replica { sidecar, yaml });
        self.hearing(self.replicas.len()).await;
    }

    fn ring_file(&self, index: usize) -> std::path::PathBuf {
        self.files.path().join(format!("key-ring-{index}"))
    }

    /// Writes a replica's key ring: keys of these ids, the same under the same id in every ring.
    fn write_ring(&self, index: usize, kids: &[&str]) {
        std::fs::write(self.ring_file(index), ring("name", kids)).expect("a file");
    }

    fn sidecar(&self, index: usize) -> &Sidecar {
        &self.replicas[index].sidecar
    }

    /// `POST /client-credentials` at a replica.
    async fn app_token(&self, index: usize, body: &Value) -> Answer {
        self.sidecar(index).client.post("/client-credentials", body).await
    }

    /// Asks one replica as the app `daemon` for Graph, with the members of `more`.
    async fn graph_with(&self, index: usize, more: &Value) -> Answer {
        let mut body = json!({"app": "daemon", "scopes": [GRAPH]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.app_token(index, &body).await
    }

    async fn graph(&self, index: usize) -> Answer {
        self.graph_with(index, &json!({})).await
    }

    /// `POST /obo` at a replica.
    async fn obo_as(&self, index: usize, app: &str, scopes: &str, bearer: &str) -> Answer {
        self.sidecar(index).client.post_as("/obo", bearer, &json!({"app": app, "scopes": scopes})).await
    }

    /// On behalf of a user, as the app `orders` for Graph's User.Read.
    async fn obo(&self, index: usize, bearer: &str) -> Answer {
        self.obo_as(index, "orders", USER_READ, bearer).await
    }

    async fn ana(&self) -> String {
        self.emulator.user_token("ana@contoso.example").await
    }

    async fn ben(&self) -> String {
        self.emulator.user_token("ben@contoso.example").await
    }

    /// A token of eva's for shop-orders.
    async fn eva(&self) -> String {
        let order = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
        self.emulator.mint(order).await
    }

    /// How often the token endpoints were asked.
    async fn calls(&self) -> usize {
        self.emulator.asked("token").await.len()
    }

    /// Makes the token endpoints do this to so many requests; 0: until further notice.
    async fn answering_with(&self, times: u32, effect: Value) {
        self.emulator.script(json!({"on": {"endpoint": "token"}, "times": times, "do": effect})).await;
    }

    /// How often a replica asked Redis for a lease.
    async fn claims(&self, index: usize) -> f64 {
        self.sidecar(index).metric("tokend_redis_requests_total{op=\"claim\",outcome=\"ok\"}").await
    }

    /// How many values of Redis a replica could not open, for this reason.
    async fn unreadable(&self, index: usize, reason: &str) -> f64 {
        self.sidecar(index).metric(&format!("tokend_cache_undecipherable_total{{reason=\"{reason}\"}}")).await
    }

    /// Asks the first replica, and all others once the authority was asked; lets the authority answer, with `effect`, when all of
    /// them know that the first one has the lease. Returns what each was told.
    async fn together(&self, effect: Value, ask: impl AsyncFn(usize) -> Answer) -> Vec<Answer> {
        let mut held = effect;
        held["hold"] = json!(true);
        self.answering_with(0, held).await;
        let before = self.calls().await;
        let others = async {
            self.emulator.asked_times("token", before + 1).await;
            let (answers, ()) = tokio::join!(join_all((1..self.replicas.len()).map(async |index| ask(index).await)), async {
                for index in 1..self.replicas.len() {
                    let claimed = self.claims(index).await;
                    eventually(SOON, async || self.claims(index).await > claimed).await;
                }
                self.emulator.release().await;
            });
            answers
        };
        let (first, others) = tokio::join!(ask(0), others);
        self.emulator.unscript().await;
        std::iter::once(first).chain(others).collect()
    }

    /// Lets time pass, in Redis too: what lives there lives by its own clock.
    async fn elapse(&self, seconds: u64) {
        const AGE: &str = "for _, key in ipairs(redis.call('KEYS', '*')) do local left = redis.call('PTTL', key) - ARGV[1] \
                           if left > 0 then redis.call('PEXPIRE', key, left) else redis.call('DEL', key) end end";
        self.clock.advance(Duration::from_secs(seconds));
        self.redis.admin().ask::<()>(&["EVAL", AGE, "0", &(seconds * 1000).to_string()]).await.expect("aged");
    }

    /// The names of the tokens in Redis.
    async fn tokens(&self) -> Vec<String> {
        self.redis.keys().await.into_iter().filter(|key| key.contains("}:t:")).collect()
    }

    /// What stands under a key in Redis.
    async fn value(&self, key: &str) -> Vec<u8> {
        self.redis.admin().ask(&["GET", key]).await.expect("a value")
    }

    /// Puts something else there, for as long as what was there.
    async fn replace(&self, key: &str, value: &[u8]) {
        let mut connection = self.redis.client().await;
        redis::cmd("SET").arg(key).arg(value).arg("KEEPTTL").exec_async(&mut connection).await.expect("written");
    }
}

/// A key ring's text. The keys depend on their ids alone, and what names the records on `name` alone.
fn ring(name: &str, kids: &[&str]) -> String {
    let line = |id: &str, seed: &str| format!("{id}:{}\n", STANDARD.encode(digest(&SHA256, seed.as_bytes())));
    std::iter::once(line("name", name)).chain(kids.iter().map(|kid| line(kid, kid))).collect()
}

fn sha256(token: &str) -> String {
    digest(&SHA256, token.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the token of a success was found: `memory`, `redis`, or the source if it was not found.
#[track_caller]
fn level(answer: &Answer) -> &str {
    match answer.source() {
        "cache" => answer.member("cache_level"),
        other => other,
    }
}

/// Shows how long something took: machines differ, so nothing is concluded from it.
#[expect(clippy::print_stdout, reason = "cargo shows it with the test")]
fn measured(what: &str, took: Duration) {
    println!("{what}: {took:?}");
}
