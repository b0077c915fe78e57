//! Traces as a collector gets them from a real process: what hangs below what, what is sampled, and what never stands in a span.

mod collector_trouble;
mod renewal;
mod sampling;
mod secrecy;
mod way;

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use crate::support::redis::RedisServer;
use crate::support::{Answer, Client, Collector, Emulator, Fleet, GRAPH, Spans, configuration};

const USER_READ: &str = "https://graph.microsoft.com/User.Read";

/// A sampled trace of a caller, and the same unsampled.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// Replicas in processes of their own, with the authority and the collector that they talk to.
struct Stage {
    emulator: Emulator,
    collector: Collector,
    fleet: Fleet,
    _files: TempDir,
}

// === impl Stage ===

impl Stage {
    /// One replica, with more configuration than the usual one has.
    async fn new(more: &str) -> Self {
        Self::of(1, Collector::start().await, |collector| format!("{}{more}", collector.yaml("0"))).await
    }

    /// One replica on a Redis.
    async fn on(redis: &RedisServer) -> Self {
        Self::new(&shared(redis)).await
    }

    async fn of(count: usize, collector: Collector, more: impl Fn(&Collector) -> String) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let emulator = Emulator::start(&Clock::system()).await;
        let yaml = format!("{}{}", configuration(&emulator, &files), more(&collector));
        let fleet = Fleet::start(count, |_| yaml.clone()).await;
        Self { emulator, collector, fleet, _files: files }
    }

    /// A POST to the first replica with these headers.
    async fn post(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let request = self.fleet.client(0).request(path, body);
        Client::send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// An app token of `daemon` for Graph.
    async fn graph(&self, headers: &[(&str, &str)]) -> Answer {
        self.post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]}), headers).await
    }

    /// An on-behalf-of token of `orders` for Graph.
    async fn obo(&self, user: &str, headers: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {user}");
        let headers: Vec<_> = headers.iter().copied().chain([("authorization", bearer.as_str())]).collect();
        self.post("/obo", &json!({"app": "orders", "scopes": [USER_READ]}), &headers).await
    }

    /// Ends the replicas; what they have not sent yet they send now. Returns all spans.
    async fn spans(&mut self) -> Spans {
        for index in 0..self.fleet.len() {
            self.fleet.signal(index, "TERM");
            assert_eq!(self.fleet.end_within(index, Duration::from_secs(20)).await, Some(0));
        }
        self.collector.spans()
    }
}

/// The configuration of a shared cache. Requests wait for Redis longer than usual:
/// how long a machine under test takes is no question here.
fn shared(redis: &RedisServer) -> String {
    format!("cache: {{redis: {{url: \"{}\", timeout: 2s, encryption: {{plaintext: true}}}}}}\n", redis.url())
}
