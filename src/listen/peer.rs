//! Who is at the other end of a connection: the rules of the edge depend on it, and it must not come from a header.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Extensions;

use super::client::ClientCertificate;

/// What is known of a connection; an extension of each of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The other end.
    pub peer: Peer,
    /// The certificate that it has shown, if it was asked for one and had one.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Whose listener took it, by the caller's place in the configuration: of an address that is one caller's alone.
    pub owner: Option<u16>,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// TCP.
    Tcp {
        /// Where the connection comes from.
        address: SocketAddr,
        /// The listener that took it: the Host rules name it, and a wildcard is none.
        listener: SocketAddr,
        /// Whether the connection is over TLS. Where the listener asks for client certificates, the other end has shown a good one.
        tls: bool,
    },
    /// A Unix socket: the kernel tells who connected.
    Unix {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
        /// The process, where the kernel tells it.
        pid: Option<i32>,
    },
}

// === impl Connection ===

impl Connection {
    /// The connection that a request came over. `None`: it came over none of ours.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }
}

impl From<Peer> for Connection {
    /// A connection of which nothing is known but its other end.
    fn from(peer: Peer) -> Self {
        Self { peer, certificate: None, owner: None }
    }
}

// === impl Peer ===

impl Peer {
    /// The peer of the connection that a request came over. `None`: the request came over none of ours.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        Connection::of(extensions).map(|connection| connection.peer)
    }

    /// Whether the other end is on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { address, .. } => address.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => true,
        }
    }

    /// Whether the listener can be reached from this machine only.
    pub fn came_to_local_listener(&self) -> bool {
        match self {
            Self::Tcp { listener, .. } => listener.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => true,
        }
    }
}
