//! What becomes of a failure where the grant is sent once: a code, or a refresh token. Whether it was used may not be known.

use std::sync::Arc;

use super::failure::{refuse, unavailable};
use super::holds::{Keys, Stop};
use super::send::{self, SendError};
use crate::authority::{AuthorityError, Stops};
use crate::flow::app::App;
use crate::flow::catalogue::Flow;
use crate::flow::refusal::{Refusal, RefusalKind};
use crate::flow::state::FlowState;
use crate::token::{Retry, Tenant, Turn};

/// A grant that was sent once.
pub(super) struct SentOnce<'a> {
    pub(super) flow: Flow,
    pub(super) app: &'a App,
    pub(super) tenant: Option<&'a Tenant>,
    pub(super) keys: Keys,
    /// What a caller is told to do where the outcome is not known; `None` if the same grant may be sent again.
    pub(super) lost: Option<&'static str>,
    pub(super) may_stop: MayStop,
}

/// What a failure may stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayStop {
    /// Whatever it is about, this very request and its partition too.
    All,
    /// What concerns others too: this request does not come again.
    Others,
    /// What the authority asks to pause, and no more: what it says of the client may be about another client's token.
    Paused,
}

/// Whether the authority may have looked at the grant.
pub(super) fn was_looked_at(failure: &AuthorityError) -> bool {
    match failure {
        AuthorityError::NotSent(_) | AuthorityError::Busy | AuthorityError::Throttled { .. } => false,
        // An authority that asks for a pause has not looked at it.
        AuthorityError::Unavailable { retry_after, .. } => retry_after.is_none(),
        _ => true,
    }
}

// === impl SentOnce ===

impl SentOnce<'_> {
    /// Makes the refusal that all who wait are told, and remembers what it stops.
    pub(super) async fn failed(&self, state: &FlowState, trouble: SendError) -> Arc<Refusal> {
        let (failure, sent) = match trouble {
            SendError::Credential(problem) => return Arc::new(send::unusable(&problem)),
            SendError::Turn(why) => return Arc::new(unavailable(why)),
            SendError::Before(failure) => (failure, false),
            SendError::Authority(failure) => {
                let sent = was_looked_at(&failure);
                (failure, sent)
            }
        };
        let stop = self.keys.stop(&failure, &state.remembered, &state.clock, (state.jitter)());
        let stop = stop.filter(|stop| match self.may_stop {
            MayStop::All => true,
            MayStop::Others => stop.concerns_others(),
            MayStop::Paused => stop.stops == Stops::Pause,
        });
        let until = stop.filter(|_| failure.retry_after().is_some() || !sent).map(|stop| stop.until);
        let unknown = matches!(failure, AuthorityError::Broken(_) | AuthorityError::TimedOut | AuthorityError::Unavailable { .. });
        let mut refusal = refuse(self.flow, failure, until);
        if let Some(lost) = self.lost
            && sent
        {
            refusal = refusal.retrying(Retry::Never);
            if unknown {
                refusal.detail += lost;
            }
        }
        if sent && unknown {
            // The contract: an unknown outcome is 503.
            refusal.turn = Turn::Unavailable;
            refusal.kind = RefusalKind::AuthorityUnavailable;
        }
        self.remembered(state, refusal, stop).await
    }

    async fn remembered(&self, state: &FlowState, mut refusal: Refusal, stop: Option<Stop>) -> Arc<Refusal> {
        refusal.authorization_uri = send::authorization_uri(self.app, self.tenant, &refusal);
        let refusal = Arc::new(refusal);
        if let Some(stop) = stop {
            state.remember(self.app, &self.keys, stop, &refusal).await;
        }
        refusal
    }
}
