//! The application behind the proxies, which keeps what it got.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What it says to everybody who comes through.
pub(crate) const SAID: &str = "said by the application";

/// The application; it ends when this is dropped.
pub(crate) struct Api {
    /// Where it listens on loopback.
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    running: JoinHandle<()>,
}

/// A request that it got.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// Path and query, as they came.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    /// Bytes of the body.
    pub(crate) length: usize,
    /// SHA-256 of the body.
    pub(crate) digest: Vec<u8>,
}

// === impl Api ===

impl Api {
    /// Starts one.
    #[expect(clippy::disallowed_methods, reason = "an application runs beside the test")]
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let kept = Arc::clone(&seen);
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                let service = service_fn(move |request| answer(request, Arc::clone(&kept)));
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
                // A proxy may break it off: that is its right.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { port, seen, running }
    }

    /// What it got since it was asked last.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().expect("no panic"))
    }

    /// The one request that it got since it was asked last.
    #[track_caller]
    pub(crate) fn one(&self) -> Seen {
        let mut seen = self.take();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.remove(0)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.running.abort();
    }
}

// === impl Seen ===

impl Seen {
    /// Every value of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "what is upgraded goes on beside the test")]
async fn answer(mut request: Request<Incoming>, kept: Arc<Mutex<Vec<Seen>>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let upgrade = request.headers().get(header::UPGRADE).cloned();
    let upgraded = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let (head, mut body) = request.into_parts();
    let (mut length, mut digest) = (0, Context::new(&SHA256));
    while let Some(frame) = body.frame().await {
        let Some(data) = frame.ok().and_then(|frame| frame.into_data().ok()) else { break };
        length += data.len();
        digest.update(&data);
    }
    let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let digest = digest.finish().as_ref().to_vec();
    let seen = Seen { method: head.method, target, headers: head.headers, length, digest };
    kept.lock().expect("no panic").push(seen);
    let mut response = Response::new(Full::from(SAID));
    if let (Some(name), Some(upgraded)) = (upgrade, upgraded) {
        tokio::spawn(async move {
            let Ok(stream) = upgraded.await else { return };
            let (mut from, mut to) = tokio::io::split(TokioIo::new(stream));
            // Until either side has enough.
            let _done = tokio::io::copy(&mut from, &mut to).await;
        });
        *response.body_mut() = Full::default();
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
        response.headers_mut().insert(header::UPGRADE, name);
    }
    Ok(response)
}
