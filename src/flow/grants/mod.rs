//! The flows themselves: each turns its request into a plan, and what it sends into a form. A flow is one file here.

mod auth_code;
mod client_credentials;
mod on_behalf_of;
mod silent;

use super::plan::{Asker, CachedGrant, CachedPlan, Plan, Work};
use super::refusal::Refusal;
use super::request::Request;

/// What is to be done for a request.
pub(super) async fn plan<'a>(asker: Asker<'a>, request: &'a Request<'a>) -> Result<Plan<'a>, Refusal> {
    match request {
        Request::ClientCredentials(common) => client_credentials::plan(asker, common),
        Request::OnBehalfOf(request) => on_behalf_of::plan(asker, request).await,
        Request::AuthCode(request) => auth_code::plan(asker, request).await,
        Request::Silent(request) => silent::plan(asker, request),
    }
}

/// What is sent for a plan for which the cache has nothing.
pub(super) fn work(plan: &CachedPlan<'_>) -> Work {
    match &plan.grant {
        CachedGrant::ClientCredentials => client_credentials::work(plan),
        CachedGrant::OnBehalfOf { request, bearer, user } => on_behalf_of::work(plan, request, (bearer, user)),
        CachedGrant::RefreshToken => silent::work(plan),
    }
}
