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
        let cell = self.connection(&node);
        let connecting = cell.get_or_try_init(|| self.dialer.node(&node.0, node.1));
        let mut connection = connecting.await?.clone();
        let mut both = redis::pipe();
        if asking {
            both.cmd("ASKING");
        }
        both.add_command(cmd.clone());
        let answers = connection.send_packed_commands(&both, 0, usize::from(asking) + 1).await;
        if answers.as_ref().is_err_and(|error| error.is_connection_dropped() || error.is_io_error()) {
            self.forget(&node, &cell);
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
