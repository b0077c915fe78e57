//! A Redis that is not there at the start, and one that stands still at the end.

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokend::clock::Clock;

use super::load::Load;
use super::{PATIENCE, Replicas, at, cache, now, ring, say};
use crate::support::redis::RedisServer;
use crate::support::{Emulator, Fault, Fleet, GRAPH, configuration, eventually};

/// What a process is started with.
async fn stage(redis: &str) -> (Emulator, TempDir, String) {
    let emulator = Emulator::start(&Clock::system()).await;
    let files = tempfile::tempdir().expect("a folder");
    std::fs::write(files.path().join("key-ring"), ring(1, 2)).expect("a file");
    let yaml = format!("{}{}", configuration(&emulator, &files), cache(files.path(), "key-ring", redis, "60s"));
    (emulator, files, yaml)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_late() {
    let mut server = RedisServer::start().await;
    server.kill().await;
    let replicas = Replicas::start(2, &at(&server)).await;
    for replica in &replicas.all {
        assert_eq!(replica.admin.get("/readyz").await.status, 200);
    }
    let load = Load::on(&replicas).await;
    load.enter("absent");
    load.until_open(&["reads", "events"]).await;
    load.runs().await;
    server.restart().await;
    load.until_healed().await;
    load.end().await;
    replicas.until_told().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_swallows_everything_from_the_start() {
    let server = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", server.port())).await;
    fault.black_hole_all();
    let replicas = Replicas::start(2, &format!("url: \"redis://{}\"", fault.address())).await;
    let load = Load::on(&replicas).await;
    load.enter("never answered");
    load.until_open(&["reads", "events"]).await;
    fault.pass();
    load.until_healed().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_serves_without_redis_and_uses_it_when_it_comes() {
    let mut server = RedisServer::start().await;
    server.kill().await;
    let (_emulator, _files, yaml) = stage(&at(&server)).await;
    let fleet = Fleet::start(2, |_| yaml.clone()).await;
    let ask = async |replica: usize, scope: &str| {
        fleet.client(replica).post("/client-credentials", &json!({"app": "daemon", "scopes": [scope]})).await
    };
    let first = ask(0, GRAPH).await;
    assert_eq!(first.source(), "identity_provider");
    assert_eq!((ask(0, GRAPH).await.level(), ask(0, GRAPH).await.token()), ("memory", first.token()));
    server.restart().await;
    let started = now();
    let mut known = false;
    eventually(PATIENCE, async || {
        // What was got while Redis was away is brought there, and the other never asks the authority for it.
        known = known || server.keys().await.iter().any(|key| key.contains("}:t:"));
        known
    })
    .await;
    say(&format!("late: the token is in Redis {:?} after it came", started.elapsed()));
    eventually(PATIENCE, async || {
        let status = fleet.admin(1).get("/status").await.json;
        status["cache"]["redis"]["breakers"]["reads"] == "closed"
    })
    .await;
    let second = ask(1, GRAPH).await;
    assert_eq!((second.level(), second.token()), ("redis", first.token()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_ends_in_time_while_redis_stands_still() {
    let mut server = RedisServer::start().await;
    let (_emulator, _files, yaml) = stage(&at(&server)).await;
    let mut fleet = Fleet::start(1, |_| format!("{yaml}shutdown: {{grace: 10s}}\n")).await;
    let ask = async |fleet: &Fleet, scope: &str| {
        fleet.client(0).post("/client-credentials", &json!({"app": "daemon", "scopes": [scope]})).await.token().to_owned()
    };
    ask(&fleet, GRAPH).await;
    server.freeze();
    ask(&fleet, "api://billing/.default").await;
    let started = now();
    fleet.signal(0, "TERM");
    assert_eq!(fleet.end_within(0, Duration::from_secs(10)).await, Some(0));
    say(&format!("frozen: ended {:?} after the signal", started.elapsed()));
    eventually(PATIENCE, async || fleet.output(0).contains("\"in_time\":")).await;
    assert!(fleet.output(0).contains("\"in_time\":true"), "{}", fleet.output(0));
    server.thaw();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_ends_in_time_under_load_whatever_redis_does() {
    let server = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", server.port())).await;
    let swallow: fn(&Fault) = Fault::black_hole_all;
    for (name, fail) in [("swallowed", swallow), ("reset", Fault::cut), ("held back", Fault::freeze)] {
        fault.pass();
        let mut replicas = Replicas::patient(1, &format!("url: \"redis://{}\"", fault.address())).await;
        replicas.ask(0, replicas.fresh()).await.token();
        fail(&fault);
        replicas.ask(0, replicas.fresh()).await.token();
        let started = now();
        assert!(replicas.all.remove(0).stop().await, "{name}: nothing is left to be cut off");
        say(&format!("{name}: ended after {:?}", started.elapsed()));
        assert!(started.elapsed() < Duration::from_secs(10), "{name}");
    }
}
