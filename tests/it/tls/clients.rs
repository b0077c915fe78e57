//! Mutual TLS: who shows no certificate of the right CA gets no further.

use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, HandshakeKind};

use super::{Authority, Connection, LATER, PATIENCE, Pair, Stage, trusting};
use crate::support::eventually;

const CLIENTS: &str = ", client_ca: {file: FILES/clients.pem}";

pub(crate) fn showing(authority: &Authority, pair: &Pair) -> ClientConfig {
    let key = || PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
    let chain = vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("a certificate")];
    let mut config = trusting(authority);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let certified = rustls::sign::CertifiedKey::from_der(chain, key(), &provider).expect("a pair");
    config.client_auth_cert_resolver = std::sync::Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    config
}

/// Whether a client gets an answer. With TLS 1.3 its handshake may end before the refusal arrives.
async fn is_served(stage: &Stage, config: ClientConfig) -> bool {
    let Ok(stream) = stage.shake(config).await else { return false };
    let Ok(mut connection) = Connection::over(stream).await else { return false };
    connection.ask().await.is_ok()
}

#[tokio::test]
async fn only_clients_with_a_certificate_of_the_ca_are_served() {
    let stage = Stage::with(CLIENTS, |_| ()).await;
    let ours = &stage.authority;
    assert!(is_served(&stage, showing(ours, &ours.client(LATER))).await);
    assert!(!is_served(&stage, trusting(ours)).await, "without one");
    assert!(!is_served(&stage, showing(ours, &Authority::new().client(LATER))).await, "another CA's");
    assert!(!is_served(&stage, showing(ours, &ours.client(2026))).await, "one that has ended");
    assert!(!is_served(&stage, showing(ours, &ours.listener(&[], LATER))).await, "one for servers");
    eventually(PATIENCE, async || stage.failed("client_certificate").await >= 4.0).await;
}

#[tokio::test]
async fn a_certificate_ends_although_its_client_comes_back() {
    let stage = Stage::with(CLIENTS, |_| ()).await;
    // The clock stands in November 2026.
    let config = showing(&stage.authority, &stage.authority.client(2027));
    for _ in 0..2 {
        assert!(is_served(&stage, config.clone()).await);
        let stream = stage.shake(config.clone()).await.expect("a handshake");
        assert_ne!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    }
    stage.clock.advance(Duration::from_secs(90 * 86_400));
    assert!(!is_served(&stage, config).await);
}

#[tokio::test]
async fn another_ca_takes_over_while_running() {
    let stage = Stage::with(CLIENTS, |_| ()).await;
    let other = Authority::new();
    let (old, new) = (stage.authority.client(LATER), other.client(LATER));
    assert!(!is_served(&stage, showing(&stage.authority, &new)).await);
    std::fs::write(stage.files.path().join("clients.pem"), &other.pem).expect("a file");
    stage.clock.advance(Duration::from_secs(1));
    eventually(PATIENCE, async || is_served(&stage, showing(&stage.authority, &new)).await).await;
    assert!(!is_served(&stage, showing(&stage.authority, &old)).await);
}
