//! An HTTP proxy that knows one method, CONNECT, and one host: whatever name it is asked for, it goes to this machine.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running proxy; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    running: JoinHandle<()>,
}

/// What it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The method and the host with its port.
    pub(crate) line: String,
    /// `Proxy-Authorization`.
    pub(crate) authorization: Option<String>,
}

impl Proxy {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        Self::start_for(None).await
    }

    /// Starts one that serves only those who show this `Proxy-Authorization`.
    pub(crate) async fn start_for(authorization: Option<&'static str>) -> Self {
        Self::leading(authorization, None).await
    }

    /// Starts one that leads to this port, whatever port it is asked for: names of others, as their clients write them, are then
    /// names of what listens there.
    pub(crate) async fn start_to(port: u16) -> Self {
        Self::leading(None, Some(port)).await
    }

    #[expect(clippy::disallowed_methods, reason = "a network runs beside the test")]
    async fn leading(authorization: Option<&'static str>, to: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, asked) = (listener.local_addr().expect("an address"), Arc::<Mutex<Vec<Asked>>>::default());
        let seen = Arc::clone(&asked);
        let running = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(serve(near, Arc::clone(&seen), authorization, to));
            }
        });
        Self { address, asked, running }
    }

    /// Everything it was asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn serve(mut near: TcpStream, asked: Arc<Mutex<Vec<Asked>>>, authorization: Option<&str>, to: Option<u16>) {
    let Some(request) = head(&mut near).await else { return };
    let port = to.or_else(|| port_of(&request));
    let welcome = authorization.is_none_or(|one| request.authorization.as_deref() == Some(one));
    asked.lock().expect("no panic").push(request);
    let answer = if welcome { "200 Connection established" } else { "407 Proxy Authentication Required" };
    let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
    // Either end may break it off: that is what connections do.
    if near.write_all(answer.as_bytes()).await.is_ok()
        && welcome
        && let Ok(mut far) = TcpStream::connect(("127.0.0.1", port.unwrap_or_default())).await
    {
        let _done = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}

fn port_of(request: &Asked) -> Option<u16> {
    request.line.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
}

/// Method, target and authorization; nothing is sent after the head before it is answered.
async fn head(stream: &mut TcpStream) -> Option<Asked> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 1024]);
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).await.ok()? {
            0 => return None,
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = text.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = lines.filter_map(|line| line.split_once(": "));
    let authorization = headers.find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
    Some(Asked { line, authorization: authorization.map(|(_, value)| value.to_owned()) })
}
