//! The refresh handle that an answer shall have.

use crate::caller::Caller;
use crate::flow::app::App;
use crate::flow::handle::{HandleAsked, WantedHandle};
use crate::flow::refusal::Refusal;
use crate::flow::request::Common;
use crate::flow::spine::failure::unavailable;
use crate::flow::state::FlowState;
use crate::token::Scopes;

/// The handle that a sign-in of this caller at this app shall have, if one is wanted.
pub(super) fn wanted_handle(
    state: &FlowState,
    app: &App,
    caller: Caller,
    scopes: &Scopes,
    common: &Common<'_>,
) -> Option<WantedHandle> {
    common.wants_handle.then(|| WantedHandle {
        space: *app.space_of(caller).id(),
        caller: state.caller_name(caller),
        asked: HandleAsked::of(scopes, common),
    })
}

/// To be called before anything is sent that may be good for one use: whoever asks again in a moment gets the handle too.
///
/// # Errors
/// One is wanted, and none can be made.
pub(in crate::flow) async fn handle_ready(state: &FlowState, is_wanted: bool) -> Result<(), Refusal> {
    if is_wanted {
        state.cache.handles().ready().await.map_err(unavailable)?;
    }
    Ok(())
}
