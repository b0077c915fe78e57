//! Why an authority cannot be reached: one cause for each, in the log with what is needed to find it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokend::clock::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::cause::{ID, cause, logged};
use crate::support::{Client, GRAPH, NOW, Proxy, Sidecar, free_port};

const YEARS: (i32, i32) = (2020, 2049);

/// A key and its certificate.
struct Pair {
    key: KeyPair,
    params: CertificateParams,
    pem: String,
}

/// A CA, or what shows itself.
fn own(names: &[&str], is_ca: bool) -> Pair {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
    (params.not_before, params.not_after) = (date_time_ymd(YEARS.0, 1, 1), date_time_ymd(YEARS.1, 1, 1));
    params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    let pem = params.self_signed(&key).expect("a certificate").pem();
    Pair { key, params, pem }
}

/// A server's certificate of this CA.
fn issued(ca: &Pair, name: &str, (from, until): (i32, i32)) -> Pair {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let pem = params.signed_by(&key, &Issuer::from_params(&ca.params, &ca.key)).expect("a certificate").pem();
    Pair { key, params, pem }
}

/// A server at loopback that does this with each connection; it goes on for as long as the set.
async fn serving<F>(running: &mut JoinSet<()>, serve: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    running.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream).await;
        }
    });
    port
}

/// Keeps a connection open, and says nothing.
async fn silent(stream: tokio::net::TcpStream) {
    let _kept = stream;
    std::future::pending::<()>().await;
}

/// A server that shows this certificate, and then answers 404 to whatever is asked.
async fn showing(running: &mut JoinSet<()>, pair: &Pair) -> u16 {
    let certificate = CertificateDer::from_pem_slice(pair.pem.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(pair.key.serialize_pem().as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let config = builder.with_no_client_auth().with_single_cert(vec![certificate], key).expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    serving(running, move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut head = [0; 4096];
            // Whoever left needs no answer.
            let _read = stream.read(&mut head).await;
            let _written = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    })
    .await
}

/// A sidecar whose app is registered at `host`, with this CA and more configuration.
async fn sidecar(host: &str, ca: &str, more: &str) -> (Sidecar, tempfile::TempDir) {
    let files = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(files.path().join(name), text).expect("a file");
        files.path().join(name).display().to_string()
    };
    let (ca, secret) = (write("ca.pem", ca), write("secret", "secret-canary"));
    let tenant = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
    let yaml = format!(
        "apps:\n  daemon: {{authority: \"https://{host}/{tenant}\", ca_file: {ca}, client_id: c, credential: {{secret: {{file: {secret}}}}}}}\n\
         authority: {{retry_delay: 1ms, timeout: 4s, connect_timeout: 1s}}\n{more}\n"
    );
    (Sidecar::start(&yaml, &Clock::manual(NOW)).await, files)
}

/// The cause that is told of a call, and the word for it.
async fn asked(sidecar: &Sidecar) -> u16 {
    let body = json!({"app": "daemon", "scopes": [GRAPH]});
    let answer = Client::send(sidecar.client.request("/client-credentials", &body).header("x-correlation-id", ID)).await;
    assert!(!answer.text.contains("canary"), "{}", answer.text);
    answer.status
}

/// Checks what was logged of one request: the cause once for each attempt, and with the request itself.
#[track_caller]
fn told(lines: &[Value], host: &str, reason: &str, words: &str) {
    let calls: Vec<&Value> = lines.iter().filter(|line| line["message"] == "a call to an authority failed").collect();
    assert_eq!(calls.len(), 2, "one line for each attempt: {lines:?}");
    for call in calls {
        assert_eq!((&call["reason"], &call["host"]), (&reason.into(), &host.into()), "{call}");
        assert_eq!((&call["app"], &call["purpose"]), (&"daemon".into(), &"client_credentials".into()), "{call}");
        assert!(call["causes"].as_str().is_some_and(|causes| causes.contains(words)), "no {words:?} in {call}");
    }
    assert!(cause(lines).contains(words), "no {words:?} in {lines:?}");
    assert!(!format!("{lines:?}").contains("canary"), "{lines:?}");
}

#[test]
fn names_ports_and_silence_are_told_apart() {
    for (kind, reason, words) in [
        ("a name", "dns", "its name is not known"),
        ("a port", "refused", "was refused"),
        ("silence", "connect_timeout", "in time"),
    ] {
        let mut host = String::new();
        let lines = logged(async {
            let mut running = JoinSet::new();
            host = match kind {
                "a name" => "login.test.invalid".to_owned(),
                "a port" => format!("127.0.0.1:{}", free_port()),
                _ => format!("127.0.0.1:{}", serving(&mut running, silent).await),
            };
            let (sidecar, _files) = sidecar(&host, &own(&["x"], true).pem, "").await;
            assert_eq!(asked(&sidecar).await, 503);
        });
        told(&lines, &host, reason, words);
    }
}

#[test]
fn a_certificate_is_told_by_what_is_wrong_with_it() {
    let ca = own(&["test CA"], true);
    let mut stranger = own(&["another CA"], true);
    stranger.params.distinguished_name.push(rcgen::DnType::CommonName, "another CA");
    stranger.pem = stranger.params.self_signed(&stranger.key).expect("a certificate").pem();
    let (alone, shown_ca) = (own(&["127.0.0.1"], false), own(&["127.0.0.1"], true));
    for (pair, trusted, reason, words) in [
        (issued(&ca, "127.0.0.1", YEARS), &alone, "unknown_ca", "`ca_file`"),
        // Whether the CA that is trusted has the name of the one that issued it, or another.
        (issued(&stranger, "127.0.0.1", YEARS), &ca, "unknown_ca", "`ca_file`"),
        (issued(&ca, "127.0.0.1", (2020, 2021)), &ca, "certificate_expired", "has expired"),
        (issued(&ca, "127.0.0.1", (2048, 2049)), &ca, "certificate_not_yet_valid", "clock"),
        (issued(&ca, "other.example", YEARS), &ca, "wrong_name", "other names"),
        (shown_ca, &ca, "ca_as_server", "CA:FALSE"),
    ] {
        let mut host = String::new();
        let lines = logged(async {
            let mut running = JoinSet::new();
            host = format!("127.0.0.1:{}", showing(&mut running, &pair).await);
            let (sidecar, _files) = sidecar(&host, &trusted.pem, "").await;
            assert_eq!(asked(&sidecar).await, 503);
        });
        told(&lines, &host, reason, words);
    }
}

#[test]
fn what_speaks_no_tls_and_what_hangs_up_are_told_apart() {
    for (answer, reason, words) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "no_tls", "speaks no TLS"), (b"", "closed", "closed at the other end")]
    {
        let mut host = String::new();
        let lines = logged(async {
            let mut running = JoinSet::new();
            let port = serving(&mut running, move |mut stream| async move {
                let mut head = [0; 4096];
                let _read = stream.read(&mut head).await;
                let _written = stream.write_all(answer).await;
            });
            host = format!("127.0.0.1:{}", port.await);
            let (sidecar, _files) = sidecar(&host, &own(&["x"], true).pem, "").await;
            assert_eq!(asked(&sidecar).await, 503);
        });
        told(&lines, &host, reason, words);
    }
}

#[test]
fn a_certificate_of_its_own_that_is_no_cas_is_good_as_its_ca_file() {
    let own = own(&["127.0.0.1"], false);
    let lines = logged(async {
        let mut running = JoinSet::new();
        let host = format!("127.0.0.1:{}", showing(&mut running, &own).await);
        let (sidecar, _files) = sidecar(&host, &own.pem, "").await;
        assert_eq!(asked(&sidecar).await, 502, "it was reached, and answers 404");
    });
    assert!(cause(&lines).contains("status 404"), "{lines:?}");
}

#[test]
fn a_proxy_that_makes_no_way_is_told_with_its_status() {
    for (status, words) in [
        ("407 Proxy Authentication Required", "status 407"),
        ("403 Forbidden", "status 403"),
        ("502 Bad Gateway", "status 502"),
        ("503 Service Unavailable", "status 503"),
    ] {
        let lines = logged(async {
            let mut running = JoinSet::new();
            let port = serving(&mut running, move |mut stream| async move {
                let mut head = [0; 4096];
                let _read = stream.read(&mut head).await;
                let _written = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
            });
            let more = format!("outbound: {{proxy: 'http://user:canary@127.0.0.1:{}'}}", port.await);
            let (sidecar, _files) = sidecar("login.example.test", &own(&["x"], true).pem, &more).await;
            assert_eq!(asked(&sidecar).await, 503);
        });
        told(&lines, "login.example.test", "proxy", words);
    }
}

#[test]
fn a_proxy_that_is_away_is_told_as_that() {
    let lines = logged(async {
        let more = format!("outbound: {{proxy: 'http://127.0.0.1:{}'}}", free_port());
        let (sidecar, _files) = sidecar("login.example.test", &own(&["x"], true).pem, &more).await;
        assert_eq!(asked(&sidecar).await, 503);
    });
    told(&lines, "login.example.test", "proxy_unreachable", "the proxy cannot be reached");
}

#[tokio::test]
async fn no_proxy_takes_a_star_and_a_port() {
    for (entry, through) in [("'*.0.0.0'", true), ("'0.0.0.0:PORT'", false), ("'0.0.0.0:1'", true), ("'[::1]:PORT'", true)] {
        let (mut running, proxy, pair) = (JoinSet::new(), Proxy::start().await, own(&["0.0.0.0"], false));
        let port = showing(&mut running, &pair).await;
        let more =
            format!("outbound: {{proxy: 'http://{}', no_proxy: [{}]}}", proxy.address, entry.replace("PORT", &port.to_string()));
        let (sidecar, _files) = sidecar(&format!("0.0.0.0:{port}"), &pair.pem, &more).await;
        assert_eq!(asked(&sidecar).await, 502);
        assert_eq!(proxy.asked().is_empty(), !through, "{entry}");
    }
}
