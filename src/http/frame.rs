//! What every route shares: bounds, clock, meters, and the ways in which a request begins and ends.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use prometheus::{IntCounterVec, IntGauge};
use tracing::Span;

use super::asked::Asked;
use super::bearer::bearer;
use super::body::{self, Bodies, HeldBody};
use super::doors::{DoorInput, FlowReply};
use super::fault::{Fault, FaultKind, RequestError};
use super::members::{form, read};
use super::refusal::RequestFailure;
use super::routes::{BodyKind, Route};
use super::settings::Settings;
use crate::caller::Callers;
use crate::clock::Clock;
use crate::flow::{Flow, loggable};
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

/// A request that has arrived as a whole.
pub(super) struct OpenedRequest {
    route: &'static Route,
    uri: Uri,
    /// Kept only on routes that read the user's token: they stay in memory for as long as the flow takes.
    headers: HeaderMap,
    body: Option<HeldBody>,
}

// === impl Frame ===

impl Frame {
    /// A frame by these settings.
    pub(super) fn new(settings: &Settings, clock: Clock, metrics: &Metrics, sampler: Sampler) -> Self {
        let bodies = Bodies::new(settings.body, settings.inflight);
        Self { sampler, meters: Meters::new(metrics), callers: None, bodies, clock }
    }

    /// A frame for these callers alone.
    pub(super) fn for_callers(self, callers: Option<Arc<Callers>>) -> Self {
        Self { callers, ..self }
    }

    /// What the edge knows of the request; it was read once, outside.
    pub(super) fn asked(&self, request: &mut Request) -> Asked {
        request.extensions_mut().remove().unwrap_or_else(|| self.read(request).0)
    }

    /// Reads the head of a request that arrives now.
    pub(super) fn read(&self, request: &Request) -> (Asked, Span, Result<(), Fault>) {
        Asked::read(request, self.sampler, self.clock.precise())
    }

    /// The whole of a request to this route.
    pub(super) async fn open(&self, route: &'static Route, request: Request) -> Result<OpenedRequest, Fault> {
        let (head, body) = request.into_parts();
        let body = match route.body {
            BodyKind::Json(..) => {
                refuse_query(&head.uri)?;
                Some(self.bodies.json(&head.headers, body).await?)
            }
            BodyKind::Empty => {
                body::refuse(body).await?;
                None
            }
        };
        let headers = if route.bearer { head.headers } else { HeaderMap::new() };
        Ok(OpenedRequest { route, uri: head.uri, headers, body })
    }

    /// Ends a request, in the dialect of its path.
    pub(super) fn respond(&self, asked: &Asked, outcome: Result<FlowReply, RequestError>) -> Response {
        self.respond_about(asked, None, outcome)
    }

    /// Ends a request that means an app of the configuration.
    pub(super) fn respond_about(&self, asked: &Asked, app: Option<&str>, outcome: Result<FlowReply, RequestError>) -> Response {
        match outcome {
            Ok(reply) => asked.path.dialect.success(&reply, asked.correlation_id, self.clock.unix()),
            Err(error) => {
                if let RequestError::Fault(fault) = &error {
                    self.meters.refusals.with_label_values(&[fault.kind.as_str()]).inc();
                }
                let failure = RequestFailure::of(&error, &self.clock);
                let response = asked.path.dialect.failure(&failure, asked.correlation_id);
                let caller = self.callers.as_ref().and_then(|callers| callers.name(asked.caller));
                log(asked, (app, caller), &failure, response.status());
                response
            }
        }
    }

    /// Ends a request with a fault of its own.
    pub(super) fn fault(&self, mut request: Request, kind: FaultKind, detail: &'static str) -> Response {
        self.respond(&self.asked(&mut request), Err(Fault::new(kind, detail).into()))
    }
}

/// The one line of a failed request. Never a description: it is the authority's text, and may name a user.
fn log(asked: &Asked, (app, caller): (Option<&str>, Option<&str>), failure: &RequestFailure<'_>, status: StatusCode) {
    let answer = failure.answer();
    let error_codes = answer.map(|answer| &answer.error_codes).filter(|codes| !codes.is_empty());
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                correlation_id = %asked.correlation_id,
                app,
                flow = asked.path.flow.map(Flow::as_str),
                door = asked.path.dialect.door(),
                route = asked.path.template,
                caller,
                status = status.as_u16(),
                error = loggable(failure.error),
                reason = failure.reason,
                cause = failure.refusal.and_then(|refusal| refusal.cause.as_deref()),
                suberror = answer.and_then(|answer| answer.suberror.as_deref()).map(loggable),
                error_codes = error_codes.map(tracing::field::debug),
                authority_trace_id = answer.and_then(|answer| answer.trace_id.as_deref()).map(loggable),
                "request failed"
            )
        };
    }
    // From 500 on it is somebody else's turn than the caller's.
    if status.is_server_error() { line!(warn) } else { line!(info) }
}

/// A parameter in the URL would be ignored, and URLs end up in logs.
fn refuse_query(uri: &Uri) -> Result<(), Fault> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => {
            let detail = "this route takes no query; send the members in the JSON body";
            Err(Fault::new(FaultKind::InvalidRequest, detail))
        }
    }
}

// === impl OpenedRequest ===

impl OpenedRequest {
    /// What it gives its door.
    ///
    /// # Errors
    /// What stands where the user's token belongs is none, or a member is not as it has to be.
    pub(super) fn given(&self) -> Result<DoorInput<'_>, RequestError> {
        let bearer = if self.route.bearer { bearer(&self.headers)? } else { None };
        let members = match &self.body {
            Some(body) => read::read(&body.bytes, self.route.takes)?,
            None => form::read(self.uri.query(), self.route.takes)?,
        };
        Ok(DoorInput { members, bearer, path: self.uri.path() })
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
