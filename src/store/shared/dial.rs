//! How a connection is made, whatever the topology: to the one server, to whom the sentinels call the master, or to a cluster.
//!
//! Time-outs, keep-alive and retries are all set here: the client's own defaults wait for seconds, or for ever.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder, NodeAddress};
use redis::{AsyncConnectionConfig, ConnectionInfo, ErrorKind, ProtocolVersion, RedisError, RedisResult, TlsMode, Value};

use super::access::Access;
use super::cluster::{Nodes, REDIRECTS, Redirect};
use super::place::{ServerPlace, tcp};
use super::sentinels::{Master, Sentinels};
use super::types::PATIENT;
use crate::store::settings::{NodeNames, RedisSettings, RedisUrl, Topology};

/// How long one server may take to connect, TLS and log-in included.
pub(super) const CONNECT: Duration = Duration::from_secs(1);
/// How long a sentinel may take, answer included; there are others.
const ASK: Duration = Duration::from_millis(500);

/// Makes connections.
#[derive(Clone)]
pub(super) struct Dialer {
    topology: Topology,
    names: Arc<NodeNames>,
    access: Access,
    /// How long the longest call waits, for a cluster's own time-outs.
    longest: Duration,
    sentinels: Arc<Sentinels>,
    nodes: Arc<Nodes>,
}

// === impl Dialer ===

impl Dialer {
    pub(super) fn new(settings: &RedisSettings, access: Access) -> Self {
        Self {
            topology: settings.topology.clone(),
            names: Arc::new(settings.node_names.clone()),
            access,
            longest: settings.timeout.max(settings.write_timeout).max(PATIENT),
            sentinels: Arc::new(Sentinels::new()),
            nodes: Arc::default(),
        }
    }

    /// These settings for calls that wait for replicas besides.
    pub(super) fn waiting(mut self, timeout: Duration) -> Self {
        self.longest += 2 * timeout;
        self
    }

    /// These settings for the first database.
    pub(super) fn without_database(mut self) -> Self {
        match &mut self.topology {
            Topology::Standalone(url) => url.db = 0,
            Topology::Sentinel { urls, .. } | Topology::Cluster(urls) => urls.iter_mut().for_each(|url| url.db = 0),
        }
        self
    }

    /// What nodes of a cluster are called.
    pub(super) fn node_names(&self) -> &NodeNames {
        &self.names
    }

    /// Under what a node is reached that announces this.
    fn named(&self, host: String, port: u16) -> (String, u16) {
        self.names.of(&host, port).cloned().unwrap_or((host, port))
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// What the sentinels announced.
    pub(super) fn sentinels(&self) -> &Sentinels {
        &self.sentinels
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    /// Whether the sentinels call another one the master by now: the old one may be there, cut off from them, and say nothing.
    /// If none of them answers, nothing is known.
    pub(super) async fn is_deposed(&self, master: Option<&Master>) -> bool {
        let (Topology::Sentinel { master: name, urls, .. }, Some(master)) = (&self.topology, master) else { return false };
        match self.elected(name, urls).await {
            Ok(elected) => elected.first() != Some(master),
            // Those that are asked may not know yet what another one announced.
            Err(_) => self.sentinels.has_replaced(Some(master)),
        }
    }

    /// A connection of its own that is subscribed to `channel`. What comes goes to the last sender that was asked for: there may be
    /// more connections on the way to the right one.
    pub(super) async fn subscribed<S: AsyncPushSender>(
        &self,
        channel: &str,
        sender: impl Fn() -> S,
    ) -> RedisResult<(MultiplexedConnection, Option<Master>)> {
        // There may be several nodes to try.
        let connect = if self.is_cluster() { ASK } else { CONNECT };
        let config = || config(connect).set_push_sender(sender());
        match &self.topology {
            Topology::Standalone(url) => {
                let connection = self.single(ServerPlace::of(url), ProtocolVersion::RESP3, &config()).await?;
                Ok((subscribe(connection, "SUBSCRIBE", channel).await?, None))
            }
            Topology::Sentinel { master, urls, .. } => {
                let (connection, master) = self.master(master, urls, ProtocolVersion::RESP3, config).await?;
                Ok((subscribe(connection, "SUBSCRIBE", channel).await?, Some(master)))
            }
            Topology::Cluster(urls) => {
                let mut last = nobody();
                for place in self.places(urls) {
                    match self.subscribed_in_cluster(place, channel, &config).await {
                        Ok(connection) => return Ok((connection, None)),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// The known nodes of a cluster: of the configuration, and named by the cluster. Those tried in vain come last the next time;
    /// else nodes that are gone would take all the time there is.
    fn places(&self, urls: &[RedisUrl]) -> Vec<ServerPlace> {
        let tls = urls.first().is_some_and(|url| url.tls);
        let mut places: Vec<ServerPlace> = urls.iter().map(|url| ServerPlace { db: 0, ..ServerPlace::of(url) }).collect();
        for (host, port) in self.nodes.known().into_iter().map(|(host, port)| self.named(host, port)) {
            if !places.iter().any(|place| place.host == host && place.port == port) {
                places.push(ServerPlace { tls, host, port, db: 0 });
            }
        }
        let first = self.nodes.turn() % places.len().max(1);
        places.rotate_left(first);
        places
    }

    /// Any node says which one has the channel, whether an address of the configuration names that one or not.
    async fn subscribed_in_cluster(
        &self,
        mut place: ServerPlace,
        channel: &str,
        config: impl Fn() -> AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let mut last = nobody();
        for _ in 0..REDIRECTS {
            let connecting = self.single(place.again(), ProtocolVersion::RESP3, &config()).await;
            let connection = connecting.inspect_err(|_| self.nodes.pass())?;
            match subscribe(connection, "SSUBSCRIBE", channel).await {
                Ok(connection) => {
                    self.learn_nodes(connection.clone(), &place.host).await;
                    return Ok(connection);
                }
                Err(error) => {
                    let Some(redirect) = Redirect::of(&error) else { return Err(error) };
                    (place.host, place.port) = self.named(redirect.host.unwrap_or(place.host), redirect.port);
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// Asks a node which others there are: one day those that the configuration names may all be gone.
    async fn learn_nodes(&self, mut connection: MultiplexedConnection, host: &str) {
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        // Without an answer the nodes that are known stay.
        if let Ok(Ok(answer)) = tokio::time::timeout(ASK, connection.send_packed_command(&slots)).await {
            self.nodes.learn(answer, host);
        }
    }

    /// The host of a cluster's node of which only the port is known. A node that does not know its own name leaves it out, and
    /// means the name that the client used.
    pub(super) fn host_of(&self, port: u16) -> Option<String> {
        let Topology::Cluster(urls) = &self.topology else { return None };
        let named = || urls.first().filter(|first| urls.iter().all(|url| url.host == first.host)).map(|url| url.host.clone());
        self.nodes.host_of(port).or_else(named)
    }

    /// A connection to one node of a cluster.
    pub(super) async fn node(&self, host: &str, port: u16) -> RedisResult<MultiplexedConnection> {
        self.node_within(host, port, ASK).await
    }

    /// A connection to one node of a cluster that may take so long.
    pub(super) async fn node_within(&self, host: &str, port: u16, time: Duration) -> RedisResult<MultiplexedConnection> {
        let tls = matches!(&self.topology, Topology::Cluster(urls) if urls.first().is_some_and(|url| url.tls));
        let (host, port) = self.named(host.to_owned(), port);
        self.single(ServerPlace { tls, host, port, db: 0 }, ProtocolVersion::RESP2, &config(time)).await
    }

    /// Whom the sentinels call the master, if it says so itself.
    pub(super) async fn master(
        &self,
        name: &str,
        urls: &[RedisUrl],
        protocol: ProtocolVersion,
        config: impl Fn() -> AsyncConnectionConfig,
    ) -> RedisResult<(MultiplexedConnection, Master)> {
        let Some(first) = urls.first() else { return Err(nobody()) };
        // What was announced a moment ago not every sentinel may know.
        if let Some(master) = self.sentinels.newest()
            && let Ok(found) = self.master_at(master, first, protocol, &config()).await
        {
            return Ok(found);
        }
        let mut last = nobody();
        for master in self.elected(name, urls).await? {
            match self.master_at(master, first, protocol, &config()).await {
                Ok(found) => return Ok(found),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Whom the sentinels call the master, the one that most of them name first: one of them may be cut off from the others, and
    /// not know whom these chose. All are asked at once, and nobody is waited for when more than half of them agree.
    async fn elected(&self, name: &str, urls: &[RedisUrl]) -> RedisResult<Vec<Master>> {
        let mut answers: FuturesUnordered<_> = urls.iter().map(|url| self.master_address(name, url)).collect();
        let (mut votes, mut last) = (Vec::<(Master, usize)>::new(), nobody());
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(master) => match votes.iter_mut().find(|(named, _)| *named == master) {
                    Some((_, count)) => *count += 1,
                    None => votes.push((master, 1)),
                },
                Err(error) => last = error,
            }
            if votes.iter().any(|(_, count)| *count > urls.len() / 2) {
                break;
            }
        }
        votes.sort_by_key(|(_, count)| Reverse(*count));
        if votes.is_empty() { Err(last) } else { Ok(votes.into_iter().map(|(master, _)| master).collect()) }
    }

    /// A connection to this server, if it says itself that it is a master. TLS and the database are those of the first address.
    async fn master_at(
        &self,
        master: Master,
        first: &RedisUrl,
        protocol: ProtocolVersion,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<(MultiplexedConnection, Master)> {
        let (host, port) = master.clone();
        let mut connection = self.single(ServerPlace { tls: first.tls, host, port, db: first.db }, protocol, config).await?;
        let role: RedisResult<Value> = redis::cmd("ROLE").query_async(&mut connection).await;
        match role {
            Ok(Value::Array(role)) if !role.first().is_some_and(|role| is(role, b"master")) => {
                Err(RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, "it is no master")))
            }
            // Whoever may not ask finds out by writing.
            _ => Ok((connection, master)),
        }
    }

    /// What one sentinel says the master's address is.
    async fn master_address(&self, name: &str, sentinel: &RedisUrl) -> RedisResult<Master> {
        let place = ServerPlace { db: 0, ..ServerPlace::of(sentinel) };
        let asked = async {
            let client = place.client(&self.access.sentinel(), ProtocolVersion::RESP2, &self.access)?;
            let mut connection = client.get_multiplexed_async_connection_with_config(&config(ASK)).await?;
            let mut cmd = redis::cmd("SENTINEL");
            cmd.arg("GET-MASTER-ADDR-BY-NAME").arg(name).query_async::<Option<Master>>(&mut connection).await
        };
        let answer = tokio::time::timeout(ASK, asked).await.unwrap_or_else(|_| Err(timed_out()))?;
        // A sentinel that names the one whose place was taken has not heard of it.
        answer
            .filter(|master| !self.sentinels.has_replaced(Some(master)))
            .ok_or_else(|| RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, "the sentinel knows no such master")))
    }

    pub(super) async fn single(
        &self,
        place: ServerPlace,
        protocol: ProtocolVersion,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let client = place.client(&self.access.user(), protocol, &self.access)?;
        client.get_multiplexed_async_connection_with_config(config).await
    }

    pub(super) fn cluster(&self, urls: &[RedisUrl]) -> RedisResult<ClusterClient> {
        let credentials = self.access.user();
        let nodes: RedisResult<Vec<ConnectionInfo>> =
            self.places(urls).into_iter().map(|place| place.info(&credentials, ProtocolVersion::RESP2)).collect();
        // All of them in less time than a call has: that a slot is on its way has to be heard, or it would pass for silence.
        let mut builder = ClusterClientBuilder::new(nodes?)
            .retries(3)
            .min_retry_wait(4)
            .max_retry_wait(12)
            .connection_timeout(Duration::from_millis(300))
            .response_timeout(self.longest)
            .overall_response_timeout(Some(self.longest + ASK))
            .use_protocol(ProtocolVersion::RESP2)
            .tcp_settings(tcp());
        // By what nodes announce: redirects go on to name them so.
        let node = |(host, port): &(String, u16)| NodeAddress::new(host.as_str(), *port);
        let names: HashMap<_, _> = self.names.iter().map(|(announced, name)| (node(announced), node(name))).collect();
        if !names.is_empty() {
            builder = builder.node_address_map(names);
        }
        if urls.first().is_some_and(|url| url.tls) {
            builder = builder.tls(TlsMode::Secure).certs(self.access.certificates());
        }
        builder.build()
    }
}

/// Every call has a deadline of its own: the connection needs no second timer for each.
pub(super) fn config(connect: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(connect)).set_response_timeout(None)
}

pub(super) async fn subscribe(
    mut connection: MultiplexedConnection,
    command: &str,
    channel: &str,
) -> RedisResult<MultiplexedConnection> {
    let mut cmd = redis::cmd(command);
    cmd.arg(channel);
    let asked = tokio::time::timeout(CONNECT, connection.send_packed_command(&cmd));
    asked.await.unwrap_or_else(|_| Err(timed_out()))?.extract_error()?;
    Ok(connection)
}

fn is(value: &Value, text: &[u8]) -> bool {
    matches!(value, Value::BulkString(bytes) if bytes == text)
}

pub(super) fn timed_out() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}

fn nobody() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::NotConnected))
}
