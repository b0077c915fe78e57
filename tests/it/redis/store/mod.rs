//! The shared store alone, against real servers: what each call does, and what becomes of it when something fails.

#![expect(clippy::print_stdout, reason = "how long it takes to heal is worth reading")]

mod access;
mod calls;
mod failures;
mod node_names;
mod patience;
mod replicas;
mod rights;
mod slots;
mod topologies;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokend::clock::Clock;
use tokend::reload::{Place, Source};
use tokend::secret::Secret;
use tokend::store::{
    Access, BreakerState, Encryption, NodeNames, Note, RedisSettings, RedisUrl, Shared, State, Topology, VERSIONS,
};
use tokend::tasks::Tasks;
use tokend::telemetry::Metrics;

use crate::support::eventually;

/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for everything that is stored.
const LONG: Duration = Duration::from_secs(60);

/// A store and what it was made with.
struct Store {
    shared: Arc<Shared>,
    access: Access,
    metrics: Metrics,
    tasks: Tasks,
}

// === impl Store ===

impl Store {
    fn open(settings: &RedisSettings) -> Self {
        let access = Access::load(settings).expect("access");
        let (metrics, tasks) = (Metrics::default(), Tasks::default());
        let shared = Shared::new(settings, access.clone(), Clock::system(), tasks.clone(), &metrics, rand::random::<f64>);
        Self { shared, access, metrics, tasks }
    }

    /// Waits until all breakers stand so.
    async fn settled(&self, reads: BreakerState, writes: BreakerState) {
        eventually(PATIENCE, async || {
            let State { reads: now, writes: then, .. } = self.shared.state();
            (now, then) == (reads, writes)
        })
        .await;
    }

    async fn set(&self, key: &str, value: &[u8]) -> bool {
        self.shared.set(Note { key, value, ttl: LONG }).await.is_ok()
    }

    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.read(&[key]).await.ok()?.pop()?.map(|value| value.to_vec())
    }

    /// Sets until that works again, and returns how long it took.
    async fn until_writes_work(&self) -> Duration {
        let started = now();
        eventually(PATIENCE, async || self.set("tokend:{a}:until", b"1").await).await;
        started.elapsed()
    }

    /// Reads until that works again, and returns how long it took.
    async fn until_reads_work(&self) -> Duration {
        let started = now();
        eventually(PATIENCE, async || self.shared.read(&["tokend:{a}:until"]).await.is_ok()).await;
        started.elapsed()
    }

    fn metric(&self, line: &str) -> f64 {
        let text = String::from_utf8(self.metrics.render()).expect("text");
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
        value.unwrap_or_default()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.tasks.hard().cancel();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn settings(topology: Topology) -> RedisSettings {
    RedisSettings {
        key: "cache.redis".to_owned(),
        file: None,
        topology,
        node_names: NodeNames::default(),
        username: None,
        password: None,
        ca_file: None,
        client_cert: None,
        client_key: None,
        key_prefix: "tokend".to_owned(),
        encryption: Encryption::Plaintext,
        // More than the default: machines that run tests stand still at times.
        timeout: Duration::from_millis(150),
        write_timeout: Duration::from_secs(1),
        wait_replicas: 0,
        wait_timeout: Duration::from_millis(500),
        write_version: VERSIONS.newest(),
        versions: VERSIONS,
    }
}

fn standalone(url: &str) -> RedisSettings {
    settings(Topology::Standalone(parse(url)))
}

fn parse(url: &str) -> RedisUrl {
    RedisUrl::parse(url).expect("a URL")
}

fn urls(urls: &[String]) -> Vec<RedisUrl> {
    urls.iter().map(|url| parse(url)).collect()
}

fn password(text: &str) -> Option<Source> {
    Some(Source { key: "cache.redis.password".to_owned(), file: None, place: Place::Value(Secret::new(text)) })
}

fn password_file(path: PathBuf) -> Option<Source> {
    Some(Source { key: "cache.redis.password.file".to_owned(), file: None, place: Place::File(path) })
}
