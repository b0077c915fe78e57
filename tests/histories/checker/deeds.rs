//! What goes wrong: done, undone, and noted from its beginning until everything works again.

use std::time::Duration;

use serde_json::json;

use super::backend::{Backend, PATIENCE};
use super::history::What;
use super::migration;
use super::plan::{Deed, Round};
use super::stage::{Machines, Stage};
use crate::support::redis::RedisServer;
use crate::support::{Fault, eventually};

/// What fills a server up, and for how long it would stay.
const FILLER: usize = 4_096;
const FILLER_LASTS: &str = "100000";

/// How long after one `FLUSHALL` the next one follows.
const FLUSHES: Duration = Duration::from_millis(400);

/// Does what a round says; returns when everything works again.
pub(super) async fn perform(stage: &Stage, machines: &mut Machines, round: &Round) {
    let begin = stage.now();
    let is_slow = !round.slow.is_zero();
    if is_slow {
        let rule = json!({"on": {"endpoint": "token"}, "times": 0, "do": {"delay_ms": round.slow.as_millis()}});
        stage.emulator.script(rule).await;
        // What is asked now is on its way when the rest happens.
        tokio::time::sleep(round.slow / 2).await;
    }
    let (begun, (what, text)) = (stage.now(), describe(round));
    match round.deed {
        Deed::SlowAuthority => tokio::time::sleep(round.lasts).await,
        Deed::KillReplica => {
            machines.fleet.kill(round.whose);
            tokio::time::sleep(round.lasts).await;
            machines.fleet.restart(round.whose).await;
        }
        Deed::StopReplica => {
            machines.fleet.signal(round.whose, "STOP");
            tokio::time::sleep(round.lasts).await;
            machines.fleet.signal(round.whose, "CONT");
        }
        _ => to_redis(stage, &mut machines.backend, round).await,
    }
    if what != What::Authority {
        stage.note(what, text, begun);
    }
    if is_slow {
        stage.emulator.unscript().await;
        stage.note(What::Authority, format!("each call takes {:?}", round.slow), begin);
    }
}

/// What it is to the fleet, and in words.
fn describe(round: &Round) -> (What, String) {
    let what = match round.deed {
        Deed::SlowAuthority => What::Authority,
        Deed::KillReplica => What::Kill(round.whose),
        Deed::StopReplica => What::Stop(round.whose),
        Deed::Cut | Deed::Delay | Deed::Freeze | Deed::BlackHole | Deed::BlackHoleAll | Deed::Forget => What::Path(round.whose),
        Deed::CloseIdle | Deed::StopRedis | Deed::Hiccup | Deed::ForgetScripts | Deed::Full | Deed::RestartWithData => What::Redis,
        Deed::Migrate => What::Redis,
        Deed::Evict => What::Eviction,
        Deed::FlushAll => What::Flush,
        Deed::RestartEmpty | Deed::RestartOlder => What::Loss,
        Deed::KillMaster | Deed::StopMaster | Deed::Failover | Deed::Unreplicated => What::Loss,
    };
    (what, format!("{:?} {} for {:?}", round.deed, round.whose, round.lasts))
}

async fn to_redis(stage: &Stage, backend: &mut Backend, round: &Round) {
    match round.deed {
        Deed::Cut | Deed::Delay | Deed::Freeze | Deed::BlackHole | Deed::BlackHoleAll | Deed::Forget => {
            if let Backend::One(_, ways) = backend {
                on_the_way(&ways[round.whose], round).await;
            }
        }
        Deed::Migrate => migration::perform(backend, round).await,
        Deed::KillMaster | Deed::StopMaster | Deed::Failover | Deed::Unreplicated => another_master(stage, backend, round).await,
        _ => {
            for master in backend.masters().await {
                to_server(&mut backend.nodes_mut()[master], round).await;
                if round.deed == Deed::Hiccup {
                    break;
                }
            }
        }
    }
    backend.is_whole().await;
}

async fn on_the_way(way: &Fault, round: &Round) {
    match round.deed {
        Deed::Cut => way.cut(),
        // Three times as long is longer than any deadline.
        Deed::Delay => way.delay((round.lasts / 10).max(Duration::from_millis(20))),
        Deed::Freeze => way.freeze(),
        Deed::BlackHole => way.black_hole(),
        Deed::BlackHoleAll => way.black_hole_all(),
        _ => way.forget(),
    }
    tokio::time::sleep(round.lasts).await;
    way.pass();
}

async fn to_server(server: &mut RedisServer, round: &Round) {
    match round.deed {
        Deed::CloseIdle => ask(server, &["CLIENT", "KILL", "TYPE", "normal"]).await,
        Deed::StopRedis | Deed::Hiccup => {
            server.freeze();
            tokio::time::sleep(round.lasts).await;
            server.thaw();
        }
        Deed::FlushAll => {
            // Again and again: what is under way must meet it.
            for _ in 0..=round.lasts.as_millis() / FLUSHES.as_millis() {
                ask(server, &["FLUSHALL"]).await;
                tokio::time::sleep(FLUSHES).await;
            }
        }
        Deed::ForgetScripts => ask(server, &["SCRIPT", "FLUSH"]).await,
        Deed::RestartEmpty => {
            ask(server, &["FLUSHALL"]).await;
            end(server).await;
            tokio::time::sleep(round.lasts).await;
            server.restart().await;
        }
        Deed::RestartWithData => {
            end(server).await;
            tokio::time::sleep(round.lasts).await;
            server.restart().await;
        }
        Deed::RestartOlder => {
            ask(server, &["SAVE"]).await;
            tokio::time::sleep(round.lasts).await;
            server.kill().await;
            server.restart().await;
        }
        Deed::Evict => evict(server, round.lasts).await,
        Deed::Full => {
            ask(server, &["CONFIG", "SET", "maxmemory", "1"]).await;
            tokio::time::sleep(round.lasts).await;
            ask(server, &["CONFIG", "SET", "maxmemory", "0"]).await;
        }
        other => unreachable!("{other:?} is not done to a server"),
    }
}

/// Saves and ends.
async fn end(server: &mut RedisServer) {
    // It is gone before it answers.
    let _gone = server.admin().ask::<()>(&["SHUTDOWN", "SAVE"]).await;
    eventually(PATIENCE, async || !server.is_running()).await;
}

/// Whoever writes makes room by what ends first, as long as this lasts.
async fn evict(server: &RedisServer, lasts: Duration) {
    let used: usize =
        server.admin().info("memory", "used_memory").await.ok().and_then(|text| text.parse().ok()).unwrap_or_default();
    ask(server, &["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]).await;
    ask(server, &["CONFIG", "SET", "maxmemory", &(used + 2 * FILLER).to_string()]).await;
    let (text, steps) = ("x".repeat(FILLER), lasts.as_millis() / 50);
    for number in 0..steps {
        // Nothing but fillers may be left, and then there is no room.
        let _stored = server.admin().ask::<()>(&["SET", &format!("filler:{number}"), &text, "EX", FILLER_LASTS]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ask(server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    ask(server, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    for number in 0..steps {
        ask(server, &["DEL", &format!("filler:{number}")]).await;
    }
}

/// A master goes, or seems to, and another one takes its place.
async fn another_master(stage: &Stage, backend: &mut Backend, round: &Round) {
    let masters = backend.masters().await;
    let master = match backend {
        Backend::Sentinel(group) => {
            let port = group.master_port().await;
            group.nodes.iter().position(|node| node.port() == port).unwrap_or_default()
        }
        _ => masters[round.whose % masters.len()],
    };
    let port = backend.nodes()[master].port();
    match round.deed {
        Deed::StopMaster => {
            backend.nodes_mut()[master].freeze();
            tokio::time::sleep(round.lasts).await;
            backend.nodes_mut()[master].thaw();
        }
        Deed::Failover => match backend {
            Backend::Sentinel(group) => {
                let name = group.master_name();
                // It refuses while another one is under way.
                let _begun = group.sentinels[round.whose % 3].admin().ask::<()>(&["SENTINEL", "FAILOVER", name]).await;
                eventually(PATIENCE, async || group.master_port().await != port).await;
            }
            _ => {
                for node in backend.nodes() {
                    let follows = node.admin().info("replication", "master_port").await.is_ok_and(|of| of == port.to_string());
                    if follows {
                        ask(node, &["CLUSTER", "FAILOVER"]).await;
                        eventually(PATIENCE, async || {
                            node.admin().info("replication", "role").await.is_ok_and(|role| role == "master")
                        })
                        .await;
                        break;
                    }
                }
            }
        },
        kill => {
            if kill == Deed::Unreplicated {
                let others: Vec<_> = (0..backend.nodes().len()).filter(|node| *node != master).collect();
                others.iter().for_each(|node| backend.nodes_mut()[*node].freeze());
                // Longer than a request, and shorter than sentinels take to miss them for good.
                tokio::time::sleep(round.lasts.min(Duration::from_millis(1_500))).await;
                backend.nodes_mut()[master].kill().await;
                others.iter().for_each(|node| backend.nodes_mut()[*node].thaw());
            } else {
                backend.nodes_mut()[master].kill().await;
            }
            let begun = stage.now();
            failed_over(backend, port).await;
            let took = stage.now() - begun;
            tokio::time::sleep(round.lasts.saturating_sub(Duration::from_millis(took))).await;
            backend.nodes_mut()[master].restart().await;
        }
    }
}

/// Waits until a node that is gone is nobody's master any more.
async fn failed_over(backend: &mut Backend, port: u16) {
    let wanted = if matches!(backend, Backend::Cluster(_)) { 3 } else { 1 };
    let waiting = async {
        while still_master(backend, port).await || backend.masters().await.len() != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("another master");
}

/// Whether sentinels still send everybody to it.
async fn still_master(backend: &Backend, port: u16) -> bool {
    match backend {
        Backend::Sentinel(group) => group.master_port().await == port,
        _ => false,
    }
}

pub(super) async fn ask(server: &RedisServer, words: &[&str]) {
    server.admin().ask::<()>(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"));
}
