//! Follows redirects that the client of a cluster does not follow to their end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::cluster::{REDIRECTS, Redirect};
use super::dial::Dialer;

/// How long a connection that was made for a redirect is kept without another one: the client has its own connections to the nodes.
const IDLE: Duration = Duration::from_secs(3);

/// Connections to nodes that asked for a command, for what the client does not follow to its end: it shares its connections between
/// commands, and where `ASKING` and the command that it is for are not sent in one go another one comes between.
pub(super) struct AskingNodes {
    dialer: Dialer,
    connections: Mutex<HashMap<(String, u16), Redirected>>,
}

/// A connection to a node that a redirect named, or the way to it. Other nodes do not wait while it is made.
struct Redirected {
    connection: Arc<OnceCell<MultiplexedConnection>>,
    used: Instant,
}

/// A call that wants a connection to a node. Should none be made, because it cannot be or because nobody waits any more, nothing
/// is left of it.
struct WantedNode<'a> {
    nodes: &'a AskingNodes,
    node: &'a (String, u16),
    cell: Arc<OnceCell<MultiplexedConnection>>,
}

// === impl AskingNodes ===

impl AskingNodes {
    pub(super) fn new(dialer: Dialer) -> Arc<Self> {
        Arc::new(Self { dialer, connections: Mutex::default() })
    }

    /// Follows a redirect, and those that come after it.
    pub(super) async fn follow(&self, cmd: &Cmd, mut error: RedisError) -> RedisResult<Value> {
        for _ in 0..REDIRECTS {
            let Some(Redirect { host, port, asking }) = Redirect::of(&error) else { return Err(error) };
            let Some(host) = host.or_else(|| self.dialer.host_of(port)) else { return Err(error) };
            match self.ask((host, port), cmd, asking).await {
                Err(next) if Redirect::of(&next).is_some() => error = next,
                outcome => return outcome,
            }
        }
        Err(error)
    }

    /// Closes the connections that no redirect has used for a while.
    pub(super) fn close_idle(&self) {
        let now = Instant::now();
        self.lock().retain(|_, redirected| now.duration_since(redirected.used) < IDLE);
    }

    async fn ask(&self, node: (String, u16), cmd: &Cmd, asking: bool) -> RedisResult<Value> {
        let wanted = WantedNode { nodes: self, node: &node, cell: self.connection(&node) };
        let cell = &wanted.cell;
        let connecting = cell.get_or_try_init(|| self.dialer.node(&node.0, node.1));
        let mut connection = connecting.await?.clone();
        let mut both = redis::pipe();
        if asking {
            both.cmd("ASKING");
        }
        both.add_command(cmd.clone());
        let answers = connection.send_packed_commands(&both, 0, usize::from(asking) + 1).await;
        if answers.as_ref().is_err_and(|error| error.is_connection_dropped() || error.is_io_error()) {
            self.forget(&node, cell);
        }
        let answer = answers?.pop();
        answer.unwrap_or(Value::Nil).extract_error()
    }

    fn connection(&self, node: &(String, u16)) -> Arc<OnceCell<MultiplexedConnection>> {
        let mut connections = self.lock();
        let used = Instant::now();
        let redirected = connections.entry(node.clone()).or_insert_with(|| Redirected { connection: Arc::default(), used });
        redirected.used = used;
        Arc::clone(&redirected.connection)
    }

    /// Another call may have made a new one by now: only the one that failed goes.
    fn forget(&self, node: &(String, u16), failed: &Arc<OnceCell<MultiplexedConnection>>) {
        let mut connections = self.lock();
        if connections.get(node).is_some_and(|redirected| Arc::ptr_eq(&redirected.connection, failed)) {
            connections.remove(node);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, u16), Redirected>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WantedNode<'_> {
    fn drop(&mut self) {
        let mut connections = self.nodes.lock();
        // The map's own and this one are the only two: nobody else waits.
        let is_last = |kept: &Redirected| Arc::ptr_eq(&kept.connection, &self.cell) && Arc::strong_count(&self.cell) == 2;
        if !self.cell.initialized() && connections.get(self.node).is_some_and(is_last) {
            connections.remove(self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AskingNodes, Dialer};
    use crate::store::settings::{Encryption, RedisSettings, RedisUrl, Topology, VERSIONS};
    use crate::store::shared::access::Access;

    fn settings() -> RedisSettings {
        RedisSettings {
            key: "cache.redis".to_owned(),
            file: None,
            topology: Topology::Cluster(vec![RedisUrl::parse("redis://127.0.0.1:1").unwrap()]),
            node_names: Default::default(),
            username: None,
            password: None,
            ca_file: None,
            client_cert: None,
            client_key: None,
            key_prefix: "tokend".to_owned(),
            encryption: Encryption::Plaintext,
            timeout: Duration::from_millis(50),
            write_timeout: Duration::from_millis(500),
            wait_replicas: 0,
            wait_timeout: Duration::from_millis(500),
            write_version: VERSIONS.newest(),
            versions: VERSIONS,
        }
    }

    #[tokio::test]
    async fn whoever_gets_no_connection_or_leaves_before_leaves_no_entry() {
        let settings = settings();
        let nodes = AskingNodes::new(Dialer::new(&settings, Access::load(&settings).unwrap()));
        // Nobody listens there.
        assert!(nodes.ask(("127.0.0.1".to_owned(), 1), &redis::cmd("PING"), false).await.is_err());
        assert!(nodes.lock().is_empty());
        // And here nobody answers: the listener takes connections, and that is all.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let node = ("127.0.0.1".to_owned(), silent.local_addr().unwrap().port());
        let ping = redis::cmd("PING");
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(nodes.ask(node.clone(), &ping, false))).collect();
        for waiting in &mut waiting {
            assert!(futures_util::poll!(waiting).is_pending());
        }
        assert_eq!(nodes.lock().len(), 1);
        // Whoever waits still has it.
        drop(waiting.split_off(1));
        assert_eq!(nodes.lock().len(), 1);
        drop(waiting);
        assert!(nodes.lock().is_empty());
    }
}
