//! What every route shares: bounds, clock, meters, and the ways in which a request begins and ends.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri};
use prometheus::{IntCounter, IntCounterVec, IntGauge};
use tokio::sync::Semaphore;
use tracing::Span;

use super::asked::Asked;
use super::bearer::{bearer, bearer_if_needed};
use super::body::{self, Bodies, HeldBody, MediaType};
use super::caller::{self, CALLER_TOKEN, CallerLayer};
use super::dialect::About;
use super::doors::{DoorInput, FlowReply, HeadFacts, Rare};
use super::fault::{Fault, FaultKind, RequestError};
use super::members::form::Foreign;
use super::members::overrides::SidecarQuery;
use super::members::{Members, form, read};
use super::proof::{self, BasicProof};
use super::refusal::RequestFailure;
use super::routes::{BodyKind, ProofPlace, Route};
use super::settings::{ClientDoor, DoorSettings, Settings};
use crate::caller::{CallerError, Callers, HeaderToken, Presented};
use crate::clock::Clock;
use crate::flow::{Flow, RefusalKind, loggable};
use crate::listen::{Connection, Peer};
use crate::oauth::ASSERTION_JWT_BEARER;
use crate::telemetry::{Metrics, Sampler};

/// What every route shares.
#[derive(Debug)]
pub(super) struct Frame {
    sampler: Sampler,
    pub(super) meters: Meters,
    pub(super) callers: Option<Arc<Callers>>,
    msi: Option<Arc<Callers>>,
    pub(super) doors: DoorSettings,
    bodies: Bodies,
    /// The bodies of requests whose caller is not known before its body is: they take no room of the others.
    unproven: Bodies,
    /// Places for requests whose caller is not known before all of them is there: of those of all, they take no more than these.
    strangers: Semaphore,
    clock: Clock,
}

/// The largest body in which a caller's proof may stand, in bytes.
const UNPROVEN: usize = 64 * 1024;

/// What part of `limits.inflight` such bodies may take, and what part of `limits.concurrency` such requests.
const UNPROVEN_SHARE: usize = 8;

/// How long the body of such a request may take to arrive.
const UNPROVEN_TIME: Duration = Duration::from_secs(2);

/// What the edge counts: a request that reaches a flow is counted there.
#[derive(Debug)]
pub(super) struct Meters {
    pub(super) in_flight: IntGauge,
    refusals: IntCounterVec,
    /// Of each door: answered, refused, failed.
    doors: [[IntCounter; 3]; ClientDoor::ALL.len()],
}

/// A request that has arrived as a whole.
pub(super) struct OpenedRequest {
    route: &'static Route,
    uri: Uri,
    /// Kept only on routes that read the user's token: they stay in memory for as long as the flow takes.
    headers: HeaderMap,
    /// What else of its head the doors ask for.
    head: HeadFacts,
    form: Option<Box<FormHead>>,
    body: Option<HeldBody>,
}

/// What a form's head has of its caller. On the heap: other routes have no need of it.
struct FormHead {
    basic: Option<BasicProof>,
    connection: Option<Connection>,
}

// === impl Frame ===

impl Frame {
    /// A frame by these settings.
    pub(super) fn new(settings: &Settings, clock: Clock, metrics: &Metrics, sampler: Sampler) -> Self {
        let bodies = Bodies::new(settings.body, settings.inflight);
        let unproven =
            Bodies::new(settings.body.min(UNPROVEN), (settings.inflight / UNPROVEN_SHARE).max(UNPROVEN)).charged_on_arrival();
        let strangers = Semaphore::new((settings.concurrency / UNPROVEN_SHARE).max(1));
        let (meters, doors) = (Meters::new(metrics), settings.doors.clone());
        Self { sampler, meters, callers: None, msi: None, doors, bodies, unproven, strangers, clock }
    }

    /// A frame for these callers alone. Where there are none, `msi` has what clients of a managed identity show.
    pub(super) fn for_callers(self, callers: Option<Arc<Callers>>, msi: Option<Arc<Callers>>) -> Self {
        Self { callers, msi, ..self }
    }

    /// What asks who sends each request.
    pub(super) fn asker(&self) -> CallerLayer {
        let named = self.doors.imds.as_ref().and_then(|imds| imds.caller);
        let imds = self.callers.as_ref().zip(named).map(|(callers, index)| callers.at(index));
        CallerLayer { callers: self.callers.clone(), msi: self.msi.clone(), imds, open: self.doors.open.as_slice().into() }
    }

    /// What the edge knows of the request; it was read once, outside.
    pub(super) fn asked(&self, request: &mut Request) -> Asked {
        request.extensions_mut().remove().unwrap_or_else(|| self.read(request).0)
    }

    /// Reads the head of a request that arrives now.
    pub(super) fn read(&self, request: &Request) -> (Asked, Span, Result<(), Fault>) {
        Asked::read(request, self.sampler, self.clock.precise())
    }

    /// Who sent a form, where its head has not said it, and the app that it names. All that it shows has to be one caller's.
    pub(super) async fn proven_by_form(
        &self,
        asked: &mut Asked,
        opened: &OpenedRequest,
        given: &DoorInput<'_>,
    ) -> Result<Option<String>, Fault> {
        let members = &given.members;
        let (basic, connection) =
            opened.form.as_ref().map(|form| (form.basic.as_ref(), form.connection.as_ref())).unwrap_or_default();
        let client = proof::client(basic, members)?.map(Cow::into_owned);
        let Some(callers) = &self.callers else { return Ok(client) };
        let secret = members.client_secret.as_ref().map(|secret| secret.as_str().as_bytes());
        let assertion = members.client_assertion.as_ref().map(|assertion| assertion.as_str().as_bytes());
        let kind = members.client_assertion_type.as_ref().map(|kind| kind.as_str());
        if assertion.is_some() && kind != Some(ASSERTION_JWT_BEARER) {
            let detail = "`client_assertion_type` is missing or another one than a JWT's (RFC 7523 §2.2)";
            return Err(Fault::new(FaultKind::InvalidRequest, detail));
        }
        if asked.is_proven && secret.is_none() && assertion.is_none() {
            return Ok(client);
        }
        // What the connection proves was looked at with the head's proof, if there was one.
        let connection = connection.filter(|_| !asked.is_proven);
        let shown = Presented { header: HeaderToken::Missing, secrets: secret.as_slice(), assertion, connection };
        let caller = callers.identify(&shown).await.map_err(|error| caller::fault(error, ProofPlace::Form))?;
        if asked.is_proven && asked.caller != caller {
            return Err(caller::fault(CallerError::Several, ProofPlace::Form));
        }
        (asked.caller, asked.is_proven) = (caller, true);
        Ok(client)
    }

    /// Whether the caller may use the door of this route.
    pub(super) fn may_pass(&self, asked: &Asked) -> Result<(), Fault> {
        let Some(callers) = self.callers.as_ref().filter(|_| asked.path.proof != ProofPlace::Open) else { return Ok(()) };
        if callers.may_use_door(asked.caller, asked.path.door.as_str()) {
            return Ok(());
        }
        Err(Fault::new(FaultKind::CallerNotAllowed, "this caller may not use this door: extend `callers.*.doors`"))
    }

    /// The whole of a request to this route. Where its caller is known only when all of it is there, or nobody asks who sends it,
    /// it has to come soon, and takes no more than a part of the places meanwhile.
    pub(super) async fn open(&self, route: &'static Route, asked: &Asked, request: Request) -> Result<OpenedRequest, Fault> {
        let is_asked = self.callers.is_some() && !route.path.unlimited;
        let is_known = !is_asked || asked.is_proven && route.path.proof != ProofPlace::Named;
        if is_known {
            return self.arrived(route, asked, request).await;
        }
        // On the heap: few requests come this way.
        Box::pin(self.arrived_from_a_stranger(route, asked, request)).await
    }

    async fn arrived_from_a_stranger(
        &self,
        route: &'static Route,
        asked: &Asked,
        request: Request,
    ) -> Result<OpenedRequest, Fault> {
        let detail =
            "more requests of callers that are not known yet are arriving than are let in at a time; try again in a second";
        let _place = self.strangers.try_acquire().map_err(|_| Fault::new(FaultKind::Overloaded, detail))?;
        tokio::time::timeout(UNPROVEN_TIME, self.arrived(route, asked, request)).await.unwrap_or_else(|_| {
            let detail = "the body did not arrive in time; send it at once, or the caller's proof in the head";
            Err(Fault::new(FaultKind::RequestTimeout, detail))
        })
    }

    async fn arrived(&self, route: &'static Route, asked: &Asked, request: Request) -> Result<OpenedRequest, Fault> {
        let (mut head, body) = request.into_parts();
        let form = if route.path.proof == ProofPlace::Form {
            let (basic, connection) = (BasicProof::read(&head.headers)?, head.extensions.remove());
            Some(Box::new(FormHead { basic, connection }))
        } else {
            None
        };
        let body = match route.body {
            BodyKind::Json(..) => {
                refuse_query(&head.uri, "send the members in the JSON body")?;
                Some(self.bodies.take(MediaType::Json, &head.headers, body).await?)
            }
            BodyKind::Form(..) => {
                refuse_query(&head.uri, "send the parameters in the form (RFC 6749 §3.2)")?;
                let bodies = if self.callers.is_some() && !asked.is_proven { &self.unproven } else { &self.bodies };
                Some(bodies.take(MediaType::Form, &head.headers, body).await?)
            }
            BodyKind::Empty | BodyKind::Query => {
                body::refuse(body).await?;
                None
            }
            // Dropped, and not read: the edge sees to the connection.
            BodyKind::Sidecar | BodyKind::Unread => None,
        };
        let facts = match route.body {
            BodyKind::Form(..) | BodyKind::Query => HeadFacts::of(&head.headers),
            BodyKind::Unread => HeadFacts { is_trusted: self.is_trusted(&head), ..HeadFacts::default() },
            BodyKind::Json(..) | BodyKind::Empty | BodyKind::Sidecar => HeadFacts::default(),
        };
        let headers = if route.bearer { head.headers } else { HeaderMap::new() };
        Ok(OpenedRequest { route, uri: head.uri, headers, head: facts, form, body })
    }

    /// Whether a request shows what a web page cannot make a browser show: a caller's proof that stands in its head, a certificate,
    /// or a Unix socket. That it has reached an address which is one caller's alone is not enough where `Host` is not judged.
    fn is_trusted(&self, head: &Parts) -> bool {
        let connection = Connection::of(&head.extensions);
        let is_socket = connection.is_some_and(|connection| matches!(connection.peer, Peer::Unix { .. }));
        let is_certified = connection.is_some_and(|connection| connection.certificate.is_some());
        is_socket || self.callers.is_some() && (is_certified || head.headers.contains_key(&CALLER_TOKEN))
    }

    /// Ends a request, in the dialect of its path.
    pub(super) fn respond(&self, asked: &Asked, outcome: Result<FlowReply, RequestError>) -> Response {
        self.respond_about(asked, None, outcome)
    }

    /// Ends a request that means an app of the configuration.
    pub(super) fn respond_about(&self, asked: &Asked, app: Option<&str>, outcome: Result<FlowReply, RequestError>) -> Response {
        let about = About { correlation_id: asked.correlation_id, now: self.clock.unix() };
        match outcome {
            Ok(reply) => {
                self.meters.door(asked.path.door, StatusCode::OK);
                asked.path.dialect.success(&reply, about)
            }
            Err(error) => {
                if let RequestError::Fault(fault) = &error {
                    self.meters.refusals.with_label_values(&[fault.kind.as_str()]).inc();
                }
                let is_open = asked.path.proof == ProofPlace::Open;
                let failure = RequestFailure { is_open, ..RequestFailure::of(&error, &self.clock) };
                let response = asked.path.dialect.failure(&failure, about);
                self.meters.door(asked.path.door, response.status());
                let caller = self.callers.as_ref().and_then(|callers| callers.name(asked.caller));
                if !is_usual(asked, &failure) {
                    log(asked, (app, caller), &failure, response.status());
                }
                response
            }
        }
    }

    /// Ends a request with a fault of its own.
    pub(super) fn fault(&self, mut request: Request, kind: FaultKind, detail: &'static str) -> Response {
        self.respond(&self.asked(&mut request), Err(Fault::new(kind, detail).into()))
    }
}

/// Whether a refusal is what happens all day: behind a proxy, whoever has not signed in yet has no token.
fn is_usual(asked: &Asked, failure: &RequestFailure<'_>) -> bool {
    let has_no_token = failure.refusal.is_some_and(|refusal| refusal.kind == RefusalKind::TokenMissing);
    asked.path.door == ClientDoor::AuthRequest && has_no_token
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
                door = asked.path.door.as_str(),
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
fn refuse_query(uri: &Uri, remedy: &str) -> Result<(), Fault> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Err(Fault::new(FaultKind::InvalidRequest, format!("this route takes no query; {remedy}"))),
    }
}

/// What the counter of doors calls an answer.
const OUTCOMES: [&str; 3] = ["ok", "refused", "failed"];

// === impl HeadFacts ===

impl HeadFacts {
    fn of(headers: &HeaderMap) -> Self {
        Self {
            is_dpop: headers.contains_key("dpop"),
            has_metadata: headers.get("metadata").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true")),
            is_forwarded: ["x-forwarded-for", "forwarded", "via"].iter().any(|name| headers.contains_key(*name)),
            is_trusted: false,
        }
    }
}

// === impl OpenedRequest ===

impl OpenedRequest {
    /// Whether its caller's proof is `Authorization: Basic`.
    pub(super) fn is_basic(&self) -> bool {
        self.form.as_ref().is_some_and(|form| form.basic.is_some())
    }

    /// What it gives its door.
    ///
    /// # Errors
    /// What stands where the user's token belongs is none, or a member is not as it has to be.
    pub(super) fn given<'a>(&'a self, settings: &'a DoorSettings) -> Result<DoorInput<'a>, RequestError> {
        let (bearer, unusable) = match (self.route.bearer, self.route.path.judged) {
            (true, false) => bearer_if_needed(&self.headers),
            (true, true) => (bearer(&self.headers)?, None),
            (false, _) => (None, None),
        };
        let (body, query) = (self.body.as_ref().map(|body| &body.bytes[..]), self.uri.query().unwrap_or_default());
        let members = match self.route.body {
            BodyKind::Json(..) => read::read(body.unwrap_or_default(), self.route.takes)?,
            BodyKind::Form(..) => {
                let text = std::str::from_utf8(body.unwrap_or_default())
                    .map_err(|_| Fault::new(FaultKind::InvalidRequest, "the body is not UTF-8; percent-encode what is no ASCII"))?;
                form::read(text, self.route.takes, Foreign::Ignored)?
            }
            BodyKind::Empty => form::read(query, self.route.takes, Foreign::Refused)?,
            BodyKind::Query => form::read(query, self.route.takes, Foreign::Ignored)?,
            BodyKind::Sidecar | BodyKind::Unread => Members::default(),
        };
        let rare = match self.route.body {
            BodyKind::Sidecar => Some(Box::new(Rare::Sidecar(SidecarQuery::read(query)?))),
            _ => unusable.map(|refusal| Box::new(Rare::Unusable(refusal))),
        };
        let path = self.uri.path();
        Ok(DoorInput { members, bearer, rare, path, client: None, head: self.head, settings })
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
        let help = "Requests by the door that they came to: `ok`, `refused` (4xx) and `failed` (5xx).";
        let doors = metrics.counters("door_requests_total", help, &["door", "outcome"]);
        let doors = ClientDoor::ALL.map(|door| OUTCOMES.map(|outcome| doors.with_label_values(&[door.as_str(), outcome])));
        Self { in_flight: in_flight.with_label_values::<&str>(&[]), refusals, doors }
    }

    /// Counts an answer.
    fn door(&self, door: ClientDoor, status: StatusCode) {
        let outcome = usize::from(status.is_client_error()) + 2 * usize::from(status.is_server_error());
        if let Some(counter) = self.doors.get(door as usize).and_then(|outcomes| outcomes.get(outcome)) {
            counter.inc();
        }
    }
}
