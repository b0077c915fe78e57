//! The listener over real sockets: what a client can do to it, and what it does about it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use super::{Address, OpenConnections, Peer, Settings, bind, serve};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

struct Served {
    address: Address,
    tasks: Tasks,
    stop: CancellationToken,
    metrics: Metrics,
}

async fn served(address: Address, change: impl FnOnce(&mut Settings)) -> Served {
    let mut settings = Settings {
        addresses: vec![address],
        mode: 0o600,
        header: 4096,
        connections: 8,
        keep_alive: true,
        header_timeout: Duration::from_millis(300),
        tls: None,
    };
    change(&mut settings);
    let app = Router::new().route("/", get(|Extension(peer): Extension<Peer>| async move { format!("{peer:?}") })).route(
        "/slow",
        get(|| async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            "slow"
        }),
    );
    let (tasks, metrics, stop) = (Tasks::default(), Metrics::default(), CancellationToken::new());
    let bound = bind(&settings).await.unwrap();
    let address = bound[0].address();
    serve(bound, app, &settings, &tasks, &stop, &OpenConnections::new(&metrics), "token");
    Served { address, tasks, stop, metrics }
}

impl Served {
    async fn tcp(change: impl FnOnce(&mut Settings)) -> (Self, SocketAddr) {
        let served = served(Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))), change).await;
        let Address::Tcp(address) = served.address else { panic!("TCP was asked for") };
        (served, address)
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

/// Sends `text` and reads to the end of the connection; what a client does, off the runtime's threads.
async fn exchange(address: SocketAddr, text: String) -> (String, Duration) {
    tokio::task::spawn_blocking(move || {
        let mut stream = connect(address);
        let started = clock();
        // The server may answer and close before all of it is sent.
        drop(stream.write_all(text.as_bytes()));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        (String::from_utf8_lossy(&answer).into_owned(), started.elapsed())
    })
    .await
    .unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the test measures how long the machine takes")]
fn clock() -> Instant {
    Instant::now()
}

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn tells_the_peer() {
    let (_served, address) = Served::tcp(|_| ()).await;
    let (answer, _) = exchange(address, GET.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")).await;
    assert!(answer.contains("Tcp { address: 127.0.0.1:") && answer.contains(&format!("listener: {address}")), "{answer}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut() {
    let (_served, address) = Served::tcp(|_| ()).await;
    for text in ["", "P", "PRI * HT", "GET / HTTP/1.1\r\nhost: loc", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let (answer, took) = exchange(address, text.to_owned()).await;
        assert!(!answer.contains("200 OK"), "{text}: {answer}");
        assert!(took < Duration::from_secs(3), "{text}: {took:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (_served, address) = Served::tcp(|_| ()).await;
    let (answer, took) = exchange(address, GET.to_owned()).await;
    assert!(answer.contains("200 OK"), "{answer}");
    assert!(took > Duration::from_millis(200) && took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn a_huge_head_is_431() {
    let (_served, address) = Served::tcp(|_| ()).await;
    for size in [9_000, 100_000] {
        let (answer, _) =
            exchange(address, format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-long: {}\r\n\r\n", "x".repeat(size))).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{size}: {answer}");
    }
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    let (answer, _) = exchange(address, format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_place() {
    let (served, address) = Served::tcp(|settings| settings.connections = 1).await;
    let first = tokio::task::spawn_blocking(move || {
        let mut stream = connect(address);
        stream.write_all(b"GET").unwrap();
        stream
    })
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let text = String::from_utf8(served.metrics.render()).unwrap();
    assert!(text.contains("tokend_http_connections{listener=\"token\"} 1"), "{text}");
    // The first one never ends its head: it loses its place, and the second gets it.
    let (answer, took) = exchange(address, GET.to_owned()).await;
    assert!(answer.contains("200 OK"), "{answer}");
    assert!(took > Duration::from_millis(150), "{took:?}");
    drop(first);
}

#[tokio::test]
async fn drains_what_was_begun() {
    let (served, address) = Served::tcp(|settings| settings.header_timeout = Duration::from_secs(20)).await;
    let idle = exchange(address, GET.to_owned());
    let slow = exchange(address, "GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned());
    let stop = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        served.stop.cancel();
        served.tasks.stop(Duration::from_secs(5)).await
    };
    let ((idle, idle_took), (slow, slow_took), in_time) = tokio::join!(idle, slow, stop);
    assert!(in_time);
    assert!(idle.contains("200 OK") && idle_took < Duration::from_millis(400), "{idle_took:?}");
    assert!(slow.ends_with("slow") && slow_took < Duration::from_secs(3), "{slow_took:?} {slow}");
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn a_drain_ends_with_its_grace() {
    let (served, address) = Served::tcp(|settings| settings.header_timeout = Duration::from_secs(20)).await;
    let slow = exchange(address, "GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned());
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        served.stop.cancel();
        served.tasks.stop(Duration::from_millis(50)).await
    };
    let ((answer, took), in_time) = tokio::join!(slow, stop);
    assert!(!in_time && answer.is_empty() && took < Duration::from_millis(450), "{took:?} {answer}");
}

#[tokio::test]
async fn serves_a_unix_socket_and_removes_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.sock");
    let served = served(Address::Unix(path.clone()), |_| ()).await;
    let answer = unix_exchange(&path).await;
    let pid = std::process::id();
    assert!(answer.contains(&format!("pid: Some({pid})")), "{answer}");
    served.stop.cancel();
    assert!(served.tasks.stop(Duration::from_secs(2)).await);
    assert!(!path.exists());
}

async fn unix_exchange(path: &Path) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::UnixStream::connect(path).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn speaks_http_2_and_closes_it_when_idle() {
    let (served, address) = Served::tcp(|_| ()).await;
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(stream))
            .await
            .unwrap();
    served.tasks.awaited("client", async move { drop(connection.await) });
    let request = http::Request::builder().uri(format!("http://{address}/")).body(axum::body::Body::empty()).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (http::StatusCode::OK, http::Version::HTTP_2));
    drop(answer);
    let started = clock();
    while !client.is_closed() && started.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(client.is_closed());
}
