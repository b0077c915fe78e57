//! Client credentials (RFC 6749 §4.4): a token for the app itself, with exactly the caller's scopes (REQ-1).

use std::sync::Arc;

use super::acquire::{Ask, Work};
use super::app::App;
use super::classify::refuse_at;
use super::exchange::{self, Trouble};
use super::issue::{Expected, Owner};
use super::members::{self, Claims};
use super::metrics::Flow;
use super::refresh::unavailable;
use super::refusal::Refusal;
use super::request::{Call, Common};
use super::{Inner, Outcome};
use crate::cache;
use crate::caller::Caller;
use crate::oauth::Form;
use crate::source::Repeat;
use crate::token::Tenant;

pub(super) async fn run(inner: &Arc<Inner>, app: &Arc<App>, caller: Caller, call: Call, request: &Common<'_>) -> Outcome {
    let arrived = inner.cache.generation();
    let scopes = members::scopes(inner, request)?;
    members::target(app, request, &scopes)?;
    let claims = Claims::read(request)?;
    // AUT-3: an app's own token is one tenant's.
    let named = request.tenant.and_then(Tenant::parse);
    if named.as_ref().or(app.authority.tenant()).is_some_and(Tenant::is_any) {
        let detail = "client credentials need one tenant, and `tenant` or the authority names a set of them: name one as `tenant`";
        return Err(Refusal::member(detail).into());
    }
    let tenant = app.tenant(request.tenant)?;
    let partition = match &tenant {
        None => app.app_partition,
        Some(named) => app.space.partition(cache::Owner::App(named.as_str())),
    };
    let ask = Ask {
        flow: Flow::ClientCredentials,
        app,
        call,
        // It is the app's, whoever asks.
        owner: Caller::ANYONE,
        bound: inner.is_bound(caller),
        partition,
        owned: false,
        tenant: tenant.as_ref(),
        assertion: None,
        variant: claims.variant(app, request, tenant.as_ref()),
        scopes: &scopes,
        bypass: claims.bypass(arrived),
        challenge: claims.challenge(),
        carried: claims.carried() + members::carried(request),
    };
    let work = || Work::Grant {
        form: Form::default()
            .with("grant_type", "client_credentials")
            .with_some("scope", (!scopes.is_empty()).then(|| scopes.to_string()))
            .with_some("audience", request.audience)
            .with_some("resource", request.resource)
            .with_some("claims", claims.merged(app)),
        expected: Expected { asked: scopes.clone().into_owned(), tenant: tenant.clone(), owner: Owner::App, exchange: false },
    };
    inner.acquire(ask, work).await
}

/// One token past the cache: proves the address, the credential and the registration together.
pub(super) async fn probe(app: &Arc<App>, call: Call) -> Result<(), Arc<Refusal>> {
    // An app may always have a token for itself, so that this needs no api.
    let scope = app.authority.profile().default_scope.then(|| format!("{}/.default", app.client_id));
    let form = Form::default().with("grant_type", "client_credentials").with_some("scope", scope);
    let tenant = app.tenants.first().filter(|_| app.authority.tenant().is_some_and(Tenant::is_any));
    match exchange::run(app, &form, tenant, Repeat::Once, call).await.outcome {
        Ok(_) => Ok(()),
        Err(Trouble::Turn(why)) => Err(unavailable(why).into()),
        Err(Trouble::Credential(problem)) => Err(exchange::unusable(&problem).into()),
        Err(Trouble::Before(failure) | Trouble::Authority(failure)) => {
            Err(refuse_at(Flow::ClientCredentials, tenant, failure, None).into())
        }
    }
}
