//! A cluster of three masters with a replica each.

use std::time::Duration;

use futures_util::future::join_all;
use redis::RedisError;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;

use super::options::ADMIN;
use super::server::Role;
use super::{Options, RedisServer};
use crate::support::process::free_port;
use crate::support::wait::eventually;

/// How long nodes may take to meet or to agree.
const PATIENCE: Duration = Duration::from_secs(30);

const SLOTS: u16 = 16_384;

/// Six processes; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The first three were masters at first.
    pub(crate) nodes: Vec<RedisServer>,
    options: Options,
}

// === impl Cluster ===

impl Cluster {
    /// Without TLS and users.
    pub(crate) async fn start() -> Self {
        Self::start_with(RedisServer::options()).await
    }

    /// Every node as the options say. Returns when all slots are served and every master has a replica that follows.
    pub(crate) async fn start_with(options: Options) -> Self {
        let mut options = options
            .config("cluster-enabled", "yes")
            .config("cluster-node-timeout", "1500")
            // A replica that lost its master long ago is still better than none.
            .config("cluster-replica-validity-factor", "0");
        if options.tls.is_some() {
            options = options.config("tls-cluster", "yes");
        }
        // The port of the bus is one of ours, too; by default it is that of the clients plus 10000.
        let buses: Vec<_> = (0..6).map(|_| free_port()).collect();
        let starting = buses.iter().map(|bus| options.clone().config("cluster-port", &bus.to_string()).start());
        let cluster = Self { nodes: join_all(starting).await, options };
        cluster.join(&buses).await.expect("a cluster");
        cluster
    }

    async fn join(&self, buses: &[u16]) -> Result<(), RedisError> {
        let (masters, replicas) = self.nodes.split_at(3);
        for (epoch, node) in self.nodes.iter().enumerate() {
            // Different ones from the start, or the nodes would have to settle that first.
            node.admin().ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(epoch + 1).to_string()]).await?;
        }
        for (node, bus) in self.nodes.iter().zip(buses).skip(1) {
            let (port, bus) = (node.port().to_string(), bus.to_string());
            self.nodes[0].admin().ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await?;
        }
        let mut first = 0;
        for (share, master) in (1..).zip(masters) {
            let next = SLOTS / 3 * share + if share == 3 { SLOTS % 3 } else { 0 };
            let range = [first.to_string(), (next - 1).to_string()];
            master.admin().ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]).await?;
            first = next;
        }
        for (replica, master) in replicas.iter().zip(masters) {
            let id: String = master.admin().ask(&["CLUSTER", "MYID"]).await?;
            // It has to hear of the master first.
            eventually(PATIENCE, async || replica.admin().ask::<()>(&["CLUSTER", "REPLICATE", &id]).await.is_ok()).await;
        }
        eventually(PATIENCE, async || self.complete().await.unwrap_or_default()).await;
        Ok(())
    }

    /// Whether every node sees three masters and three replicas at work.
    async fn complete(&self) -> Result<bool, RedisError> {
        for (index, node) in self.nodes.iter().enumerate() {
            let table: String = node.admin().ask(&["CLUSTER", "NODES"]).await?;
            let count = |part: &str| table.lines().filter(|line| line.contains(part) && line.contains(" connected")).count();
            let state: String = node.admin().ask(&["CLUSTER", "INFO"]).await?;
            let follows = index < 3 || node.admin().info("replication", "master_link_status").await? == "up";
            if count("master ") != 3 || count("slave ") != 3 || !state.contains("cluster_state:ok") || !follows {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The URLs of all nodes.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The master that serves a key, as the first node that answers says.
    pub(crate) async fn node_owning(&mut self, key: &str) -> &mut RedisServer {
        let port = self.port_owning(key).await;
        self.nodes.iter_mut().find(|node| node.port() == port).expect("one of ours")
    }

    async fn port_owning(&self, key: &str) -> u16 {
        for node in &self.nodes {
            let Ok(slot) = node.admin().ask::<u16>(&["CLUSTER", "KEYSLOT", key]).await else { continue };
            let table: String = node.admin().ask(&["CLUSTER", "NODES"]).await.expect("a table");
            let owner = table.lines().find_map(|line| port_of_owner(line, slot));
            return owner.unwrap_or_else(|| panic!("nobody has slot {slot}: {table}"));
        }
        panic!("no node answers");
    }

    /// Kills the master that serves a key and returns its port.
    pub(crate) async fn kill_owner_of(&mut self, key: &str) -> u16 {
        let owner = self.node_owning(key).await;
        owner.kill().await;
        owner.port()
    }

    /// Cuts the replicas off from what their masters are told from now on. Neither they nor a failover go on before they are let.
    pub(crate) async fn hold_replication(&mut self) {
        let (masters, replicas) = self.nodes.split_at_mut(3);
        for master in &*masters {
            let replicated: redis::RedisResult<u8> = master.admin().ask(&["WAIT", "1", "5000"]).await;
            assert!(replicated.is_ok());
        }
        for replica in replicas {
            replica.freeze();
        }
        // What is on its way in a connection would arrive all the same.
        for master in masters {
            master.admin().ask::<u8>(&["CLIENT", "KILL", "TYPE", "replica"]).await.expect("a count");
        }
    }

    /// Kills a master that does not have the channel, and lets the replicas go on. Returns its port.
    pub(crate) async fn lose_master_beside(&mut self, channel: &str) -> u16 {
        let owner = self.port_owning(channel).await;
        let (masters, replicas) = self.nodes.split_at_mut(3);
        let master = masters.iter_mut().find(|master| master.port() != owner).expect("three");
        master.kill().await;
        for replica in replicas {
            replica.thaw();
        }
        master.port()
    }

    /// Waits until another node than the one on this port serves the key, and the nodes that run agree that all is well.
    pub(crate) async fn failed_over_from(&mut self, port: u16, key: &str) {
        eventually(PATIENCE, async || {
            if self.port_owning(key).await == port {
                return false;
            }
            for node in &mut self.nodes {
                let running = node.is_running();
                let state = node.admin().ask::<String>(&["CLUSTER", "INFO"]).await;
                if running && !state.is_ok_and(|state| state.contains("cluster_state:ok")) {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Waits until no slot is the node's on this port, which was killed, and the nodes that run agree that all is well.
    pub(crate) async fn failed_over_from_node(&mut self, port: u16) {
        eventually(PATIENCE, async || {
            for node in &mut self.nodes {
                if !node.is_running() {
                    continue;
                }
                let state = node.admin().ask::<String>(&["CLUSTER", "INFO"]).await;
                let table = node.admin().ask::<String>(&["CLUSTER", "NODES"]).await;
                let (Ok(state), Ok(table)) = (state, table) else { return false };
                let has_slots = table
                    .lines()
                    .any(|line| line.contains(&format!(":{port}@")) && line.contains("master") && line.split(' ').count() > 8);
                if has_slots || !state.contains("cluster_state:ok") {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Starts the node on this port again, as a replica of whoever took its place, and waits until it has everything.
    pub(crate) async fn restart(&mut self, port: u16) {
        self.nodes.iter_mut().find(|node| node.port() == port).expect("one of ours").restart().await;
        let node = self.nodes.iter().find(|node| node.port() == port).expect("one of ours");
        eventually(PATIENCE, async || {
            let up = node.admin().info("replication", "master_link_status").await.is_ok_and(|link| link == "up");
            // The others have to know that it is there, or a failover would find no replica.
            let mut known = up;
            for other in &self.nodes {
                let table = other.admin().ask::<String>(&["CLUSTER", "NODES"]).await.unwrap_or_default();
                let line = table.lines().find(|line| line.contains(&format!(":{port}@"))).unwrap_or_default();
                known &= line.contains("slave ") && line.contains(" connected");
            }
            known
        })
        .await;
    }

    /// A new client of the cluster that may do everything.
    pub(crate) async fn client(&self) -> ClusterConnection {
        let mut builder = ClusterClient::builder(self.urls())
            .connection_timeout(Duration::from_secs(2))
            .response_timeout(Duration::from_secs(10));
        if self.options.admin(Role::Data).is_some() {
            builder = builder.username(ADMIN.0).password(ADMIN.1);
        }
        if let Some(certificates) = &self.options.tls {
            builder = builder.certs(certificates.as_client());
        }
        builder.build().expect("a client").get_async_connection().await.expect("a connection")
    }

    /// Every key of every master that runs, with everything that is stored under it.
    pub(crate) async fn dump(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        for master in self.masters().await {
            all.extend(master.dump().await);
        }
        all
    }

    /// The names of all keys, sorted.
    pub(crate) async fn keys(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for master in self.masters().await {
            all.extend(master.keys().await);
        }
        all.sort();
        all
    }

    /// Forgets everything that is stored.
    pub(crate) async fn flush(&mut self) {
        for master in self.masters().await {
            master.flush().await;
        }
    }

    /// The nodes that run and are masters now.
    pub(crate) async fn masters(&mut self) -> Vec<&RedisServer> {
        let mut masters = Vec::new();
        for node in &mut self.nodes {
            if node.is_running() && node.admin().info("replication", "role").await.is_ok_and(|role| role == "master") {
                masters.push(&*node);
            }
        }
        masters
    }
}

/// The port in a line of `CLUSTER NODES` (id, address, flags, master, ping, pong, epoch, link, slots…) if it has this slot.
fn port_of_owner(line: &str, slot: u16) -> Option<u16> {
    let words: Vec<_> = line.split(' ').collect();
    let has = |range: &&str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse().is_ok_and(|first: u16| first <= slot) && last.parse().is_ok_and(|last: u16| slot <= last)
    };
    words.get(8..)?.iter().find(|range| has(range))?;
    words.get(1)?.split('@').next()?.rsplit(':').next()?.parse().ok()
}
