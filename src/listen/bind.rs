//! Sockets before anything is served over them: bound once at start, so that a taken address is an error and not a surprise.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};

use super::{Address, Settings, Tls};

/// A socket that listens and that nobody is served over yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) socket: Socket,
    pub(super) tls: Option<Tls>,
    /// Whose it is, if it is one caller's alone.
    pub(super) owner: Option<u16>,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket; it is removed with the listener unless somebody else has put another one there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: Option<(u64, u64)>,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; {remedy}")]
pub struct BindError {
    /// The address as configured.
    pub address: Address,
    /// What the system said.
    pub source: io::Error,
    /// What to do about it.
    pub remedy: &'static str,
}

/// As deep as the queue of connections that nobody has accepted yet gets.
const BACKLOG: u32 = 1024;

/// How long whoever holds a socket file may take to answer before it counts as alive.
const PROBE: Duration = Duration::from_secs(1);

/// Binds every address of the settings. A port of 0 is chosen by the system: [`Bound::address`] tells it.
///
/// # Errors
/// The first address that cannot be bound.
pub async fn bind(settings: &Settings) -> Result<Vec<Bound>, BindError> {
    let mut bound = Vec::with_capacity(settings.addresses.len());
    for address in &settings.addresses {
        match bind_one(address, settings.mode).await {
            Ok(sockets) => bound.extend(sockets.into_iter().map(|socket| Bound { socket, tls: None, owner: None })),
            Err(error) if is_spare(address, &settings.addresses, &error) => {
                tracing::warn!(%address, %error, "this machine has no IPv6 loopback; listening on 127.0.0.1 alone");
            }
            Err(source) => return Err(BindError { address: address.clone(), remedy: remedy(&source), source }),
        }
    }
    Ok(bound)
}

async fn bind_one(address: &Address, mode: u32) -> io::Result<Vec<Socket>> {
    match address {
        Address::Tcp(address) => Ok(vec![tcp(*address)?]),
        Address::Any(port) => any(*port),
        Address::Unix(path) => Ok(vec![unix(path, mode).await?]),
    }
}

fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the connections of the last run to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok(Socket::Tcp(listener, address))
}

/// `[::]` takes both families where the system says so, and then `0.0.0.0` is taken already; elsewhere each family has its socket.
fn any(port: u16) -> io::Result<Vec<Socket>> {
    let six = match tcp(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
        Ok(socket) => socket,
        Err(error) if error.kind() == ErrorKind::AddrInUse || error.kind() == ErrorKind::PermissionDenied => return Err(error),
        Err(_) => return Ok(vec![tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?]),
    };
    let port = if let Socket::Tcp(_, address) = &six { address.port() } else { port };
    match tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))) {
        Ok(four) => Ok(vec![six, four]),
        Err(_) => Ok(vec![six]),
    }
}

/// Bound under another name, given its mode, then moved to its place: nobody meets it there with a wider mode, and a stale file is
/// replaced in one step. Under the other name the process's umask holds for a moment.
async fn unix(path: &Path, mode: u32) -> io::Result<Socket> {
    refuse_if_taken(path).await?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    if is_socket(&fresh)? {
        std::fs::remove_file(&fresh)?;
    }
    let listener = UnixListener::bind(&fresh)?;
    let moved =
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode)).and_then(|()| std::fs::rename(&fresh, path));
    if let Err(error) = moved {
        drop(std::fs::remove_file(&fresh));
        return Err(error);
    }
    let file = SocketFile { path: path.to_owned(), inode: inode(path) };
    Ok(Socket::Unix(listener, file))
}

async fn refuse_if_taken(path: &Path) -> io::Result<()> {
    if !is_socket(path)? {
        return Ok(());
    }
    match tokio::time::timeout(PROBE, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused || error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another process answers on this socket")),
    }
}

/// Whether there is a socket at `path`; anything else there is not ours to replace.
fn is_socket(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => Ok(true),
        Ok(_) => Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Whether this is the IPv6 half of `localhost` on a machine without IPv6.
fn is_spare(address: &Address, all: &[Address], error: &io::Error) -> bool {
    let Address::Tcp(address) = address else { return false };
    let other_half = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())));
    // The system has no IPv6 at all (an error without a kind of its own), or no address in it.
    let no_ipv6 = !matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied);
    address.ip() == Ipv6Addr::LOCALHOST && all.contains(&other_half) && no_ipv6
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "end the other process, or configure another address",
        ErrorKind::PermissionDenied => "grant the right to it, or configure another address",
        ErrorKind::AddrNotAvailable => "configure an address that this machine has",
        ErrorKind::NotFound => "create the directory of the socket",
        ErrorKind::AlreadyExists => "move the file away, or configure another path",
        _ => "configure another address",
    }
}

// === impl Bound ===

impl Bound {
    /// The socket, over TLS if it is a TCP one. A Unix socket stays as it is: nobody but the system is on the way.
    pub fn secured(self, tls: &Tls) -> Self {
        let tls = self.tcp().map(|_| tls.clone());
        Self { tls, ..self }
    }

    /// The socket as one caller's alone, by its place in the configuration: whoever reaches it is that caller.
    pub fn owned_by(self, caller: u16) -> Self {
        Self { owner: Some(caller), ..self }
    }

    /// Where it listens, with the port that the system chose.
    pub fn address(&self) -> Address {
        match &self.socket {
            Socket::Tcp(_, address) => Address::Tcp(*address),
            Socket::Unix(_, file) => Address::Unix(file.path.clone()),
        }
    }

    /// Its TCP address; `None` for a Unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(_, address) => Some(*address),
            Socket::Unix(..) => None,
        }
    }
}

// === impl SocketFile ===

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

// === impl Address ===

/// As it is configured.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Any(port) => write!(f, "*:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::super::tests::usual;
    use super::{Address, Settings, bind};

    fn settings(addresses: Vec<Address>) -> Settings {
        Settings { mode: 0o660, ..usual(addresses) }
    }

    fn unix(path: &Path) -> Settings {
        settings(vec![Address::Unix(path.to_owned())])
    }

    #[tokio::test]
    async fn tells_the_port_and_names_a_taken_address() {
        let bound = bind(&settings(Address::parse("127.0.0.1:0").unwrap())).await.unwrap();
        let address = bound[0].address();
        let error = bind(&settings(vec![address.clone()])).await.unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("end the other process"), "{error}");
    }

    #[tokio::test]
    async fn any_is_one_port_for_both_families() {
        let bound = bind(&settings(vec![Address::Any(0)])).await.unwrap();
        let ports: Vec<_> = bound.iter().filter_map(|bound| bound.tcp().map(|address| address.port())).collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
        assert!(std::net::TcpStream::connect(("127.0.0.1", ports[0])).is_ok());
    }

    #[tokio::test]
    async fn a_unix_socket_has_its_mode_and_goes_with_its_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sock");
        let bound = bind(&unix(&path)).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(!dir.path().join("t.sock.new").exists());
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn only_a_stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let bound = bind(&unix(&path)).await.unwrap();
        let error = bind(&unix(&path)).await.unwrap_err().to_string();
        assert!(error.contains("answers on this socket"), "{error}");
        drop(bound);
        std::fs::write(&path, "precious").unwrap();
        let error = bind(&unix(&path)).await.unwrap_err().to_string();
        assert!(error.contains("no socket"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn another_ones_socket_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sock");
        let bound = bind(&unix(&path)).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists());
        drop(other);
    }
}
