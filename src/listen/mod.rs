//! The sockets: bind, accept, TLS, bound what a connection may take, drain. It serves whatever it is given and knows no route.

mod accept;
mod bind;
mod certificate;
mod client;
mod connection;
mod frames;
mod gate;
mod handshake;
mod meters;
mod occupant;
mod pace;
mod peer;
mod places;
mod seat;
mod settings;
mod spare;
mod stream;
mod wire;
mod woken;

#[cfg(test)]
mod tests;

pub use accept::serve;
pub use bind::{BindError, Bound, bind};
pub use certificate::Certificate;
pub use client::ClientCertificate;
pub use connection::App;
pub use gate::{Gate, Trespass};
pub use handshake::Tls;
pub use meters::Meters;
pub use peer::{Connection, Peer};
pub use settings::{Address, ClientCertificates, Settings, TlsSettings};
