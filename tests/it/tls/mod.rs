//! The token listener over TLS: real handshakes with certificates of a private CA.

pub(crate) mod authority;
pub(crate) mod clients;
mod findings;
mod handshakes;
mod hosts;
mod limits;
mod rotation;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokend::clock::Clock;
use tokend::config::Settings;
use tokend::telemetry::Sampler;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Client, NOW, Sidecar, eventually, soon};
use authority::{Authority, LATER, Pair};

const PATIENCE: Duration = Duration::from_secs(10);

/// A sidecar whose token listener speaks TLS; its one app has no authority, and what is asked is answered with 404.
pub(crate) struct Stage {
    pub(crate) sidecar: Sidecar,
    pub(crate) authority: Authority,
    files: TempDir,
    pub(crate) clock: Clock,
}

/// A connection that stays, and the certificate that was shown when it was made.
pub(crate) struct Connection {
    sender: SendRequest<String>,
    leaf: Vec<u8>,
}

// === impl Stage ===

impl Stage {
    async fn new() -> Self {
        Self::with("", |_| ()).await
    }

    /// A stage with more members of `tls`, in which `FILES` stands for the folder, and with other settings.
    async fn with(more: &str, change: impl FnOnce(&mut Settings)) -> Self {
        Self::made(more, "", change).await
    }

    /// A stage whose clients may show certificates, with more configuration at its top.
    pub(crate) async fn calling(tls: &str, more: &str) -> Self {
        Self::made(&format!(", client_ca: {{file: FILES/clients.pem}}{tls}"), more, |_| ()).await
    }

    async fn made(more: &str, top: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let (files, authority, clock) = (tempfile::tempdir().expect("a folder"), Authority::new(), Clock::manual(NOW));
        let path = files.path().display();
        let (more, top) = (more.replace("FILES", &path.to_string()), top.replace("FILES", &path.to_string()));
        let yaml = format!(
            "apps: {{a: {{issuer: \"https://id.example\", client_id: a, credential: {{secret: {{file: {path}/secret}}}}}}}}\n\
             tls: {{cert: {{file: {path}/tls.crt}}, key: {{file: {path}/tls.key}}{more}}}\n{top}"
        );
        std::fs::write(files.path().join("secret"), "a-secret").expect("a file");
        std::fs::write(files.path().join("token"), "canary-of-alpha-0123456789-abcdefghij").expect("a file");
        std::fs::write(files.path().join("clients.pem"), &authority.pem).expect("a file");
        write(&files, &authority.listener(&["tokend.internal", "*.tokend.svc"], LATER));
        let mut settings = Sidecar::settings(&yaml);
        change(&mut settings);
        let sidecar = Sidecar::start_from(settings, &clock, Sampler::new(None)).await;
        Self { sidecar, authority, files, clock }
    }

    fn address(&self) -> SocketAddr {
        let address = self.sidecar.client.base.trim_start_matches("http://");
        let address: SocketAddr = address.parse().expect("an address");
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    }

    /// A client that trusts the CA.
    fn client(&self) -> Client {
        Client::new(&format!("https://{}", self.address()), Some(&self.authority.pem))
    }

    /// What is told of handshakes that failed for this reason.
    async fn failed(&self, reason: &str) -> f64 {
        self.sidecar.metric(&format!("tokend_tls_handshake_failures_total{{reason=\"{reason}\"}}")).await
    }

    /// A handshake by hand.
    pub(crate) async fn shake(&self, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        shake(self.address(), config).await
    }

    /// A connection that stays.
    async fn connect(&self) -> io::Result<Connection> {
        Connection::over(self.shake(trusting(&self.authority)).await?).await
    }

    /// The certificate that is shown to whoever comes now.
    async fn shown(&self) -> Vec<u8> {
        self.connect().await.expect("a connection").leaf
    }
}

/// A handshake with a listener on loopback.
async fn shake(address: SocketAddr, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let stream = soon(TcpStream::connect(address)).await?;
    soon(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").expect("a name"), stream)).await
}

/// A client's side of TLS without ALPN.
pub(crate) fn trusting(authority: &Authority) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    builder.with_root_certificates(roots).with_no_client_auth()
}

fn write(files: &TempDir, pair: &Pair) {
    std::fs::write(files.path().join("tls.crt"), &pair.cert).expect("a file");
    std::fs::write(files.path().join("tls.key"), &pair.key).expect("a file");
}

/// The certificate as it is shown.
fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("a certificate").to_vec()
}

// === impl Connection ===

impl Connection {
    #[expect(clippy::disallowed_methods, reason = "the client's side runs beside the test")]
    pub(crate) async fn over(stream: TlsStream<TcpStream>) -> io::Result<Self> {
        let leaf = stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec();
        let (sender, connection) = soon(http1::handshake(TokioIo::new(stream))).await.map_err(io::Error::other)?;
        // How it ends is told by the request that does not come through.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, leaf })
    }

    /// Asks for something that is not there: 404 is an answer.
    async fn ask(&mut self) -> hyper::Result<u16> {
        Ok(self.ask_with(&[]).await?.0)
    }

    /// Asks with these headers. Returns status and body.
    pub(crate) async fn ask_with(&mut self, headers: &[(&str, &str)]) -> hyper::Result<(u16, String)> {
        let mut request = http::Request::builder().uri("/nothing").header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = soon(self.sender.send_request(request.body(String::new()).expect("a request"))).await?;
        let status = answer.status().as_u16();
        // The connection is free for the next request when the answer is read.
        let body = soon(http_body_util::BodyExt::collect(answer.into_body())).await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Whether the other end has closed it, or does so soon.
    pub(crate) async fn closes(&mut self) -> bool {
        eventually(PATIENCE, async || self.sender.is_closed()).await;
        true
    }
}
