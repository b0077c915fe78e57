//! The spine of everything that is cached: memory, then what is remembered of failures, then one flight to the authority.

use std::sync::Arc;

use super::app::App;
use super::classify::refuse;
use super::exchange::{self, Trouble};
use super::holds::{Keys, Subject};
use super::issue::{Expected, granted, issue};
use super::metrics::Flow;
use super::refusal::{Kind, Refusal};
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
    pub(super) bypass: Bypass<'a>,
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
    pub(super) async fn acquire(self: &Arc<Self>, ask: Ask<'_>, recipe: impl FnOnce() -> Recipe) -> Outcome {
        let matching = ask.app.authority.matching();
        let asked = ask.scopes.folded(matching);
        let query = Query { partition: &ask.partition, variant: &ask.variant, asked: &asked, bypass: ask.bypass };
        let miss = match self.cache.look(&query) {
            Look::Hit { head, due: false } => return Ok(hit(head, RefreshReason::NotApplicable)),
            Look::Hit { head, due: true } => {
                self.renew(&ask, &query, recipe);
                return Ok(hit(head, RefreshReason::ProactivelyRefreshed));
            }
            Look::Miss(miss) => miss,
        };
        let keys = ask.keys(&asked);
        if let Some(refusal) = keys.standing(&self.remembered, self.clock.moment()) {
            ask.app.metrics.held(ask.flow);
            return Err(refusal);
        }
        let job = self.job(&ask, recipe());
        // On the heap: a hit's future must not carry a miss's.
        let outcome = self.cache.load(&query, Box::pin(job.run())).await;
        let head = outcome.unwrap_or_else(|| Err(Arc::new(broken_off())))?;
        let reason = match miss {
            Miss::Absent => RefreshReason::NoCachedAccessToken,
            Miss::Expired => RefreshReason::Expired,
            Miss::Bypassed => RefreshReason::ForceRefreshOrClaims,
        };
        Ok(Answer { head, source: TokenSource::IdentityProvider, reason })
    }

    /// Renews a token that is due, unless something remembered speaks against it: the caller has a valid one either way.
    fn renew(self: &Arc<Self>, ask: &Ask<'_>, query: &Query<'_>, recipe: impl FnOnce() -> Recipe) {
        if ask.keys(query.asked).standing(&self.remembered, self.clock.moment()).is_some() {
            return;
        }
        let job = self.job(ask, recipe());
        let (metrics, flow) = (ask.app.metrics.clone(), ask.flow);
        self.cache.renew(query, async move {
            let outcome = job.run().await;
            metrics.renewal(flow, outcome.as_ref().err().map(|refusal| &**refusal));
            if let Err(refusal) = &outcome {
                tracing::warn!(flow = flow.as_str(), error = refusal.error(), "a renewal failed; the token at hand is still valid");
            }
            outcome
        });
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
        keys(self.app, &self.partition, &self.variant, asked, self.challenge)
    }
}

// === impl Job ===

impl Job {
    async fn run(self) -> Result<Loaded, Arc<Refusal>> {
        let asked = self.recipe.expected.asked.folded(self.app.authority.matching());
        let keys_of = || keys(&self.app, &self.partition, &self.variant, &asked, self.challenge);
        // Between the caller's look at what is remembered and this flight another one may have failed.
        if let Some(refusal) = keys_of().standing(&self.inner.remembered, self.inner.clock.moment()) {
            return Err(refusal);
        }
        let context = self.call;
        let tenant = self.recipe.expected.tenant.as_ref();
        let response = exchange::run(&self.inner, &self.app, &self.recipe.form, tenant, Repeat::Once, context).await;
        let now = self.inner.clock.unix();
        let jitter = self.inner.jitter;
        let issued = response.and_then(|response| Ok(issue(&self.app, &self.recipe.expected, response, now, jitter())?));
        // Made now and not before: a credential that was read anew has another version.
        let keys = keys_of();
        match issued {
            Ok(grant) => {
                keys.clear(&self.inner.remembered);
                let granted = granted(self.app.authority.matching(), &self.recipe.expected.asked, &grant);
                Ok(Loaded { grant, granted })
            }
            Err(trouble) => Err(self.remember(trouble, &keys)),
        }
    }

    /// Makes the refusal that all who wait are told, and those who come before its pause is over.
    fn remember(&self, trouble: Trouble, keys: &Keys) -> Arc<Refusal> {
        let (remembered, clock) = (&self.inner.remembered, &self.inner.clock);
        let (stop, mut refusal) = match trouble {
            Trouble::Credential(problem) => (keys.stop_request(clock), exchange::unusable(&problem)),
            Trouble::Authority(failure) => {
                let jitter = self.inner.jitter;
                let stop = keys.stop(&failure, remembered, clock, jitter());
                let waits = !matches!(failure, Failure::Refused { retry_after: None, .. });
                (stop, refuse(self.flow, failure, waits.then_some(stop.until)))
            }
        };
        refusal.authorization_uri = exchange::authorization_uri(&self.app, self.recipe.expected.tenant.as_ref(), &refusal);
        let refusal = Arc::new(refusal);
        stop.remember(remembered, Arc::clone(&refusal));
        refusal
    }
}

fn keys(app: &App, partition: &Partition, variant: &[u8; 32], asked: &str, challenge: u64) -> Keys {
    Keys::of(&Subject {
        authority: app.canonical(),
        client_id: &app.client_id,
        app: &app.name,
        credential_version: app.credential.version(),
        partition,
        variant,
        asked,
        challenge,
    })
}

fn hit(head: Head, reason: RefreshReason) -> Answer {
    Answer { head, source: TokenSource::Memory, reason }
}

/// A flight that panicked, or was cut off at shutdown.
pub(super) fn broken_off() -> Refusal {
    Refusal::new(Turn::Unavailable, Kind::InternalError, "the request broke off: try again").retrying(Retry::Backoff)
}
