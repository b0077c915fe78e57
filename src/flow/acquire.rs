//! The spine of everything that is cached: memory, the store that replicas share, what is remembered of failures, and then one flight
//! to the authority.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument as _, Span};

use super::app::App;
use super::classify::refuse_at;
use super::exchange::{self, Trouble};
use super::holds::{Asked, Keys, keys};
use super::issue::{Expected, granted, issue};
use super::metrics::Flow;
use super::refresh::{Refresh, unavailable};
use super::refusal::{Kind, Refusal, loggable, overloaded};
use super::request::{Answer, Call, RefreshReason, TokenSource};
use super::{Inner, Outcome, trace};
use crate::authority::Failure;
use crate::cache::{self, Bypass, FlightOutcome, Key, Level, Loaded, Look, Lost, Miss, OpenWatch, Owner, Partition, Permit, Query};
use crate::caller::Caller;
use crate::oauth::Form;
use crate::source::Repeat;
use crate::telemetry::{self, outgoing};
use crate::token::{Grant, Head, Matching, Retry, Scopes, Tenant, Turn};

/// What a flow asks the spine for.
pub(super) struct Ask<'a> {
    pub(super) flow: Flow,
    pub(super) app: &'a Arc<App>,
    pub(super) call: Call,
    /// Whose account it is, if it is a user's.
    pub(super) owner: Caller,
    /// Whether who asks may have a token for its api only: one that is good for more is neither served nor kept.
    pub(super) bound: bool,
    pub(super) partition: Partition,
    /// Whether it is a user's, who can sign out.
    pub(super) owned: bool,
    /// The tenant that is asked, where it is not the authority's own, and the inbound token that is exchanged.
    pub(super) tenant: Option<&'a Tenant>,
    pub(super) assertion: Option<&'a [u8; 32]>,
    pub(super) variant: [u8; 32],
    pub(super) scopes: &'a Scopes,
    pub(super) bypass: Bypass,
    pub(super) challenge: u64,
    /// What the request's texts weigh that work for it keeps, in bytes, its scopes aside.
    pub(super) carried: usize,
}

/// What is done if the cache has nothing: made only then.
pub(super) enum Work {
    /// A grant is sent that is at hand.
    Grant { form: Form, expected: Expected },
    /// The account's refresh token is looked up and sent.
    Refresh(Refresh),
}

/// Work with all that it needs to run on its own, without the caller.
pub(super) struct Job {
    pub(super) inner: Arc<Inner>,
    pub(super) app: Arc<App>,
    pub(super) flow: Flow,
    pub(super) call: Call,
    pub(super) owner: Caller,
    pub(super) partition: Partition,
    pub(super) bound: bool,
    pub(super) lane: Key,
    pub(super) tenant: Option<Tenant>,
    pub(super) variant: [u8; 32],
    pub(super) asked: Box<str>,
    challenge: u64,
    /// The refresh token that memory had when the job began.
    known: u64,
    /// Held for as long as anything of it goes on, also what outlives its flight.
    _permit: Permit,
}

impl Inner {
    /// A token from memory, from the shared store, or from the authority by one flight for all who ask.
    pub(super) async fn acquire(self: &Arc<Self>, ask: Ask<'_>, work: impl Fn() -> Work + Sync) -> Outcome {
        let asked = ask.scopes.folded(ask.app.authority.matching());
        let query = ask.query(&asked);
        let mut look = self.cache.look(&query);
        if let Look::Hit { unchecked: true, .. } = look {
            Box::pin(self.cache.recheck(&query)).await;
            look = self.cache.look(&query);
        }
        let miss = match look {
            Look::Hit { head, due: false, .. } => return Ok(hit(head, RefreshReason::NotApplicable)),
            Look::Hit { head, due: true, .. } => {
                let renewing = self.renew(&ask, &query, work);
                return Ok(hit(head, if renewing { RefreshReason::ProactivelyRefreshed } else { RefreshReason::NotApplicable }));
            }
            Look::Miss(miss) => miss,
        };
        // On the heap: a hit's future must not carry a miss's.
        Box::pin(self.past_memory(&ask, &query, miss, work)).await
    }

    /// The way of a request for which memory has nothing: it has a span of its own, in which everything happens that waits.
    async fn past_memory(
        self: &Arc<Self>,
        ask: &Ask<'_>,
        query: &Query<'_>,
        miss: Miss,
        work: impl Fn() -> Work + Sync,
    ) -> Outcome {
        let (request, span) = (Span::current(), trace::begin(&ask.call, ask.app, ask.flow, false));
        let call = ask.call.inside(outgoing(ask.call.trace, &span));
        let way = async {
            if let Some(refusal) = ask.standing_beyond(query.asked, self) {
                ask.app.metrics.held(ask.flow);
                return Err(refusal);
            }
            if let Some(refusal) = self.standing(&ask.keys(self, query.asked)) {
                return self.held(ask, query, refusal).await;
            }
            let begin = |permit| Box::pin(self.job(ask, query.asked, call.clone(), permit).run(work()));
            let landed = self.cache.load(query, ask.carries(), begin).await;
            if landed.joined {
                telemetry::joined(&request);
                telemetry::joined(&span);
            }
            let outcome = landed.outcome.unwrap_or_else(|lost| Err(Arc::new(self.lost(lost))));
            Ok(answer(outcome?, miss))
        };
        let outcome = way.instrument(span.clone()).await;
        trace::end(&span, &outcome);
        outcome
    }

    /// What a request gets that a remembered refusal stands against.
    async fn held(&self, ask: &Ask<'_>, query: &Query<'_>, refusal: Arc<Refusal>) -> Outcome {
        // Where replicas share a store, another one may have what this one failed to get, unless the store itself cannot say.
        if refusal.kind != Kind::CacheUnavailable
            && let Some(head) = self.cache.glance(query).await
        {
            return Ok(Answer { head, source: TokenSource::Redis, reason: RefreshReason::NotApplicable });
        }
        ask.app.metrics.held(ask.flow);
        Err(refusal)
    }

    /// Whether memory has what is asked for.
    pub(super) fn is_at_hand(&self, ask: &Ask<'_>) -> bool {
        let asked = ask.scopes.folded(ask.app.authority.matching());
        self.cache.has(&ask.query(&asked))
    }

    /// Renews a token that is due, unless something remembered speaks against it: the caller has a valid one either way. Returns
    /// whether a renewal is under way.
    fn renew(self: &Arc<Self>, ask: &Ask<'_>, query: &Query<'_>, work: impl Fn() -> Work) -> bool {
        // Asked first: while the renewal takes its time, every request in between is a hit like any other.
        if self.cache.is_loading(query) {
            return true;
        }
        let standing = ask.keys(self, query.asked).standing(&self.remembered, self.clock.moment()).is_some();
        if standing || ask.standing_beyond(query.asked, self).is_some() {
            return false;
        }
        let Some(permit) = self.cache.budget().take(cache::Work::Renewal, ask.carries()) else { return false };
        let span = trace::begin(&ask.call, ask.app, ask.flow, true);
        let call = ask.call.inside(outgoing(ask.call.trace, &span));
        let job = self.job(ask, query.asked, call.clone(), permit.clone());
        let (app, flow, work, flying) = (Arc::clone(ask.app), ask.flow, work(), span.clone());
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

    fn job(self: &Arc<Self>, ask: &Ask<'_>, asked: &str, call: Call, permit: Permit) -> Job {
        Job {
            inner: Arc::clone(self),
            app: Arc::clone(ask.app),
            flow: ask.flow,
            call,
            owner: ask.owner,
            partition: ask.partition,
            bound: ask.bound,
            lane: ask.lane(asked),
            tenant: ask.tenant.cloned(),
            variant: ask.variant,
            asked: asked.into(),
            challenge: ask.challenge,
            known: ask.refresh_token(self),
            _permit: permit,
        }
    }

    /// What is said where a flight brought nothing.
    pub(super) fn lost(&self, lost: Lost) -> Refusal {
        match lost {
            Lost::BrokenOff => broken_off(),
            Lost::NoRoom => overloaded("limits.flights", &self.clock),
        }
    }
}

// === impl Ask ===

impl Ask<'_> {
    fn query<'a>(&'a self, asked: &'a str) -> Query<'a> {
        Query {
            by: &self.app.name,
            credential: self.app.credential.version(),
            partition: &self.partition,
            owned: self.owned,
            variant: &self.variant,
            asked,
            superset: !self.bound && self.app.authority.matching() == Matching::Superset,
            bypass: self.bypass,
        }
    }

    /// What the work for it carries of the request, in bytes.
    fn carries(&self) -> usize {
        self.carried + self.scopes.weight()
    }

    fn keys(&self, inner: &Inner, scopes: &str) -> Keys {
        let (lane, refresh_token) = (self.lane(scopes), self.refresh_token(inner));
        let asked = Asked { lane: &lane.0, variant: &self.variant, scopes, challenge: self.challenge, refresh_token };
        keys(self.app, self.flow, self.tenant, self.app.credential.version(), asked)
    }

    fn refresh_token(&self, inner: &Inner) -> u64 {
        refresh_token(inner, self.flow, &self.partition)
    }

    /// What backs off together when calls fail.
    pub(super) fn lane(&self, scopes: &str) -> Key {
        if self.owned {
            user_lane(&self.partition, self.tenant, self.assertion)
        } else {
            // One API that fails says nothing of the others that the app calls.
            Key::of(&[&self.partition, &self.variant, scopes.as_bytes()])
        }
    }
}

// === impl Job ===

impl Job {
    async fn run(self, work: Work) -> Result<Loaded, Arc<Refusal>> {
        // Between the caller's look at what is remembered and this flight another one may have failed.
        if let Some(refusal) = self.held().await {
            return Err(refusal);
        }
        match work {
            Work::Grant { form, expected } => self.send(&form, &expected).await,
            Work::Refresh(refresh) => refresh.run(self).await,
        }
    }

    /// What stands against it, here or in another replica.
    async fn held(&self) -> Option<Arc<Refusal>> {
        let keys = self.keys(self.app.credential.version());
        let standing = match self.inner.standing(&keys) {
            None => self.inner.held_elsewhere(&self.app, &keys, &keys.all()).await,
            standing => standing,
        };
        standing.inspect(|_| self.app.metrics.held(self.flow))
    }

    /// The same after a wait for the account: what failed meanwhile stops this one too, and of a refresh token that was read since it
    /// was not asked yet what was said of it elsewhere.
    pub(super) async fn held_now(&self) -> Option<Arc<Refusal>> {
        if refresh_token(&self.inner, self.flow, &self.partition) != self.known {
            return self.held().await;
        }
        let standing = self.inner.standing(&self.keys(self.app.credential.version()));
        standing.inspect(|_| self.app.metrics.held(self.flow))
    }

    async fn send(&self, form: &Form, expected: &Expected) -> Result<Loaded, Arc<Refusal>> {
        let (inner, app) = (&self.inner, &self.app);
        let since = inner.cache.accounts().watch_sign_outs();
        let sent = exchange::run(app, form, expected.tenant.as_ref(), Repeat::Once, self.call.clone()).await;
        let keys = self.keys(sent.version);
        let (now, jitter) = (inner.clock.unix(), inner.jitter);
        match sent.outcome.and_then(|response| Ok(issue(app, expected, response, now, jitter())?)) {
            Ok(grant) => {
                inner.succeeded(app, &keys).await;
                let granted = granted(app.authority.matching(), &expected.asked, &grant);
                let kept = self.may_be_kept(&expected.asked, &grant) && self.is_reached_by_sign_out(&grant, &since).await;
                Ok(Loaded { grant, granted, kept })
            }
            Err(trouble) => Err(self.remember(trouble, expected.tenant.as_ref(), &keys).await),
        }
    }

    /// Whether signing out the account that the answer names reaches the partition that the inbound token named: a guest is at home
    /// elsewhere, and that home has to know of it.
    async fn is_reached_by_sign_out(&self, grant: &Grant, since: &OpenWatch) -> bool {
        let Some(account) = &grant.account else { return true };
        let home = self.app.space_of(self.owner).partition(Owner::Account(&account.home_account_id));
        let left = grant.times.expires_on.map_or(0, |ends| ends.saturating_sub(grant.times.received_on));
        let lasting = Duration::from_secs(u64::try_from(left).unwrap_or(0));
        home == self.partition || self.inner.cache.accounts().link(&home, &self.partition, lasting, since).await
    }

    pub(super) fn keys(&self, credential_version: u64) -> Keys {
        let refresh_token = refresh_token(&self.inner, self.flow, &self.partition);
        let Self { variant, asked: scopes, challenge, .. } = self;
        let asked = Asked { lane: &self.lane.0, variant, scopes, challenge: *challenge, refresh_token };
        keys(&self.app, self.flow, self.tenant.as_ref(), credential_version, asked)
    }

    /// Makes the refusal that all who wait are told, and what those are told who come before its pause is over.
    async fn remember(&self, trouble: Trouble, tenant: Option<&Tenant>, keys: &Keys) -> Arc<Refusal> {
        let (remembered, clock) = (&self.inner.remembered, &self.inner.clock);
        let (stop, mut refusal) = match trouble {
            Trouble::Credential(problem) => (Some(keys.stop_request(clock)), exchange::unusable(&problem)),
            Trouble::Turn(why) => (None, unavailable(why)),
            Trouble::Before(failure) | Trouble::Authority(failure) => {
                let jitter = self.inner.jitter;
                let stop = keys.stop(&failure, remembered, clock, jitter());
                let until = stop.filter(|_| !matches!(failure, Failure::Refused { retry_after: None, .. })).map(|stop| stop.until);
                (stop, refuse_at(self.flow, tenant, failure, until))
            }
        };
        refusal.authorization_uri = exchange::authorization_uri(&self.app, tenant, &refusal);
        let refusal = Arc::new(refusal);
        if let Some(stop) = stop {
            self.inner.remember(&self.app, keys, stop, &refusal).await;
        }
        refusal
    }
}

/// What of a user's backs off together: what fails for one inbound token may do for another.
pub(super) fn user_lane(partition: &Partition, tenant: Option<&Tenant>, assertion: Option<&[u8; 32]>) -> Key {
    let tenant = tenant.map_or("", Tenant::as_str);
    Key::of(&[partition, tenant.as_bytes(), assertion.map_or(&[], |assertion| assertion)])
}

/// Names the refresh token that would be sent: what was said of another one says nothing of it.
fn refresh_token(inner: &Inner, flow: Flow, partition: &Partition) -> u64 {
    if flow == Flow::Silent { inner.cache.accounts().refresh_token(partition) } else { 0 }
}

fn answer(flown: FlightOutcome, miss: Miss) -> Answer {
    let reason = match (flown.level, miss) {
        (Level::Shared | Level::Memory, _) => RefreshReason::NotApplicable,
        (Level::Authority, Miss::Absent) => RefreshReason::NoCachedAccessToken,
        (Level::Authority, Miss::Expired) => RefreshReason::Expired,
        (Level::Authority, Miss::Bypassed) => RefreshReason::ForceRefreshOrClaims,
    };
    let source = match flown.level {
        Level::Memory => TokenSource::Memory,
        Level::Shared => TokenSource::Redis,
        Level::Authority => TokenSource::IdentityProvider,
    };
    Answer { head: flown.head, source, reason }
}

fn hit(head: Head, reason: RefreshReason) -> Answer {
    Answer { head, source: TokenSource::Memory, reason }
}

/// A flight that panicked, or was cut off at shutdown.
pub(super) fn broken_off() -> Refusal {
    Refusal::new(Turn::Unavailable, Kind::InternalError, "the request broke off: try again").retrying(Retry::Backoff)
}
