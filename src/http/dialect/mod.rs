//! How answers look: each route has a dialect, and the edge asks it for success, refusal and fault alike.

mod answer;
mod auth_request;
mod body;
mod challenge;
mod identity;
mod ms_sidecar;
mod oauth;
mod problem;

use axum::response::Response;

use super::doors::FlowReply;
use super::refusal::RequestFailure;

pub(super) use auth_request::PassageError;
pub(super) use body::About;
pub(super) use identity::{AppServiceError, AppServiceToken, ImdsError, ImdsToken};
pub(super) use ms_sidecar::{AuthorizationHeader, ValidatedToken};
pub(super) use oauth::{OAuthDevice, OAuthError, OAuthToken};
pub(super) use problem::{Document, ErrorValue};

/// How a route's answers look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// tokend's own JSON, and `application/problem+json` (RFC 9457) for what fails.
    Problem,
    /// OAuth 2.0: RFC 6749 §5.1 and §5.2, RFC 7662 §2.2, RFC 8414 §3.2.
    OAuth,
    /// A managed identity's token as Azure App Service gives it.
    AppService,
    /// A managed identity's token as the instance metadata service gives it.
    Imds,
    /// Statuses and headers that proxies hand on.
    AuthRequest,
    /// Microsoft's sidecar.
    MsSidecar,
}

// === impl Dialect ===

impl Dialect {
    /// The answer to a request that got what it asked for.
    pub(super) fn success(self, reply: &FlowReply, about: About) -> Response {
        match self {
            Self::Problem => problem::success(reply, about),
            Self::OAuth => oauth::success(reply, about),
            Self::AppService => identity::app_service(reply),
            Self::Imds => identity::imds(reply, about),
            Self::AuthRequest => auth_request::success(reply, about),
            Self::MsSidecar => ms_sidecar::success(reply, about),
        }
    }

    /// The answer to a request that failed, whether a flow refused it or the edge found a fault.
    pub(super) fn failure(self, failure: &RequestFailure<'_>, about: About) -> Response {
        match self {
            Self::Problem => problem::failure(failure, about),
            Self::OAuth => oauth::failure(failure),
            Self::AppService => identity::app_service_failure(failure, about),
            Self::Imds => identity::imds_failure(failure, about),
            Self::AuthRequest => auth_request::failure(failure, about),
            Self::MsSidecar => ms_sidecar::failure(failure, about),
        }
    }
}
