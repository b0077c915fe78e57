//! From an error to the facts of its answer: the one place that chooses a status. How they look is the dialect's.

use std::borrow::Cow;

use http::StatusCode;

use super::fault::{Fault, FaultKind, RequestError};
use crate::clock::Clock;
use crate::flow::{Refusal, RefusalKind};
use crate::oauth::ErrorBody;
use crate::token::{Retry, Turn};

/// A request that failed, as answers and the log tell it.
pub(super) struct RequestFailure<'a> {
    /// Whose turn it is.
    pub(super) status: StatusCode,
    /// tokend's own value for what happened, also where `error` is the authority's.
    pub(super) kind: &'static str,
    /// That value as a sentence.
    pub(super) title: &'static str,
    /// What is wrong with this request, and the remedy.
    pub(super) detail: &'a str,
    /// The authority's value where it said one, else tokend's own.
    pub(super) error: &'a str,
    /// Which check failed, for the log: a text of ours.
    pub(super) reason: Option<&'static str>,
    /// Whether the same request can succeed later.
    pub(super) retryable: bool,
    /// In how many seconds, where that is known.
    pub(super) retry_after: Option<u64>,
    /// What a flow refused; none if no flow saw the request.
    pub(super) refusal: Option<&'a Refusal>,
    /// What it is, for dialects that have words of their own for it.
    pub(super) trouble: Trouble<'a>,
    /// Whether the caller's proof was `Authorization: Basic`.
    pub(super) is_basic: bool,
    /// Whether the route asks nobody who they are.
    pub(super) is_open: bool,
}

/// What a failure is.
#[derive(Clone, Copy)]
pub(super) enum Trouble<'a> {
    Refusal(&'a Refusal),
    Fault(FaultKind),
}

// === impl RequestFailure ===

impl<'a> RequestFailure<'a> {
    /// The facts of an error.
    pub(super) fn of(error: &'a RequestError, clock: &Clock) -> Self {
        match error {
            RequestError::Refused(refusal) => Self::of_refusal(refusal, clock),
            RequestError::Fault(fault) => Self::of_fault(fault),
        }
    }

    fn of_refusal(refusal: &'a Refusal, clock: &Clock) -> Self {
        Self {
            status: status_of(refusal.turn),
            kind: refusal.kind.as_str(),
            title: title_of(refusal.kind),
            detail: &refusal.detail,
            error: refusal.error(),
            reason: refusal.reason,
            retryable: refusal.retry != Retry::Never,
            retry_after: retry_after(refusal.retry, clock),
            refusal: Some(refusal),
            trouble: Trouble::Refusal(refusal),
            is_basic: false,
            is_open: false,
        }
    }

    fn of_fault(fault: &'a Fault) -> Self {
        Self {
            status: fault.kind.status(),
            kind: fault.kind.as_str(),
            title: fault.kind.title(),
            detail: &fault.detail,
            error: fault.kind.as_str(),
            // One that was put together may have a name that the caller gave.
            reason: fault.reason.or(match &fault.detail {
                Cow::Borrowed(detail) => Some(*detail),
                Cow::Owned(_) => None,
            }),
            retryable: fault.kind.retryable(),
            retry_after: matches!(fault.kind, FaultKind::Overloaded | FaultKind::CallerKeysUnavailable).then_some(1),
            refusal: None,
            trouble: Trouble::Fault(fault.kind),
            is_basic: fault.is_basic,
            is_open: false,
        }
    }

    /// What the authority said, if it was asked.
    pub(super) fn answer(&self) -> Option<&'a ErrorBody> {
        self.refusal.and_then(|refusal| refusal.answer.as_deref())
    }
}

/// Whose turn it is, as a status.
fn status_of(turn: Turn) -> StatusCode {
    match turn {
        Turn::Caller => StatusCode::BAD_REQUEST,
        Turn::User => StatusCode::UNAUTHORIZED,
        Turn::Rights => StatusCode::FORBIDDEN,
        Turn::Configuration => StatusCode::NOT_FOUND,
        Turn::Throttled => StatusCode::TOO_MANY_REQUESTS,
        Turn::Operator => StatusCode::BAD_GATEWAY,
        Turn::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Turn::OutOfTime => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// The title of a flow's refusal, which no occurrence changes (RFC 9457 §3.1.3).
fn title_of(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::InvalidRequest => FaultKind::InvalidRequest.title(),
        RefusalKind::UnknownApp => "There is no such app",
        RefusalKind::UnknownApi => "There is no such api",
        RefusalKind::CallerNotAllowed => "The caller may not do this",
        RefusalKind::FlowNotAllowed => "The app does not allow this flow",
        RefusalKind::FlowNotAvailable => "The app has no such flow",
        RefusalKind::TenantNotAllowed => "The app does not allow this tenant",
        RefusalKind::PolicyNotAllowed => "The app does not allow this policy",
        RefusalKind::TokenMissing => "The request carries no user's token",
        RefusalKind::InvalidToken => "The user's token is not accepted",
        RefusalKind::InvalidAssertion => "The assertion is not accepted",
        RefusalKind::InsufficientScope => "The user's token lacks a scope",
        RefusalKind::NoTokensFound => "There are no tokens of the account",
        RefusalKind::UnknownAccount => "There is no such account",
        RefusalKind::InvalidHandle => "The refresh token is not accepted",
        RefusalKind::SessionNotFound => "There is no such session",
        RefusalKind::SessionOfAnother => "The session is another user's",
        RefusalKind::AuthorizationPending => "The user has not signed in yet",
        RefusalKind::SlowDown => "The device asks too often",
        RefusalKind::ExpiredToken => "The device code is over",
        RefusalKind::AccessDenied => "The user said no",
        RefusalKind::InvalidIdToken => "The authority's id token is not accepted",
        RefusalKind::Refused => "The authority refused",
        RefusalKind::Throttled => "The authority asks for fewer requests",
        RefusalKind::AuthorityUnavailable => "The authority cannot be reached",
        RefusalKind::AuthorityTimeout => "The authority did not answer in time",
        RefusalKind::InvalidAuthorityResponse => "The authority's answer is malformed",
        RefusalKind::TokenIsBound => "The token is bound to the app's certificate",
        RefusalKind::KeysUnavailable => "The authority's keys cannot be had",
        RefusalKind::CredentialUnusable => "The app's credential cannot be used",
        RefusalKind::CacheUnavailable => "The shared cache cannot be asked",
        RefusalKind::Overloaded => FaultKind::Overloaded.title(),
        RefusalKind::InternalError => "tokend failed",
    }
}

/// Whole seconds, rounded up: a caller that comes too early is refused again.
fn retry_after(retry: Retry, clock: &Clock) -> Option<u64> {
    let Retry::At(moment) = retry else { return None };
    Some(u64::try_from(moment.since(clock.moment()).as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1))
}
