//! Callers that may have tokens for certain apis only: what was granted is compared with the api before it is kept, and again
//! before it is answered.
//!
//! Such a caller says by an api alone what its token is good for (`policy`). So the scopes that are asked are the api's, and a
//! grant that goes beyond them does so for all such callers.

use std::sync::Arc;
use std::time::Duration;

use super::job::Job;
use crate::authority::{Hold, Stops};
use crate::caller::Caller;
use crate::flow::app::App;
use crate::flow::members;
use crate::flow::plan::CachedPlan;
use crate::flow::refusal::{Refusal, RefusalKind};
use crate::flow::request::{Common, Outcome};
use crate::flow::state::FlowState;
use crate::token::{HoldKey, IssuedToken, Lane, Scopes, TokenKey, Turn};

/// How long a caller is refused without asking the authority again, after more was granted than it may have.
const BEYOND: Duration = Duration::from_secs(5);

/// The refusal of a token that is good for more than the api that a caller with `callers.*.apis` named.
pub(super) fn beyond_api() -> Refusal {
    let detail = "the token would be good for more than this `api`, or its scopes are not said, and this caller may have tokens for \
                  certain apis only: have the user consent to no more, list in `apis.*.scopes` what is granted, or extend `callers.*.apis`";
    Refusal::new(Turn::Rights, RefusalKind::CallerNotAllowed, detail).about_target()
}

/// The key of what is remembered of a grant that is good for more than an api.
fn beyond(lane: &Lane, key: &TokenKey<'_>) -> HoldKey {
    HoldKey::of(&[b"beyond", lane, &key.variant, key.scopes.as_bytes()])
}

// === impl FlowState ===

impl FlowState {
    /// Whether a caller may have tokens for certain apis only.
    pub(in crate::flow) fn is_bound(&self, caller: Caller) -> bool {
        self.callers.as_ref().is_some_and(|callers| callers.is_bound(caller))
    }

    /// What a caller gets of an outcome. One with `callers.*.apis` gets only what is good for its api alone, wherever the token was
    /// found and whoever asked for it.
    pub(in crate::flow) fn within(&self, caller: Caller, app: &App, request: &Common<'_>, outcome: Outcome) -> Outcome {
        let Some(callers) = self.callers.as_ref().filter(|callers| callers.is_bound(caller)) else { return outcome };
        let outcome = outcome.and_then(|answer| {
            let asked = members::scopes(self, request)?;
            let within = answer.head.scope().is_some_and(|granted| asked.contain(&granted, app.authority.matching()));
            if within { Ok(answer) } else { Err(Arc::new(beyond_api())) }
        });
        if matches!(&outcome, Err(refusal) if refusal.kind == RefusalKind::CallerNotAllowed) {
            callers.not_allowed(caller);
        }
        outcome
    }
}

// === impl CachedPlan ===

impl CachedPlan<'_> {
    /// What those with `callers.*.apis` were told a moment ago of the same request.
    pub(super) fn standing_beyond(&self, state: &FlowState) -> Option<Arc<Refusal>> {
        let key = self.bound.then(|| beyond(&self.lane(), &self.key))?;
        state.remembered.standing(Stops::Request, &key, state.clock.moment()).map(|hold| hold.failure)
    }
}

// === impl Job ===

impl Job {
    /// Whether a grant is good for no more than the caller may have. If it is good for more, that is remembered for a moment: such
    /// callers are refused without asking the authority again. Callers that may have more are not stopped.
    pub(super) fn may_be_kept(&self, asked: &Scopes, grant: &IssuedToken) -> bool {
        let may = !self.bound || asked.contain(&grant.scope, self.app.authority.matching());
        if !may {
            let until = self.state.clock.moment().after(BEYOND);
            let refusal = Arc::new(beyond_api());
            let app = Arc::clone(&self.app.label);
            let hold = Hold { until, failures: 1, failure: refusal, stops: Stops::Request, record: 0, app };
            self.state.remembered.hold(beyond(&self.lane, &self.key), hold);
        }
        may
    }
}
