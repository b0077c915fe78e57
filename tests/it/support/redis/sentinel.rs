//! A master with two replicas, watched by three sentinels.

use std::time::Duration;

use redis::RedisError;
use redis::aio::MultiplexedConnection;

use super::server::Role;
use super::{Options, RedisServer};
use crate::support::wait::eventually;

const MASTER: &str = "tokens";

/// How long sentinels may take to find each other or to agree.
const PATIENCE: Duration = Duration::from_secs(30);

/// Six processes; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Sentinel {
    /// The data nodes, the first master first.
    pub(crate) nodes: Vec<RedisServer>,
    pub(crate) sentinels: Vec<RedisServer>,
}

// === impl Sentinel ===

impl Sentinel {
    /// Without TLS and users.
    pub(crate) async fn start() -> Self {
        Self::start_with(RedisServer::options()).await
    }

    /// Every node as the options say. Returns when a failover would succeed.
    pub(crate) async fn start_with(options: Options) -> Self {
        let master = RedisServer::start_with(options.clone()).await;
        let following = options.clone().config("replicaof", &format!("127.0.0.1 {}", master.port()));
        let (second, third) = tokio::join!(RedisServer::start_with(following.clone()), RedisServer::start_with(following));
        eventually(PATIENCE, async || replicas_in_sync(&master).await.is_ok_and(|count| count == 2)).await;
        let mut watched = format!(
            "sentinel monitor {MASTER} 127.0.0.1 {} 2\nsentinel down-after-milliseconds {MASTER} 700\n\
             sentinel failover-timeout {MASTER} 5000\n",
            master.port()
        );
        if let Some((user, password)) = options.admin(Role::Data) {
            watched += &format!("sentinel auth-user {MASTER} {user}\nsentinel auth-pass {MASTER} {password}\n");
        }
        let launch = || RedisServer::launch(options.clone(), Role::Sentinel, &watched);
        let (first, other, last) = tokio::join!(launch(), launch(), launch());
        let group = Self { nodes: vec![master, second, third], sentinels: vec![first, other, last] };
        for sentinel in &group.sentinels {
            eventually(PATIENCE, async || knows_all(sentinel).await.unwrap_or_default()).await;
        }
        group
    }

    /// A sentinel that has never heard of the others and calls `other` the master of the same name.
    pub(crate) async fn contradicted_for(other: &RedisServer) -> RedisServer {
        let watched = format!("sentinel monitor {MASTER} 127.0.0.1 {} 2\n", other.port());
        RedisServer::launch(RedisServer::options(), Role::Sentinel, &watched).await
    }

    /// The sentinels' URLs.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }

    /// What the sentinels call the master.
    pub(crate) fn master_name(&self) -> &'static str {
        MASTER
    }

    /// The port of the master, as the first sentinel that answers says.
    pub(crate) async fn master_port(&self) -> u16 {
        for sentinel in &self.sentinels {
            let address = sentinel.admin().ask::<(String, u16)>(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]).await;
            if let Ok((_, port)) = address {
                return port;
            }
        }
        panic!("no sentinel answers");
    }

    /// The data node that the sentinels call master.
    pub(crate) async fn master(&mut self) -> &mut RedisServer {
        let port = self.master_port().await;
        self.nodes.iter_mut().find(|node| node.port() == port).expect("one of ours")
    }

    /// Kills the master and returns its port.
    pub(crate) async fn kill_master(&mut self) -> u16 {
        let master = self.master().await;
        master.kill().await;
        master.port()
    }

    /// Cuts the replicas off from what their master is told from now on: they follow somebody else until a sentinel corrects that,
    /// which takes some seconds.
    pub(crate) async fn hold_replication(&mut self) {
        let master = self.master_port().await;
        for node in self.nodes.iter().filter(|node| node.port() != master) {
            // Nobody listens there.
            node.admin().ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await.expect("a replica");
        }
    }

    /// Waits until every replica has all that the master has.
    pub(crate) async fn in_sync(&mut self) {
        let count = self.nodes.len() - 1;
        let master = self.master().await;
        let kept: redis::RedisResult<usize> = master.admin().ask(&["WAIT", &count.to_string(), "5000"]).await;
        assert!(kept.is_ok_and(|kept| kept <= count));
        eventually(PATIENCE, async || replicas_in_sync(master).await.is_ok_and(|found| found == count)).await;
    }

    /// Has the sentinels make another node the master although this one works. For some seconds that one takes writes all the same.
    pub(crate) async fn depose_master(&mut self) -> u16 {
        let old = self.master_port().await;
        self.sentinels[0].admin().ask::<()>(&["SENTINEL", "FAILOVER", MASTER]).await.expect("a failover");
        old
    }

    /// Waits until another node than the one on this port is master and takes writes.
    pub(crate) async fn failed_over_from(&mut self, port: u16) {
        eventually(PATIENCE, async || {
            if self.master_port().await == port {
                return false;
            }
            let master = self.master().await.admin().info("replication", "role").await;
            master.is_ok_and(|role| role == "master")
        })
        .await;
    }

    /// A new connection to the master that may do everything.
    pub(crate) async fn client(&mut self) -> MultiplexedConnection {
        self.master().await.client().await
    }
}

/// How many replicas have everything that the master has.
async fn replicas_in_sync(master: &RedisServer) -> Result<usize, RedisError> {
    let text: String = master.admin().ask(&["INFO", "replication"]).await?;
    Ok(text.matches("state=online").count())
}

/// Whether a sentinel knows both replicas and both other sentinels.
async fn knows_all(sentinel: &RedisServer) -> Result<bool, RedisError> {
    let state: String = sentinel.admin().info("sentinel", "master0").await?;
    Ok(["status=ok", "slaves=2", "sentinels=3"].iter().all(|part| state.contains(part)))
}
