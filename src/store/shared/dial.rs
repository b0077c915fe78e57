//! How a connection is made, whatever the topology: to the one server, to whom the sentinels call the master, or to a cluster.
//!
//! Time-outs, keep-alive and retries are all set here: the client's own defaults wait for seconds, or for ever.

use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionInfo, ErrorKind, Pipeline, ProtocolVersion, RedisError, RedisResult, TlsMode, Value,
};

use super::access::Access;
use super::place::{Place, tcp};
use crate::store::settings::{RedisSettings, RedisUrl, Topology};

/// How long one server may take to connect, TLS and log-in included.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a sentinel may take, answer included; there are others.
const ASK: Duration = Duration::from_millis(500);
/// How often a cluster's channel may lead to another node before it is given up.
const REDIRECTS: usize = 3;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Dialer {
    topology: Topology,
    access: Access,
    /// How long the longest call waits, for a cluster's own time-outs.
    longest: Duration,
}

/// Whom the sentinels called the master when a connection was made: host and port.
pub(super) type Master = (String, u16);

/// A connection that many calls share.
#[derive(Clone)]
pub(super) enum Wire {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

// === impl Dialer ===

impl Dialer {
    pub(super) fn new(settings: &RedisSettings, access: Access) -> Self {
        Self { topology: settings.topology.clone(), access, longest: settings.timeout.max(settings.write_timeout) }
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    /// A connection for calls, and to which master it leads if there are sentinels.
    pub(super) async fn data(&self) -> RedisResult<(Wire, Option<Master>)> {
        match &self.topology {
            Topology::Standalone(url) => {
                let connection = self.single(Place::of(url), ProtocolVersion::RESP2, &config(CONNECT)).await?;
                Ok((Wire::Single(connection), None))
            }
            Topology::Sentinel { master, urls, .. } => {
                let (connection, master) = self.master(master, urls, ProtocolVersion::RESP2, || config(CONNECT)).await?;
                Ok((Wire::Single(connection), Some(master)))
            }
            Topology::Cluster(urls) => Ok((Wire::Cluster(self.cluster(urls)?.get_async_connection().await?), None)),
        }
    }

    /// Whether the sentinels call another one the master by now: the old one may be there, cut off from them, and say nothing.
    /// If none of them answers, nothing is known.
    pub(super) async fn is_deposed(&self, master: Option<&Master>) -> bool {
        let (Topology::Sentinel { master: name, urls, .. }, Some(master)) = (&self.topology, master) else { return false };
        for url in urls {
            if let Ok(now) = self.master_address(name, url).await {
                return now != *master;
            }
        }
        false
    }

    /// A connection of its own that is subscribed to `channel`. What comes goes to the last sender that was asked for: there may be
    /// more connections on the way to the right one.
    pub(super) async fn subscribed<S: AsyncPushSender>(
        &self,
        channel: &str,
        sender: impl Fn() -> S,
    ) -> RedisResult<(MultiplexedConnection, Option<Master>)> {
        let config = || config(CONNECT).set_push_sender(sender());
        match &self.topology {
            Topology::Standalone(url) => {
                let connection = self.single(Place::of(url), ProtocolVersion::RESP3, &config()).await?;
                Ok((subscribe(connection, "SUBSCRIBE", channel).await?, None))
            }
            Topology::Sentinel { master, urls, .. } => {
                let (connection, master) = self.master(master, urls, ProtocolVersion::RESP3, config).await?;
                Ok((subscribe(connection, "SUBSCRIBE", channel).await?, Some(master)))
            }
            Topology::Cluster(urls) => {
                let mut last = nobody();
                for url in urls {
                    match self.subscribed_in_cluster(url, channel, &config).await {
                        Ok(connection) => return Ok((connection, None)),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// Any node says which one has the channel.
    async fn subscribed_in_cluster(
        &self,
        url: &RedisUrl,
        channel: &str,
        config: impl Fn() -> AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let mut place = Place::of(url);
        let mut last = nobody();
        for _ in 0..REDIRECTS {
            let connection = self.single(place.again(), ProtocolVersion::RESP3, &config()).await?;
            let error = match subscribe(connection, "SSUBSCRIBE", channel).await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            match error.redirect_node() {
                // A node that does not know its own name leaves it out.
                Some(("", port)) => place.port = port,
                Some((host, port)) => (place.host, place.port) = (host.to_owned(), port),
                None => return Err(error),
            }
            last = error;
        }
        Err(last)
    }

    /// Whom the sentinels call the master, if it says so itself.
    async fn master(
        &self,
        name: &str,
        urls: &[RedisUrl],
        protocol: ProtocolVersion,
        config: impl Fn() -> AsyncConnectionConfig,
    ) -> RedisResult<(MultiplexedConnection, Master)> {
        let mut last = nobody();
        for url in urls {
            match self.master_by(name, url, urls, protocol, &config()).await {
                Ok(found) => return Ok(found),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn master_by(
        &self,
        name: &str,
        sentinel: &RedisUrl,
        urls: &[RedisUrl],
        protocol: ProtocolVersion,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<(MultiplexedConnection, Master)> {
        let master = self.master_address(name, sentinel).await?;
        let (host, port) = master.clone();
        let db = urls.first().map_or(0, |url| url.db);
        let mut connection = self.single(Place { tls: sentinel.tls, host, port, db }, protocol, config).await?;
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
        let place = Place { db: 0, ..Place::of(sentinel) };
        let asked = async {
            let client = place.client(&self.access.sentinel(), ProtocolVersion::RESP2, &self.access)?;
            let mut connection = client.get_multiplexed_async_connection_with_config(&config(ASK)).await?;
            let mut cmd = redis::cmd("SENTINEL");
            cmd.arg("GET-MASTER-ADDR-BY-NAME").arg(name).query_async::<Option<Master>>(&mut connection).await
        };
        let answer = tokio::time::timeout(ASK, asked).await.unwrap_or_else(|_| Err(timed_out()))?;
        answer.ok_or_else(|| RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, "the sentinel knows no such master")))
    }

    async fn single(
        &self,
        place: Place,
        protocol: ProtocolVersion,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let client = place.client(&self.access.user(), protocol, &self.access)?;
        client.get_multiplexed_async_connection_with_config(config).await
    }

    fn cluster(&self, urls: &[RedisUrl]) -> RedisResult<ClusterClient> {
        let credentials = self.access.user();
        let nodes: RedisResult<Vec<ConnectionInfo>> =
            urls.iter().map(|url| Place { db: 0, ..Place::of(url) }.info(&credentials, ProtocolVersion::RESP2)).collect();
        let mut builder = ClusterClientBuilder::new(nodes?)
            .retries(3)
            .min_retry_wait(20)
            .max_retry_wait(200)
            .connection_timeout(Duration::from_millis(300))
            .response_timeout(self.longest)
            .overall_response_timeout(Some(self.longest + ASK))
            .use_protocol(ProtocolVersion::RESP2)
            .tcp_settings(tcp());
        if urls.first().is_some_and(|url| url.tls) {
            builder = builder.tls(TlsMode::Secure).certs(self.access.certificates());
        }
        builder.build()
    }
}

// === impl Wire ===

impl Wire {
    /// Sends a command and waits for its answer, however long that takes.
    pub(super) async fn ask(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        use redis::aio::ConnectionLike as _;
        let value = match self {
            Self::Single(connection) => connection.send_packed_command(cmd).await?,
            Self::Cluster(connection) => connection.req_packed_command(cmd).await?,
        };
        value.extract_error()
    }

    /// Sends commands together and waits for all answers; one that is refused refuses all.
    pub(super) async fn ask_all(&mut self, batch: &Pipeline) -> RedisResult<Value> {
        use redis::aio::ConnectionLike as _;
        let count = batch.len();
        let values = match self {
            Self::Single(connection) => connection.send_packed_commands(batch, 0, count).await?,
            Self::Cluster(connection) => connection.req_packed_commands(batch, 0, count).await?,
        };
        Value::Array(values).extract_error()
    }
}

/// Every call has a deadline of its own: the connection needs no second timer for each.
fn config(connect: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(connect)).set_response_timeout(None)
}

async fn subscribe(mut connection: MultiplexedConnection, command: &str, channel: &str) -> RedisResult<MultiplexedConnection> {
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
