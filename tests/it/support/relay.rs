//! Ways to the emulator: one that can be closed and opened, as before an authority that is down, and one that speaks TLS for its
//! client. And one to a sidecar, for a client that leaves.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::Client;

/// A port on loopback at which nobody listens until [`Relay::open`].
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    // Bound and not listening: connections are refused, and nobody else gets the port.
    socket: Option<TcpSocket>,
    running: Option<JoinHandle<()>>,
}

impl Relay {
    /// Takes a port.
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        Self { address: socket.local_addr().expect("an address"), socket: Some(socket), running: None }
    }

    /// Passes connections on to `target` (host and port) from now on.
    #[expect(clippy::disallowed_methods, reason = "a network runs beside the test")]
    pub(crate) fn open(&mut self, target: &str) {
        let listener = self.socket.take().expect("a closed relay").listen(64).expect("a listener");
        self.running = Some(tokio::spawn(pass(listener, target.to_owned())));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a network runs beside the test")]
async fn pass(listener: TcpListener, target: String) {
    while let Ok((mut near, _)) = listener.accept().await {
        let target = target.clone();
        tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect(target).await {
                // Either end may break it off: that is what connections do.
                let _done = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}

/// Speaks plain HTTP/1.1 with its client and TLS with the emulator: its client's connections are seen to be reused one by one.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) address: SocketAddr,
    running: JoinHandle<()>,
}

impl Plain {
    /// Starts one before the emulator at `target` (host and port), whose CA is `ca`.
    #[expect(clippy::disallowed_methods, reason = "a network runs beside the test")]
    pub(crate) async fn to(target: &str, ca: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("a CA in PEM")).expect("a CA");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
        let mut tls = builder.with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = tokio_rustls::TlsConnector::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let (address, target) = (listener.local_addr().expect("an address"), target.to_owned());
        let running = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, tls) = (target.clone(), tls.clone());
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else { return };
                    let Ok(mut far) = tls.connect(ServerName::from(std::net::IpAddr::from([127, 0, 0, 1])), far).await else {
                        return;
                    };
                    // Either end may break it off: that is what connections do.
                    let _done = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address, running }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A client whose connection to a sidecar is reset when it leaves: the end of its own half alone would not tell that it is gone.
#[derive(Debug)]
pub(crate) struct Leaver {
    pub(crate) client: Client,
    running: JoinHandle<()>,
}

impl Leaver {
    /// Starts a way to where `client` asks.
    #[expect(clippy::disallowed_methods, reason = "a network runs beside the test")]
    pub(crate) async fn to(client: &Client) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let target = client.base.trim_start_matches("http://").to_owned();
        let running = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(leave(near, target.clone()));
            }
        });
        Self { client: Client::new(&format!("http://{address}"), None), running }
    }
}

impl Drop for Leaver {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Passes both directions on until either ends.
async fn leave(mut near: TcpStream, target: String) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    let ((mut asks, mut hears), (mut answers, mut told)) = (near.split(), far.split());
    tokio::select! {
        _ends = tokio::io::copy(&mut asks, &mut told) => {}
        _ends = tokio::io::copy(&mut answers, &mut hears) => {}
    }
    let _reset = far.set_zero_linger();
}
