//! Heads of requests that never end: what is kept before a request exists.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::authority::Authority;
use super::probe;
use super::process::Tokend;

const CONNECTIONS: usize = 4000;
/// The bytes that each sends of its head: less than where tokend answers that it is too large.
const SENT: usize = 120_000;
/// How long the connections stay.
const SPAN: Duration = Duration::from_secs(6);

pub(crate) fn plain(binary: &Path) -> String {
    let authority = Authority::start();
    let tokend = Tokend::start(binary, &authority, "");
    let before = tokend.resident();
    let port = tokend.port;
    super::run(async move {
        let all = (0..CONNECTIONS).map(|index| tokio::spawn(async move { drip(probe::connect(index, port).await).await }));
        futures_util::future::join_all(all.collect::<Vec<_>>()).await;
    });
    super::memory(&tokend, before)
}

pub(crate) fn tls(binary: &Path) -> String {
    let authority = Authority::start();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let files = format!("tls: {{cert: {{file: {}}}, key: {{file: {}}}}}\n", cert.display(), key.display());
    let tokend = Tokend::start(binary, &authority, &files);
    let before = tokend.resident();
    let connector = connector(made.cert.der().clone());
    let port = tokend.port;
    super::run(async move {
        let all = (0..CONNECTIONS).map(|index| {
            let connector = connector.clone();
            tokio::spawn(async move {
                let Some(stream) = probe::connect(index, port).await else { return };
                let name = "localhost".try_into().expect("a name");
                drip(connector.connect(name, stream).await.ok()).await;
            })
        });
        futures_util::future::join_all(all.collect::<Vec<_>>()).await;
    });
    super::memory(&tokend, before)
}

fn connector(certificate: rustls_pki_types::CertificateDer<'static>) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    tokio_rustls::TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Sends an unfinished head and stays.
async fn drip(stream: Option<impl AsyncWrite + Unpin>) {
    let Some(mut stream) = stream else { return };
    let head = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx-long: {}", "a".repeat(SENT));
    let _sent = stream.write_all(head.as_bytes()).await;
    let _flushed = stream.flush().await;
    tokio::time::sleep(SPAN).await;
}
