//! Slots of a cluster that are on their way, and nodes that no address names.

use std::sync::Arc;

use tokend::store::{BreakerState, Claim, Event, Topology};
use tokio::sync::mpsc;

use super::topologies::{hears_again, next};
use super::{LONG, PATIENCE, Store, now, settings, urls};
use crate::support::eventually;
use crate::support::redis::{Cluster, RedisServer};

const OWNER: [u8; 16] = *b"owner-0123456789";
/// Any slot will do; this one is said to be on its way.
const TAG: &str = "{moves}";

/// A slot between two nodes, as an operator may leave it: its owner sends on what it has not,
/// and the other one takes what is asked.
struct Between {
    slot: String,
    from: u16,
    to: u16,
}

// === impl Between ===

impl Between {
    async fn start(cluster: &mut Cluster) -> Self {
        let from = cluster.node_owning(TAG).await.port();
        let masters = cluster.masters().await;
        let (old, new) = (
            masters.iter().find(|node| node.port() == from).expect("the owner"),
            masters.iter().find(|node| node.port() != from).expect("another"),
        );
        let slot = old.admin().ask::<u16>(&["CLUSTER", "KEYSLOT", TAG]).await.expect("a slot").to_string();
        let (old_id, new_id): (String, String) = (
            old.admin().ask(&["CLUSTER", "MYID"]).await.expect("an id"),
            new.admin().ask(&["CLUSTER", "MYID"]).await.expect("an id"),
        );
        new.admin().ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &old_id]).await.expect("an answer");
        old.admin().ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &new_id]).await.expect("an answer");
        Self { slot, from, to: new.port() }
    }

    /// The slot is the other node's now. Whatever it held must have been asked for there.
    async fn end(&self, cluster: &mut Cluster) {
        let find = |port| cluster.nodes.iter().find(move |node| node.port() == port).expect("one of ours").admin().clone();
        let (old, new) = (find(self.from), find(self.to));
        let id: String = new.ask(&["CLUSTER", "MYID"]).await.expect("an id");
        for node in [&new, &old] {
            node.ask::<()>(&["CLUSTER", "SETSLOT", &self.slot, "NODE", &id]).await.expect("an answer");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_left_on_its_way_is_nobody_elses_trouble() {
    let mut cluster = Cluster::start().await;
    let store = Store::open(&settings(Topology::Cluster(urls(&cluster.urls()))));
    assert!(store.set("tokend:{stays}:x", b"1").await);
    let between = Between::start(&mut cluster).await;
    // One key on each side: no node has what these calls are about.
    assert!(store.set("tokend:{moves}:there", b"1").await);
    let lease = format!("tokend:{TAG}:l");
    let claim =
        Claim { lease: &lease, outcome: "tokend:{moves}:o", reads: &[], owner: &OWNER, lapsed: None, ttl: LONG, followed: &[] };
    for _ in 0..20 {
        assert!(store.shared.claim(&claim).await.is_err(), "it names two keys, and the node that is asked has none of them");
        assert!(store.shared.read(&["tokend:{moves}:there", "tokend:{moves}:nowhere"]).await.is_err());
        assert!(store.set("tokend:{stays}:x", b"1").await, "others are served");
    }
    store.settled(BreakerState::Closed, BreakerState::Closed).await;
    assert!(store.metric(r#"tokend_redis_requests_total{op="claim",outcome="migrating"}"#) >= 20.0);
    between.end(&mut cluster).await;
    assert!(store.shared.claim(&claim).await.is_ok_and(|claimed| claimed.won), "the script is the new owner's now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_follow_a_slot_on_its_way() {
    follow_a_slot(Cluster::start().await).await;
}

/// Behind a proxy nodes do not know under which name clients reach them, and leave it out of redirects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_follow_a_slot_to_a_node_without_a_name() {
    let options = RedisServer::options().config("cluster-preferred-endpoint-type", "unknown-endpoint");
    follow_a_slot(Cluster::start_with(options).await).await;
}

async fn follow_a_slot(mut cluster: Cluster) {
    let store = Store::open(&settings(Topology::Cluster(urls(&cluster.urls()))));
    assert!(store.set("tokend:{moves}:before", b"1").await);
    let between = Between::start(&mut cluster).await;
    // All of them at once: the connection to the node that is asked belongs to many commands.
    for round in 0..20_u32 {
        let calls = (0..16_u32).map(|number| {
            let shared = Arc::clone(&store.shared);
            async move {
                let set = format!("tokend:{TAG}:s{round}.{number}");
                let joined = shared.join(&set, b"member", LONG).await;
                (joined, shared.page(&set, None, 9).await, shared.withdraw(&set, 7).await)
            }
        });
        for (joined, listed, withdrawn) in futures_util::future::join_all(calls).await {
            assert_eq!(joined, Ok(()), "round {round}");
            assert!(listed.is_ok_and(|page| page.is_last && page.marks.len() == 1), "round {round}");
            assert_eq!(withdrawn, Ok(()));
        }
    }
    assert_eq!(store.get("tokend:{moves}:before").await, Some(b"1".to_vec()), "what has not moved is still there");
    store.shared.clear(&["tokend:{moves}:before"]).await.expect("an answer");
    between.end(&mut cluster).await;
    // What was connected for redirects alone is closed again.
    eventually(PATIENCE, async || {
        let masters = cluster.masters().await;
        futures_util::future::join_all(masters.iter().map(|node| node.client_count())).await == [1, 1, 1]
    })
    .await;
    for number in 0..16_u32 {
        let set = format!("tokend:{TAG}:s0.{number}");
        assert_eq!(store.shared.join(&set, b"member", LONG).await, Ok(()));
    }
    store.settled(BreakerState::Closed, BreakerState::Closed).await;
}

/// How many failovers: a few in the usual run, as many as `TOKEND_ROUNDS` says in a long one.
fn rounds() -> usize {
    std::env::var_os("TOKEND_ROUNDS").and_then(|rounds| rounds.to_str()?.parse().ok()).unwrap_or(2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_subscription_follows_every_failover() {
    let mut cluster = Cluster::start().await;
    let owner = cluster.node_owning("tokend:events").await.port();
    // A master that never has the channel: neither it nor its replica is ever killed.
    let seed = cluster.masters().await.iter().find(|node| node.port() != owner).expect("another").url();
    let store = Store::open(&settings(Topology::Cluster(urls(&[seed]))));
    let (sender, mut heard) = mpsc::unbounded_channel();
    store.shared.listen(move |event| drop(sender.send(event)));
    next(&mut heard, &Event::Subscribed).await;
    for round in 0..rounds() {
        let old = cluster.kill_owner_of("tokend:events").await;
        cluster.failed_over_from(old, "tokend:events").await;
        let started = now();
        next(&mut heard, &Event::Subscribed).await;
        hears_again(&store, &mut heard).await;
        println!("round {round}: messages arrive {:?} after the failover", started.elapsed());
        cluster.restart(old).await;
        let check = Store::open(&settings(Topology::Cluster(urls(&cluster.urls()[..1]))));
        eventually(PATIENCE, async || check.shared.prove().await.is_ok()).await;
    }
    assert_eq!(store.tasks.panics(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_subscription_follows_to_nodes_that_no_address_names() {
    let mut cluster = Cluster::start().await;
    let owner = cluster.node_owning("tokend:events").await.port();
    let seeds: Vec<String> = cluster.masters().await.iter().filter(|node| node.port() != owner).map(|node| node.url()).collect();
    let store = Store::open(&settings(Topology::Cluster(urls(&seeds[..1]))));
    assert_eq!(store.shared.prove().await, Ok(vec![]));
    let (sender, mut heard) = mpsc::unbounded_channel();
    store.shared.listen(move |event| drop(sender.send(event)));
    next(&mut heard, &Event::Subscribed).await;
    hears_again(&store, &mut heard).await;
    let old = cluster.kill_owner_of("tokend:events").await;
    cluster.failed_over_from(old, "tokend:events").await;
    next(&mut heard, &Event::Subscribed).await;
    hears_again(&store, &mut heard).await;
    // The only address of the configuration is gone as well; the cluster goes on, and so do we.
    let seed = cluster.nodes.iter_mut().find(|node| node.url() == seeds[0]).expect("one of ours");
    let (port, url) = (seed.port(), seed.url());
    seed.kill().await;
    cluster.failed_over_from_node(port).await;
    let owner = cluster.node_owning("tokend:events").await;
    assert_ne!(owner.url(), url);
    owner.admin().ask::<i64>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.expect("an answer");
    next(&mut heard, &Event::Subscribed).await;
    hears_again(&store, &mut heard).await;
}
