//! The outermost layer: every request gets its ids and its span here, and every error that a layer below makes becomes an answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use prometheus::IntGauge;
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower::{BoxError, Layer, Service};
use tracing::{Instrument as _, Span};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::asked::CORRELATION_ID;
use super::fault::{Fault, FaultKind};
use super::frame::Frame;
use crate::telemetry::finish_request;

/// Wraps the ordered list.
#[derive(Clone)]
pub(super) struct EdgeLayer(pub(super) Arc<Frame>);

/// The list, with an answer for every error.
#[derive(Clone)]
pub(super) struct Edge<S> {
    inner: S,
    frame: Arc<Frame>,
}

/// A request that is being answered.
struct InFlight(IntGauge);

// === impl EdgeLayer ===

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, inner: S) -> Edge<S> {
        Edge { inner, frame: Arc::clone(&self.0) }
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
        let inner = readable.map(|()| {
            request.extensions_mut().insert(asked.clone());
            self.inner.call(request)
        });
        Box::pin(async move {
            let outcome = match inner {
                Ok(inner) => inner.instrument(span.clone()).await.map_err(fault_of),
                Err(fault) => Err(fault),
            };
            let response = outcome.unwrap_or_else(|fault| span.in_scope(|| frame.respond(&asked, Err(fault.into()))));
            drop(in_flight);
            Ok(finish(response, asked.correlation_id, &span))
        })
    }
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
