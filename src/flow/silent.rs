//! A token for a user who signed in before: from the cache, else by the account's refresh token.

use std::sync::Arc;

use super::acquire::{Ask, Work};
use super::app::App;
use super::auth_code::scopes_named;
use super::members::{self, Claims};
use super::metrics::Flow;
use super::refresh::{Refresh, no_tokens, unavailable};
use super::refusal::{Kind, Refusal};
use super::request::{Call, Silent};
use super::{Inner, Outcome};
use crate::authority::UserIds;
use crate::cache::{Known, Owner, Partition};
use crate::caller::Caller;

/// More than any `oid.tid`, and any `sub` (OpenID Connect §2: at most 255 characters).
const LONGEST_ACCOUNT: usize = 512;
/// About what a refresh token weighs, in bytes: it is read when the work has begun.
const REFRESH_TOKEN: usize = 1536;

pub(super) async fn run(inner: &Arc<Inner>, app: &Arc<App>, caller: Caller, call: Call, request: &Silent<'_>) -> Outcome {
    let arrived = inner.cache.generation();
    let common = &request.common;
    let scopes = members::scopes(inner, common)?;
    scopes_named(app, &scopes)?;
    members::audience_and_resource(app, common)?;
    let claims = Claims::read(common)?;
    let account = account(app, request.account, "account")?;
    let tenant = app.tenant(common.tenant)?;
    let variant = claims.variant(app, common, tenant.as_ref());
    let bound = inner.is_bound(caller);
    let ask = |owner: Caller| Ask {
        flow: Flow::Silent,
        app,
        call: call.clone(),
        owner,
        bound,
        partition: app.space_of(owner).partition(Owner::Account(account)),
        owned: true,
        tenant: tenant.as_ref(),
        assertion: None,
        variant,
        scopes: &scopes,
        bypass: claims.bypass(arrived),
        challenge: claims.challenge(),
        carried: REFRESH_TOKEN + claims.carried() + members::carried(common),
    };
    let work = || {
        Work::Refresh(Refresh {
            scopes: scopes.clone().into_owned(),
            tenant: tenant.clone(),
            claims: claims.merged(app),
            audience: common.audience.map(str::to_owned),
            resource: common.resource.map(str::to_owned),
        })
    };
    match inner.owners(caller) {
        None => inner.acquire(ask(caller), work).await,
        Some(owners) => Box::pin(of_any(inner, owners, ask, work)).await,
    }
}

/// The token of the first of these owners who has the account.
async fn of_any<'a>(
    inner: &Arc<Inner>,
    mut owners: Vec<Caller>,
    ask: impl Fn(Caller) -> Ask<'a>,
    work: impl Fn() -> Work + Sync,
) -> Outcome {
    // What memory has comes before a search of the others: a hit stays a hit, whosever it is.
    let at_hand = owners.iter().position(|owner| inner.is_at_hand(&ask(*owner)));
    if let Some(before) = at_hand.and_then(|at| owners.get_mut(..=at)) {
        before.rotate_right(1);
    }
    let mut outcome = Err(Arc::new(no_tokens()));
    let mut owners = owners.into_iter();
    if at_hand.is_some()
        && let Some(owner) = owners.next()
        && let Some(found) = of_one(inner, ask(owner), &work, &mut outcome).await
    {
        return found;
    }
    // Of all others at once who has it: most have not, and there may be many.
    let owners: Vec<Caller> = owners.collect();
    let partitions: Vec<Partition> = owners.iter().map(|owner| ask(*owner).partition).collect();
    let Known { known, unsure } = inner.cache.accounts().known(&partitions).await;
    if let Some(why) = unsure {
        outcome = Err(Arc::new(unavailable(why)));
    }
    for (owner, _) in owners.into_iter().zip(known).filter(|(_, is_known)| *is_known) {
        if let Some(found) = of_one(inner, ask(owner), &work, &mut outcome).await {
            return found;
        }
    }
    outcome
}

/// The token of one of several owners; `None`: the next one may have it, else `outcome` is what is to be said.
async fn of_one(inner: &Arc<Inner>, ask: Ask<'_>, work: impl Fn() -> Work + Sync, outcome: &mut Outcome) -> Option<Outcome> {
    let found = inner.acquire(ask, work).await;
    match found.as_ref().err().map(|refusal| refusal.kind) {
        Some(Kind::NoTokensFound) => None,
        // Of this owner nothing is known now; another's sign-in may be in memory. If it is not, this is what is to be said.
        Some(Kind::CacheUnavailable) => {
            *outcome = found;
            None
        }
        _ => Some(found),
    }
}

/// A home account id, as an answer's `account` has it.
pub(super) fn account<'a>(app: &App, given: Option<&'a str>, member: &str) -> Result<&'a str, Refusal> {
    let wanted = "give the `home_account_id` of the answer to the sign-in";
    let given = given.ok_or_else(|| Refusal::member(format!("`{member}` is missing: {wanted}")))?;
    if given.is_empty() || given.len() > LONGEST_ACCOUNT {
        return Err(Refusal::member(format!("`{member}` is empty or too long: {wanted}")));
    }
    if app.authority.profile().user_ids == UserIds::ObjectInTenant && given.contains('@') {
        return Err(Refusal::member(format!("`{member}` is a username, which can be given to somebody else: {wanted}")));
    }
    Ok(given)
}
