//! What is counted and traced of calls to authorities.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec};
use tracing::Span;

use super::answer::AuthorityError;
use crate::oauth::ErrorBody;
use crate::telemetry;

/// Counters of calls; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: IntCounterVec,
    durations: HistogramVec,
    /// How often kept connections were dropped.
    pub(super) replaced: IntCounter,
}

/// Where authorities answer, in seconds: the last one is the usual bound of a call.
const CALL_BUCKETS: [f64; 9] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// The error values of a refusal that get a label of their own; every other is `other`, so that an authority cannot make series.
const REFUSALS: [&str; 15] = [
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
    "authorization_pending",
    "slow_down",
    "expired_token",
];

/// What is counted of an authority that cannot serve.
const OUTAGES: [&str; 2] = ["temporarily_unavailable", "server_error"];

/// Entra's finer reasons that a span tells.
const SUBERRORS: [&str; 10] = [
    "bad_token",
    "token_expired",
    "client_mismatch",
    "protection_policy_required",
    "basic_action",
    "additional_action",
    "message_only",
    "consent_required",
    "user_password_expired",
    "device_authentication_failed",
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
            durations: metrics.durations_within(
                &CALL_BUCKETS,
                "authority_call_duration_seconds",
                "How long a call to an authority took, without waiting for its turn.",
                &["grant"],
            ),
            replaced: metrics
                .counters(
                    "authority_clients_replaced_total",
                    "How often all kept connections to an authority were dropped, because a call over one of them broke or was not answered in time.",
                    &[],
                )
                .with_label_values(&[] as &[&str]),
        }
    }

    /// A call that was made; `span` is told why it failed. Returns the label of that.
    pub(super) fn call(&self, grant: &str, span: &Span, failure: Option<&AuthorityError>, took: Duration) -> &'static str {
        let error = self.count(grant, failure);
        self.durations.with_label_values(&[short(grant)]).observe(took.as_secs_f64());
        if let Some(failure) = failure {
            telemetry::call_failed(span, error);
            if let Some(body) = body_of(failure) {
                let suberror = body.suberror.as_deref().map(|suberror| known(&SUBERRORS, suberror));
                telemetry::call_explained(span, suberror, &body.error_codes, body.trace_id.as_deref());
            }
        }
        error
    }

    /// A call that was not made, or broken off by the bound on all of them together.
    pub(super) fn not_made(&self, grant: &str, failure: AuthorityError) -> AuthorityError {
        self.count(grant, Some(&failure));
        failure
    }

    fn count(&self, grant: &str, failure: Option<&AuthorityError>) -> &'static str {
        let (status, error) = failure.map_or(("2xx", "none"), describe);
        self.calls.with_label_values(&[short(grant), status, error]).inc();
        error
    }
}

/// Grants of extensions are URNs: their last part says which.
fn short(grant: &str) -> &str {
    grant.rsplit(':').next().unwrap_or_default()
}

fn describe(failure: &AuthorityError) -> (&'static str, &'static str) {
    match failure {
        AuthorityError::Refused { body, .. } => ("4xx", known(&REFUSALS, &body.error)),
        AuthorityError::Throttled { .. } => ("429", "throttled"),
        AuthorityError::Unavailable { body, .. } => ("5xx", body.as_ref().map_or("none", |body| known(&OUTAGES, &body.error))),
        AuthorityError::NotSent(_) => ("none", "unreachable"),
        AuthorityError::Broken(_) => ("none", "broken"),
        AuthorityError::Busy => ("none", "busy"),
        AuthorityError::TimedOut => ("none", "timeout"),
        AuthorityError::Bound | AuthorityError::Invalid(_) | AuthorityError::OtherIssuer { .. } | AuthorityError::Strange(_) => {
            ("other", "invalid_answer")
        }
    }
}

fn known(list: &[&'static str], word: &str) -> &'static str {
    list.iter().find(|known| **known == word).copied().unwrap_or("other")
}

fn body_of(failure: &AuthorityError) -> Option<&ErrorBody> {
    match failure {
        AuthorityError::Refused { body, .. } => Some(body),
        AuthorityError::Throttled { body, .. } | AuthorityError::Unavailable { body, .. } => body.as_deref(),
        AuthorityError::NotSent(_)
        | AuthorityError::Broken(_)
        | AuthorityError::Busy
        | AuthorityError::TimedOut
        | AuthorityError::Bound
        | AuthorityError::Invalid(_)
        | AuthorityError::OtherIssuer { .. }
        | AuthorityError::Strange(_) => None,
    }
}
