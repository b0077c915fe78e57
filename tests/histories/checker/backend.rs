//! What replicas share, as real processes, and when all is well with it.

use std::time::Duration;

use redis::RedisError;

use super::plan::Topology;
use crate::support::redis::{Admin, Cluster, Flavour, RedisServer, Sentinel};
use crate::support::{Fault, eventually};

/// How long it may take until everything works again, on a machine that has other things to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// The servers.
#[derive(Debug)]
pub(super) enum Backend {
    /// One server, and a way to it for each replica.
    One(Box<RedisServer>, Vec<Fault>),
    Sentinel(Box<Sentinel>),
    Cluster(Box<Cluster>),
}

// === impl Backend ===

impl Backend {
    pub(super) async fn start(topology: Topology, replicas: usize) -> Self {
        match topology {
            Topology::Standalone | Topology::Valkey => {
                let flavour = if topology == Topology::Valkey { Flavour::Valkey } else { Flavour::Redis };
                let server = RedisServer::options().flavour(flavour).start().await;
                let mut ways = Vec::new();
                for _ in 0..replicas {
                    ways.push(Fault::to(format!("127.0.0.1:{}", server.port())).await);
                }
                Self::One(Box::new(server), ways)
            }
            Topology::Sentinel => Self::Sentinel(Box::new(Sentinel::start().await)),
            Topology::Cluster => Self::Cluster(Box::new(Cluster::start().await)),
        }
    }

    /// The members of `cache.redis` that say where it is, for one replica.
    pub(super) fn location(&self, replica: usize) -> String {
        let list = |urls: &[String]| format!("[\"{}\"]", urls.join("\", \""));
        match self {
            Self::One(_, ways) => format!("url: \"redis://{}\"", ways[replica].address()),
            Self::Sentinel(group) => format!("sentinel: {{master: {}, urls: {}}}", group.master_name(), list(&group.urls())),
            // Not all of them: the others have to be found.
            Self::Cluster(cluster) => format!("cluster: {{urls: {}}}", list(&[cluster.nodes[0].url(), cluster.nodes[4].url()])),
        }
    }

    /// All data servers.
    pub(super) fn nodes(&self) -> &[RedisServer] {
        match self {
            Self::One(server, _) => std::slice::from_ref(server),
            Self::Sentinel(group) => &group.nodes,
            Self::Cluster(cluster) => &cluster.nodes,
        }
    }

    pub(super) fn nodes_mut(&mut self) -> &mut [RedisServer] {
        match self {
            Self::One(server, _) => std::slice::from_mut(server),
            Self::Sentinel(group) => &mut group.nodes,
            Self::Cluster(cluster) => &mut cluster.nodes,
        }
    }

    /// The numbers of those that take writes now.
    pub(super) async fn masters(&mut self) -> Vec<usize> {
        let mut masters = Vec::new();
        for (number, node) in self.nodes_mut().iter_mut().enumerate() {
            if node.is_running() && node.admin().info("replication", "role").await.is_ok_and(|role| role == "master") {
                masters.push(number);
            }
        }
        masters
    }

    /// Waits until all servers are at work and agree.
    pub(super) async fn is_whole(&mut self) {
        eventually(PATIENCE, async || {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.looks_whole().await.unwrap_or(false)
        })
        .await;
    }

    async fn looks_whole(&self) -> Result<bool, RedisError> {
        match self {
            Self::One(server, _) => Ok(server.admin().ask::<String>(&["PING"]).await? == "PONG"),
            Self::Sentinel(group) => {
                let port = group.master_port().await;
                for sentinel in &group.sentinels {
                    let state = sentinel.admin().info("sentinel", "master0").await?;
                    if !["status=ok", "slaves=2", "sentinels=3", &format!(":{port},")].iter().all(|part| state.contains(part)) {
                        return Ok(false);
                    }
                }
                for node in &group.nodes {
                    if !follows(node.admin(), node.port() == port).await? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Cluster(cluster) => {
                for node in &cluster.nodes {
                    let admin = node.admin();
                    let (table, state) =
                        (admin.ask::<String>(&["CLUSTER", "NODES"]).await?, admin.ask::<String>(&["CLUSTER", "INFO"]).await?);
                    let count = |kind: &str| {
                        let mine =
                            |line: &&str| line.split(' ').nth(2).is_some_and(|flags| flags.trim_start_matches("myself,") == kind);
                        table.lines().filter(mine).filter(|line| line.contains(" connected")).count()
                    };
                    let is_master = admin.info("replication", "role").await? == "master";
                    if count("master") != 3
                        || count("slave") != 3
                        || !state.contains("cluster_state:ok")
                        || !follows(admin, is_master).await?
                    {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

/// Whether a server is what it has to be: a master that takes writes, or a replica that gets them.
async fn follows(admin: &Admin, is_master: bool) -> Result<bool, RedisError> {
    let role = admin.info("replication", "role").await?;
    if is_master {
        return Ok(role == "master");
    }
    Ok(role == "slave" && admin.info("replication", "master_link_status").await? == "up")
}
