//! The spine of everything that is cached: memory, then what is remembered of failures, then one flight to the authority.

use std::sync::Arc;

use super::app::App;
use super::classify::refuse;
use super::exchange::{self, Trouble};
use super::holds::{Keys, Subject};
use super::issue::{Expected, granted, issue};
use super::metrics::Flow;
use super::refusal::{Kind, Refusal, loggable};
use super::request::{Answer, Call, RefreshReason, TokenSource};
use super::{Inner, Outcome};
use crate::authority::{Failure, Repeat};
use crate::cache::{Bypass, Loaded, Look, Miss, Partition, Query};
use crate::oauth::Form;
use crate::token::{Head, Retry, Scopes, Turn};

/// What a flow asks the spine for.
pub(super) struct Ask<'a> {
    pub(super) flow: Flow,
    pub(super) app: &'a Arc<App>,
    pub(super) call: Call,
    pub(super) partition: Partition,
    pub(super) variant: [u8; 32],
    pub(super) scopes: &'a Scopes,
    pub(super) bypass: Bypass,
    pub(super) challenge: u64,
}

/// What is sent if the cache has nothing: made only then.
pub(super) struct Recipe {
    pub(super) form: Form,
    pub(super) expected: Expected,
}

/// A recipe with all that it needs to run on its own, without the caller.
struct Job {
    inner: Arc<Inner>,
    app: Arc<App>,
    flow: Flow,
    call: Call,
    recipe: Recipe,
    partition: Partition,
    variant: [u8; 32],
    challenge: u64,
}

impl Inner {
    /// A token from memory, or from the authority by one flight for all who ask.
    pub(super) async fn acquire(self: &Arc<Self>, ask: Ask<'_>, recipe: impl Fn() -> Recipe) -> Outcome {
        let asked = ask.scopes.folded(ask.app.authority.matching());
        let (partition, variant, bypass) = (&ask.partition, &ask.variant, ask.bypass);
        let query = Query { by: &ask.app.name, partition, variant, asked: &asked, bypass };
        let miss = match self.cache.look(&query) {
            Look::Hit { head, due: false } => return Ok(hit(head, RefreshReason::NotApplicable)),
            Look::Hit { head, due: true } => {
                let renewing = self.renew(&ask, &query, recipe);
                return Ok(hit(head, if renewing { RefreshReason::ProactivelyRefreshed } else { RefreshReason::NotApplicable }));
            }
            Look::Miss(miss) => miss,
        };
        let keys = ask.keys(&asked);
        if let Some(refusal) = keys.standing(&self.remembered, self.clock.moment()) {
            ask.app.metrics.held(ask.flow);
            return Err(refusal);
        }
        // On the heap: a hit's future must not carry a miss's.
        let outcome = self.cache.load(&query, || Box::pin(self.job(&ask, recipe()).run())).await;
        let head = outcome.unwrap_or_else(|| Err(Arc::new(broken_off())))?;
        let reason = match miss {
            Miss::Absent => RefreshReason::NoCachedAccessToken,
            Miss::Expired => RefreshReason::Expired,
            Miss::Bypassed => RefreshReason::ForceRefreshOrClaims,
        };
        Ok(Answer { head, source: TokenSource::IdentityProvider, reason })
    }

    /// Renews a token that is due, unless something remembered speaks against it: the caller has a valid one either way. Returns
    /// whether a renewal is under way.
    fn renew(self: &Arc<Self>, ask: &Ask<'_>, query: &Query<'_>, recipe: impl Fn() -> Recipe) -> bool {
        // Asked first: while the renewal takes its time, every request in between is a hit like any other.
        if self.cache.is_loading(query) {
            return true;
        }
        if ask.keys(query.asked).standing(&self.remembered, self.clock.moment()).is_some() {
            return false;
        }
        let job = self.job(ask, recipe());
        let (app, flow, call) = (Arc::clone(ask.app), ask.flow, ask.call);
        self.cache.renew(query, async move {
            let outcome = job.run().await;
            let refusal = outcome.as_ref().err().map(|refusal| &**refusal);
            app.metrics.renewal(flow, refusal);
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
        });
        true
    }

    fn job(self: &Arc<Self>, ask: &Ask<'_>, recipe: Recipe) -> Job {
        Job {
            inner: Arc::clone(self),
            app: Arc::clone(ask.app),
            flow: ask.flow,
            call: ask.call,
            recipe,
            partition: ask.partition,
            variant: ask.variant,
            challenge: ask.challenge,
        }
    }
}

// === impl Ask ===

impl Ask<'_> {
    fn keys(&self, asked: &str) -> Keys {
        keys(self.app, self.app.credential.version(), &self.partition, &self.variant, asked, self.challenge)
    }
}

// === impl Job ===

impl Job {
    async fn run(self) -> Result<Loaded, Arc<Refusal>> {
        let (inner, app, expected) = (&self.inner, &self.app, &self.recipe.expected);
        // Between the caller's look at what is remembered and this flight another one may have failed.
        if let Some(refusal) = self.keys(app.credential.version()).standing(&inner.remembered, inner.clock.moment()) {
            return Err(refusal);
        }
        let tenant = expected.tenant.as_ref();
        let sent = exchange::run(inner, app, &self.recipe.form, tenant, Repeat::Once, self.call).await;
        let keys = self.keys(sent.version);
        let (now, jitter) = (inner.clock.unix(), inner.jitter);
        match sent.outcome.and_then(|response| Ok(issue(app, expected, response, now, jitter())?)) {
            Ok(grant) => {
                keys.clear(&inner.remembered);
                let granted = granted(app.authority.matching(), &expected.asked, &grant);
                Ok(Loaded { grant, granted })
            }
            Err(trouble) => Err(self.remember(trouble, &keys)),
        }
    }

    fn keys(&self, credential_version: u64) -> Keys {
        let asked = self.recipe.expected.asked.folded(self.app.authority.matching());
        keys(&self.app, credential_version, &self.partition, &self.variant, &asked, self.challenge)
    }

    /// Makes the refusal that all who wait are told, and what those are told who come before its pause is over.
    fn remember(&self, trouble: Trouble, keys: &Keys) -> Arc<Refusal> {
        let (remembered, clock) = (&self.inner.remembered, &self.inner.clock);
        let (stop, mut refusal) = match trouble {
            Trouble::Credential(problem) => (Some(keys.stop_request(clock)), exchange::unusable(&problem)),
            Trouble::Before(failure) | Trouble::Authority(failure) => {
                let jitter = self.inner.jitter;
                let stop = keys.stop(&failure, remembered, clock, jitter());
                let until = stop.filter(|_| !matches!(failure, Failure::Refused { retry_after: None, .. })).map(|stop| stop.until);
                (stop, refuse(self.flow, failure, until))
            }
        };
        refusal.authorization_uri = exchange::authorization_uri(&self.app, self.recipe.expected.tenant.as_ref(), &refusal);
        let refusal = Arc::new(refusal);
        if let Some(stop) = stop {
            stop.remember(remembered, &refusal);
        }
        refusal
    }
}

pub(super) fn keys(
    app: &App,
    credential_version: u64,
    partition: &Partition,
    variant: &[u8; 32],
    asked: &str,
    challenge: u64,
) -> Keys {
    let (authority, client_id) = (app.canonical(), &*app.client_id);
    Keys::of(&Subject { authority, client_id, app: &app.name, credential_version, partition, variant, asked, challenge })
}

fn hit(head: Head, reason: RefreshReason) -> Answer {
    Answer { head, source: TokenSource::Memory, reason }
}

/// A flight that panicked, or was cut off at shutdown.
pub(super) fn broken_off() -> Refusal {
    Refusal::new(Turn::Unavailable, Kind::InternalError, "the request broke off: try again").retrying(Retry::Backoff)
}
