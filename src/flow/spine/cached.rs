//! The spine of everything that is cached: first memory, then the store that replicas share, then what is remembered of failures,
//! and then one flight to the authority.

use std::sync::Arc;

use futures_util::future::{Either, ready};
use tracing::{Instrument as _, Span};

use super::failure::lost;
use super::holds::{Asked, Keys, keys};
use super::job::{Job, refresh_token};
use super::search;
use crate::cache::{self, CacheLevel, FlightOutcome, Look, Miss, Query, SoughtToken};
use crate::flow::grants::work;
use crate::flow::plan::{CachedPlan, Working};
use crate::flow::refusal::{Refusal, RefusalKind, loggable};
use crate::flow::request::{Answer, Outcome, RefreshReason, TokenSource};
use crate::flow::state::FlowState;
use crate::flow::trace;
use crate::telemetry::{self, outgoing};
use crate::token::{AnswerHead, Matching, RoomTaker, TokenKey};

/// Why memory alone has no answer.
enum Lack {
    /// There is a token, and the shared store has to be asked first whether it still stands.
    Unchecked,
    /// There is none.
    Missed(Miss),
}

/// Carries a plan out: at once, if memory has the token.
pub(in crate::flow) fn run<'a>(state: &'a Arc<FlowState>, mut plan: CachedPlan<'a>) -> Working<'a> {
    if let Some(search) = plan.search.take() {
        return Either::Right(Box::pin(search::run(state, plan, search)));
    }
    match state.at_hand(&plan) {
        Ok(answer) => Either::Left(ready(Ok(answer))),
        Err(lack) => Either::Right(Box::pin(async move { state.past_hand(&plan, lack).await })),
    }
}

// === impl FlowState ===

impl FlowState {
    /// A token from memory, from the shared store, or from the authority by one flight for all who ask.
    pub(super) async fn acquire(self: &Arc<Self>, plan: &CachedPlan<'_>) -> Outcome {
        match self.at_hand(plan) {
            Ok(answer) => Ok(answer),
            Err(lack) => self.past_hand(plan, lack).await,
        }
    }

    /// What memory has. Nothing here waits.
    fn at_hand(self: &Arc<Self>, plan: &CachedPlan<'_>) -> Result<Answer, Lack> {
        match self.look(plan) {
            Look::Hit { unchecked: true, .. } => Err(Lack::Unchecked),
            look => self.taken(plan, look).map_err(Lack::Missed),
        }
    }

    /// The way of a request that memory alone cannot answer.
    async fn past_hand(self: &Arc<Self>, plan: &CachedPlan<'_>, lack: Lack) -> Outcome {
        let miss = match lack {
            Lack::Missed(miss) => miss,
            Lack::Unchecked => {
                self.cache.recheck(&plan.query()).await;
                match self.taken(plan, self.look(plan)) {
                    Ok(answer) => return Ok(answer),
                    Err(miss) => miss,
                }
            }
        };
        // On the heap: most that is not checked stands.
        Box::pin(self.past_memory(plan, miss)).await
    }

    fn look(&self, plan: &CachedPlan<'_>) -> Look {
        self.cache.look(plan.sought())
    }

    /// The answer that was found; a token that is due is renewed.
    fn taken(self: &Arc<Self>, plan: &CachedPlan<'_>, look: Look) -> Result<Answer, Miss> {
        match look {
            Look::Hit { head, due: true, .. } if self.renew(plan, &plan.query()) => {
                Ok(hit(head, RefreshReason::ProactivelyRefreshed))
            }
            Look::Hit { head, .. } => Ok(hit(head, RefreshReason::NotApplicable)),
            Look::Miss(miss) => Err(miss),
        }
    }

    /// The way of a request for which memory has nothing. It has a span of its own, and all waiting happens in it.
    async fn past_memory(self: &Arc<Self>, plan: &CachedPlan<'_>, miss: Miss) -> Outcome {
        let query = &plan.query();
        let (request, span) = (Span::current(), trace::begin(&plan.call, plan.app, plan.flow, false));
        let call = plan.call.inside(outgoing(plan.call.trace, &span));
        let way = async {
            if let Some(refusal) = plan.standing_beyond(self) {
                plan.app.metrics.held(plan.flow);
                return Err(refusal);
            }
            if let Some(refusal) = self.standing(&plan.keys(self)) {
                return self.held(plan, query, refusal).await;
            }
            let begin = |permit| Box::pin(Job::new(self, plan, call.clone(), permit).run(work(plan)));
            let landed = self.cache.load(query, plan.carries(), begin).await;
            if landed.joined {
                telemetry::joined(&request);
                telemetry::joined(&span);
            }
            let outcome = landed.outcome.unwrap_or_else(|why| Err(Arc::new(lost(why, &self.clock))));
            Ok(answer(outcome?, miss))
        };
        let outcome = way.instrument(span.clone()).await;
        trace::end(&span, &outcome);
        outcome
    }

    /// What a request gets if a remembered refusal stands against it.
    async fn held(&self, plan: &CachedPlan<'_>, query: &Query<'_>, refusal: Arc<Refusal>) -> Outcome {
        // Where replicas share a store, another one may have what this one failed to get, unless the store itself cannot say.
        if refusal.kind != RefusalKind::CacheUnavailable
            && let Some(head) = self.cache.glance(query).await
        {
            return Ok(Answer::of(head, TokenSource::Redis, RefreshReason::NotApplicable));
        }
        plan.app.metrics.held(plan.flow);
        Err(refusal)
    }

    /// Whether memory has what is asked for: a look that is not counted.
    pub(super) fn is_at_hand(&self, plan: &CachedPlan<'_>) -> bool {
        self.cache.has(plan.sought())
    }

    /// Renews a token that is due, unless something remembered speaks against it: the caller has a valid one either way. Returns
    /// whether a renewal is under way.
    fn renew(self: &Arc<Self>, plan: &CachedPlan<'_>, query: &Query<'_>) -> bool {
        // Asked first: while the renewal takes its time, every request in between is a hit like any other.
        if self.cache.is_loading(query) {
            return true;
        }
        let standing = plan.keys(self).standing(&self.remembered, self.clock.moment()).is_some();
        if standing || plan.standing_beyond(self).is_some() {
            return false;
        }
        let Some(permit) = self.cache.budget().take(cache::Work::Renewal, plan.carries()) else { return false };
        let span = trace::begin(&plan.call, plan.app, plan.flow, true);
        let call = plan.call.inside(outgoing(plan.call.trace, &span));
        let job = Job::new(self, plan, call.clone(), permit.clone());
        let (app, flow, work, flying) = (Arc::clone(plan.app), plan.flow, work(plan), span.clone());
        let renewal = async move {
            let outcome = Box::pin(job.run(work)).await;
            let refusal = outcome.as_ref().err().map(|refusal| &**refusal);
            app.metrics.renewal(flow, refusal);
            trace::end_renewal(&flying, refusal);
            if let Some(refusal) = refusal {
                let trace_id = refusal.answer.as_ref().and_then(|answer| answer.trace_id.as_deref()).map(loggable);
                tracing::warn!(
                    app = app.name,
                    flow = flow.as_str(),
                    error = refusal.code(),
                    correlation_id = %call.correlation_id,
                    trace_id,
                    "a renewal failed; the token at hand is still valid"
                );
            }
            outcome
        };
        // The flight takes the span that is current here with it.
        span.in_scope(|| self.cache.renew(query, permit, renewal));
        true
    }
}

// === impl CachedPlan ===

impl CachedPlan<'_> {
    /// Whether a token for more scopes is an answer too.
    fn takes_superset(&self) -> bool {
        !self.bound && self.may_be_more() && self.app.authority.matching() == Matching::Superset
    }

    /// Who takes room in memory for it.
    fn taker(&self) -> RoomTaker {
        RoomTaker::new(self.asker.index(), self.app.usual.is(&self.key.variant))
    }

    /// What memory is searched for: a hit needs nothing else.
    fn sought(&self) -> SoughtToken<'_> {
        let TokenKey { partition, variant, scopes } = &self.key;
        let (superset, taker) = (self.takes_superset(), self.taker());
        SoughtToken { partition, variant, asked: scopes, superset, bypass: &self.bypass, taker }
    }

    fn query(&self) -> Query<'_> {
        Query {
            by: &self.app.name,
            credential: self.app.credential.version(),
            key: &self.key,
            owned: self.owned,
            taker: self.taker(),
            superset: self.takes_superset(),
            bypass: self.bypass,
        }
    }

    /// Whether a token for more scopes may be an answer. Reserved scopes alone say only that the user is meant, so that any token
    /// of the user's will do; an app's own token is for a resource, and they name none.
    fn may_be_more(&self) -> bool {
        self.owned || !self.key.scopes.is_empty()
    }

    /// What the work for it carries of the request, in bytes.
    fn carries(&self) -> usize {
        self.carried + self.scopes.weight()
    }

    fn keys(&self, state: &FlowState) -> Keys {
        let TokenKey { partition, variant, scopes } = &self.key;
        let (lane, refresh_token) = (self.lane(), refresh_token(state, self.sends(), partition));
        let (challenge, is_asserted) = (self.claims.challenge(), self.is_asserted());
        let asked = Asked { lane: &lane, variant, scopes, challenge, refresh_token, is_asserted };
        keys(self.app, (self.sends(), self.tenant.as_ref()), self.app.credential.version(), asked)
    }
}

fn answer(flown: FlightOutcome, miss: Miss) -> Answer {
    let reason = match (flown.level, miss) {
        (CacheLevel::Shared | CacheLevel::Memory, _) => RefreshReason::NotApplicable,
        (CacheLevel::Authority, Miss::Absent) => RefreshReason::NoCachedAccessToken,
        (CacheLevel::Authority, Miss::Expired) => RefreshReason::Expired,
        (CacheLevel::Authority, Miss::Bypassed) => RefreshReason::ForceRefreshOrClaims,
    };
    let source = match flown.level {
        CacheLevel::Memory => TokenSource::Memory,
        CacheLevel::Shared => TokenSource::Redis,
        CacheLevel::Authority => TokenSource::IdentityProvider,
    };
    Answer::of(flown.head, source, reason)
}

fn hit(head: AnswerHead, reason: RefreshReason) -> Answer {
    Answer::of(head, TokenSource::Memory, reason)
}
