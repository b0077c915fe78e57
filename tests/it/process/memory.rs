//! What clients can make the process take before there are requests, as the system counts it.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Serving, serving_with};
use crate::support::eventually;

const MIB: f64 = 1024.0 * 1024.0;

/// The value of a sample of the process's metrics.
async fn sample(serving: &Serving, name: &str) -> f64 {
    let text = serving.admin.get("/metrics").await.text;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_not_complete_take_no_more_than_their_budget() {
    let (_emulator, _files, serving) = serving_with("").await;
    let address = serving.client.base.trim_start_matches("http://").to_owned();
    let resident = async || sample(&serving, "process_resident_memory_bytes").await;
    let before = resident().await;
    // 100 KiB each, as much as hyper keeps of a head at most, and hundreds of them: without a bound these are 80 MiB.
    let half = format!("POST /obo HTTP/1.1\r\nhost: localhost\r\nx-long: {}", "x".repeat(100 * 1024));
    tokend::sidecar::Descriptors::raise();
    let mut open = Vec::new();
    for _ in 0..600 {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        // Closed before all of it was sent: so be it.
        let _sent = stream.write_all(half.as_bytes()).await;
        open.push(stream);
    }
    let closed = "tokend_http_connections_closed_total{listener=\"token\",reason=\"heads\"}";
    eventually(Duration::from_secs(10), async || sample(&serving, closed).await >= 500.0).await;
    let grown = (resident().await - before) / MIB;
    // The budget of 8 MiB, what the allocator keeps for itself, and the metrics' own text.
    assert!(grown < 24.0, "{grown} MiB");
    drop(open);
}
