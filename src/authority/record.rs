//! What is noted of each call when it has ended: counted, traced, logged once if it failed, and remembered for `/status`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tracing::Span;
use url::Url;

use super::answer::AuthorityError;
use super::metrics::Metrics;
use super::strange::host_of;
use crate::clock::Clock;
use crate::telemetry::Context;
use crate::transport::causes;

/// A call that has ended.
pub(super) struct EndedCall<'a> {
    /// The grant, or what was fetched.
    pub(super) purpose: &'a str,
    pub(super) url: &'a Url,
    pub(super) context: &'a Context,
    pub(super) span: &'a Span,
    pub(super) took: Duration,
}

/// What is noted of an authority's calls.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) metrics: Metrics,
    clock: Clock,
    last: Mutex<CallRecord>,
}

/// What is remembered of the calls to an authority.
#[derive(Clone, Debug, Default)]
pub struct CallRecord {
    /// When one last succeeded.
    pub succeeded: Option<SystemTime>,
    /// The last that failed.
    pub failed: Option<FailedCall>,
}

/// A call that failed.
#[derive(Clone, Debug)]
pub struct FailedCall {
    /// When.
    pub at: SystemTime,
    /// What it was for: a grant, or what was fetched.
    pub purpose: String,
    /// Why, by the label that it is counted under.
    pub error: &'static str,
    /// Why, in words of ours.
    pub cause: String,
}

// === impl Record ===

impl Record {
    /// Nothing is noted yet.
    pub(super) fn new(metrics: Metrics, clock: Clock) -> Self {
        Self { metrics, clock, last: Mutex::default() }
    }

    /// When the authority last did what it was asked, and when it last did not.
    pub(super) fn last(&self) -> CallRecord {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, note: impl FnOnce(&mut CallRecord)) {
        note(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes how a call ended.
    pub(super) fn ended(&self, call: &EndedCall<'_>, failure: Option<&AuthorityError>) {
        let error = match self.metrics.call(call.purpose, call.span, failure, call.took) {
            // It counts as an error of the authority without an OAuth error.
            "none" => "unavailable",
            error => error,
        };
        let at = self.clock.wall();
        let Some(failure) = failure else {
            self.note(|record| record.succeeded = Some(at));
            return;
        };
        let purpose = call.purpose.rsplit(':').next().unwrap_or_default();
        let cause = causes(failure);
        let why = failure.why();
        // What an authority says of a grant is told by the line of the request, to which it was said.
        if !matches!(failure, AuthorityError::Refused { .. }) && !failure.is_pending() {
            tracing::warn!(
                correlation_id = %call.context.correlation_id,
                app = call.context.app.as_deref(),
                host = host_of(call.url),
                purpose,
                error,
                reason = why,
                causes = cause,
                "a call to an authority failed"
            );
        }
        if failure.is_pending() {
            self.note(|record| record.succeeded = Some(at));
        } else {
            self.note(|record| record.failed = Some(FailedCall { at, purpose: purpose.to_owned(), error, cause }));
        }
    }
}
