//! The edge: from a request's head to a flow's call, and from its outcome to an answer. It decides who may speak and what may be
//! said; whether there is a token is the flow's affair.

mod asked;
mod bearer;
mod body;
mod caller;
mod dialect;
mod document;
mod doors;
mod edge;
mod fault;
mod frame;
mod gate;
mod members;
mod proof;
mod refusal;
mod route;
mod routes;
mod rows;
mod serve;
mod server_metadata;
mod settings;

#[cfg(test)]
mod tests;

use std::future::{Ready, ready};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;

use crate::caller::Callers;
use crate::clock::Clock;
use crate::flow::Service;
use crate::listen::{App, Gate};
use crate::telemetry::{Metrics, Sampler};

use edge::EdgeLayer;
use fault::FaultKind;
use frame::Frame;
use gate::GateLayer;

pub use document::{document, openapi};
pub use settings::{ClientDoor, DoorSettings, ImdsSettings, MsSidecarSettings, Settings};

/// By which address clients ask for the instance metadata service.
const IMDS: &str = "169.254.169.254";

/// The token listener's routes behind the one ordered list of what every request passes.
///
/// The list stands around the router and not in it: axum boxes and clones whatever it holds once per layer call and request.
pub fn router(
    service: Service,
    settings: &Settings,
    msi: Option<Arc<Callers>>,
    clock: &Clock,
    metrics: &Metrics,
    sampler: Sampler,
) -> impl App + use<> {
    let frame = Frame::new(settings, clock.clone(), metrics, sampler).for_callers(service.callers().cloned(), msi);
    let frame = Arc::new(frame);
    framed(serve::router(service, &frame), settings, frame)
}

/// Any routes in the frame: what answers where there is no route, and the list.
fn framed(routes: Router, settings: &Settings, frame: Arc<Frame>) -> impl App + use<> {
    let gate = Arc::new(Gate::new(&settings.hosts, settings.header));
    let hosts = [&settings.hosts[..], &[IMDS.to_owned()]].concat();
    let imds = Arc::new(Gate::new(&hosts, settings.header));
    let routes = routes
        .fallback(answer_with(&frame, FaultKind::NotFound, "tokend has no such route; `tokend openapi` prints all of them"))
        // Only routes that are there already get it. The router adds `Allow`.
        .method_not_allowed_fallback(answer_with(
            &frame,
            FaultKind::MethodNotAllowed,
            "the route does not take this method; `Allow` names those it takes",
        ));
    let callers = frame.asker();
    let has_unlimited = frame.doors.open.contains(&ClientDoor::MsSidecar);
    let unlimited = has_unlimited.then(|| routes.clone());
    ServiceBuilder::new()
        // First of all: ids, span and the answer to whatever goes wrong below.
        .layer(EdgeLayer { frame, unlimited })
        // Before a body is read: what comes from a page or by a wrong name gives its place back at once.
        .layer(GateLayer { gate, imds })
        // Behind it, because a page must not even learn whether it knows a token; and before anything is spent on who is not known.
        .layer(callers)
        // Directly outside the limit: it asks whether there is a place, and answers 503 instead of queueing.
        .layer(LoadShedLayer::new())
        // One semaphore for all requests, whichever clone of this list they get.
        .layer(GlobalConcurrencyLimitLayer::new(settings.concurrency))
        // Inside the limit, so that it bounds how long a place is held, the body's arrival included.
        .layer(TimeoutLayer::new(settings.request_timeout))
        .service(routes)
}

fn answer_with(
    frame: &Arc<Frame>,
    kind: FaultKind,
    detail: &'static str,
) -> impl Fn(Request) -> Ready<Response> + Clone + Send + Sync + 'static {
    let frame = Arc::clone(frame);
    move |request| ready(frame.fault(request, kind, detail))
}
