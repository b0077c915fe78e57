//! A client that costs little: prepared bytes over kept connections, each waiting for its answer before it asks again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::Server;
use super::statistics::Measured;

/// Connections at a time.
const CONNECTIONS: usize = 32;
/// How long a server is measured at a stretch.
const STRETCH: Duration = Duration::from_millis(1000);

/// A request's bytes.
#[derive(Clone)]
pub(crate) struct Request(Arc<[u8]>);

/// What is sent, and for how long.
pub(crate) struct Load {
    requests: Arc<[Request]>,
    order: Order,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Random,
    OnceEach,
}

impl Request {
    pub(crate) fn post(path: &str, body: &str, bearer: Option<&str>) -> Self {
        let bearer = bearer.map(|bearer| format!("authorization: Bearer {bearer}\r\n")).unwrap_or_default();
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{bearer}");
        Self(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes().into())
    }

    /// A `POST` of a form.
    pub(crate) fn form(path: &str, body: &str) -> Self {
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n");
        Self(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes().into())
    }

    /// A `GET` that shows an identity header.
    pub(crate) fn identity(path: &str, secret: &str) -> Self {
        Self(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-identity-header: {secret}\r\n\r\n").into_bytes().into())
    }

    /// A sub-request of a proxy, for a user.
    pub(crate) fn sub_request(path: &str, bearer: &str, token: &str) -> Self {
        let proofs = format!("authorization: Bearer {bearer}\r\nx-tokend-token: {token}");
        Self(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{proofs}\r\n\r\n").into_bytes().into())
    }

    /// A `POST` from a caller.
    pub(crate) fn calling(path: &str, body: &str, bearer: Option<&str>, token: &str) -> Self {
        let Self(plain) = Self::post(path, body, bearer);
        let (line, rest) = plain.split_at(plain.windows(2).position(|end| end == b"\r\n").unwrap_or_default());
        Self([line, format!("\r\nx-tokend-token: {token}").as_bytes(), rest].concat().into())
    }
}

impl Load {
    pub(crate) fn one(request: Request) -> Self {
        Self { requests: Arc::new([request]), order: Order::Random }
    }

    pub(crate) fn random(requests: Arc<[Request]>) -> Self {
        Self { requests, order: Order::Random }
    }

    pub(crate) fn each(requests: Arc<[Request]>) -> Self {
        Self { requests, order: Order::OnceEach }
    }

    /// Loads a server, and says what it did.
    pub(crate) fn run(&self, server: &Server) -> Measured {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let clock = tokend::clock::Clock::system();
        let before = server.cpu_micros();
        let next = Arc::new(AtomicUsize::new(0));
        let done: usize = runtime.block_on(async {
            let connections = (0..CONNECTIONS).map(|seed| self.connection(server, &clock, &next, seed));
            futures_util::future::join_all(connections).await.into_iter().sum()
        });
        let (seconds, cpu) = (clock.precise().as_secs_f64(), server.cpu_micros() - before);
        let count = f64::from(u32::try_from(done).expect("few"));
        Measured { rate: count / seconds, cpu_micros: cpu / count }
    }

    async fn connection(&self, server: &Server, clock: &tokend::clock::Clock, next: &AtomicUsize, seed: usize) -> usize {
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let (mut done, mut buffer) = (0, vec![0; 16 * 1024]);
        let mut random = u64::try_from(seed).expect("small") * 2 + 1;
        loop {
            let index = match self.order {
                Order::OnceEach => next.fetch_add(1, Ordering::Relaxed),
                Order::Random if clock.precise() >= STRETCH => return done,
                Order::Random => {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    usize::try_from(random >> 33).expect("31 bits") % self.requests.len()
                }
            };
            let Some(request) = self.requests.get(index) else { return done };
            stream.write_all(&request.0).await.expect("a write");
            answer(&mut stream, &mut buffer).await;
            done += 1;
        }
    }
}

/// Reads one answer, which must be 200.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.expect("an answer");
        assert!(read > 0, "the server closed: {}", String::from_utf8_lossy(&buffer[..filled]));
        filled += read;
        let Some(head) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).expect("a head");
        assert!(text.starts_with("HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&buffer[..filled]));
        let length = text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        let length: usize = length.and_then(|length| length.parse().ok()).expect("a length");
        if filled >= head + 4 + length {
            return;
        }
    }
}
