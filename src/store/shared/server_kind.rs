//! What answers at the addresses that are configured, where that is not what was meant: a sentinel, a replica, or nodes of a
//! cluster whose certificates do not hold for what the cluster calls them. For `tokend check`.

use std::time::Duration;

use redis::{ProtocolVersion, RedisError, RedisResult, Value};

use super::access::Credentials;
use super::cluster::Nodes;
use super::dial::{CONNECT, Dialer, config, timed_out};
use super::place::ServerPlace;
use super::wire::RedisConnection;
use crate::finding::Complaint;
use crate::store::settings::{NodeNames, RedisUrl, Topology};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(2);

impl Dialer {
    /// That the one server at this end of the connection is none that takes writes. A server that does not say is not blamed.
    ///
    /// # Errors
    /// The connection breaks: a server that asks for a client certificate says so after the handshake.
    pub(super) async fn misplaced(&self, wire: &RedisConnection) -> RedisResult<Option<Complaint>> {
        if !matches!(self.topology(), Topology::Standalone(_)) {
            return Ok(None);
        }
        match patiently(wire.clone().ask(&redis::cmd("HELLO"))).await {
            Ok(hello) => Ok(of_hello(&hello)),
            Err(error) if error.is_io_error() => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// That the one server is a sentinel, which has no databases to choose from.
    pub(super) async fn sentinel_without_databases(&self) -> Option<Complaint> {
        let Topology::Standalone(_) = self.topology() else { return None };
        let dialer = self.clone().without_database();
        let (wire, _) = patiently(dialer.data()).await.ok()?;
        dialer.misplaced(&wire).await.ok()?
    }

    /// That the one server refuses the log-in because it is a sentinel, which as a rule knows no users.
    pub(super) async fn sentinel_without_login(&self) -> Option<Complaint> {
        let Topology::Standalone(url) = self.topology() else { return None };
        let place = ServerPlace { db: 0, ..ServerPlace::of(url) };
        let client = place.client(&Credentials::default(), ProtocolVersion::RESP2, self.access()).ok()?;
        let config = config(CONNECT);
        let mut connection = patiently(client.get_multiplexed_async_connection_with_config(&config)).await.ok()?;
        let hello = patiently(connection.send_packed_command(&redis::cmd("HELLO"))).await.ok()?;
        of_hello(&hello)
    }

    /// That nodes of a cluster cannot be connected to, because their certificates do not hold for what the cluster calls them.
    pub(super) async fn unnamed_nodes(&self) -> Option<Complaint> {
        let Topology::Cluster(urls) = self.topology() else { return None };
        urls.first().filter(|url| url.tls)?;
        let nodes = self.announced(urls).await?;
        let tried = nodes.iter().map(|(host, port)| async move {
            let error = patiently(self.node_within(host, *port, PATIENCE)).await.err()?;
            causes(&error).contains("NotValidForName").then(|| self.unnamed(host, *port))
        });
        let unnamed: Vec<(String, String)> = futures_util::future::join_all(tried).await.into_iter().flatten().collect();
        let what: Vec<&str> = unnamed.iter().map(|(what, _)| what.as_str()).collect();
        let entries: Vec<&str> = unnamed.iter().map(|(_, entry)| entry.as_str()).collect();
        (!unnamed.is_empty()).then(|| {
            Complaint::new(
                format!("certificates of the cluster's nodes do not hold for how they are reached: {}", what.join(", ")),
                format!(
                    "have each node announce the name that its certificate has: `cluster-announce-hostname NAME` and \
                     `cluster-preferred-endpoint-type hostname`; or list it: `cluster.node_names: {{{}}}`",
                    entries.join(", ")
                ),
            )
        })
    }

    /// The nodes as the first one that answers announces them.
    async fn announced(&self, urls: &[RedisUrl]) -> Option<Vec<(String, u16)>> {
        let config = config(CONNECT);
        for url in urls {
            let single = self.single(ServerPlace::of(url), ProtocolVersion::RESP2, &config);
            let Ok(mut connection) = patiently(single).await else { continue };
            let slots = patiently(connection.send_packed_command(redis::cmd("CLUSTER").arg("SLOTS"))).await;
            let nodes = Nodes::default();
            if let Ok(slots) = slots {
                nodes.learn(slots, &url.host);
            }
            return Some(nodes.known());
        }
        None
    }

    /// How a node is reached, for a sentence, and the entry that would mend it.
    fn unnamed(&self, host: &str, port: u16) -> (String, String) {
        let bracketed = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let entry = format!("\"{bracketed}\": \"NAME:{port}\"");
        let what = match self.node_names().of(host, port) {
            Some((name, port)) => format!("{bracketed} (`node_names` calls it {name}:{port})"),
            None if *self.node_names() == NodeNames::default() => bracketed,
            None => format!("{bracketed} (`node_names` does not list it)"),
        };
        (what, entry)
    }
}

/// Reads `HELLO`: names and values in turn, or a map.
fn of_hello(answer: &Value) -> Option<Complaint> {
    let pairs: Vec<(&Value, &Value)> = match answer {
        Value::Array(list) => list.as_chunks::<2>().0.iter().map(|[name, value]| (name, value)).collect(),
        Value::Map(pairs) => pairs.iter().map(|(name, value)| (name, value)).collect(),
        _ => return None,
    };
    let says = |name: &str, said: &str| pairs.iter().any(|(key, value)| is(key, name) && is(value, said));
    if says("mode", "sentinel") {
        return Some(Complaint::new(
            "the server is a sentinel, which keeps nothing",
            "write `sentinel: {master: …, urls: […]}` in place of `url`",
        ));
    }
    (says("role", "replica") || says("role", "slave")).then(replica)
}

/// That the server is a replica.
pub(super) fn replica() -> Complaint {
    Complaint::new(
        "the server is a replica and takes no writes",
        "write the master's address, or name the sentinels or the cluster's nodes",
    )
}

fn is(value: &Value, text: &str) -> bool {
    match value {
        Value::BulkString(bytes) => bytes == text.as_bytes(),
        Value::SimpleString(found) => found == text,
        _ => false,
    }
}

/// The outcome, or after a while that there is none.
pub(super) async fn patiently<T>(work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    tokio::time::timeout(PATIENCE, Box::pin(work)).await.unwrap_or_else(|_| Err(timed_out()))
}

/// Everything that the error says; for looking into, not for showing.
pub(super) fn causes(error: &RedisError) -> String {
    let mut text = format!("{error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        text.push_str(&format!(" {deeper:?}"));
        cause = deeper.source();
    }
    text
}
