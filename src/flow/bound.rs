//! Callers that may have tokens for certain apis only: what was granted is compared with the api, before it is kept and before it is
//! answered.
//!
//! Such a caller names an api and nothing else that says what a token is good for (`caller::Beyond`), so that what it asked for are the
//! api's scopes, and whether a grant goes beyond them is the same for all such callers.

use std::sync::Arc;
use std::time::Duration;

use super::acquire::{Ask, Job};
use super::app::App;
use super::refusal::{Kind, Refusal};
use super::request::Common;
use super::{Inner, Outcome, members};
use crate::authority::{Hold, Stops};
use crate::cache::Key;
use crate::caller::Caller;
use crate::token::{Grant, Scopes, Turn};

/// How long whoever may have less than is granted is told so without asking the authority again.
const BEYOND: Duration = Duration::from_secs(5);

/// The refusal of a token that is good for more than the api that a caller with `callers.*.apis` named.
pub(super) fn beyond_api() -> Refusal {
    let detail = "the token would be good for more than this `api`, or its scopes are not said, and this caller may have tokens for \
                  certain apis only: have the user consent to no more, list in `apis.*.scopes` what is granted, or extend `callers.*.apis`";
    Refusal::new(Turn::Rights, Kind::CallerNotAllowed, detail)
}

/// The key of what is remembered of a grant that is good for more than an api.
fn beyond(lane: &Key, variant: &[u8; 32], asked: &str) -> Key {
    Key::of(&[b"beyond", &lane.0, variant, asked.as_bytes()])
}

// === impl Inner ===

impl Inner {
    /// Whether a caller may have tokens for certain apis only.
    pub(super) fn is_bound(&self, caller: Caller) -> bool {
        self.callers.as_ref().is_some_and(|callers| callers.is_bound(caller))
    }

    /// What a caller gets of an outcome: one with `callers.*.apis` gets only what is good for its api alone, wherever the token was found
    /// and whoever asked for it.
    pub(super) fn within(&self, caller: Caller, app: &App, request: &Common<'_>, outcome: Outcome) -> Outcome {
        let Some(callers) = self.callers.as_ref().filter(|callers| callers.is_bound(caller)) else { return outcome };
        let outcome = outcome.and_then(|answer| {
            let asked = members::scopes(self, request)?;
            let within = answer.head.scope().is_some_and(|granted| asked.contain(&granted, app.authority.matching()));
            if within { Ok(answer) } else { Err(Arc::new(beyond_api())) }
        });
        if matches!(&outcome, Err(refusal) if refusal.kind == Kind::CallerNotAllowed) {
            callers.not_allowed(caller);
        }
        outcome
    }
}

// === impl Ask ===

impl Ask<'_> {
    /// What those with `callers.*.apis` were told a moment ago of the same request.
    pub(super) fn standing_beyond(&self, asked: &str, inner: &Inner) -> Option<Arc<Refusal>> {
        let key = self.bound.then(|| beyond(&self.lane(asked), &self.variant, asked))?;
        inner.remembered.standing(Stops::Request, &key.0, inner.clock.moment()).map(|hold| hold.failure)
    }
}

// === impl Job ===

impl Job {
    /// Whether a grant is good for no more than whoever asks may have. Where it is good for more, those who ask again at once are told so
    /// without the authority; others, who may have more, are not stopped.
    pub(super) fn may_be_kept(&self, asked: &Scopes, grant: &Grant) -> bool {
        let may = !self.bound || asked.contain(&grant.scope, self.app.authority.matching());
        if !may {
            let until = self.inner.clock.moment().after(BEYOND);
            let refusal = Arc::new(beyond_api());
            let hold = Hold { until, failures: 1, failure: refusal, stops: Stops::Request, record: 0 };
            self.inner.remembered.hold(beyond(&self.lane, &self.variant, &self.asked).0, hold);
        }
        may
    }
}
