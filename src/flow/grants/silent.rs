//! A token for a user who signed in before: from the cache, else by the account's refresh token.

use crate::caller::Caller;
use crate::flow::catalogue::Flow;
use crate::flow::members::{self, ClaimsMember};
use crate::flow::plan::{AccountSearch, Asker, CachedGrant, CachedPlan, Plan, Refresh, Work, partition_of};
use crate::flow::policies;
use crate::flow::refusal::Refusal;
use crate::flow::request::Silent;
use crate::token::TokenKey;

/// About what a refresh token weighs, in bytes: it is read when the work has begun.
pub(super) const REFRESH_TOKEN: usize = 1536;

/// What is to be done.
pub(super) fn plan<'a>(asker: Asker<'a>, request: &'a Silent<'a>) -> Result<Plan<'a>, Refusal> {
    let (caller, owners) = (asker.caller, asker.state.owners(asker.caller));
    plan_of(asker, request, caller, owners)
}

/// What is to be done for the account of an owner, or of the first of several who has it.
pub(super) fn plan_of<'a>(
    asker: Asker<'a>,
    request: &'a Silent<'a>,
    owner: Caller,
    owners: Option<Vec<Caller>>,
) -> Result<Plan<'a>, Refusal> {
    let Asker { state, app, caller, call } = asker;
    let (arrived, common) = (state.cache.generation(), &request.common);
    let scopes = members::scopes(state, common)?;
    members::user_target(app, common, scopes)?;
    let claims = ClaimsMember::read(common)?;
    let account = members::account(app, request.account, "account")?;
    let app = policies::of_account(app, account, common.policy)?;
    let tenant = app.tenant(common.tenant)?;
    let variant = app.usual.variant_of(&claims.variant(app, common, tenant.as_ref()));
    let partition = partition_of(app, owner, account);
    Ok(Plan::Cached(CachedPlan {
        flow: Flow::Silent,
        app,
        call,
        asker: caller,
        owner,
        bound: state.is_bound(caller),
        key: TokenKey { partition, variant, scopes: scopes.folded(app.authority.matching()) },
        owned: true,
        search: owners.map(|owners| AccountSearch { account, owners }),
        tenant,
        assertion: None,
        scopes,
        common,
        bypass: claims.bypass(arrived),
        carried: REFRESH_TOKEN + claims.carried() + members::carried(common),
        claims,
        grant: CachedGrant::RefreshToken,
    }))
}

/// What is sent.
pub(super) fn work(plan: &CachedPlan<'_>) -> Work {
    let (space, of_session) = match &plan.grant {
        CachedGrant::Session(space) => (*space, true),
        _ => (*plan.app.space_of(plan.owner).id(), false),
    };
    Work::Refresh(Refresh {
        space,
        of_session,
        scopes: plan.scopes.clone(),
        tenant: plan.tenant.clone(),
        claims: plan.claims.merged(plan.app),
        audience: plan.common.audience.map(str::to_owned),
        resource: plan.common.resource.map(str::to_owned),
    })
}
