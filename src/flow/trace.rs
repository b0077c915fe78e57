//! What spans say of a flow: its app, its name, where its token came from, or tokend's own word for what went wrong.

use tracing::Span;

use super::app::App;
use super::catalogue::Flow;
use super::refusal::Refusal;
use super::request::{Call, Outcome, TokenSource};
use crate::telemetry::{Came, asked_for, finish_flow, flow_span};
use crate::token::Turn;

/// The span of a flow past memory, if the request is traced.
pub(super) fn begin(call: &Call, app: &App, flow: Flow, renewal: bool) -> Span {
    flow_span(call, flow.as_str(), &app.name, renewal)
}

/// Says what came of it.
pub(super) fn end(span: &Span, outcome: &Outcome) {
    match outcome {
        Ok(answer) => came(span, Some(answer.source), None),
        Err(refusal) => came(span, None, Some(refusal)),
    }
}

/// Says on the request's own span, which is the current one, what was asked for and what came of it.
pub(super) fn end_request(app: &App, flow: Flow, outcome: &Outcome) {
    let span = Span::current();
    asked_for(&span, flow.as_str(), &app.name);
    end(&span, outcome);
}

/// Says what came of a renewal, whose token is for later requests.
pub(super) fn end_renewal(span: &Span, refusal: Option<&Refusal>) {
    let source = refusal.is_none().then_some(TokenSource::IdentityProvider);
    came(span, source, refusal);
}

fn came(span: &Span, source: Option<TokenSource>, refusal: Option<&Refusal>) {
    let came = Came {
        source: source.map(TokenSource::as_str),
        level: source.and_then(TokenSource::level),
        // The authority's own word stands at the span of its call, if it is a known one.
        error: refusal.map(|refusal| refusal.kind.as_str()),
        failed: refusal
            .is_some_and(|refusal| matches!(refusal.turn, Turn::Operator | Turn::Unavailable | Turn::OutOfTime | Turn::Throttled)),
    };
    finish_flow(span, &came);
}
