//! The listener over real sockets: what a client can do to it, and what it does about it.

mod clocks;
mod hanging_up;
mod http2;
mod room;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Extension;
use axum::routing::{get, post};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Address, Connection, Meters, Settings, bind, serve};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

struct Served {
    address: Address,
    tasks: Tasks,
    stop: CancellationToken,
    metrics: Metrics,
    /// Requests at `/held`, and what lets them go.
    waiting: Arc<AtomicUsize>,
    go: Arc<Notify>,
}

/// Settings that are small enough to be met.
pub(super) fn usual(addresses: Vec<Address>) -> Settings {
    Settings {
        addresses,
        mode: 0o600,
        header: 4096,
        connections: 8,
        reserve: 0,
        spares: 0,
        per_address: Some(usize::MAX),
        heads: 1 << 20,
        keep_alive: Some(Duration::from_millis(100)),
        header_timeout: Duration::from_millis(300),
        tls: None,
    }
}

async fn served(address: Address, change: impl FnOnce(&mut Settings)) -> Served {
    let mut settings = usual(vec![address]);
    change(&mut settings);
    let (waiting, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let held = (Arc::clone(&waiting), Arc::clone(&go));
    let app = Router::new()
        .route("/", get(|Extension(it): Extension<Connection>| async move { format!("{:?}", it.peer) }).post(|| async { "posted" }))
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                "slow"
            }),
        )
        .route("/read", post(|body: Result<axum::body::Bytes, _>| async move { if body.is_ok() { "read" } else { "broken off" } }))
        .route("/held", get(move || hold(held.clone())));
    let (tasks, metrics, stop) = (Tasks::default(), Metrics::default(), CancellationToken::new());
    let bound = bind(&settings).await.unwrap();
    let address = bound[0].address();
    serve(bound, app, &settings, &tasks, &stop, &Meters::new(&metrics), "token");
    Served { address, tasks, stop, metrics, waiting, go }
}

/// Answers when it is told to; whoever is gone before waits no more.
async fn hold((waiting, go): (Arc<AtomicUsize>, Arc<Notify>)) -> &'static str {
    struct Waits(Arc<AtomicUsize>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    waiting.fetch_add(1, Ordering::SeqCst);
    let _waits = Waits(waiting);
    go.notified().await;
    "held"
}

impl Served {
    async fn tcp(change: impl FnOnce(&mut Settings)) -> (Self, SocketAddr) {
        let served = served(Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))), change).await;
        let Address::Tcp(address) = served.address else { panic!("TCP was asked for") };
        (served, address)
    }

    /// Waits until so many requests are held.
    async fn holds(&self, count: usize) {
        until(|| self.waiting.load(Ordering::SeqCst) == count).await;
    }

    /// A sample of the metrics.
    fn metric(&self, sample: &str) -> f64 {
        let text = String::from_utf8(self.metrics.render()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap()).unwrap_or_default()
    }

    fn closed(&self, reason: &str) -> f64 {
        self.metric(&format!("tokend_http_connections_closed_total{{listener=\"token\",reason=\"{reason}\"}}"))
    }

    fn unfinished(&self) -> f64 {
        self.metric("tokend_http_unfinished_heads{listener=\"token\"}")
    }
}

/// Waits until it is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never is so");
}

/// A connection by hand, on the runtime.
async fn open(address: SocketAddr, text: &str) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// What the server sends until it closes; it has to.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // Reset where something was unread.
    let _end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8(answer).unwrap()
}

/// Reads one answer, which ends in `end`, and leaves the connection open.
async fn answered(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut answer = String::new();
    while !answer.ends_with(end) {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.expect("an answer").unwrap();
        assert_ne!(read, 0, "{answer}");
        answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    answer
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
    // A tenth of a second, and the margin.
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
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
    let mut stream = tokio::net::UnixStream::connect(path).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
