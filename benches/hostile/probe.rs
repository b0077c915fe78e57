//! A well-behaved client beside the hostile ones: one request each 50 ms over a new connection, as a kubelet asks.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// A kubelet's patience.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two requests.
const EVERY: Duration = Duration::from_millis(50);

/// What came of the requests.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    asked: u32,
    answered: u32,
    longest: Duration,
}

impl std::fmt::Display for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} answered within 1 s, longest wait {} ms", self.answered, self.asked, self.longest.as_millis())
    }
}

/// Asks for `span`.
pub(crate) async fn ask(port: u16, request: &str, span: Duration) -> Answered {
    let clock = tokend::clock::Clock::system();
    let mut all = Answered::default();
    while clock.precise() < span {
        let from = clock.precise();
        let answered = tokio::time::timeout(PATIENCE, once(port, request)).await.is_ok_and(|status| status == Some(200));
        all.asked += 1;
        all.answered += u32::from(answered);
        all.longest = all.longest.max(clock.precise().saturating_sub(from));
        tokio::time::sleep(EVERY).await;
    }
    all
}

/// The status of one request's answer, however long it takes.
pub(crate) async fn once(port: u16, request: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.ok()?;
    std::str::from_utf8(&head).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

/// A connection from one of this machine's other loopback addresses: `from` counts them.
pub(crate) async fn connect(from: usize, port: u16) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.set_reuseaddr(true).ok()?;
    socket.bind(format!("127.0.1.{}:0", from % 200 + 1).parse().ok()?).ok()?;
    socket.connect(std::net::SocketAddr::from(([127, 0, 0, 1], port))).await.ok()
}

/// `GET /livez`.
pub(crate) const LIVEZ: &str = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A token for the app, with a scope.
pub(crate) fn token(scope: &str) -> String {
    post("/client-credentials", &format!(r#"{{"scopes":["{scope}"]}}"#))
}

/// A request with a JSON body.
pub(crate) fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}
