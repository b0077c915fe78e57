//! The flows themselves: each turns its request into a plan, and what it sends into a form. A flow is one file here.

mod auth_code;
mod client_credentials;
mod on_behalf_of;
mod refresh_token;
mod saml;
mod session;
mod sign_in;
mod silent;
mod username_password;
mod wanted;

pub(super) use on_behalf_of::{judged_for_introspection, no_bearer, user_of};
pub(super) use session::{end as end_session, plan_of as session_of, space_of as sessions_of};
pub(super) use wanted::handle_ready;

use super::plan::{Asker, CachedGrant, CachedPlan, Plan, Planning, Work};
use super::refusal::Refusal;
use super::request::{Request, Silent};
use crate::caller::Caller;

/// What is to be done for a request.
pub(super) fn plan<'a>(asker: Asker<'a>, request: &'a Request<'a>) -> Result<Planning<'a>, Refusal> {
    match request {
        Request::ClientCredentials(common) => client_credentials::plan(asker, common).map(Planning::Done),
        Request::OnBehalfOf(_) if !asker.app.authority.profile().has_on_behalf_of => {
            Err(asker.app.no_such_flow("exchange of tokens"))
        }
        Request::OnBehalfOf(request) => match (&request.saml, request.session) {
            (Some(saml), None) => saml::plan(asker, request, saml).map(Planning::Done),
            (Some(_), Some(_)) => {
                Err(Refusal::member("`session` begins with the user's token, and an assertion is none: leave one of them out"))
            }
            (None, Some(named)) => session::plan(asker, request, named),
            (None, None) => on_behalf_of::plan(asker, request),
        },
        Request::AuthCode(request) => Ok(Planning::Waits(Box::pin(auth_code::plan(asker, request)))),
        Request::Silent(request) => silent::plan(asker, request).map(Planning::Done),
        Request::Redeem(request) => Ok(Planning::Opens(asker, request)),
        Request::RefreshToken(request) => Ok(Planning::Waits(Box::pin(refresh_token::plan(asker, request)))),
        Request::UsernamePassword(request) => Ok(Planning::Waits(Box::pin(username_password::plan(asker, request)))),
    }
}

/// What is to be done for an account of this owner, and of no other.
pub(super) fn silent_of<'a>(asker: Asker<'a>, request: &'a Silent<'a>, owner: Caller) -> Result<Plan<'a>, Refusal> {
    silent::plan_of(asker, request, owner, None)
}

/// What is sent for a plan for which the cache has nothing.
pub(super) fn work(plan: &CachedPlan<'_>) -> Work {
    match &plan.grant {
        CachedGrant::ClientCredentials => client_credentials::work(plan),
        CachedGrant::OnBehalfOf { request, bearer, user } => on_behalf_of::work(plan, request, (bearer, user)),
        CachedGrant::Saml(grant) => saml::work(plan, grant),
        CachedGrant::RefreshToken | CachedGrant::Session(_) => silent::work(plan),
    }
}
