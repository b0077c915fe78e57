//! How answers look: each route has a dialect, and the edge asks it for success, refusal and fault alike.

mod answer;
mod challenge;
mod problem;

use axum::response::Response;
use uuid::Uuid;

use super::doors::FlowReply;
use super::refusal::RequestFailure;

pub(super) use problem::{Document, ErrorValue};

/// How a route's answers look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// tokend's own JSON, and `application/problem+json` (RFC 9457) for what fails.
    Problem,
}

// === impl Dialect ===

impl Dialect {
    /// What the log calls the doors whose answers look so.
    pub(super) fn door(self) -> &'static str {
        match self {
            Self::Problem => "rest",
        }
    }

    /// The answer to a request that got what it asked for.
    pub(super) fn success(self, reply: &FlowReply, correlation_id: Uuid, now: i64) -> Response {
        match self {
            Self::Problem => problem::success(reply, correlation_id, now),
        }
    }

    /// The answer to a request that failed, whether a flow refused it or the edge found a fault.
    pub(super) fn failure(self, failure: &RequestFailure<'_>, correlation_id: Uuid) -> Response {
        match self {
            Self::Problem => problem::failure(failure, correlation_id),
        }
    }
}
