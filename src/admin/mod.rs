//! The second listener: probes, metrics, status. It sees plain data and closures,
//! so that no probe can wait on Redis or an authority.
//!
//! It may be reached from beyond this machine, because kubelet and Prometheus come to the Pod's address: from there it tells only
//! what they need. `/status` is for this machine, and there for programs and not for pages.

mod report;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use utoipa::openapi::{OpenApi, ServerBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::listen::{Gate, Peer, Trespass};
use crate::telemetry::Metrics;

pub use report::{
    AppReport, AuthorityReport, BreakerReport, CacheReport, CallErrorReport, CredentialReport, HoldReport, RedisReport,
    ReloadReport, Report, TlsReport,
};

/// Whether requests shall come: a latch of the lifecycle, never a look at Redis or an authority.
pub type Ready = Arc<dyn Fn() -> bool + Send + Sync>;

/// The state of the process, made anew for each request.
pub type Tell = Arc<dyn Fn() -> Report + Send + Sync>;

/// The state of the routes.
struct Desk {
    metrics: Metrics,
    ready: Ready,
    report: Tell,
    gate: Gate,
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The Prometheus text format.
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The admin listener's routes. `hosts` are the names, beside the usual ones, by which `/status` may be asked.
pub fn router(metrics: Metrics, ready: Ready, report: Tell, hosts: &[String]) -> Router {
    let (routes, _) = routes().split_for_parts();
    // The listener has bounded the head.
    let gate = Gate::new(hosts, usize::MAX);
    routes
        .with_state(Arc::new(Desk { metrics, ready, report, gate }))
        .fallback(async || {
            problem(StatusCode::NOT_FOUND, "not_found", "the admin listener has /livez, /readyz, /metrics and /status")
        })
        .method_not_allowed_fallback(async || problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use GET"))
}

/// The admin listener's part of the API document.
pub fn openapi() -> OpenApi {
    let mut document = routes().into_openapi();
    let server = ServerBuilder::new().url("http://127.0.0.1:8651").description(Some("The admin listener (`admin_listen`)")).build();
    for item in document.paths.paths.values_mut() {
        item.servers = Some(vec![server.clone()]);
    }
    document
}

fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(livez)).routes(routes!(readyz)).routes(routes!(metrics)).routes(routes!(status))
}

/// Whether the process runs at all.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "admin",
    responses((status = 200, description = "It does.", body = str, content_type = "text/plain"))
)]
async fn livez() -> Response {
    answer(StatusCode::OK, TEXT, "ok\n")
}

/// Whether requests shall be sent here.
#[utoipa::path(
    get, path = "/readyz", tag = "admin",
    responses(
        (status = 200, description = "Yes.", body = str, content_type = "text/plain"),
        (status = 503, description = "Not yet, or no longer.", body = str, content_type = "text/plain"),
    )
)]
async fn readyz(State(desk): State<Arc<Desk>>) -> Response {
    if (desk.ready)() {
        answer(StatusCode::OK, TEXT, "ready\n")
    } else {
        answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n")
    }
}

/// All metrics in the Prometheus text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "admin",
    responses((status = 200, description = "The metrics.", body = str, content_type = "text/plain"))
)]
async fn metrics(State(desk): State<Arc<Desk>>) -> Response {
    answer(StatusCode::OK, EXPOSITION, desk.metrics.render())
}

/// The state of the process; from this machine only.
#[utoipa::path(
    get, path = "/status", tag = "admin",
    responses(
        (status = 200, description = "The state.", body = Report),
        (status = 400, description = "No usable `Host`, or the headers of a proxy: a problem."),
        (status = 403, description = "From another machine, from a web page, or by another name: a problem.")
    )
)]
async fn status(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    match desk.judge(request) {
        Ok(()) => answer(StatusCode::OK, JSON, serde_json::to_vec(&(desk.report)()).unwrap_or_default()),
        Err((status, error, detail)) => problem(status, error, detail),
    }
}

fn answer(status: StatusCode, kind: HeaderValue, body: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A problem (RFC 9457) in the shape that the token listener's have.
fn problem(status: StatusCode, error: &str, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": format!("urn:tokend:error:{error}"),
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "error": error,
        "error_description": detail,
        "retryable": false,
    });
    answer(status, PROBLEM, body.to_string())
}

// === impl Desk ===

impl Desk {
    fn judge(&self, request: Request) -> Result<(), (StatusCode, &'static str, &'static str)> {
        let (head, _) = request.into_parts();
        // Without a peer it came over none of our listeners: nothing is known, so nothing is told.
        let Some(peer) = Peer::of(&head.extensions).filter(Peer::is_local) else {
            return Err((StatusCode::FORBIDDEN, "peer_not_allowed", "/status is told to this machine only; ask over loopback"));
        };
        // Whatever the listener, this route is held to the rules of a local one: a proxy on this machine that passes strangers on
        // comes from here too, and shows by its headers or by the name it was asked by.
        let peer = match peer {
            Peer::Tcp { address, listener, tls } => {
                Peer::Tcp { address, listener: SocketAddr::new(address.ip(), listener.port()), tls }
            }
            unix @ Peer::Unix { .. } => unix,
        };
        self.gate.judge(&head, &peer).map_err(|trespass| match trespass {
            Trespass::Origin => (StatusCode::FORBIDDEN, "origin_not_allowed", "/status is not told to web pages"),
            Trespass::Host => (StatusCode::FORBIDDEN, "host_not_allowed", "`Host` names neither the listen address nor localhost"),
            Trespass::BadHost => (StatusCode::BAD_REQUEST, "invalid_request", "`Host` is missing, there twice, or no host name"),
            Trespass::Forwarded => {
                (StatusCode::BAD_REQUEST, "forwarded_header", "a proxy's headers are not taken on a local listener")
            }
            Trespass::TooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "header_too_large", "the head of the request is over `limits.header`")
            }
        })
    }
}
