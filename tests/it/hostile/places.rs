//! Connections that say nothing, say half of it, or say it and close their side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokend::clock::Clock;
use tokend::config::Settings;
use tokend::telemetry::Sampler;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::support::{Client, Emulator, GRAPH, NOW, Sidecar, World, configuration, eventually, soon};

const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than any test: nothing here may depend on a time-out that helps.
const LONG: Duration = Duration::from_secs(600);

/// The usual sidecar with settings that have no key.
struct Stage {
    emulator: Emulator,
    sidecar: Sidecar,
    _files: tempfile::TempDir,
}

impl Stage {
    async fn with(more: &str, change: impl FnOnce(&mut Settings)) -> Self {
        // Both ends of every connection are in this process.
        tokend::sidecar::Descriptors::raise();
        let clock = Clock::manual(NOW);
        let (emulator, files) = (Emulator::start(&clock).await, tempfile::tempdir().expect("a folder"));
        let mut settings = Sidecar::settings(&format!("{}\n{more}\n", configuration(&emulator, &files)));
        change(&mut settings);
        let sidecar = Sidecar::start_from(settings, &clock, Sampler::new(None)).await;
        Self { emulator, sidecar, _files: files }
    }

    async fn token(&self) {
        self.sidecar.client.post("/client-credentials", &ask()).await.token();
    }

    /// Connections that tokend closed for this reason.
    async fn closed(&self, listener: &str, reason: &str) -> f64 {
        let labels = format!("{{listener=\"{listener}\",reason=\"{reason}\"}}");
        self.sidecar.metric(&format!("tokend_http_connections_closed_total{labels}")).await
    }
}

fn ask() -> Value {
    json!({"app": "daemon", "scopes": [GRAPH]})
}

/// Where a client's sidecar listens.
fn address(client: &Client) -> SocketAddr {
    client.base.trim_start_matches("http://").parse().expect("an address")
}

/// So many connections that have said this and no more.
async fn silent(address: SocketAddr, count: usize, text: &str) -> Vec<TcpStream> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        // One that was closed already is as silent.
        let _sent = stream.write_all(text.as_bytes()).await;
        all.push(stream);
    }
    all
}

/// The request by hand.
fn request() -> String {
    let body = ask().to_string();
    format!(
        "POST /client-credentials HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn silent_connections_keep_no_probe_out() {
    let stage = Stage::with("", |settings| {
        settings.admin.header_timeout = LONG;
        settings.admin.per_address = Some(usize::MAX);
    })
    .await;
    let admin = address(&stage.sidecar.admin);
    let many = silent(admin, 300, "").await;
    assert_eq!(stage.sidecar.admin.get("/readyz").await.status, 200);
    assert!(stage.closed("admin", "places").await >= 44.0);
    let half = silent(admin, 300, "GET /livez HTTP/1.1\r\nhost: a").await;
    assert_eq!(stage.sidecar.admin.get("/livez").await.status, 200);
    drop((many, half));
}

#[tokio::test]
async fn one_address_has_32_unfinished_heads_at_the_admin_port() {
    let stage = Stage::with("", |settings| settings.admin.header_timeout = LONG).await;
    let many = silent(address(&stage.sidecar.admin), 100, "").await;
    let heads = "tokend_http_unfinished_heads{listener=\"admin\"}";
    // The one that asks has said all it has to say.
    eventually(PATIENCE, async || stage.sidecar.metric(heads).await == 31.0).await;
    assert!(stage.closed("admin", "address").await >= 69.0);
    assert_eq!(stage.closed("admin", "places").await, 0.0);
    drop(many);
}

#[tokio::test]
async fn a_head_has_a_second_at_the_admin_port() {
    let stage = Stage::with("", |_| ()).await;
    let mut half = silent(address(&stage.sidecar.admin), 1, "GET /livez HTTP/1.1\r\nhost: a").await;
    let mut rest = Vec::new();
    // Much less than the ten seconds that it has at the token listener.
    let _end = tokio::time::timeout(Duration::from_secs(6), half[0].read_to_end(&mut rest)).await.expect("an end");
    assert_eq!(stage.closed("admin", "head_timeout").await, 1.0);
}

#[tokio::test]
async fn half_heads_hold_up_nobody_who_asks() {
    let stage = Stage::with("", |settings| {
        settings.listen.connections = 400;
        settings.listen.header_timeout = LONG;
    })
    .await;
    stage.token().await;
    let half = format!("POST /client-credentials HTTP/1.1\r\nhost: localhost\r\nx-long: {}", "x".repeat(6000));
    let mut all = Vec::new();
    for round in 0..4_u8 {
        all.extend(silent(address(&stage.sidecar.client), 200, if round % 2 == 0 { &half } else { "" }).await);
        // On a new connection each time.
        Client::new(&stage.sidecar.client.base, None).post("/client-credentials", &ask()).await.token();
    }
    // This machine has a quarter of the places for heads that are not complete.
    let heads = stage.sidecar.metric("tokend_http_unfinished_heads{listener=\"token\"}").await;
    assert!(heads <= 100.0, "{heads}");
    assert!(stage.closed("token", "address").await >= 600.0);
    drop(all);
}

#[tokio::test]
async fn what_is_read_before_there_are_requests_is_bounded_in_bytes() {
    let stage = Stage::with("limits: {heads: 2MiB}", |settings| {
        settings.listen.header_timeout = LONG;
        settings.listen.per_address = Some(usize::MAX);
    })
    .await;
    stage.token().await;
    let half = format!("POST /client-credentials HTTP/1.1\r\nhost: localhost\r\nx-long: {}", "x".repeat(100_000));
    let mut all = Vec::new();
    for _ in 0..4 {
        all.extend(silent(address(&stage.sidecar.client), 30, &half).await);
        let bytes = stage.sidecar.metric("tokend_http_unfinished_head_bytes{listener=\"token\"}").await;
        assert!(bytes <= f64::from(7 << 18), "{bytes}");
        Client::new(&stage.sidecar.client.base, None).post("/client-credentials", &ask()).await.token();
    }
    eventually(PATIENCE, async || stage.closed("token", "heads").await >= 100.0).await;
    drop(all);
}

/// Asks on a connection while the authority holds its answer, says no more, and reads what comes.
async fn half_closed<S: AsyncRead + AsyncWrite + Unpin>(stage: (&Emulator, &Sidecar), mut stream: S, times: usize) {
    let (emulator, sidecar) = stage;
    emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"hold": true}})).await;
    stream.write_all(request().as_bytes()).await.expect("sent");
    stream.flush().await.expect("sent");
    sidecar.answering(1).await;
    emulator.asked_times("token", times).await;
    stream.shutdown().await.expect("a half-close");
    // The end has to be able to arrive before the answer is there.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(sidecar.metric("tokend_http_requests_in_flight").await, 1.0);
    emulator.release().await;
    let mut answer = Vec::new();
    // A server over TLS may close without a word of farewell.
    let _end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("access_token"), "{answer}");
    assert!(answer.contains("\"identity_provider\""), "{answer}");
}

#[tokio::test]
async fn over_tcp_who_closes_his_side_gets_the_answer() {
    let world = World::new().await;
    let stream = TcpStream::connect(address(&world.sidecar.client)).await.expect("a connection");
    half_closed((&world.emulator, &world.sidecar), stream, 1).await;
}

#[tokio::test]
async fn over_a_unix_socket_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.sock");
    let world = World::with(&format!("listen: [\"unix:{}\"]", path.display())).await;
    half_closed((&world.emulator, &world.sidecar), UnixStream::connect(&path).await.expect("a connection"), 1).await;
}

#[tokio::test]
async fn over_tls_too() {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let world = World::changed(|yaml, files| {
        let file = files.join("both.pem").display().to_string();
        std::fs::write(&file, format!("{}{}", pair.signing_key.serialize_pem(), pair.cert.pem())).expect("a file");
        format!("{yaml}\ntls: {{cert: {{file: {file}}}, key: {{file: {file}}}}}\n")
    })
    .await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pair.cert.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address(&world.sidecar.client)).await.expect("a connection");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let stream = soon(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream)).await.expect("a handshake");
    half_closed((&world.emulator, &world.sidecar), stream, 1).await;
}

#[tokio::test]
async fn who_resets_or_closes_a_unix_socket_waits_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.sock");
    let world = World::with(&format!("listen: [\"127.0.0.1:0\", \"unix:{}\"]", path.display())).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true}})).await;
    let gone = async || {
        eventually(PATIENCE, async || world.sidecar.metric("tokend_http_requests_in_flight").await == 0.0).await;
    };
    let mut stream = TcpStream::connect(address(&world.sidecar.client)).await.expect("a connection");
    stream.write_all(request().as_bytes()).await.expect("sent");
    world.sidecar.answering(1).await;
    stream.set_zero_linger().expect("a reset at the end");
    drop(stream);
    gone().await;
    let mut stream = UnixStream::connect(&path).await.expect("a connection");
    stream.write_all(request().as_bytes()).await.expect("sent");
    world.sidecar.answering(1).await;
    drop(stream);
    gone().await;
    world.emulator.unscript().await;
}

#[tokio::test]
async fn who_leaves_without_a_word_is_given_up_in_the_time_of_a_request() {
    let world = World::with("limits: {request_timeout: 1s}").await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true}})).await;
    let mut stream = TcpStream::connect(address(&world.sidecar.client)).await.expect("a connection");
    stream.write_all(request().as_bytes()).await.expect("sent");
    world.sidecar.answering(1).await;
    // Closed for good, which looks like a half-close.
    drop(stream);
    eventually(PATIENCE, async || world.sidecar.metric("tokend_http_requests_in_flight").await == 0.0).await;
    let open = "tokend_http_connections{listener=\"token\"}";
    eventually(PATIENCE, async || world.sidecar.metric(open).await == 0.0).await;
    world.emulator.unscript().await;
}

#[tokio::test]
async fn an_answer_says_how_long_its_connection_stays() {
    let stage = Stage::with("limits: {keep_alive: 90s}", |_| ()).await;
    let answer = stage.sidecar.client.post("/client-credentials", &ask()).await;
    answer.token();
    assert_eq!(answer.header("keep-alive"), "timeout=90");
    let probe = stage.sidecar.admin.get("/livez").await;
    assert_eq!((probe.header("keep-alive"), probe.header("connection")), ("", "close"));
    drop(stage.emulator);
}
