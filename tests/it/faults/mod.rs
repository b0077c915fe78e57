//! Redis in trouble while replicas are at work: no request fails that the authority could serve, what is in memory stays fast, and
//! everything heals by itself.

mod check;
mod connections;
mod contents;
mod load;
mod outages;
mod push_back;
mod refusals;
mod start;
mod topologies;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use crate::support::redis::RedisServer;
use crate::support::{Answer, Emulator, GRAPH, Sidecar, configuration, eventually};

/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many users the emulator knows besides its own.
const USERS: usize = 24;
/// The first of them are asked for again and again; the others bring tokens that nobody had before.
const WARM: usize = 4;

/// In-process sidecars that share a Redis, and the authority that gives them tokens. All go by the machine's clock: so do the
/// servers that fail.
struct Replicas {
    emulator: Emulator,
    files: TempDir,
    yaml: String,
    all: Vec<Sidecar>,
    /// Inbound tokens, one of each user.
    users: Vec<String>,
    fresh: AtomicUsize,
}

/// A token that may be asked for: of a user, in one of the forms that are cached apart from each other.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wanted {
    user: usize,
    form: usize,
}

// === impl Replicas ===

impl Replicas {
    /// As many as `count`; `redis` are the members of `cache.redis` beside the key ring.
    async fn start(count: usize, redis: &str) -> Self {
        Self::configured(count, &format!("timeout: 50ms, {redis}"), "1s").await
    }

    /// Patient ones: for tests that look at what is stored and not at how long it takes.
    async fn patient(count: usize, redis: &str) -> Self {
        Self::configured(count, &format!("timeout: 500ms, {redis}"), "60s").await
    }

    async fn configured(count: usize, redis: &str, recheck: &str) -> Self {
        let mut directory = Emulator::built_in();
        let users = directory["users"].as_array_mut().expect("users");
        users.extend((0..USERS).map(user));
        let emulator = Emulator::start_with(&Clock::system(), Some(&directory)).await;
        let files = tempfile::tempdir().expect("a folder");
        std::fs::write(files.path().join("key-ring"), ring(1, 2)).expect("a file");
        let yaml = format!("{}{}", configuration(&emulator, &files), cache(files.path(), "key-ring", redis, recheck));
        let mut tokens = Vec::new();
        for number in 0..USERS {
            tokens.push(emulator.user_token(&name(number)).await);
        }
        let mut replicas = Self { emulator, files, yaml, all: Vec::new(), users: tokens, fresh: AtomicUsize::new(0) };
        for _ in 0..count {
            replicas.join().await;
        }
        replicas
    }

    /// One more, which has nothing in memory. Returns its number.
    async fn join(&mut self) -> usize {
        let yaml = self.yaml.clone();
        self.join_with(&yaml).await
    }

    /// One more with another configuration.
    async fn join_with(&mut self, yaml: &str) -> usize {
        self.all.push(Sidecar::start(yaml, &Clock::system()).await);
        self.all.len() - 1
    }

    /// `POST /obo` at one of them.
    async fn ask(&self, replica: usize, wanted: Wanted) -> Answer {
        self.ask_with(replica, wanted, json!({})).await
    }

    /// Asks one replica for what is wanted, with further members.
    async fn ask_with(&self, replica: usize, wanted: Wanted, more: Value) -> Answer {
        let mut body = body(wanted);
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.all[replica].client.post_as("/obo", &self.users[wanted.user], &body).await
    }

    /// A user's token, or else one for the app itself.
    async fn ask_for(&self, replica: usize, user: Option<Wanted>) -> Answer {
        match user {
            Some(wanted) => self.ask(replica, wanted).await,
            None => self.all[replica].client.post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await,
        }
    }

    /// A token that nobody has asked for.
    fn fresh(&self) -> Wanted {
        let number = self.fresh.fetch_add(1, Ordering::Relaxed);
        Wanted { user: WARM + number % (USERS - WARM), form: 1 + number / (USERS - WARM) }
    }

    /// How often the token endpoints were asked.
    async fn calls(&self) -> usize {
        self.emulator.asked("token").await.len()
    }

    /// A breaker as one of them shows it in `/status`.
    async fn breaker(&self, replica: usize, breaker: &str) -> String {
        let status = self.all[replica].admin.get("/status").await;
        status.json["cache"]["redis"]["breakers"][breaker].as_str().unwrap_or_default().to_owned()
    }

    /// A breaker's state, as the replica's metrics show it.
    async fn gauge(&self, replica: usize, breaker: &str) -> f64 {
        self.all[replica].metric(&format!("tokend_redis_breaker_state{{breaker=\"{breaker}\"}}")).await
    }

    /// Whether a breaker is not closed, in `/status` and in the metrics.
    async fn is_open(&self, replica: usize, breaker: &str) -> bool {
        self.breaker(replica, breaker).await != "closed" && self.gauge(replica, breaker).await > 0.0
    }

    /// Makes a replica write without a look: a refusal is remembered for all. Whoever cannot even look does not try to write.
    async fn write(&self, replica: usize) {
        let number = self.fresh.fetch_add(1, Ordering::Relaxed);
        let body = json!({"app": "daemon", "scopes": [format!("api://nothing-{number}/.default")]});
        self.all[replica].client.post("/client-credentials", &body).await.refused(400, "invalid_resource", "");
    }

    /// Waits until all breakers of all of them are closed, and tokens are shared in both directions. Returns how long that took.
    async fn until_healed(&self) -> (Duration, Duration) {
        let started = now();
        for replica in 0..self.all.len() {
            for breaker in ["reads", "writes", "events"] {
                eventually(PATIENCE, async || {
                    self.breaker(replica, breaker).await == "closed" && self.gauge(replica, breaker).await == 0.0
                })
                .await;
            }
        }
        let closed = started.elapsed();
        for (first, second) in [(0, 1), (1, 0)] {
            eventually(PATIENCE, async || self.is_shared(first, second).await).await;
        }
        (closed, started.elapsed())
    }

    /// Whether a token that one of them gets is found by another in Redis.
    async fn is_shared(&self, first: usize, second: usize) -> bool {
        let wanted = self.fresh();
        let one = self.ask(first, wanted).await;
        assert_eq!(one.source(), "identity_provider", "nobody had it");
        self.ask(second, wanted).await.level() == "redis"
    }

    /// Waits until a token that the first replaces before its time is the one that the second serves, which knows it by a message.
    async fn until_told(&self) -> Duration {
        let started = now();
        eventually(PATIENCE, async || {
            let wanted = Wanted { user: 0, form: 0 };
            self.ask(1, wanted).await.token();
            let forced = self.ask_with(0, wanted, json!({"force_refresh": true})).await;
            assert_eq!(forced.source(), "identity_provider");
            for _ in 0..20 {
                if self.ask(1, wanted).await.token() == forced.token() {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            false
        })
        .await;
        started.elapsed()
    }
}

// === impl Answer ===

impl Answer {
    /// Where the token was: `memory`, `redis`, or nothing if it came from the authority.
    #[track_caller]
    fn level(&self) -> &str {
        self.token();
        self.member("cache_level")
    }
}

fn body(wanted: Wanted) -> Value {
    let mut body = json!({"app": "orders", "scopes": ["https://graph.microsoft.com/User.Read"]});
    if wanted.form > 0 {
        body["client_claims"] = json!({"access_token": {"acrs": {"value": wanted.form.to_string()}}}).to_string().into();
    }
    body
}

fn name(number: usize) -> String {
    format!("user-{number}@contoso.example")
}

fn user(number: usize) -> Value {
    json!({
        "username": name(number), "password": "a-password", "tenant": "contoso", "name": format!("User {number}"),
        "object_id": format!("5c0a4e1b-0000-4000-8000-{number:012}"),
    })
}

/// A key ring of a `name` key and one other, each made of one number.
fn ring(name: u8, key: u8) -> String {
    let line = |id: &str, number: u8| format!("{id}:{}\n", STANDARD.encode([number; 32]));
    line("name", name) + &line(&format!("k{key}"), key)
}

/// `cache`, as the configuration has it.
fn cache(files: &Path, ring: &str, redis: &str, recheck: &str) -> String {
    let ring = files.join(ring).display().to_string();
    format!("cache: {{recheck: {recheck}, redis: {{encryption: {{key_ring: {{file: \"{ring}\"}}}}, {redis}}}}}\n")
}

/// `cache.redis.url`, as a member.
fn at(server: &RedisServer) -> String {
    format!("url: \"{}\"", server.url())
}

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// Says what was measured.
#[expect(clippy::print_stdout, reason = "figures are what these tests are read for")]
fn say(text: &str) {
    println!("{text}");
}
