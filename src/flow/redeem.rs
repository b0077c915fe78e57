//! What is done with a refresh handle: it is redeemed, which is `/silent` for the account that it names or continues the session
//! that it names, or revoked (RFC 7009), which signs that account out or ends that session.
//!
//! It never goes to an authority. Who may redeem it is said by the sign-in that it names, and by nothing else in it: the app and
//! the caller of the request have to be those of the sign-in, and its lineage has to stand.

use std::sync::Arc;
use std::time::Duration;

use super::accounts::sign_out_at;
use super::app::App;
use super::grants;
use super::handle::{BadHandle, Handle, HandleRecord, HandleSubject};
use super::plan::{Asker, partition_of};
use super::refusal::{Refusal, RefusalKind};
use super::request::{Outcome, Redeem, Silent};
use super::spine::carry_out;
use super::spine::failure::unavailable;
use super::state::FlowState;
use crate::caller::Caller;
use crate::token::{Partition, Retry, SignIn, SpaceId, Turn};

/// After which pause it is worth to ask again for what is on its way.
const PAUSE: Duration = Duration::from_secs(5);

/// Redeems a handle.
pub(super) async fn run(asker: Asker<'_>, request: &Redeem<'_>) -> Outcome {
    let (state, app) = (asker.state, asker.app);
    let handle = open(state, request.handle).await?;
    let owner = owner(state, app, asker.caller, handle.record.whose()).ok_or_else(invalid)?;
    let sign_in = stands(state, app, owner, &handle).await?;
    let common = handle.record.asked.with(&request.common);
    let mut answer = match &handle.record.subject {
        HandleSubject::Account { home_account_id, .. } => {
            let silent = Silent { common, account: Some(home_account_id) };
            carry_out(state, grants::silent_of(asker, &silent, owner)?).await?
        }
        HandleSubject::Session { .. } => {
            let place = place_of(app, owner, &handle.record.subject);
            carry_out(state, grants::session_of(asker, &common, place, &sign_in)?).await?
        }
    };
    if request.common.wants_handle {
        // RFC 6749 §6: what it asks for stays what it was, whatever part of that is asked for now.
        answer.handle = handle.record.seal(state.cache.handles(), state.clock.unix());
    }
    Ok(answer)
}

/// Signs out what a handle of the caller names. What is no handle of the caller changes nothing.
///
/// # Errors
/// Whether it is one, or whether it is signed out everywhere, cannot be said now.
pub(super) async fn revoke(state: &Arc<FlowState>, caller: Caller, text: &str) -> Result<(), Refusal> {
    match signed_in_by(state, caller, text).await {
        Ok((app, owner, record)) => {
            let (place, carried) = (place_of(&app, owner, &record.subject), text.len());
            sign_out_at(state, vec![place], carried).await
        }
        Err(refusal) if refusal.kind == RefusalKind::InvalidHandle => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// The app and the owner of the sign-in that a handle of the caller names.
async fn signed_in_by(state: &FlowState, caller: Caller, text: &str) -> Result<(Arc<App>, Caller, HandleRecord), Refusal> {
    let handle = open(state, text).await?;
    let is_of = |app: &Arc<App>| owner(state, app, caller, handle.record.whose()).map(|owner| (Arc::clone(app), owner));
    // Apps that share a client id and a tenant share its accounts: any of them will do.
    let (app, owner) = state.apps.values().find_map(is_of).ok_or_else(invalid)?;
    stands(state, &app, owner, &handle).await?;
    Ok((app, owner, handle.record))
}

/// Whether a text is the handle of a session. One that cannot be opened is said to be none: whoever redeems it learns why.
pub(super) async fn is_of_session(state: &FlowState, text: &str) -> bool {
    open(state, text).await.is_ok_and(|handle| matches!(handle.record.subject, HandleSubject::Session { .. }))
}

pub(super) async fn open(state: &FlowState, text: &str) -> Result<Handle, Refusal> {
    let opened = Handle::open(state.cache.handles(), text, state.clock.unix(), state.handles.lifetime).await;
    opened.map_err(|why| match why {
        BadHandle::Invalid => invalid(),
        BadHandle::NotYet => not_yet(state),
        BadHandle::Unavailable(why) => unavailable(why),
    })
}

/// Whose accounts a handle is about, or a device code, if the caller may redeem it for this app: those that are the caller's own,
/// and not all that it may see.
pub(super) fn owner(state: &FlowState, app: &App, caller: Caller, (space, of_caller): (&SpaceId, Option<&str>)) -> Option<Caller> {
    let is_its = |(owner, name): &(Caller, Option<&str>)| app.space_of(*owner).id() == space && *name == of_caller;
    state.selves(caller).into_iter().find(is_its).map(|(owner, _)| owner)
}

/// Where the sign-in is that a handle is about.
fn place_of(app: &App, owner: Caller, subject: &HandleSubject) -> (SpaceId, Partition) {
    match subject {
        HandleSubject::Account { home_account_id, .. } => (*app.space_of(owner).id(), partition_of(app, owner, home_account_id)),
        HandleSubject::Session { partition, .. } => (*grants::sessions_of(app, owner).id(), *partition),
    }
}

/// Whether the account or the session still stands since the handle's own time, and its sign-in: a sign-out ends it for good,
/// whoever signs in after that.
async fn stands(state: &FlowState, app: &App, owner: Caller, handle: &Handle) -> Result<Arc<SignIn>, Refusal> {
    let (HandleSubject::Account { lineage, .. } | HandleSubject::Session { lineage, .. }) = &handle.record.subject;
    let (cache, (space, partition)) = (&state.cache, place_of(app, owner, &handle.record.subject));
    let signed = cache.accounts().signed_or_remembered(&space, &partition).await.map_err(unavailable)?;
    match signed.sign_in {
        Some(sign_in) if sign_in.is_of(lineage) => Ok(sign_in),
        // A sign-in that was answered while the store was away is brought there later; the sign-out of one leaves an epoch.
        _ if handle.is_fresh && cache.fleet().is_some() && signed.base.epoch.is_none() => Err(not_yet(state)),
        _ => Err(invalid()),
    }
}

fn invalid() -> Refusal {
    let detail =
        "the refresh token is no handle of this app and caller, is too old, or its user has signed out: sign the user in again";
    Refusal::new(Turn::Caller, RefusalKind::InvalidHandle, detail)
}

fn not_yet(state: &FlowState) -> Refusal {
    let detail =
        "the refresh token was issued a moment ago, and what tells whether it is good has not arrived here yet: try again later";
    let until = state.clock.moment().after(PAUSE);
    Refusal::new(Turn::Unavailable, RefusalKind::CacheUnavailable, detail).retrying(Retry::At(until)).local()
}
