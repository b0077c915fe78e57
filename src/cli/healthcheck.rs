//! `tokend healthcheck`: one request to the admin listener, for exec probes in images without a shell.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use url::Url;

/// How long the listener may take: probes have time-outs of their own, and seldom longer ones.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is asked.
pub(super) enum Target {
    /// The configured admin listener.
    Listener(Vec<HealthPlace>),
    /// What `--url` says.
    Url(Url),
}

/// One place where the listener may be.
pub(super) enum HealthPlace {
    Tcp(SocketAddr),
    Unix(std::path::PathBuf),
}

/// Asks `/readyz`, or the given URL.
pub(super) async fn run(target: Target) -> Result<(), String> {
    tokio::time::timeout(PATIENCE, ask(target)).await.unwrap_or_else(|_| Err("no answer within 2 s".to_owned()))
}

async fn ask(target: Target) -> Result<(), String> {
    match target {
        Target::Url(url) => {
            if url.scheme() != "http" {
                return Err("`--url` begins with http://: the admin listener speaks no TLS".to_owned());
            }
            let host = url.host_str().unwrap_or("127.0.0.1").trim_matches(['[', ']']).to_owned();
            let stream = TcpStream::connect((host, url.port_or_known_default().unwrap_or(80))).await;
            get(stream.map_err(|error| error.to_string())?, url.path()).await
        }
        Target::Listener(places) => {
            let mut last = Err("there is no admin listener".to_owned());
            for place in places {
                last = match place {
                    HealthPlace::Tcp(address) => connect_tcp(address).await,
                    HealthPlace::Unix(path) => connect_unix(&path).await,
                };
                if last.is_ok() {
                    break;
                }
            }
            last
        }
    }
}

async fn connect_tcp(mut address: SocketAddr) -> Result<(), String> {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    get(TcpStream::connect(address).await.map_err(|error| error.to_string())?, "/readyz").await
}

async fn connect_unix(path: &Path) -> Result<(), String> {
    get(UnixStream::connect(path).await.map_err(|error| error.to_string())?, "/readyz").await
}

/// One GET by hand: a client library would be more code than this, and knows no Unix sockets.
async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> Result<(), String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await.map_err(|error| error.to_string())?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Err(format!("not ready: {}", String::from_utf8_lossy(line)))
}
