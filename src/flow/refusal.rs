//! Why a request is not served: flat, and made here from every lower error. It says what happened, whose turn it is and whether to
//! retry; `http` turns it into a status, and nothing else reads it.

use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::oauth::ErrorBody;
use crate::token::{Retry, Turn};

/// A refusal; shared by all who waited for the same answer.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Who has to act.
    pub turn: Turn,
    /// What happened, as one of tokend's own error values.
    pub kind: RefusalKind,
    /// One sentence for the caller: which member or setting, and the remedy. Never a secret, a token or the value of a member.
    pub detail: String,
    /// Whether the same request can succeed later.
    pub retry: Retry,
    /// What the authority said, if it was asked.
    pub answer: Option<Box<ErrorBody>>,
    /// Why the authority said nothing, for the log: no answer tells how the network looks.
    pub cause: Option<Box<str>>,
    /// Which check a token failed, for the log: a text of ours that says nothing of the token.
    pub reason: Option<&'static str>,
    /// Where the user is sent to satisfy a claims challenge.
    pub authorization_uri: Option<String>,
    /// Whether only this replica suffers from it, so that it says nothing to the others: a file of its own, its own way out.
    pub local: bool,
    /// Whether what is lacking is the right to what the token would be good for, and not to the app or the flow.
    pub about_target: bool,
}

/// tokend's own error values; [`RefusalKind::Refused`] shows the authority's `error` instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// A member of the request is missing, malformed or does not fit the others.
    InvalidRequest,
    /// No such app.
    UnknownApp,
    /// No such api.
    UnknownApi,
    /// The caller has no right to this app, api or flow.
    CallerNotAllowed,
    /// The app does not allow this flow.
    FlowNotAllowed,
    /// The app's credential or its authority has no such flow.
    FlowNotAvailable,
    /// The app does not list this tenant.
    TenantNotAllowed,
    /// The app does not list this policy.
    PolicyNotAllowed,
    /// The request carries no user's token.
    TokenMissing,
    /// The inbound token is not accepted.
    InvalidToken,
    /// The assertion is none that can be sent, or has ended.
    InvalidAssertion,
    /// The inbound token has none of the scopes that the app asks for.
    InsufficientScope,
    /// There is no such account, or nothing that renews its tokens.
    NoTokensFound,
    /// There is no such account.
    UnknownAccount,
    /// The refresh token is no handle that this caller can redeem for this app.
    InvalidHandle,
    /// There is no such session of this caller at this app.
    SessionNotFound,
    /// The session of this key is another user's than the one whose token came.
    SessionOfAnother,
    /// The user of a device has not come to an end yet (RFC 8628 §3.5).
    AuthorizationPending,
    /// The device polls too often (RFC 8628 §3.5).
    SlowDown,
    /// The device code is over, or is none that this caller may poll (RFC 8628 §3.5).
    ExpiredToken,
    /// The user said no (RFC 8628 §3.5).
    AccessDenied,
    /// The id token or the `iss` of an authorization answer is not what it should be.
    InvalidIdToken,
    /// The authority said no; its `error` is shown.
    Refused,
    /// The authority asked for fewer requests.
    Throttled,
    /// The authority cannot be reached or answered a 5xx.
    AuthorityUnavailable,
    /// The authority did not answer in time.
    AuthorityTimeout,
    /// The authority's answer is not one.
    InvalidAuthorityResponse,
    /// The token is bound to the app's certificate, so that no caller could use it (RFC 8705 §3).
    TokenIsBound,
    /// The authority's keys cannot be had, so the inbound token cannot be judged.
    KeysUnavailable,
    /// The app's credential cannot be used.
    CredentialUnusable,
    /// What the answer depends on stands in a shared cache that cannot be asked.
    CacheUnavailable,
    /// What would have to be done finds no room beside what is under way.
    Overloaded,
    /// tokend itself failed.
    InternalError,
}

// === impl RefusalKind ===

impl RefusalKind {
    /// Every value, for the API document.
    pub const ALL: [Self; 33] = [
        Self::InvalidRequest,
        Self::UnknownApp,
        Self::UnknownApi,
        Self::CallerNotAllowed,
        Self::FlowNotAllowed,
        Self::FlowNotAvailable,
        Self::TenantNotAllowed,
        Self::PolicyNotAllowed,
        Self::TokenMissing,
        Self::InvalidToken,
        Self::InvalidAssertion,
        Self::InsufficientScope,
        Self::NoTokensFound,
        Self::UnknownAccount,
        Self::InvalidHandle,
        Self::SessionNotFound,
        Self::SessionOfAnother,
        Self::AuthorizationPending,
        Self::SlowDown,
        Self::ExpiredToken,
        Self::AccessDenied,
        Self::InvalidIdToken,
        Self::Refused,
        Self::Throttled,
        Self::AuthorityUnavailable,
        Self::AuthorityTimeout,
        Self::InvalidAuthorityResponse,
        Self::TokenIsBound,
        Self::KeysUnavailable,
        Self::CredentialUnusable,
        Self::CacheUnavailable,
        Self::Overloaded,
        Self::InternalError,
    ];

    /// The value as it stands in a problem's `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnknownApp => "unknown_app",
            Self::UnknownApi => "unknown_api",
            Self::CallerNotAllowed => "caller_not_allowed",
            Self::FlowNotAllowed => "flow_not_allowed",
            Self::FlowNotAvailable => "flow_not_available",
            Self::TenantNotAllowed => "tenant_not_allowed",
            Self::PolicyNotAllowed => "policy_not_allowed",
            Self::TokenMissing => "token_missing",
            Self::InvalidToken => "invalid_token",
            Self::InvalidAssertion => "invalid_assertion",
            Self::InsufficientScope => "insufficient_scope",
            Self::NoTokensFound => "no_tokens_found",
            Self::UnknownAccount => "unknown_account",
            Self::InvalidHandle => "invalid_handle",
            Self::SessionNotFound => "session_not_found",
            Self::SessionOfAnother => "session_of_another_user",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::AccessDenied => "access_denied",
            Self::InvalidIdToken => "invalid_id_token",
            Self::Refused => "authority_refused",
            Self::Throttled => "throttled",
            Self::AuthorityUnavailable => "authority_unavailable",
            Self::AuthorityTimeout => "authority_timeout",
            Self::InvalidAuthorityResponse => "invalid_authority_response",
            Self::TokenIsBound => "token_is_bound",
            Self::KeysUnavailable => "keys_unavailable",
            Self::CredentialUnusable => "credential_unusable",
            Self::CacheUnavailable => "cache_unavailable",
            Self::Overloaded => "overloaded",
            Self::InternalError => "internal_error",
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// A refusal that the authority had no part in and that no retry mends.
    pub fn new(turn: Turn, kind: RefusalKind, detail: impl Into<String>) -> Self {
        Self {
            turn,
            kind,
            detail: detail.into(),
            retry: Retry::Never,
            answer: None,
            cause: None,
            reason: None,
            authorization_uri: None,
            local: false,
            about_target: false,
        }
    }

    /// The kind that a problem's `error` names.
    pub(super) fn kind_of(name: &str) -> Option<RefusalKind> {
        RefusalKind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// A member of the request is wrong.
    pub fn member(detail: impl Into<String>) -> Self {
        Self::new(Turn::Caller, RefusalKind::InvalidRequest, detail)
    }

    /// This refusal with its advice on retrying.
    #[must_use]
    pub fn retrying(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// This refusal, because a token failed this check.
    #[must_use]
    pub(super) fn because(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// This refusal, because of what the token would be good for.
    #[must_use]
    pub(super) fn about_target(self) -> Self {
        Self { about_target: true, ..self }
    }

    /// This refusal, as this replica's own trouble.
    #[must_use]
    pub fn local(self) -> Self {
        Self { local: true, ..self }
    }

    /// This refusal as it is told to later requests until `until`: it says that nobody was asked, and how long that will be so.
    #[must_use]
    pub(super) fn remembered(&self, until: Moment, now: Moment) -> Self {
        let seconds = until.since(now).as_millis().div_ceil(1000).max(1);
        let mut told = self.clone();
        told.detail += &format!(" (remembered from an earlier call; asked again after {seconds} s)");
        if told.retry != Retry::Never {
            told.retry = Retry::At(until);
        }
        told
    }

    /// How many bytes it keeps in memory, roughly.
    pub(super) fn weight(&self) -> usize {
        let answer = self.answer.as_ref().map_or(0, |answer| {
            let texts = [
                &answer.error_description,
                &answer.suberror,
                &answer.classification,
                &answer.claims,
                &answer.trace_id,
                &answer.correlation_id,
            ];
            let texts: usize = texts.into_iter().flatten().map(String::len).sum();
            size_of::<ErrorBody>() + answer.error.len() + size_of_val(&*answer.error_codes) + texts
        });
        let cause = self.cause.as_ref().map_or(0, |cause| cause.len());
        size_of::<Self>() + self.detail.len() + self.authorization_uri.as_ref().map_or(0, String::len) + answer + cause
    }

    /// Its code as it may be logged.
    pub fn code(&self) -> &str {
        loggable(self.error())
    }

    /// The `error` of the problem: the authority's where it said one, else tokend's own.
    pub fn error(&self) -> &str {
        match (&self.kind, &self.answer) {
            (_, Some(answer)) if !answer.error.is_empty() => &answer.error,
            _ => self.kind.as_str(),
        }
    }
}

/// The refusal of work that was not begun because a bound of the configuration is reached. Other replicas are not told, and it is
/// not remembered: room may come at any moment.
pub(super) fn overloaded(limit: &str, clock: &Clock) -> Refusal {
    let detail = format!("what is under way fills the memory set aside for it (`{limit}`); try again in a second");
    let until = clock.moment().after(Duration::from_secs(1));
    Refusal::new(Turn::Unavailable, RefusalKind::Overloaded, detail).retrying(Retry::At(until)).local()
}

/// An error code as it may be logged: an authority can put any text where a code belongs.
pub fn loggable(code: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if code.len() <= 64 && code.bytes().all(plain) { code } else { "other" }
}
