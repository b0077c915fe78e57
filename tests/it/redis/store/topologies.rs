//! Sentinels and clusters that lose a master under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokend::store::{BreakerState, Event, Note, RedisSettings, Topology};
use tokio::sync::mpsc;

use super::{LONG, PATIENCE, Store, now, settings, urls};
use crate::support::eventually;
use crate::support::redis::{Cluster, RedisServer, Sentinel};

/// Calls go on beside the test until this is dropped; each is checked to be over in time.
struct Load {
    going: Arc<AtomicBool>,
    failed: Arc<AtomicU32>,
    well: Arc<AtomicU32>,
}

impl Load {
    fn on(store: &Store, keys: u32) -> Self {
        let load = Self { going: Arc::new(AtomicBool::new(true)), failed: Arc::default(), well: Arc::default() };
        for worker in 0..8_u32 {
            let shared = Arc::clone(&store.shared);
            let (going, failed, well) = (Arc::clone(&load.going), Arc::clone(&load.failed), Arc::clone(&load.well));
            store.tasks.awaited("load", async move {
                let mut number = worker;
                while going.load(Ordering::Relaxed) {
                    number = number.wrapping_add(1);
                    let key = format!("tokend:{{{}}}:x", number % keys);
                    let started = now();
                    let done = match number % 2 {
                        0 => shared.read(&[&key]).await.is_ok(),
                        _ => shared.set(Note { key: &key, value: b"1", ttl: LONG }).await.is_ok(),
                    };
                    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
                    if done { &well } else { &failed }.fetch_add(1, Ordering::Relaxed);
                    // A pace that leaves something of the machine to the servers.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
        }
        load
    }

    fn counts(&self) -> (u32, u32) {
        (self.well.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.going.store(false, Ordering::Relaxed);
    }
}

/// The next event of a kind, in time.
pub(super) async fn next(heard: &mut mpsc::UnboundedReceiver<Event>, wanted: &Event) {
    let waiting = async { while heard.recv().await.as_ref() != Some(wanted) {} };
    tokio::time::timeout(PATIENCE, waiting).await.expect("an event in time");
}

/// Says something until it is heard: a failover that needs a second attempt may cut connections once more, and what is said
/// then is lost, as any message may be.
pub(super) async fn hears_again(store: &Store, heard: &mut mpsc::UnboundedReceiver<Event>) {
    let message = Event::Message(Bytes::from_static(b"again"));
    eventually(PATIENCE, async || {
        let said = store.shared.publish(b"again").await.is_ok();
        let hearing = async { while heard.recv().await.as_ref() != Some(&message) {} };
        said && tokio::time::timeout(Duration::from_millis(500), hearing).await.is_ok()
    })
    .await;
}

pub(super) fn behind(group: &Sentinel) -> RedisSettings {
    let (master, urls) = (group.master_name().to_owned(), urls(&group.urls()));
    settings(Topology::Sentinel { master, urls, username: None, password: None })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_name_another_master() {
    let mut group = Sentinel::start().await;
    let store = Store::open(&behind(&group));
    assert!(store.shared.prove().await.is_ok());
    let (sender, mut heard) = mpsc::unbounded_channel();
    store.shared.listen(move |event| drop(sender.send(event)));
    next(&mut heard, &Event::Subscribed).await;
    assert!(store.set("tokend:{1}:x", b"1").await);
    let load = Load::on(&store, 1000);
    let (started, old) = (now(), group.kill_master().await);
    group.failed_over_from(old).await;
    println!("sentinel: another master after {:?}", started.elapsed());
    let took = store.until_writes_work().await;
    store.until_reads_work().await;
    println!("sentinel: writes work {took:?} later; {:?} calls went well and failed", load.counts());
    next(&mut heard, &Event::Subscribed).await;
    println!("sentinel: subscribed again after {:?}", started.elapsed());
    hears_again(&store, &mut heard).await;
    // The first sentinel goes away, too; the others do.
    group.sentinels[0].kill().await;
    // The next one may have heard of the failover later.
    group.failed_over_from(old).await;
    let master = group.master().await;
    assert!(master.client_count().await <= 2);
    assert!(store.shared.prove().await.is_ok());
    assert_eq!(store.tasks.panics(), 0);
}

#[tokio::test]
async fn a_master_that_hands_over_is_left() {
    let mut group = Sentinel::start().await;
    let store = Store::open(&behind(&group));
    assert!(store.set("tokend:{a}:until", b"1").await);
    let old = group.master_port().await;
    group.sentinels[0].admin().ask::<()>(&["SENTINEL", "FAILOVER", group.master_name()]).await.expect("an answer");
    group.failed_over_from(old).await;
    println!("handed over: writes work {:?} later", store.until_writes_work().await);
    let master = group.master().await;
    eventually(PATIENCE, async || {
        // A write finds out that the old one is a replica now.
        store.set("tokend:{a}:until", b"2").await;
        master.client_count().await == 1
    })
    .await;
}

/// One of the sentinels names a master that the others do not, as one does that was cut off while they chose another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_that_most_others_contradict_is_not_followed() {
    let (mut group, other) = (Sentinel::start().await, RedisServer::start().await);
    let name = group.master_name();
    let cut_off = Sentinel::contradicted_for(&other).await;
    let all: Vec<String> = [cut_off.url()].into_iter().chain(group.urls()).collect();
    let open = |urls: &[String]| {
        Store::open(&settings(Topology::Sentinel {
            master: name.to_owned(),
            urls: super::urls(urls),
            username: None,
            password: None,
        }))
    };
    let store = open(&all);
    let (sender, mut heard) = mpsc::unbounded_channel();
    store.shared.listen(move |event| drop(sender.send(event)));
    assert!(store.set("tokend:{a}:outvoted", b"1").await);
    next(&mut heard, &Event::Subscribed).await;
    assert_eq!((other.client_count().await, group.master().await.client_count().await), (0, 2));
    // Alone it is believed: there is nobody else.
    assert!(open(&all[..1]).set("tokend:{a}:outvoted", b"1").await);
    assert_eq!(other.admin().ask::<i64>(&["EXISTS", "tokend:{a}:outvoted"]).await.expect("an answer"), 1);
}

#[tokio::test]
async fn check_says_that_the_sentinels_know_no_such_master() {
    let group = Sentinel::start().await;
    let Topology::Sentinel { urls, .. } = behind(&group).topology else { unreachable!() };
    let topology = Topology::Sentinel { master: "nobody".to_owned(), urls, username: None, password: None };
    let problem = Store::open(&settings(topology)).shared.prove().await.expect_err("a problem");
    assert!(problem.reason.contains("know no master of this name"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_loses_the_owner_of_a_slot() {
    let mut cluster = Cluster::start().await;
    let store = Store::open(&settings(Topology::Cluster(urls(&cluster.urls()))));
    assert_eq!(store.shared.prove().await, Ok(vec![]));
    let (sender, mut heard) = mpsc::unbounded_channel();
    store.shared.listen(move |event| drop(sender.send(event)));
    next(&mut heard, &Event::Subscribed).await;
    let keys: Vec<String> = (0..60).map(|number| format!("tokend:{{{number}}}:x")).collect();
    for key in &keys {
        assert!(store.set(key, key.as_bytes()).await);
    }
    let read = store.shared.read_each(&keys).await.expect("an answer");
    assert!(read.iter().zip(&keys).all(|(value, key)| value.as_deref() == Some(key.as_bytes())));
    // Commands that are sent together go to the one node that has their keys.
    for key in &keys {
        let (values, left) = store.shared.read_timed(&[key]).await.expect("an answer");
        assert!(values[0].as_deref() == Some(key.as_bytes()) && left.is_some());
        let (values, left) = store.shared.read_timed(&[key, &key.replace(":x", ":y")]).await.expect("an answer");
        assert!(values[0].as_deref() == Some(key.as_bytes()) && values[1].is_none() && left.is_some());
    }
    let groups: Vec<[String; 2]> = keys.iter().map(|key| [key.replace(":x", ":y"), key.clone()]).collect();
    assert_eq!(store.shared.any_there(&groups).await, Ok(vec![true; keys.len()]));
    let read = store.shared.read_groups(&groups).await.expect("an answer");
    assert!(read.iter().zip(&keys).all(|([none, value], key)| none.is_none() && value.as_deref() == Some(key.as_bytes())));
    let connections = async |cluster: &mut Cluster| {
        let mut count = 0;
        for master in cluster.masters().await {
            count += master.client_count().await;
        }
        count
    };
    let before = connections(&mut cluster).await;
    assert!(before <= 4 + 3, "masters and one, and those of the proof until they are closed: {before}");
    let load = Load::on(&store, 60);
    let (started, old) = (now(), cluster.kill_owner_of("tokend:events").await);
    cluster.failed_over_from(old, "tokend:events").await;
    println!("cluster: another owner after {:?}", started.elapsed());
    eventually(PATIENCE, async || store.shared.read_each(&keys).await.is_ok()).await;
    println!("cluster: all keys can be read after {:?}; {:?} calls went well and failed", started.elapsed(), load.counts());
    for key in &keys {
        eventually(PATIENCE, async || store.set(key, b"2").await).await;
    }
    println!("cluster: all keys can be written after {:?}", started.elapsed());
    next(&mut heard, &Event::Subscribed).await;
    println!("cluster: subscribed again after {:?}", started.elapsed());
    hears_again(&store, &mut heard).await;
    drop(load);
    store.settled(BreakerState::Closed, BreakerState::Closed).await;
    eventually(PATIENCE, async || connections(&mut cluster).await <= 4).await;
    assert_eq!(store.tasks.panics(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stands_still_does_not_hold_the_others() {
    let mut cluster = Cluster::start().await;
    let store = Store::open(&settings(Topology::Cluster(urls(&cluster.urls()))));
    let keys: Vec<String> = (0..30).map(|number| format!("tokend:{{{number}}}:x")).collect();
    for key in &keys {
        assert!(store.set(key, b"1").await);
    }
    let load = Load::on(&store, 30);
    let (started, key) = (now(), "tokend:{1}:x");
    let node = cluster.node_owning(key).await;
    let old = node.port();
    node.freeze();
    cluster.frozen_failed_over(old, key).await;
    println!("cluster, frozen node: another owner after {:?}", started.elapsed());
    eventually(PATIENCE, async || store.shared.read_each(&keys).await.is_ok()).await;
    println!("cluster, frozen node: all keys can be read after {:?}; {:?} went well and failed", started.elapsed(), load.counts());
    drop(load);
    cluster.nodes.iter_mut().find(|node| node.port() == old).expect("one of ours").thaw();
}

impl Cluster {
    /// Waits until another node than the one on this port, which is frozen, serves the key.
    async fn frozen_failed_over(&mut self, old: u16, key: &str) {
        let asked = self.nodes.iter().find(|node| node.port() != old).expect("another").admin().clone();
        eventually(PATIENCE, async || {
            let slot: Result<u16, _> = asked.ask(&["CLUSTER", "KEYSLOT", key]).await;
            let table: Result<String, _> = asked.ask(&["CLUSTER", "NODES"]).await;
            let (Ok(slot), Ok(table)) = (slot, table) else { return false };
            table.lines().any(|line| line.contains("master") && !line.contains(&format!(":{old}@")) && has(line, slot))
        })
        .await;
    }
}

/// Whether a line of `CLUSTER NODES` lists a slot.
fn has(line: &str, slot: u16) -> bool {
    line.split(' ').skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse::<u16>().is_ok_and(|first| first <= slot) && last.parse::<u16>().is_ok_and(|last| slot <= last)
    })
}
