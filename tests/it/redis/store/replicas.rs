//! Masters that change at once, and writes that replicas must have.

use std::time::Duration;

use tokend::store::{BreakerState, Event, Note, Placed, Put, RedisSettings, Removed, Topology};
use tokio::sync::mpsc;

use super::topologies::{behind, hears_again, next};
use super::{LONG, PATIENCE, Store, now, settings, standalone, urls};
use crate::support::eventually;
use crate::support::redis::{Cluster, RedisServer, Sentinel};

/// Settings by which one replica must have what must not be lost.
fn waiting(settings: RedisSettings) -> RedisSettings {
    RedisSettings { wait_replicas: 1, ..settings }
}

fn epoch(value: &[u8]) -> Note<'_> {
    Note { key: "tokend:{p}:e", value, ttl: LONG }
}

/// A put of something whose older value may be used up.
async fn put(store: &Store, generation: u64) -> Result<Placed, tokend::store::StoreError> {
    let value = format!("{generation:016x}").into_bytes();
    let base = generation.checked_sub(1).filter(|base| *base > 0);
    let put = Put { key: "tokend:{p}:a", value: &value, ttl: LONG, base, epoch: None, index: None, lease: None, grant: true };
    store.shared.put(&put).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_the_sentinels_announce_is_followed_at_once() {
    let mut group = Sentinel::start().await;
    let store = Store::open(&behind(&group));
    let (sender, mut heard) = mpsc::unbounded_channel();
    store.shared.listen(move |event| drop(sender.send(event)));
    next(&mut heard, &Event::Subscribed).await;
    assert!(store.set("tokend:{a}:x", b"1").await);
    // Every sentinel is listened to before the master hands over.
    for sentinel in &group.sentinels {
        eventually(PATIENCE, async || {
            let lines = sentinel.admin().clients().await.unwrap_or_default();
            lines.iter().any(|line| line.contains(" sub=1 "))
        })
        .await;
    }
    let old = group.master_port().await;
    group.sentinels[0].admin().ask::<()>(&["SENTINEL", "FAILOVER", group.master_name()]).await.expect("an answer");
    group.failed_over_from(old).await;
    let started = now();
    // Nobody calls: only what is announced, or what is asked every five seconds, makes it leave the old one.
    next(&mut heard, &Event::Subscribed).await;
    let master = group.master().await.admin().clone();
    eventually(PATIENCE, async || master.clients().await.is_ok_and(|clients| clients.len() >= 2)).await;
    let took = started.elapsed();
    println!("the master that was announced is used after {took:?}");
    assert!(took < Duration::from_millis(2500), "{took:?}");
    hears_again(&store, &mut heard).await;
    assert!(store.set("tokend:{a}:x", b"2").await);
    assert_eq!(store.tasks.panics(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_replica_has_is_no_sign_out() {
    let master = RedisServer::start().await;
    let following = RedisServer::options().config("replicaof", &format!("127.0.0.1 {}", master.port()));
    let mut replica = following.start().await;
    eventually(PATIENCE, async || replica.admin().info("replication", "master_link_status").await.is_ok_and(|link| link == "up"))
        .await;
    let store = Store::open(&waiting(standalone(&master.url())));
    assert_eq!(store.shared.prove().await, Ok(vec![]));
    assert_eq!(put(&store, 1).await, Ok(Placed::Stored));
    assert_eq!(store.shared.remove(epoch(b"first"), &["tokend:{p}:a"], false).await, Ok(Removed::Done(1)));
    let unacknowledged = |op: &str| store.metric(&format!("tokend_redis_unacknowledged_total{{op=\"{op}\"}}"));
    assert_eq!((unacknowledged("put"), unacknowledged("remove")), (0.0, 0.0));
    assert_eq!(replica.admin().ask::<String>(&["GET", "tokend:{p}:e"]).await.expect("an answer"), "first");
    // A connection that is idle for long is closed by many servers: that is no word of replicas.
    for _ in 0..3 {
        master.admin().ask::<i64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.expect("an answer");
        assert!(matches!(store.shared.remove(epoch(b"first"), &["tokend:{p}:a"], true).await, Ok(Removed::Done(_))));
    }
    assert_eq!((unacknowledged("put"), unacknowledged("remove")), (0.0, 0.0));
    replica.freeze();
    assert!(store.shared.remove(epoch(b"second"), &["tokend:{p}:a"], true).await.is_err(), "nobody acknowledges it");
    assert_eq!(store.get("tokend:{p}:e").await, Some(b"second".to_vec()), "it is done, and may be asked for again");
    assert_eq!(put(&store, 2).await, Ok(Placed::Stored), "the older one may be used up: it is answered all the same");
    assert!(unacknowledged("put") >= 1.0 && unacknowledged("remove") >= 1.0);
    // Many at a time do not wait one after the other, and no breaker opens.
    let started = now();
    let many = futures_util::future::join_all((0..20).map(|number| put(&store, 3 + number))).await;
    assert!(many.iter().any(|placed| *placed == Ok(Placed::Stored)) && many.iter().all(Result::is_ok));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    store.settled(BreakerState::Closed, BreakerState::Closed).await;
    assert!(store.set("tokend:{p}:x", b"1").await);
    replica.thaw();
    eventually(PATIENCE, async || store.shared.remove(epoch(b"third"), &["tokend:{p}:a"], true).await.is_ok()).await;
    assert!(master.client_count().await <= 2, "one for calls, and one for these writes");
    assert_eq!(store.tasks.panics(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_the_replica_of_the_slot_is_waited_for() {
    let mut cluster = Cluster::start().await;
    let store = Store::open(&waiting(settings(Topology::Cluster(urls(&cluster.urls())))));
    assert_eq!(store.shared.prove().await, Ok(vec![]));
    for number in 0..20 {
        let key = format!("tokend:{{{number}}}:e");
        let epoch = Note { key: &key, value: b"epoch", ttl: LONG };
        assert_eq!(store.shared.remove(epoch, &[], true).await, Ok(Removed::Done(0)), "{number}");
    }
    let owner = cluster.node_owning("tokend:{p}:e").await.port();
    let of_others = (0..100).map(|number| format!("tokend:{{{number}}}:e"));
    let mut other = None;
    for key in of_others {
        if cluster.node_owning(&key).await.port() != owner {
            other = Some(key);
            break;
        }
    }
    let other = other.expect("a key of another node");
    // The replica of that slot alone.
    for node in &mut cluster.nodes {
        if node.admin().info("replication", "master_port").await.is_ok_and(|port| port == owner.to_string()) {
            node.freeze();
        }
    }
    assert!(store.shared.remove(epoch(b"epoch"), &[], true).await.is_err());
    let epoch = Note { key: &other, value: b"epoch", ttl: LONG };
    eventually(PATIENCE, async || store.shared.remove(epoch, &[], true).await.is_ok()).await;
    store.settled(BreakerState::Closed, BreakerState::Closed).await;
}
