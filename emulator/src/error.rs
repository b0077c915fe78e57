//! Why an emulator does not start.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why an emulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It knows and tells every secret it accepts, so it must not be reachable from elsewhere without being told so.
    #[error("the emulator listens on loopback only, not on {0}, unless a host name (--host) says how others reach it")]
    NotLoopback(SocketAddr),
    /// Not a name that a certificate and a URL can have.
    #[error("{0:?} is no host name: write it without scheme and port")]
    Host(String),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be read or written.
    #[error("cannot use the file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory file has a mistake.
    #[error("the emulator's directory is wrong: {0}")]
    Directory(String),
    /// A key or certificate could not be made.
    #[error("cannot make keys and certificates: {0}")]
    Certificate(String),
}
