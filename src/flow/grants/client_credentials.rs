//! Client credentials (RFC 6749 §4.4): a token for the app itself, with exactly the caller's scopes (REQ-1).

use crate::caller::Caller;
use crate::flow::about::Owner;
use crate::flow::catalogue::Flow;
use crate::flow::issue::{Exchanged, Expected};
use crate::flow::members::{self, ClaimsMember};
use crate::flow::plan::{Asker, CachedGrant, CachedPlan, Plan, Work};
use crate::flow::refusal::Refusal;
use crate::flow::request::Common;
use crate::oauth::Form;
use crate::token::{PartitionOwner, Tenant, TokenKey};

/// What is to be done.
pub(super) fn plan<'a>(asker: Asker<'a>, common: &'a Common<'a>) -> Result<Plan<'a>, Refusal> {
    let Asker { state, app, caller, call } = asker;
    app.has_credential()?;
    let arrived = state.cache.generation();
    let scopes = members::scopes(state, common)?;
    members::target(app, common, scopes)?;
    let claims = ClaimsMember::read(common)?;
    // AUT-3: an app's own token is one tenant's.
    let named = common.tenant.and_then(Tenant::parse);
    if named.as_ref().or(app.authority.tenant()).is_some_and(Tenant::is_any) {
        let detail = "client credentials need one tenant, and `tenant` or the authority names a set of them: name one as `tenant`";
        return Err(Refusal::member(detail));
    }
    let tenant = app.tenant(common.tenant)?;
    let partition = match &tenant {
        None => app.app_partition,
        Some(named) => app.space.partition(PartitionOwner::App(named.as_str())),
    };
    let variant = app.usual.variant_of(&claims.variant(app, common, tenant.as_ref()));
    Ok(Plan::Cached(CachedPlan {
        flow: Flow::ClientCredentials,
        app,
        call,
        asker: caller,
        // It is the app's, whoever asks.
        owner: Caller::ANYONE,
        bound: state.is_bound(caller),
        key: TokenKey { partition, variant, scopes: scopes.folded(app.authority.matching()) },
        owned: false,
        search: None,
        tenant,
        assertion: None,
        scopes,
        common,
        bypass: claims.bypass(arrived),
        carried: claims.carried() + members::carried(common),
        claims,
        grant: CachedGrant::ClientCredentials,
    }))
}

/// What is sent.
pub(super) fn work(plan: &CachedPlan<'_>) -> Work {
    let CachedPlan { app, scopes, common, claims, tenant, .. } = plan;
    Work::Grant {
        form: Form::default()
            .with("grant_type", "client_credentials")
            .with_some("scope", members::app_scope(app, scopes))
            .with_some("audience", common.audience)
            .with_some("resource", common.resource)
            .with_some("claims", claims.merged(app)),
        expected: Expected { asked: (*scopes).clone(), tenant: tenant.clone(), owner: Owner::App, exchange: Exchanged::No },
    }
}
