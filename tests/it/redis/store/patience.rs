//! What a pause of Redis and a connection that it closed mean for one call.

use std::time::Duration;

use bytes::Bytes;
use tokend::store::{BreakerState, Claim, Note, Placed, Put, Removed, StoreError, Topology};

use super::{LONG, PATIENCE, Store, now, settings, standalone, urls};
use crate::support::redis::{Cluster, RedisServer};
use crate::support::{Fault, eventually};

const KEY: &str = "tokend:{p}:k";
const OWNER: [u8; 16] = *b"owner-0123456789";

/// A store behind a network that fails on command, with a connection.
async fn behind_a_network() -> (RedisServer, Fault, Store) {
    let server = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", server.port())).await;
    let store = Store::open(&standalone(&format!("redis://{}", fault.address())));
    assert!(store.set(KEY, b"1").await);
    (server, fault, store)
}

/// Each of these calls is made once, and does what it should.
async fn every_call_works(store: &tokend::store::Shared, number: u64) {
    let (key, lease) = (format!("tokend:{{p}}:v{number}"), format!("tokend:{{p}}:l{number}"));
    let claim =
        Claim { lease: &lease, outcome: "tokend:{p}:o", reads: &[KEY], owner: &OWNER, lapsed: None, ttl: LONG, followed: &[] };
    assert!(store.claim(&claim).await.is_ok_and(|claimed| claimed.won));
    let value = format!("{number:016x}").into_bytes();
    let put = Put { key: &key, value: &value, ttl: LONG, base: None, epoch: None, index: None, lease: None, grant: true };
    assert_eq!(store.put(&put).await, Ok(Placed::Stored));
    assert_eq!(store.read(&[&key]).await, Ok(vec![Some(Bytes::from(value))]));
    assert_eq!(store.members("tokend:{p}:i", 9).await, Ok(vec![]));
    let epoch = Note { key: "tokend:{p}:e", value: b"epoch", ttl: LONG };
    assert!(matches!(store.remove(epoch, &[&key], false).await, Ok(Removed::Done(1..))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_patience_is_answered_after_a_slow_answer() {
    let (_server, fault, store) = behind_a_network().await;
    // There and back: more than a call may take, and less than a second.
    fault.delay(Duration::from_millis(200));
    assert_eq!(store.shared.read(&[KEY]).await, Err(StoreError::Failed));
    every_call_works(&store.shared.patient(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_patience_waits_for_a_breaker_that_opened_a_moment_ago() {
    let (_server, fault, store) = behind_a_network().await;
    fault.freeze();
    // Those who have none open it while Redis pauses.
    futures_util::future::join_all((0..6).map(|_| store.shared.read(&[KEY]))).await;
    assert_eq!(store.shared.read(&[KEY]).await, Err(StoreError::Open));
    let patient = store.shared.patient();
    let (read, ()) = tokio::join!(patient.read(&[KEY]), async { fault.pass() });
    assert_eq!(read, Ok(vec![Some(Bytes::from_static(b"1"))]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_that_has_been_open_for_longer_is_not_waited_for() {
    let (_server, fault, store) = behind_a_network().await;
    fault.cut();
    let patient = store.shared.patient();
    let mut last = Duration::MAX;
    eventually(PATIENCE, async || {
        let started = now();
        let read = patient.read(&[KEY]).await;
        last = started.elapsed();
        read == Err(StoreError::Open) && last < Duration::from_millis(100)
    })
    .await;
    println!("an open breaker costs {last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_patience_goes_over_another_connection_where_the_first_says_nothing() {
    let (_server, fault, store) = behind_a_network().await;
    fault.black_hole();
    let started = now();
    assert_eq!(store.shared.patient().read(&[KEY]).await, Ok(vec![Some(Bytes::from_static(b"1"))]));
    println!("answered after {:?}", started.elapsed());
    // The others have that connection, too.
    assert_eq!(store.get(KEY).await, Some(b"1".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_redis_closed_is_no_failure() {
    let server = RedisServer::start().await;
    let store = Store::open(&standalone(&server.url()));
    assert!(store.set(KEY, b"1").await);
    let kill = async || {
        server.admin().ask::<i64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.expect("an answer");
        assert_eq!(server.client_count().await, 0);
    };
    for number in 0..10 {
        kill().await;
        assert_eq!(store.get(KEY).await, Some(b"1".to_vec()));
        kill().await;
        assert!(store.set(KEY, b"1").await);
        kill().await;
        every_call_works(&store.shared, number).await;
        kill().await;
        assert!(store.shared.page("tokend:{p}:s", None, 9).await.is_ok_and(|page| page.marks.is_empty()));
        kill().await;
        assert_eq!(store.shared.publish(b"x").await, Ok(()));
    }
    for op in ["read", "set", "claim", "put", "remove", "page", "publish"] {
        let failed = store.metric(&format!("tokend_redis_requests_total{{op=\"{op}\",outcome=\"io\"}}"));
        assert_eq!(failed, 0.0, "{op}: what was mended is no failure");
    }
    store.settled(BreakerState::Closed, BreakerState::Closed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_something_on_the_way_forgot_is_no_failure() {
    let (_server, fault, store) = behind_a_network().await;
    for number in 0..5 {
        fault.forget();
        assert_eq!(store.get(KEY).await, Some(b"1".to_vec()));
        fault.forget();
        every_call_works(&store.shared, number).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_nodes_of_a_cluster_closed_are_no_failure() {
    let mut cluster = Cluster::start().await;
    let store = Store::open(&settings(Topology::Cluster(urls(&cluster.urls()))));
    let keys: Vec<String> = (0..30).map(|number| format!("tokend:{{{number}}}:x")).collect();
    for key in &keys {
        assert!(store.set(key, b"1").await);
    }
    for round in 0..5 {
        for node in cluster.masters().await {
            node.admin().ask::<i64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.expect("an answer");
        }
        for key in &keys {
            assert_eq!(store.get(key).await, Some(b"1".to_vec()), "round {round}");
        }
    }
    store.settled(BreakerState::Closed, BreakerState::Closed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_patience_waits_for_a_server_that_restarts() {
    let mut server = RedisServer::start().await;
    let store = Store::open(&standalone(&server.url()));
    let mut in_time = 0;
    for number in 0..10_u64 {
        assert!(store.set(KEY, b"1").await);
        server.kill().await;
        let killed = now();
        let value = format!("{number:016x}").into_bytes();
        let key = format!("tokend:{{p}}:restart{number}");
        let put = Put { key: &key, value: &value, ttl: LONG, base: None, epoch: None, index: None, lease: None, grant: false };
        let restarted = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            server.restart().await;
            killed.elapsed()
        };
        let patient = store.shared.patient();
        let (read, placed, took) = tokio::join!(patient.read(&[KEY]), patient.put(&put), restarted);
        store.settled(BreakerState::Closed, BreakerState::Closed).await;
        // A busy machine starts servers more slowly than anybody is patient.
        if took < Duration::from_millis(600) {
            assert!(read.is_ok() && placed == Ok(Placed::Stored), "{number}: {read:?} {placed:?}");
            in_time += 1;
        }
        if in_time == 3 {
            return;
        }
    }
    assert!(in_time > 0, "no restart was fast enough to say anything");
}
