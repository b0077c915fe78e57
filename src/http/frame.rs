//! What every route shares: bounds, clock, meters, and the ways in which a request begins and ends.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Uri};
use prometheus::{IntCounterVec, IntGauge};
use tracing::Span;

use super::answer;
use super::asked::Asked;
use super::body::{self, Bodies, Held};
use super::problem::{Fault, FaultKind, Problem};
use super::refusal;
use super::settings::Settings;
use crate::clock::Clock;
use crate::caller::Callers;
use crate::flow::Answer;
use crate::telemetry::{Metrics, Sampler};

/// What every route shares.
#[derive(Debug)]
pub(super) struct Frame {
    sampler: Sampler,
    pub(super) meters: Meters,
    pub(super) callers: Option<Arc<Callers>>,
    bodies: Bodies,
    clock: Clock,
}

/// What the edge counts: a request that reaches a flow is counted there.
#[derive(Debug)]
pub(super) struct Meters {
    pub(super) in_flight: IntGauge,
    refusals: IntCounterVec,
}

// === impl Frame ===

impl Frame {
    /// A frame by these settings.
    pub(super) fn new(settings: &Settings, clock: Clock, metrics: &Metrics, sampler: Sampler) -> Self {
        let bodies = Bodies::new(settings.body, settings.inflight);
        Self { sampler, meters: Meters::new(metrics), callers: None, bodies, clock }
    }

    /// The same for these callers alone.
    pub(super) fn for_callers(self, callers: Option<Arc<Callers>>) -> Self {
        Self { callers, ..self }
    }

    /// What the edge knows of the request; it was read once, outside.
    pub(super) fn asked(&self, request: &Request) -> Asked {
        request.extensions().get().cloned().unwrap_or_else(|| self.read(request).0)
    }

    /// Reads the head of a request that arrives now.
    pub(super) fn read(&self, request: &Request) -> (Asked, Span, Result<(), Fault>) {
        Asked::read(request, self.sampler, self.clock.precise())
    }

    /// The head and the whole body of a request.
    pub(super) async fn open(&self, request: Request) -> Result<(Parts, Held), Problem> {
        let (head, body) = request.into_parts();
        refuse_query(&head.uri)?;
        let body = self.bodies.json(&head.headers, body).await.map_err(Problem::Fault)?;
        Ok((head, body))
    }

    /// The head of a request that says all in its head.
    pub(super) async fn bare(&self, request: Request) -> Result<Parts, Problem> {
        let (head, body) = request.into_parts();
        body::refuse(body).await.map_err(Problem::Fault)?;
        Ok(head)
    }

    /// Ends a request.
    pub(super) fn respond(&self, asked: &Asked, outcome: Result<Response, Problem>) -> Response {
        outcome.unwrap_or_else(|problem| {
            if let Problem::Fault(fault) = &problem {
                self.meters.refusals.with_label_values(&[fault.kind.as_str()]).inc();
            }
            let caller = self.callers.as_ref().and_then(|callers| callers.name(asked.caller));
            refusal::respond(asked, caller, &problem, &self.clock)
        })
    }

    /// Ends a request with a fault of its own.
    pub(super) fn fault(&self, request: &Request, kind: FaultKind, detail: &'static str) -> Response {
        self.respond(&self.asked(request), Err(Problem::Fault(Fault::new(kind, detail))))
    }

    /// The answer with a token.
    pub(super) fn token(&self, asked: &Asked, answer: &Answer) -> Response {
        json(answer::body(answer, asked.correlation_id, self.clock.unix()))
    }
}

/// A JSON body with status 200.
pub(super) fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A parameter in the URL would be ignored, and URLs end up in logs.
fn refuse_query(uri: &Uri) -> Result<(), Problem> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => {
            let detail = "this route takes no query; send the members in the JSON body";
            Err(Problem::Fault(Fault::new(FaultKind::InvalidRequest, detail)))
        }
    }
}

// === impl Meters ===

impl Meters {
    fn new(metrics: &Metrics) -> Self {
        let in_flight = metrics.gauges("http_requests_in_flight", "Requests that are being answered.", &[]);
        let help = "Requests that the edge refused, by tokend's own error value: before a flow saw them, except for `request_timeout`, which \
                    ends one that was under way.";
        let refusals = metrics.counters("http_refusals_total", help, &["error"]);
        for kind in FaultKind::ALL {
            // A series that is there from the start shows the first refusal as an increase.
            refusals.with_label_values(&[kind.as_str()]).inc_by(0);
        }
        Self { in_flight: in_flight.with_label_values::<&str>(&[]), refusals }
    }
}
