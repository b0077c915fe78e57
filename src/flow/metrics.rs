//! What is counted of requests: by flow, app, outcome and token source, with handles resolved once.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::refusal::Refusal;
use super::request::{Answer, TokenSource};
use crate::telemetry;
use crate::token::Turn;

/// A flow, for labels and rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 7523 with Entra's extension, or RFC 8693.
    OnBehalfOf,
    /// RFC 6749 §4.1, the redemption.
    AuthCode,
    /// A token of an account that signed in before (RFC 6749 §6).
    Silent,
}

/// The counters of all apps.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    renewals: IntCounterVec,
    held: IntCounterVec,
}

/// The counters of one app; the usual outcome's are at hand.
#[derive(Clone, Debug)]
pub struct AppMetrics {
    all: Metrics,
    app: String,
    hits: [(IntCounter, Histogram); 4],
}

// === impl Flow ===

impl Flow {
    /// Every flow.
    pub const ALL: [Self; 4] = [Self::ClientCredentials, Self::OnBehalfOf, Self::AuthCode, Self::Silent];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::OnBehalfOf => "on_behalf_of",
            Self::AuthCode => "auth_code",
            Self::Silent => "silent",
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// Makes the counters.
    pub fn new(metrics: &telemetry::Metrics) -> Self {
        Self {
            requests: metrics.counters(
                "requests_total",
                "Requests for a token, by flow, app, outcome (`ok`, or whose turn it is) and where the token came from.",
                &["flow", "app", "outcome", "source"],
            ),
            durations: metrics.durations(
                "request_duration_seconds",
                "How long a request for a token took, without reading and writing it.",
                &["flow", "source"],
            ),
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
        }
    }

    /// The counters of one app.
    pub fn of(&self, app: &str) -> AppMetrics {
        let hit = |flow: Flow| {
            (
                self.requests.with_label_values(&[flow.as_str(), app, "ok", "memory"]),
                self.durations.with_label_values(&[flow.as_str(), "memory"]),
            )
        };
        AppMetrics { all: self.clone(), app: app.to_owned(), hits: Flow::ALL.map(hit) }
    }
}

// === impl AppMetrics ===

impl AppMetrics {
    /// Counts a request.
    pub(super) fn request(&self, flow: Flow, outcome: Result<&Answer, &Refusal>, took: Duration) {
        match outcome {
            Ok(answer) if answer.source == TokenSource::Memory => {
                let [client_credentials, on_behalf_of, auth_code, silent] = &self.hits;
                let (counter, histogram) = match flow {
                    Flow::ClientCredentials => client_credentials,
                    Flow::OnBehalfOf => on_behalf_of,
                    Flow::AuthCode => auth_code,
                    Flow::Silent => silent,
                };
                counter.inc();
                histogram.observe(took.as_secs_f64());
            }
            Ok(answer) if answer.source == TokenSource::Redis => self.count(flow, "ok", "redis", took),
            Ok(_) => self.count(flow, "ok", "authority", took),
            Err(refusal) => self.count(flow, label(refusal.turn), "none", took),
        }
    }

    fn count(&self, flow: Flow, outcome: &str, source: &str, took: Duration) {
        self.all.requests.with_label_values(&[flow.as_str(), &self.app, outcome, source]).inc();
        self.all.durations.with_label_values(&[flow.as_str(), source]).observe(took.as_secs_f64());
    }

    /// Counts a renewal's end.
    pub(super) fn renewal(&self, flow: Flow, refusal: Option<&Refusal>) {
        let outcome = refusal.map_or("ok", |refusal| label(refusal.turn));
        self.all.renewals.with_label_values(&[flow.as_str(), &self.app, outcome]).inc();
    }

    /// Counts a request that a remembered failure answered.
    pub(super) fn held(&self, flow: Flow) {
        self.all.held.with_label_values(&[flow.as_str(), &self.app]).inc();
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
