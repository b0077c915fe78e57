//! The outermost layer: every request gets its ids and its span here, and every error that a layer below makes becomes an answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::response::Response;
use futures_util::TryFutureExt as _;
use futures_util::future::Either;
use http::header::{CACHE_CONTROL, CONNECTION};
use http::{HeaderValue, Uri, Version};
use prometheus::IntGauge;
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower::{BoxError, Layer, Service};
use tracing::{Instrument as _, Span};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::asked::{Asked, CORRELATION_ID};
use super::fault::{Fault, FaultKind};
use super::frame::Frame;
use crate::telemetry::finish_request;

/// Wraps the ordered list.
#[derive(Clone)]
pub(super) struct EdgeLayer {
    pub(super) frame: Arc<Frame>,
    /// The routes themselves, where some of them are answered whatever the list says.
    pub(super) unlimited: Option<Router>,
}

/// The list, with an answer for every error.
#[derive(Clone)]
pub(super) struct Edge<S> {
    inner: S,
    frame: Arc<Frame>,
    unlimited: Option<Router>,
}

/// A request that is being answered.
struct InFlight(IntGauge);

// === impl EdgeLayer ===

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, inner: S) -> Edge<S> {
        Edge { inner, frame: Arc::clone(&self.frame), unlimited: self.unlimited.clone() }
    }
}

// === impl Edge ===

impl<S> Service<Request> for Edge<S>
where
    S: Service<Request, Response = Response, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Load shedding is always ready, and says in `call` if it was not.
        self.inner.poll_ready(cx).map(|_| Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let in_flight = InFlight::begin(&self.frame.meters.in_flight);
        let (asked, span, readable) = self.frame.read(&request);
        let frame = Arc::clone(&self.frame);
        let leaves = leaves_body(&asked, &request);
        let inner = readable.map(|()| {
            request.extensions_mut().insert(asked.clone());
            respell(&asked, &mut request);
            match &mut self.unlimited {
                Some(routes) if asked.path.unlimited => Either::Left(routes.call(request).map_err(|never| match never {})),
                _ => Either::Right(self.inner.call(request)),
            }
        });
        Box::pin(async move {
            let outcome = match inner {
                Ok(inner) => inner.instrument(span.clone()).await.map_err(fault_of),
                Err(fault) => Err(fault),
            };
            let response = outcome.unwrap_or_else(|fault| span.in_scope(|| frame.respond(&asked, Err(fault.into()))));
            drop(in_flight);
            let mut response = finish(response, asked.correlation_id, &span);
            if leaves {
                // What comes next on this connection would be the body that nobody reads.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        })
    }
}

/// Whether a request has a body that is left unread, so that its connection can take no other request. HTTP/2 has streams for that.
fn leaves_body(asked: &Asked, request: &Request) -> bool {
    asked.path.leaves_body && !request.body().is_end_stream() && request.version() < Version::HTTP_2
}

/// Gives a path that is spelled in another case the spelling that the router knows.
fn respell(asked: &Asked, request: &mut Request) {
    let Some(path) = asked.path.respelled(request.uri().path()) else { return };
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.path_and_query = target.try_into().ok();
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

fn fault_of(error: BoxError) -> Fault {
    if error.is::<Elapsed>() {
        return Fault::new(FaultKind::RequestTimeout, "no answer was ready in time (`limits.request_timeout`); try again");
    }
    if error.is::<Overloaded>() {
        let detail = "more requests are being answered than `limits.concurrency` allows; try again in a second";
        return Fault::new(FaultKind::Overloaded, detail);
    }
    // The gate's; nothing else below makes errors.
    match error.downcast::<Fault>() {
        Ok(fault) => *fault,
        Err(_) => Fault::new(FaultKind::Overloaded, "the request was dropped; try again"),
    }
}

/// What every answer carries: no cache may keep a token, nor an error about one.
fn finish(mut response: Response, correlation_id: Uuid, span: &Span) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut text = [0; Hyphenated::LENGTH];
    if let Ok(id) = HeaderValue::from_str(correlation_id.as_hyphenated().encode_lower(&mut text)) {
        headers.insert(CORRELATION_ID, id);
    }
    finish_request(span, response.status().as_u16());
    response
}

// === impl InFlight ===

impl InFlight {
    fn begin(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
