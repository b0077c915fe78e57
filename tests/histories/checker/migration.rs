//! A slot on its way from one node of a cluster to another: for a while some of its keys are here and some there.

use super::backend::Backend;
use super::deeds::ask;
use super::plan::Round;
use crate::support::redis::{Cluster, RedisServer};

/// Moves a slot with keys of one master to the next one, and stands still half-way.
pub(super) async fn perform(backend: &mut Backend, round: &Round) {
    let masters = backend.masters().await;
    let Backend::Cluster(cluster) = backend else { return };
    let from = masters[round.whose % masters.len()];
    let to = masters[(round.whose + 1) % masters.len()];
    let Some(slot) = slot_of(&cluster.nodes[from]).await else { return };
    let (source, target) = (&cluster.nodes[from], &cluster.nodes[to]);
    let (from, to) = (id(source).await, id(target).await);
    ask(target, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from]).await;
    ask(source, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to]).await;
    let keys = keys(source, &slot).await;
    move_keys(source, target, &keys[..keys.len() / 2]).await;
    tokio::time::sleep(round.lasts).await;
    loop {
        let rest = self::keys(source, &slot).await;
        if rest.is_empty() {
            break;
        }
        move_keys(source, target, &rest).await;
    }
    // The new owner first, so that nobody serves it twice.
    ask(target, &["CLUSTER", "SETSLOT", &slot, "NODE", &to]).await;
    ask(source, &["CLUSTER", "SETSLOT", &slot, "NODE", &to]).await;
    for master in others(cluster, &masters) {
        ask(master, &["CLUSTER", "SETSLOT", &slot, "NODE", &to]).await;
    }
}

fn others<'a>(cluster: &'a Cluster, masters: &'a [usize]) -> impl Iterator<Item = &'a RedisServer> {
    masters.iter().map(|master| &cluster.nodes[*master])
}

/// The slot of the first of its keys: the names of keys have nothing to do with what they are for.
async fn slot_of(node: &RedisServer) -> Option<String> {
    let keys = node.keys().await;
    let key = keys.first()?;
    node.admin().ask::<u16>(&["CLUSTER", "KEYSLOT", key]).await.ok().map(|slot| slot.to_string())
}

async fn id(node: &RedisServer) -> String {
    node.admin().ask(&["CLUSTER", "MYID"]).await.expect("an id")
}

async fn keys(node: &RedisServer, slot: &str) -> Vec<String> {
    node.admin().ask(&["CLUSTER", "GETKEYSINSLOT", slot, "1000"]).await.expect("keys")
}

async fn move_keys(source: &RedisServer, target: &RedisServer, keys: &[String]) {
    if keys.is_empty() {
        return;
    }
    let port = target.port().to_string();
    let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS"];
    words.extend(keys.iter().map(String::as_str));
    // `NOKEY` is an answer, too: they may have ended meanwhile.
    let _moved: String = source.admin().ask(&words).await.expect("moved keys");
}
