//! The spine of everything that is cached: memory, the store that replicas share, what is remembered of failures, and then one flight
//! to the authority.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument as _, Span};

use super::app::App;
use super::callers::Caller;
use super::classify::refuse;
use super::exchange::{self, Trouble};
use super::holds::{Keys, Stop, Subject};
use super::issue::{Expected, granted, issue};
use super::metrics::Flow;
use super::refresh::Refresh;
use super::refusal::{Kind, Refusal, loggable};
use super::request::{Answer, Call, RefreshReason, TokenSource};
use super::{Inner, Outcome, trace, wire};
use crate::authority::{Failure, Hold, Repeat, Stops};
use crate::cache::{Bypass, Flown, Key, Level, Loaded, Look, Miss, Owner, Partition, Query};
use crate::oauth::Form;
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
    /// The tenant that is asked and the inbound token that is exchanged: what fails for one of a user's may do for another.
    pub(super) tenant: Option<&'a Tenant>,
    pub(super) assertion: Option<&'a [u8; 32]>,
    pub(super) variant: [u8; 32],
    pub(super) scopes: &'a Scopes,
    pub(super) bypass: Bypass,
    pub(super) challenge: u64,
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
    pub(super) variant: [u8; 32],
    pub(super) asked: Box<str>,
    challenge: u64,
}

impl Inner {
    /// A token from memory, from the shared store, or from the authority by one flight for all who ask.
    pub(super) async fn acquire(self: &Arc<Self>, ask: Ask<'_>, work: impl Fn() -> Work) -> Outcome {
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
    async fn past_memory(self: &Arc<Self>, ask: &Ask<'_>, query: &Query<'_>, miss: Miss, work: impl Fn() -> Work) -> Outcome {
        let (request, span) = (Span::current(), trace::begin(&ask.call, ask.app, ask.flow, false));
        let call = ask.call.inside(outgoing(ask.call.trace, &span));
        let way = async {
            if let Some(refusal) = ask.standing_beyond(query.asked, self) {
                ask.app.metrics.held(ask.flow);
                return Err(refusal);
            }
            if let Some(refusal) = ask.keys(query.asked).standing(&self.remembered, self.clock.moment()) {
                return self.held(ask, query, refusal).await;
            }
            let landed = self.cache.load(query, || Box::pin(self.job(ask, query.asked, call.clone()).run(work()))).await;
            if landed.joined {
                telemetry::joined(&request);
                telemetry::joined(&span);
            }
            let flown = landed.outcome.unwrap_or_else(|| Err(Arc::new(broken_off())))?;
            Ok(answer(flown, miss))
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
        let standing = ask.keys(query.asked).standing(&self.remembered, self.clock.moment());
        if standing.or_else(|| ask.standing_beyond(query.asked, self)).is_some() {
            return false;
        }
        let span = trace::begin(&ask.call, ask.app, ask.flow, true);
        let call = ask.call.inside(outgoing(ask.call.trace, &span));
        let job = self.job(ask, query.asked, call.clone());
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
        span.in_scope(|| self.cache.renew(query, renewal));
        true
    }

    fn job(self: &Arc<Self>, ask: &Ask<'_>, asked: &str, call: Call) -> Job {
        Job {
            inner: Arc::clone(self),
            app: Arc::clone(ask.app),
            flow: ask.flow,
            call,
            owner: ask.owner,
            partition: ask.partition,
            bound: ask.bound,
            lane: ask.lane(),
            variant: ask.variant,
            asked: asked.into(),
            challenge: ask.challenge,
        }
    }

    /// Remembers a refusal for as long as it stops what it stops, here and in the other replicas.
    pub(super) async fn remember(&self, app: &App, stop: Stop, refusal: &Arc<Refusal>) {
        for (key, said) in stop.remember(&self.remembered, refusal) {
            let now = self.clock.moment();
            if let Some(fleet) = self.cache.fleet()
                && let Some(written) = wire::write(&said, now)
            {
                fleet.hold(app.space.id(), &key.0, &written, stop.until.since(now)).await;
            }
        }
    }

    /// Forgets here and in the other replicas what a success disproves.
    pub(super) async fn succeeded(&self, app: &App, keys: &Keys) {
        let cleared = keys.clear(&self.remembered);
        if let Some(fleet) = self.cache.fleet().filter(|_| !cleared.is_empty()) {
            fleet.clear_holds(app.space.id(), &cleared).await;
        }
    }

    /// What another replica remembers that stands against a request. It is remembered here too. A pause of the whole app lasts up to
    /// a fifth longer: replicas that were stopped together must not come back together.
    async fn held_elsewhere(&self, app: &App, keys: &Keys) -> Option<Arc<Refusal>> {
        let fleet = self.cache.fleet()?;
        let names = keys.all();
        let found = fleet.holds(app.space.id(), &names.map(|(key, _)| key.0)).await;
        let now = self.clock.moment();
        names.into_iter().zip(found).find_map(|((key, stops), hold)| {
            let (said, left) = hold?;
            let spread = if stops == Stops::Pause { 0.2 * (self.jitter)() } else { 0.0 };
            let until = now.after(left.mul_f64(1.0 + spread));
            let refusal = match wire::read(&said, now)? {
                // What was left when it was written is more than what is left now.
                refusal if matches!(refusal.retry, Retry::At(_)) => Arc::new((*refusal).clone().retrying(Retry::At(until))),
                refusal => refusal,
            };
            let failures = self.remembered.failures(&key.0).saturating_add(1);
            self.remembered.hold(key.0, Hold { until, failures, failure: Arc::clone(&refusal), stops });
            Some(refusal)
        })
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

    fn keys(&self, asked: &str) -> Keys {
        keys(self.app, self.app.credential.version(), &self.lane().0, &self.variant, asked, self.challenge)
    }

    /// What backs off together when calls fail.
    pub(super) fn lane(&self) -> Key {
        let tenant = self.tenant.map_or("", Tenant::as_str);
        Key::of(&[&self.partition, tenant.as_bytes(), self.assertion.map_or(&[], |assertion| assertion)])
    }
}

// === impl Job ===

impl Job {
    async fn run(self, work: Work) -> Result<Loaded, Arc<Refusal>> {
        let (inner, app) = (&self.inner, &self.app);
        let keys = self.keys(app.credential.version());
        // Between the caller's look at what is remembered and this flight another one may have failed.
        let standing = match keys.standing(&inner.remembered, inner.clock.moment()) {
            None => inner.held_elsewhere(app, &keys).await,
            standing => standing,
        };
        if let Some(refusal) = standing {
            app.metrics.held(self.flow);
            return Err(refusal);
        }
        match work {
            Work::Grant { form, expected } => self.send(&form, &expected).await,
            Work::Refresh(refresh) => refresh.run(self).await,
        }
    }

    async fn send(&self, form: &Form, expected: &Expected) -> Result<Loaded, Arc<Refusal>> {
        let (inner, app) = (&self.inner, &self.app);
        let since = inner.cache.sign_outs();
        let sent = exchange::run(inner, app, form, expected.tenant.as_ref(), Repeat::Once, self.call.clone()).await;
        let keys = self.keys(sent.version);
        let (now, jitter) = (inner.clock.unix(), inner.jitter);
        match sent.outcome.and_then(|response| Ok(issue(app, expected, response, now, jitter())?)) {
            Ok(grant) => {
                inner.succeeded(app, &keys).await;
                let granted = granted(app.authority.matching(), &expected.asked, &grant);
                let kept = self.may_be_kept(&expected.asked, &grant) && self.is_reached_by_sign_out(&grant, since).await;
                Ok(Loaded { grant, granted, kept })
            }
            Err(trouble) => Err(self.remember(trouble, expected.tenant.as_ref(), &keys).await),
        }
    }

    /// Whether signing out the account that the answer names reaches the partition that the inbound token named: a guest is at home
    /// elsewhere, and that home has to know of it.
    async fn is_reached_by_sign_out(&self, grant: &Grant, since: u64) -> bool {
        let Some(account) = &grant.account else { return true };
        let home = self.app.space_of(self.owner).partition(Owner::Account(&account.home_account_id));
        let left = grant.times.expires_on.map_or(0, |ends| ends.saturating_sub(grant.times.received_on));
        let lasting = Duration::from_secs(u64::try_from(left).unwrap_or(0));
        home == self.partition || self.inner.cache.link(&home, &self.partition, lasting, since).await
    }

    pub(super) fn keys(&self, credential_version: u64) -> Keys {
        keys(&self.app, credential_version, &self.lane.0, &self.variant, &self.asked, self.challenge)
    }

    /// Makes the refusal that all who wait are told, and what those are told who come before its pause is over.
    async fn remember(&self, trouble: Trouble, tenant: Option<&Tenant>, keys: &Keys) -> Arc<Refusal> {
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
        refusal.authorization_uri = exchange::authorization_uri(&self.app, tenant, &refusal);
        let refusal = Arc::new(refusal);
        if let Some(stop) = stop {
            self.inner.remember(&self.app, stop, &refusal).await;
        }
        refusal
    }
}

pub(super) fn keys(app: &App, credential_version: u64, lane: &[u8; 32], variant: &[u8; 32], asked: &str, challenge: u64) -> Keys {
    let (authority, client_id) = (app.canonical(), &*app.client_id);
    Keys::of(&Subject { authority, client_id, app: &app.name, credential_version, lane, variant, asked, challenge })
}

fn answer(flown: Flown, miss: Miss) -> Answer {
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
