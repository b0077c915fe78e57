//! A scriptable, Entra-like authority for `tokend emulator`, `tokend demo` and the tests.
//!
//! tokend is held against it, so it is a crate of its own that imports nothing of tokend's: it spells every field of the wire
//! itself, and a name that tokend misspells is refused here as the real service would refuse it.
//!
//! The way of a request: `listen` (TLS) → `serve` (parse, record, script) → `entra`, `ciam`, `b2c`, `adfs` or `oidc` (the
//! protocol) → `answer` (effects of the script) → the wire. `control` serves everything under `/_emulator/`.
//!
//! A kind of authority is a folder with its routes, its grants, its tokens and how clients prove themselves to it; an external
//! tenant (`ciam`) has Entra's grants. What kinds share stands beside the folders: `world` (the state of all), `directory` (who is
//! known), `issued` (what may come back), `keys` and `jose` (signing), `saml` (assertions of that kind, signed and checked),
//! `assertion`, `authorize`, `basic` and `pairing` (what is checked everywhere), `fault` (a refusal in either spelling).

mod aadsts;
mod adfs;
mod answer;
mod assertion;
mod authorize;
mod b2c;
mod basic;
mod call;
mod certificate;
mod ciam;
mod control;
mod directory;
mod entra;
mod error;
mod fault;
mod issued;
mod jose;
mod keys;
mod listen;
mod oidc;
mod page;
mod pairing;
mod record;
mod registration;
mod replacement;
mod saml;
mod script;
mod serve;
mod time;
mod world;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::SystemTime};

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use certificate::Authority;
use directory::Directory;
use keys::Keys;
use world::World;

pub use error::StartError;

/// How an emulator starts.
#[derive(Clone)]
pub struct Options {
    /// The address to listen on: loopback only if `hosts` is empty, port 0 for any free port.
    pub listen: SocketAddr,
    /// Names that others reach it by: its certificate has them, and the first is the one in its URLs.
    pub hosts: Vec<String>,
    /// The port that others reach it by, where something in between leads them here; else its own.
    pub port: Option<u16>,
    /// What it serves TLS with; a certificate under a CA of its own if absent.
    pub tls: Option<TlsFiles>,
    /// Where the certificate of its CA is written (PEM), for clients that shall trust it.
    pub ca_file: Option<PathBuf>,
    /// A JSON file of tenants, apps, users and realms; the built-in one if absent.
    pub directory: Option<PathBuf>,
    /// The clock that tokens and assertions are dated by.
    pub now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

/// A certificate that was made elsewhere, for clients that have to know its CA before the emulator starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate and its chain. The last one is told as the CA.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("hosts", &self.hosts)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("ca_file", &self.ca_file)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// A bound emulator, accepting once [`Emulator::run`] is polled.
pub struct Emulator {
    world: Arc<World>,
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulator").field("origin", &self.world.origin).finish_non_exhaustive()
    }
}

/// Reads the directory, makes keys and certificates, and binds. Nothing is served before [`Emulator::run`].
///
/// # Errors
/// An address beyond loopback without a name for others or in use, a wrong directory file, files for TLS that cannot be used, a CA
/// file that cannot be written.
pub async fn bind(options: Options) -> Result<Emulator, StartError> {
    if !options.listen.ip().is_loopback() && options.hosts.is_empty() {
        return Err(StartError::NotLoopback(options.listen));
    }
    if let Some(bad) = options.hosts.iter().find(|host| url::Host::parse(host).is_err()) {
        return Err(StartError::Host(bad.clone()));
    }
    let now = (options.now)();
    let directory = load(options.directory.as_ref(), now).await?;
    let listener =
        TcpListener::bind(options.listen).await.map_err(|source| StartError::Bind { address: options.listen, source })?;
    let address = listener.local_addr().map_err(|source| StartError::Bind { address: options.listen, source })?;

    let authority = match &options.tls {
        Some(files) => Authority::from_pem(&read(&files.certificate).await?, &read(&files.key).await?)?,
        None => Authority::new(&options.hosts)?,
    };
    let tls = listen::acceptor(&authority, directory.realms.iter().any(|realm| realm.takes_client_certificates()))?;
    if let Some(path) = &options.ca_file {
        tokio::fs::write(path, &authority.pem).await.map_err(|source| StartError::File { path: path.clone(), source })?;
    }
    let keys = Keys::generate().map_err(|_| StartError::Certificate("RSA key generation failed".to_owned()))?;
    let world = Arc::new(World::new(address, (&options.hosts, options.port), authority.pem, directory, keys, options.now));
    Ok(Emulator { world, listener, tls })
}

async fn load(file: Option<&PathBuf>, now: SystemTime) -> Result<Directory, StartError> {
    match file {
        None => Directory::built_in(now),
        Some(path) => Directory::parse(&read(path).await?, now),
    }
}

async fn read(path: &PathBuf) -> Result<String, StartError> {
    tokio::fs::read_to_string(path).await.map_err(|source| StartError::File { path: path.clone(), source })
}

// === impl Emulator ===

impl Emulator {
    /// Scheme, address or name for others, and port: `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.world.origin
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.listener.local_addr().map_or(0, |address| address.port())
    }

    /// The certificate of the CA that signed the emulator's own, as far as the chain that was given says.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.world.ca_pem
    }

    /// Everything there is to know about it, credentials in full: what `GET /_emulator/directory` answers.
    #[must_use]
    pub fn directory(&self) -> serde_json::Value {
        self.world.describe()
    }

    /// Serves until `shutdown` fires; every connection, also one with a hung answer, has ended when this returns.
    pub async fn run(self, shutdown: CancellationToken) {
        listen::run(self.listener, self.tls, self.world, shutdown).await;
    }
}
