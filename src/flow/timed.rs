//! A request's end: what it brings is judged by the caller's rights, counted, and said on its span.

use std::time::Duration;

use super::app::App;
use super::catalogue::Flow;
use super::request::{Call, Common, Outcome};
use super::state::FlowState;
use super::trace;
use crate::caller::Caller;
use crate::clock::Clock;

/// Counts a request when it ends, also when the edge gives it up and nobody is left to say how it ended.
struct Timed<'a> {
    app: &'a App,
    flow: Flow,
    clock: &'a Clock,
    started: Duration,
    /// When the edge will give it up: it has waited for the body already.
    given_up: Duration,
    ended: bool,
}

/// What is noted of a call before its flow takes it.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    sampled: bool,
    arrived: Duration,
}

// === impl Seen ===

impl Seen {
    pub(super) fn of(call: &Call) -> Self {
        Self { sampled: call.trace.sampled, arrived: call.arrived }
    }
}

// === impl FlowState ===

impl FlowState {
    /// Does the work of a request, judges what it brings by the caller's rights, and counts it.
    pub(super) async fn timed(
        &self,
        (app, flow, seen): (&App, Flow, Seen),
        (caller, request): (Caller, &Common<'_>),
        work: impl Future<Output = Outcome>,
    ) -> Outcome {
        let given_up = seen.arrived + self.patience;
        let mut timed = Timed { app, flow, clock: &self.clock, started: self.clock.precise(), given_up, ended: false };
        let outcome = self.within(caller, app, request, work.await);
        timed.ended = true;
        app.metrics.request(flow, outcome.as_ref().map_err(|refusal| &**refusal), timed.took());
        // Asked before the current span is, which costs more than all of this.
        if seen.sampled {
            trace::end_request(app, flow, &outcome);
        }
        outcome
    }
}

// === impl Timed ===

impl Timed<'_> {
    fn took(&self) -> Duration {
        self.clock.precise().saturating_sub(self.started)
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        // Who goes away earlier is a caller that left.
        if !self.ended && self.clock.precise() >= self.given_up {
            self.app.metrics.given_up(self.flow, self.took());
        }
    }
}
