//! Why a request is answered with an error: what a flow refused, or what the edge itself found.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;

use crate::flow::Refusal;

/// Why a request does not get what it asks for.
#[derive(Clone, Debug)]
pub(super) enum RequestError {
    /// A flow's answer.
    Refused(Arc<Refusal>),
    /// It never reached a flow.
    Fault(Fault),
}

/// What the edge found.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", kind.as_str())]
pub(super) struct Fault {
    /// What is wrong, from a closed set.
    pub(super) kind: FaultKind,
    /// One sentence for the caller, without any value of the request.
    pub(super) detail: Cow<'static, str>,
    /// Which check failed, for the log alone, where the sentence does not say it: a text of ours.
    pub(super) reason: Option<&'static str>,
    /// Whether the caller's proof was `Authorization: Basic`, so that a challenge for that belongs to the answer (RFC 6749 §5.2).
    pub(super) is_basic: bool,
}

/// The edge's own error values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    InvalidRequest,
    ForwardedHeader,
    HostNotAllowed,
    OriginNotAllowed,
    CallerNotAuthenticated,
    CallerNotAllowed,
    CallerKeysUnavailable,
    InvalidScope,
    InvalidTarget,
    UnsupportedGrantType,
    NotFound,
    MethodNotAllowed,
    PayloadTooLarge,
    UnsupportedMediaType,
    HeaderTooLarge,
    Overloaded,
    RequestTimeout,
}

// === impl RequestError ===

impl From<Fault> for RequestError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

// === impl Fault ===

impl Fault {
    /// A fault with its sentence.
    pub(super) fn new(kind: FaultKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), reason: None, is_basic: false }
    }

    /// This fault, because this check failed.
    #[must_use]
    pub(super) fn because(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// This fault of a request that showed its proof as `Authorization: Basic`, if it did.
    #[must_use]
    pub(super) fn basic(self, is_basic: bool) -> Self {
        Self { is_basic, ..self }
    }
}

// === impl FaultKind ===

impl FaultKind {
    /// Every value, for the API document and the metric.
    pub(super) const ALL: [Self; 17] = [
        Self::InvalidRequest,
        Self::ForwardedHeader,
        Self::HostNotAllowed,
        Self::OriginNotAllowed,
        Self::CallerNotAuthenticated,
        Self::CallerNotAllowed,
        Self::CallerKeysUnavailable,
        Self::InvalidScope,
        Self::InvalidTarget,
        Self::UnsupportedGrantType,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::HeaderTooLarge,
        Self::Overloaded,
        Self::RequestTimeout,
    ];

    /// The value of `error`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::ForwardedHeader => "forwarded_header",
            Self::HostNotAllowed => "host_not_allowed",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::CallerNotAuthenticated => "caller_not_authenticated",
            Self::CallerNotAllowed => "caller_not_allowed",
            Self::CallerKeysUnavailable => "caller_keys_unavailable",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::HeaderTooLarge => "header_too_large",
            Self::Overloaded => "overloaded",
            Self::RequestTimeout => "request_timeout",
        }
    }

    /// The status.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest
            | Self::ForwardedHeader
            | Self::InvalidScope
            | Self::InvalidTarget
            | Self::UnsupportedGrantType => StatusCode::BAD_REQUEST,
            Self::HostNotAllowed | Self::OriginNotAllowed | Self::CallerNotAuthenticated | Self::CallerNotAllowed => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Overloaded | Self::CallerKeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The title, which no occurrence changes (RFC 9457 §3.1.3).
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is malformed",
            Self::ForwardedHeader => "A proxy's headers are not taken here",
            Self::HostNotAllowed => "The request names another host",
            Self::OriginNotAllowed => "Web pages may not ask for tokens",
            Self::CallerNotAuthenticated => "The caller is not known",
            Self::CallerNotAllowed => "The caller may not do this",
            Self::CallerKeysUnavailable => "The keys of the caller's issuer cannot be had",
            Self::InvalidScope => "The scope is malformed",
            Self::InvalidTarget => "The request has several targets",
            Self::UnsupportedGrantType => "The grant type is not served",
            Self::NotFound => "There is no such route",
            Self::MethodNotAllowed => "The route does not take this method",
            Self::PayloadTooLarge => "The request's body is too large",
            Self::UnsupportedMediaType => "The request's body has another type",
            Self::HeaderTooLarge => "The request's head is too large",
            Self::Overloaded => "tokend has too much to do",
            Self::RequestTimeout => "The request took too long",
        }
    }

    /// Whether the same request can succeed soon.
    pub(super) fn retryable(self) -> bool {
        matches!(self, Self::Overloaded | Self::RequestTimeout | Self::CallerKeysUnavailable)
    }
}
