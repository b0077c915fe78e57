//! A connection for calls, whatever the topology, and how commands are sent over it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, Pipeline, ProtocolVersion, RedisResult, Value};

use super::cluster::Redirect;
use super::dial::{CONNECT, Dialer, config};
use super::place::ServerPlace;
use super::redirected::AskingNodes;
use super::sentinels::Master;
use crate::store::settings::Topology;

/// A connection that many calls share.
#[derive(Clone)]
pub(super) enum RedisConnection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection, Arc<AskingNodes>),
}

// === impl Dialer ===

impl Dialer {
    /// A connection for calls, and to which master it leads if there are sentinels.
    pub(super) async fn data(&self) -> RedisResult<(RedisConnection, Option<Master>)> {
        match self.topology() {
            Topology::Standalone(url) => {
                let connection = self.single(ServerPlace::of(url), ProtocolVersion::RESP2, &config(CONNECT)).await?;
                Ok((RedisConnection::Single(connection), None))
            }
            Topology::Sentinel { master, urls, .. } => {
                let (connection, master) = self.master(master, urls, ProtocolVersion::RESP2, || config(CONNECT)).await?;
                Ok((RedisConnection::Single(connection), Some(master)))
            }
            Topology::Cluster(urls) => {
                let connection = self.cluster(urls)?.get_async_connection().await?;
                Ok((RedisConnection::Cluster(connection, AskingNodes::new(self.clone())), None))
            }
        }
    }
}

// === impl RedisConnection ===

impl RedisConnection {
    /// Sends a command and waits for its answer, however long that takes.
    pub(super) async fn ask(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        use redis::aio::ConnectionLike as _;
        match self {
            Self::Single(connection) => connection.send_packed_command(cmd).await?.extract_error(),
            Self::Cluster(connection, asked) => {
                let answer = connection.req_packed_command(cmd).await.and_then(Value::extract_error);
                match answer {
                    // Boxed: each call carries room for this.
                    Err(error) if Redirect::of(&error).is_some() => asked.follow(cmd, error).boxed().await,
                    answer => answer,
                }
            }
        }
    }

    /// Closes what was connected for redirects that come no more.
    pub(super) fn close_idle(&self) {
        if let Self::Cluster(_, asked) = self {
            asked.close_idle();
        }
    }

    /// Sends two commands in one go to the server that has `key`, and waits for both answers.
    pub(super) async fn ask_both(&mut self, key: &str, both: Pipeline) -> RedisResult<Vec<Value>> {
        match self {
            Self::Single(connection) => connection.send_packed_commands(&both, 0, 2).await,
            Self::Cluster(connection, _) => {
                let owner = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master));
                connection.route_pipeline(both, 0, 2, owner).await
            }
        }
    }

    /// Sends commands together and waits for all answers; one that is refused refuses all.
    pub(super) async fn ask_all(&mut self, batch: &Pipeline) -> RedisResult<Value> {
        let count = batch.len();
        let values = match self {
            Self::Single(connection) => connection.send_packed_commands(batch, 0, count).await?,
            // Each by itself over what they share anyway: the client cannot follow a slot on its way with several at once.
            Self::Cluster(..) => {
                let each = batch.cmd_iter().map(|cmd| {
                    let mut wire = self.clone();
                    async move { wire.ask(cmd).await }
                });
                futures_util::future::try_join_all(each).await?
            }
        };
        Value::Array(values).extract_error()
    }
}
