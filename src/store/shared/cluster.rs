//! Where the nodes of a cluster send a client: to the owner of a slot, to the node that a slot is on its way to, and to nodes that
//! no address of the configuration names.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::dial::Dialer;

/// How often a command or a subscription may be sent on before it is given up.
pub(super) const REDIRECTS: usize = 5;
/// How long a connection that was made for a redirect is kept without another one: the client has its own connections to the nodes.
const IDLE: Duration = Duration::from_secs(3);

/// Where an answer sends the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    /// `None`: the host of the node that answered.
    pub(super) host: Option<String>,
    pub(super) port: u16,
    /// For this command alone: the slot is on its way.
    asking: bool,
}

/// The nodes that a cluster was last seen to have, as it names them.
/// Where all that the configuration names are gone, others are there.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    known: Mutex<Vec<(String, u16)>>,
    /// With which of them to begin.
    turn: AtomicUsize,
}

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

// === impl Redirect ===

impl Redirect {
    /// What a `MOVED` or an `ASK` says; `None`: the error is another one.
    pub(super) fn of(error: &RedisError) -> Option<Self> {
        // The crate gives the address in one piece, and the slot.
        let (address, _slot) = error.redirect_node()?;
        let asking = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
        Self::parse(address, asking)
    }

    fn parse(address: &str, asking: bool) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // A node that does not know its own name leaves it out, or says that it does not know.
        let host = (!host.is_empty() && host != "?").then(|| host.to_owned());
        Some(Self { host, port: port.parse().ok()?, asking })
    }
}

// === impl Nodes ===

impl Nodes {
    pub(super) fn known(&self) -> Vec<(String, u16)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The host of the nodes that have this port, if they are all on one.
    pub(super) fn host_of(&self, port: u16) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hosts = known.iter().filter(|node| node.1 == port).map(|node| &node.0);
        let first = hosts.next()?;
        hosts.all(|host| host == first).then(|| first.clone())
    }

    /// With which of the nodes to begin, whatever their number.
    pub(super) fn turn(&self) -> usize {
        self.turn.load(Ordering::Relaxed)
    }

    /// The one that was begun with is not there: the next time another one is the first.
    pub(super) fn pass(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the answer to `CLUSTER SLOTS` of a node on `host`: ranges, each with the nodes that have it.
    pub(super) fn learn(&self, slots: Value, host: &str) {
        let mut nodes = Vec::new();
        let Value::Array(ranges) = slots else { return };
        for range in ranges {
            let Value::Array(range) = range else { continue };
            nodes.extend(range.into_iter().filter_map(|part| node(part, host)));
        }
        nodes.sort();
        nodes.dedup();
        if !nodes.is_empty() {
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
        }
    }
}

/// One node of a range; its bounds are none.
fn node(value: Value, asked: &str) -> Option<(String, u16)> {
    let Value::Array(parts) = value else { return None };
    let mut parts = parts.into_iter();
    let host = match parts.next()? {
        Value::BulkString(host) => String::from_utf8(host).ok().filter(|host| !host.is_empty() && host != "?"),
        _ => None,
    };
    let Some(Value::Int(port)) = parts.next() else { return None };
    Some((host.unwrap_or_else(|| asked.to_owned()), u16::try_from(port).ok()?))
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

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::{Nodes, Redirect};

    #[test]
    fn redirects_are_an_address_in_one_piece() {
        let redirect = |host: Option<&str>, port| Some(Redirect { host: host.map(str::to_owned), port, asking: false });
        for (text, expected) in [
            ("10.0.0.1:7000", redirect(Some("10.0.0.1"), 7000)),
            ("node.example:7000", redirect(Some("node.example"), 7000)),
            ("::1:7000", redirect(Some("::1"), 7000)),
            ("[::1]:7000", redirect(Some("::1"), 7000)),
            (":7000", redirect(None, 7000)),
            ("?:7000", redirect(None, 7000)),
            ("10.0.0.1", None),
            ("10.0.0.1:seventy", None),
        ] {
            assert_eq!(Redirect::parse(text, false), expected, "{text}");
        }
    }

    #[test]
    fn nodes_are_learned_and_kept() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let range = |nodes: Vec<Value>| Value::Array([vec![Value::Int(0), Value::Int(9)], nodes].concat());
        let slots = vec![
            range(vec![node(text("10.0.0.2"), 7000), node(Value::Nil, 7001)]),
            range(vec![node(text("10.0.0.2"), 7000), node(text(""), 70_000)]),
        ];
        let nodes = Nodes::default();
        nodes.learn(Value::Array(slots), "10.0.0.1");
        let expected = vec![("10.0.0.1".to_owned(), 7001), ("10.0.0.2".to_owned(), 7000)];
        assert_eq!(nodes.known(), expected);
        assert_eq!(nodes.host_of(7001).as_deref(), Some("10.0.0.1"), "a redirect that leaves the host out");
        assert_eq!(nodes.host_of(7002), None);
        nodes.learn(Value::Array(vec![]), "10.0.0.1");
        nodes.learn(Value::Nil, "10.0.0.1");
        assert_eq!(nodes.known(), expected, "an answer without nodes says nothing");
        nodes.learn(Value::Array(vec![range(vec![node(text("10.0.0.1"), 7000), node(text("10.0.0.2"), 7000)])]), "10.0.0.1");
        assert_eq!(nodes.host_of(7000), None, "it may be either of them");
    }
}
