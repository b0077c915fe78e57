//! A request's end: what it brings is judged by the caller's rights, counted, and said on its span.

use std::time::Duration;

use super::app::App;
use super::catalogue::Flow;
use super::request::{Call, Common, Outcome};
use super::state::FlowState;
use super::trace;
use crate::caller::Caller;

/// Counts a request when it ends, also when the edge gives it up and nobody is left to say how it ended.
pub(super) struct Timed<'a> {
    state: &'a FlowState,
    app: &'a App,
    flow: Flow,
    started: Duration,
    /// When the edge will give it up: it has waited for the body already.
    given_up: Duration,
    sampled: bool,
    ended: bool,
}

// === impl Timed ===

impl<'a> Timed<'a> {
    /// A request whose work begins.
    pub(super) fn begin(state: &'a FlowState, app: &'a App, flow: Flow, call: &Call) -> Self {
        let (started, given_up) = (state.clock.precise(), call.arrived + state.patience);
        Self { state, app, flow, started, given_up, sampled: call.trace.sampled, ended: false }
    }

    /// Judges what the work has brought by the caller's rights, and counts it.
    pub(super) fn end(mut self, caller: Caller, request: &Common<'_>, outcome: Outcome) -> Outcome {
        let outcome = self.state.within(caller, self.app, request, outcome);
        self.ended = true;
        self.app.metrics.request(self.flow, outcome.as_ref().map_err(|refusal| &**refusal), self.took());
        // Asked before the current span is, which costs more than all of this.
        if self.sampled {
            trace::end_request(self.app, self.flow, &outcome);
        }
        outcome
    }

    fn took(&self) -> Duration {
        self.state.clock.precise().saturating_sub(self.started)
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        // Who goes away earlier is a caller that left.
        if !self.ended && self.state.clock.precise() >= self.given_up {
            self.app.metrics.given_up(self.flow, self.took());
        }
    }
}
