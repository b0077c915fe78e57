//! Who is served: HTTP/1.1 and HTTP/2 over TLS 1.2 and 1.3, and nobody else.

use std::sync::Arc;

use http::Version;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Authority, LATER, PATIENCE, Stage, shake, trusting, write};
use crate::support::{Client, GRAPH, World, eventually, soon};

#[tokio::test]
async fn tokens_come_over_both_versions_of_http() {
    let authority = Authority::new();
    let world = World::changed(|yaml, files| {
        let pair = authority.listener(&[], LATER);
        // One file may hold both.
        std::fs::write(files.join("both.pem"), format!("{}{}", pair.key, pair.cert)).expect("a file");
        let file = files.join("both.pem").display().to_string();
        format!("{yaml}\ntls: {{cert: {{file: {file}}}, key: {{file: {file}}}}}\n")
    })
    .await;
    let base = world.sidecar.client.base.replace("http://", "https://");
    let root = reqwest::Certificate::from_pem(authority.pem.as_bytes()).expect("a CA");
    let client = || reqwest::Client::builder().no_proxy().timeout(PATIENCE * 3).tls_certs_only([root.clone()]);
    for (http, version) in [(client().http1_only(), Version::HTTP_11), (client(), Version::HTTP_2)] {
        let client = Client { http: http.build().expect("a client"), base: base.clone() };
        let body = json!({"app": "daemon", "scopes": [GRAPH]});
        #[expect(clippy::disallowed_methods, reason = "a test is a caller of the sidecar")]
        let answer = client.request("/client-credentials", &body).send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        client.post("/client-credentials", &body).await.token();
    }
    let status = world.sidecar.admin.get("/status").await;
    let until = status.json["tls"]["expires_on"].as_i64().expect("a time");
    assert_eq!(world.sidecar.metric("tokend_listener_certificate_expiry_timestamp_seconds").await as i64, until);
    assert!(status.json["tls"]["problem"].is_null(), "{}", status.text);
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_sessions_resumed() {
    let stage = Stage::new().await;
    for (version, want) in
        [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(stage.authority.pem.as_bytes()).expect("a certificate")).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).expect("versions");
        let config = config.with_root_certificates(roots).with_no_client_auth();
        for again in [false, true] {
            let mut stream = stage.shake(config.clone()).await.expect("a handshake");
            stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.expect("a request");
            let mut answer = String::new();
            soon(stream.read_to_string(&mut answer)).await.expect("an end that TLS says");
            assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(want));
            assert_eq!(session.handshake_kind() == Some(rustls::HandshakeKind::Resumed), again, "{want:?}");
        }
    }
}

#[tokio::test]
async fn plain_http_is_told_to_use_tls() {
    let stage = Stage::new().await;
    let answer = stage.sidecar.client.get("/accounts").await;
    answer.refused(400, "invalid_request", "https://");
    // A large one as well, and what is no HTTP gets no answer.
    let body = json!({"app": "a", "scopes": ["x".repeat(30_000)]});
    stage.sidecar.client.post("/client-credentials", &body).await.refused(400, "invalid_request", "TLS");
    let mut stream = TcpStream::connect(stage.address()).await.expect("a connection");
    stream.write_all(&[0x80, 0x2e, 1, 0, 2]).await.expect("sent");
    let mut answer = Vec::new();
    // Closed or reset: there are bytes that nobody read.
    let _end = soon(stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty(), "{answer:?}");
    eventually(PATIENCE, async || stage.failed("not_tls").await >= 3.0).await;
    assert_eq!(stage.connect().await.expect("a connection").ask().await.expect("an answer"), 404);
}

/// A ClientHello of TLS 1.1 with a cipher of that time.
const HELLO_1_1: [u8; 52] = {
    let mut hello = [0; 52];
    // Record: handshake, 47 bytes. Message: ClientHello, 43 bytes,
    // version 3.2, 32 random bytes, no session, one cipher, no compression.
    let (head, tail) = ([22, 3, 1, 0, 47, 1, 0, 0, 43, 3, 2], [0, 0, 2, 0xc0, 0x13, 1, 0, 0, 0]);
    let mut at = 0;
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    at = 0;
    while at < tail.len() {
        hello[43 + at] = tail[at];
        at += 1;
    }
    hello
};

#[tokio::test]
async fn older_versions_are_refused() {
    let stage = Stage::new().await;
    let mut stream = TcpStream::connect(stage.address()).await.expect("a connection");
    stream.write_all(&HELLO_1_1).await.expect("sent");
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.expect("an end");
    // An alert, and a fatal one: handshake_failure (such a client signs with nothing that is good enough) or protocol_version.
    assert!(matches!(&*answer, [21, _, _, 0, 2, 2, 40 | 70]), "{answer:?}");
    assert_eq!(stage.failed("protocol").await, 1.0);
}

#[tokio::test]
async fn a_client_that_trusts_another_ca_is_not_served() {
    let stage = Stage::new().await;
    let error = shake(stage.address(), trusting(&Authority::new())).await.expect_err("no handshake");
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    eventually(PATIENCE, async || stage.failed("refused_by_client").await >= 1.0).await;
}

#[tokio::test]
async fn no_other_protocol_than_http_is_agreed_on() {
    let stage = Stage::new().await;
    let mut config = trusting(&stage.authority);
    config.alpn_protocols = vec![b"h3".to_vec()];
    assert!(stage.shake(config).await.is_err());
    eventually(PATIENCE, async || stage.failed("protocol").await >= 1.0).await;
    // A probe of the port alone is no failure of a client, and is told apart.
    drop(TcpStream::connect(stage.address()).await.expect("a connection"));
    eventually(PATIENCE, async || stage.failed("closed").await >= 1.0).await;
}

#[tokio::test]
async fn texts_that_are_no_files_are_as_good() {
    let stage = Stage::with("", |settings| {
        let tls = settings.listen.tls.as_mut().expect("tls");
        let pair = Authority::new().listener(&[], LATER);
        for (source, text) in [(&mut tls.cert, pair.cert), (&mut tls.key, pair.key)] {
            source.place = tokend::reload::Place::Value(tokend::secret::Secret::new(text));
        }
    })
    .await;
    // What lies in the folder is nobody's business then.
    let wrong = stage.shake(trusting(&stage.authority)).await.expect_err("another CA's certificate");
    assert!(wrong.to_string().contains("invalid peer certificate"), "{wrong}");
    write(&stage.files, &stage.authority.listener(&[], LATER));
    stage.clock.advance(PATIENCE);
    assert!(stage.shake(trusting(&stage.authority)).await.is_err());
}
