//! What is counted of calls to authorities.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};

use super::answer::Failure;
use crate::telemetry;

/// Counters of calls; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: IntCounterVec,
    durations: HistogramVec,
}

/// The error values that get a label of their own; every other is `other`, so that an authority cannot make series.
const ERRORS: [&str; 14] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "invalid_resource",
    "invalid_target",
    "unauthorized_client",
    "unsupported_grant_type",
    "interaction_required",
    "login_required",
    "consent_required",
    "access_denied",
    "temporarily_unavailable",
    "server_error",
];

// === impl Metrics ===

impl Metrics {
    /// Makes the counters.
    pub fn new(metrics: &telemetry::Metrics) -> Self {
        Self {
            calls: metrics.counters(
                "authority_calls_total",
                "Calls to authorities, by grant (or `discovery`, `keys`), status class and OAuth error.",
                &["grant", "status", "error"],
            ),
            durations: metrics.durations(
                "authority_call_duration_seconds",
                "How long a call to an authority took, without waiting for its turn.",
                &["grant"],
            ),
        }
    }

    pub(super) fn call(&self, grant: &str, failure: Option<&Failure>, took: Duration) {
        let grant = grant.rsplit(':').next().unwrap_or_default();
        let (status, error) = failure.map_or(("2xx", "none"), describe);
        self.calls.with_label_values(&[grant, status, error]).inc();
        self.durations.with_label_values(&[grant]).observe(took.as_secs_f64());
    }
}

fn describe(failure: &Failure) -> (&'static str, &'static str) {
    let known = |error: &str| ERRORS.iter().find(|known| **known == error).copied().unwrap_or("other");
    match failure {
        Failure::Refused { body, .. } => ("4xx", known(&body.error)),
        Failure::Throttled { .. } => ("429", "throttled"),
        Failure::Unavailable { body, .. } => ("5xx", body.as_ref().map_or("none", |body| known(&body.error))),
        Failure::NotSent => ("none", "unreachable"),
        Failure::Broken => ("none", "broken"),
        Failure::Busy => ("none", "busy"),
        Failure::TimedOut => ("none", "timeout"),
        Failure::Invalid(_) => ("other", "invalid_answer"),
    }
}
