//! A server or a network that fails as a whole, under load.

use std::time::Duration;

use super::load::Load;
use super::{Replicas, at};
use crate::support::Fault;
use crate::support::redis::RedisServer;

/// Two replicas behind a relay.
async fn behind_relay() -> (RedisServer, Fault, Replicas) {
    let server = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", server.port())).await;
    let replicas = Replicas::start(2, &format!("url: \"redis://{}\"", fault.address())).await;
    (server, fault, replicas)
}

/// What an operator sees of it.
async fn is_counted(replicas: &Replicas) {
    for replica in &replicas.all {
        assert!(replica.metric("tokend_redis_requests_total{op=\"read\",outcome=\"breaker_open\"}").await > 0.0);
        assert!(replica.metric("tokend_cache_lookups_total{level=\"redis\",outcome=\"unavailable\"}").await > 0.0);
        assert!(replica.metric("tokend_cache_push_back_waiting").await > 0.0);
    }
}

/// A network that fails so that nothing can be done with Redis, and then works again.
async fn network_fails(phase: &'static str, fail: impl FnOnce(&Fault)) {
    let (_server, fault, replicas) = behind_relay().await;
    let load = Load::on(&replicas).await;
    load.enter(phase);
    fail(&fault);
    load.until_open(&["reads", "writes"]).await;
    load.runs().await;
    is_counted(&replicas).await;
    fault.pass();
    load.until_healed().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_starts_again() {
    let mut server = RedisServer::start().await;
    let replicas = Replicas::start(2, &at(&server)).await;
    let load = Load::on(&replicas).await;
    load.enter("killed");
    server.kill().await;
    load.until_open(&["reads", "writes", "events"]).await;
    load.runs().await;
    server.restart().await;
    load.until_healed().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_and_goes_on() {
    let mut server = RedisServer::start().await;
    let replicas = Replicas::start(2, &at(&server)).await;
    let load = Load::on(&replicas).await;
    load.enter("frozen");
    server.freeze();
    // The subscription, which has nothing to say most of the time, finds out by asking.
    load.until_open(&["reads", "writes", "events"]).await;
    load.runs().await;
    server.thaw();
    load.until_healed().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_swallow_everything_are_replaced() {
    let (_server, fault, replicas) = behind_relay().await;
    let load = Load::on(&replicas).await;
    load.enter("swallowed");
    fault.black_hole();
    load.until_healed().await;
    for replica in &replicas.all {
        assert!(replica.metric("tokend_redis_reconnects_total").await >= 1.0);
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything() {
    network_fails("all swallowed", Fault::black_hole_all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_holds_everything_back() {
    network_fails("held back", Fault::freeze).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_slower_than_a_request_waits() {
    // There and back.
    network_fails("40 ms each way", |fault| fault.delay(Duration::from_millis(40))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_very_slow() {
    network_fails("500 ms each way", |fault| fault.delay(Duration::from_millis(500))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_resets_everything() {
    network_fails("reset", Fault::cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_slow_and_not_too_slow() {
    let (_server, fault, replicas) = behind_relay().await;
    let load = Load::on(&replicas).await;
    load.enter("15 ms each way");
    fault.delay(Duration::from_millis(15));
    load.runs().await;
    fault.pass();
    load.until_healed().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_reset_are_made_again() {
    let (_server, fault, replicas) = behind_relay().await;
    let load = Load::on(&replicas).await;
    load.enter("reset once");
    let before = fault.accepted();
    fault.cut();
    fault.pass();
    load.until_healed().await;
    assert!(fault.accepted() > before);
    load.end().await;
}
