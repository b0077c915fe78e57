//! What is counted of requests: by flow, app, outcome and token source. The handles of an app's series are resolved when they are
//! first needed, and then kept; those of hits in memory are resolved at the start.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::catalogue::Flow;
use super::refusal::Refusal;
use super::request::{Answer, TokenSource};
use crate::telemetry;
use crate::token::Turn;

/// The counters of all apps.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    durations: Arc<Durations>,
    renewals: IntCounterVec,
    held: IntCounterVec,
    introspections: IntCounterVec,
}

/// The counters of one app.
#[derive(Clone, Debug)]
pub struct AppMetrics {
    all: Metrics,
    app: String,
    requests: Arc<[[OnceLock<IntCounter>; RESULTS]; Flow::ALL.len()]>,
}

#[derive(Debug)]
struct Durations {
    all: HistogramVec,
    kept: [[OnceLock<Histogram>; SOURCES.len()]; Flow::ALL.len()],
}

/// How a request ended: where its token came from, or whose turn it is.
#[derive(Clone, Copy)]
enum Ended {
    Well(TokenSource),
    Ill(Turn),
}

/// How many ways of ending there are: a source for each token, a turn for each refusal.
const RESULTS: usize = SOURCES.len() - 1 + 8;

/// The values of `source`; the last one is for requests that got no token.
const SOURCES: [&str; 4] = ["memory", "redis", "authority", "none"];

/// What stands for the app in the series of requests that name none of ours: no app can be called so.
const UNKNOWN: &str = "_unknown";

// === impl Metrics ===

impl Metrics {
    /// Makes the counters.
    pub fn new(metrics: &telemetry::Metrics) -> Self {
        let durations = metrics.durations(
            "request_duration_seconds",
            "How long a request for a token took, without reading and writing it.",
            &["flow", "source"],
        );
        Self {
            requests: metrics.counters(
                "requests_total",
                "Requests for a token, by flow, app, outcome (`ok`, or whose turn it is) and where the token came from.",
                &["flow", "app", "outcome", "source"],
            ),
            durations: Arc::new(Durations { all: durations, kept: Default::default() }),
            renewals: metrics.counters(
                "refreshes_total",
                "Renewals in the background, by flow, app and outcome.",
                &["flow", "app", "outcome"],
            ),
            held: metrics.counters(
                "held_requests_total",
                "Requests answered from a remembered failure, without a call to the authority.",
                &["flow", "app"],
            ),
            introspections: metrics.counters(
                "introspections_total",
                "Tokens that were introspected, by app and outcome (`active`, `inactive`).",
                &["app", "outcome"],
            ),
        }
    }

    /// The counters of one app. What is there from the start shows its first increase.
    pub fn of(&self, app: &str) -> AppMetrics {
        let metrics = AppMetrics { all: self.clone(), app: app.to_owned(), requests: Arc::default() };
        for flow in Flow::ALL.into_iter().filter(|flow| flow.is_cached()) {
            metrics.counter(flow, Ended::Well(TokenSource::Memory));
            self.durations.of(flow, Ended::Well(TokenSource::Memory));
            self.renewals.with_label_values(&[flow.as_str(), app, "ok"]);
        }
        metrics
    }
}

// === impl Durations ===

impl Durations {
    fn of(&self, flow: Flow, ended: Ended) -> Option<&Histogram> {
        let kept = self.kept.get(flow as usize)?.get(ended.source_index())?;
        Some(kept.get_or_init(|| self.all.with_label_values(&[flow.as_str(), ended.source()])))
    }
}

// === impl AppMetrics ===

impl AppMetrics {
    /// The counters of requests that name no app of ours.
    pub(super) fn unknown(&self) -> Self {
        Self { all: self.all.clone(), app: UNKNOWN.to_owned(), requests: Arc::default() }
    }

    /// Counts a request.
    pub(super) fn request(&self, flow: Flow, outcome: Result<&Answer, &Refusal>, took: Duration) {
        let ended = match outcome {
            Ok(answer) => Ended::Well(answer.source),
            Err(refusal) => Ended::Ill(refusal.turn),
        };
        self.ended(flow, ended, took);
    }

    /// Counts a request that the edge gave up.
    pub(super) fn given_up(&self, flow: Flow, took: Duration) {
        self.ended(flow, Ended::Ill(Turn::OutOfTime), took);
    }

    fn ended(&self, flow: Flow, ended: Ended, took: Duration) {
        self.count(flow, ended);
        if let Some(durations) = self.all.durations.of(flow, ended) {
            durations.observe(took.as_secs_f64());
        }
    }

    /// Counts a request that took no time worth measuring.
    pub(super) fn refused(&self, flow: Flow, refusal: &Refusal) {
        self.count(flow, Ended::Ill(refusal.turn));
    }

    fn count(&self, flow: Flow, ended: Ended) {
        if let Some(counter) = self.counter(flow, ended) {
            counter.inc();
        }
    }

    fn counter(&self, flow: Flow, ended: Ended) -> Option<&IntCounter> {
        let kept = self.requests.get(flow as usize)?.get(ended.index())?;
        let resolved = || self.all.requests.with_label_values(&[flow.as_str(), &self.app, ended.outcome(), ended.source()]);
        Some(kept.get_or_init(resolved))
    }

    /// Counts a renewal's end.
    pub(super) fn renewal(&self, flow: Flow, refusal: Option<&Refusal>) {
        let outcome = refusal.map_or("ok", |refusal| label(refusal.turn));
        self.all.renewals.with_label_values(&[flow.as_str(), &self.app, outcome]).inc();
    }

    /// Counts a token that was introspected.
    pub(super) fn introspected(&self, is_active: bool) {
        let outcome = if is_active { "active" } else { "inactive" };
        self.all.introspections.with_label_values(&[self.app.as_str(), outcome]).inc();
    }

    /// Counts a request that a remembered failure answered.
    pub(super) fn held(&self, flow: Flow) {
        self.all.held.with_label_values(&[flow.as_str(), &self.app]).inc();
    }
}

// === impl Ended ===

impl Ended {
    fn outcome(self) -> &'static str {
        match self {
            Self::Well(_) => "ok",
            Self::Ill(turn) => label(turn),
        }
    }

    fn source(self) -> &'static str {
        SOURCES.get(self.source_index()).copied().unwrap_or_default()
    }

    fn source_index(self) -> usize {
        match self {
            Self::Well(TokenSource::Memory) => 0,
            Self::Well(TokenSource::Redis) => 1,
            Self::Well(TokenSource::IdentityProvider) => 2,
            Self::Ill(_) => 3,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Well(_) => self.source_index(),
            Self::Ill(turn) => SOURCES.len() - 1 + turn as usize,
        }
    }
}

fn label(turn: Turn) -> &'static str {
    match turn {
        Turn::Caller => "caller",
        Turn::User => "user",
        Turn::Rights => "rights",
        Turn::Configuration => "configuration",
        Turn::Throttled => "throttled",
        Turn::Operator => "operator",
        Turn::Unavailable => "unavailable",
        Turn::OutOfTime => "timeout",
    }
}
