//! The spine of long-running sessions: one begins with an on-behalf-of grant that always asks the authority, detached from its
//! caller. What continues the session is kept before anybody is answered.
//!
//! It looks nothing up in the cache: what stands under a session's key may be another user's, and who asks is known here by the
//! user's token alone.

use std::sync::Arc;

use tracing::{Instrument as _, Span};

use super::bound::beyond_api;
use super::failure::{lost, unavailable};
use super::holds::Keys;
use super::job::Job;
use super::refresh::{Renewal, sign_in};
use super::send;
use crate::cache::{Bypass, Kept, KeptSignIn, Landing, Loaded, OpenWatch, Part, Permit, Query, Unavailable};
use crate::flow::catalogue::Flow;
use crate::flow::handle::HandleSubject;
use crate::flow::issue::{Redeemed, granted, issue};
use crate::flow::plan::{SessionPlace, StartPlan, partition_of};
use crate::flow::refusal::{Refusal, RefusalKind, overloaded};
use crate::flow::request::{Answer, AnswerSession, Outcome, RefreshReason, TokenSource};
use crate::flow::settings::SessionAsk;
use crate::flow::state::FlowState;
use crate::flow::trace;
use crate::oauth::{TokenResponse, is_refresh_token_type};
use crate::secret::Secret;
use crate::telemetry::{self, outgoing};
use crate::token::{Account, Epoch, IssuedToken, Matching, RoomTaker, Scopes, SessionFacts, Tenant, Turn};

/// A start on its way, with all that it needs.
struct Starting {
    state: Arc<FlowState>,
    plan: StartPlan,
}

/// What was known of the user before the authority was asked, so that a sign-out meanwhile is seen.
struct Before {
    since: OpenWatch,
    epoch: Epoch,
}

/// Carries a plan out, detached from the caller, who may leave.
pub(in crate::flow) async fn run(state: &Arc<FlowState>, mut plan: StartPlan) -> Outcome {
    let (request, span) = (Span::current(), trace::begin(&plan.call, &plan.app, Flow::OnBehalfOf, false));
    plan.call = plan.call.inside(outgoing(plan.call.trace, &span));
    let (flight, carried, wanted, key) = (plan.flight, plan.carried, plan.handle.take(), plan.key.clone());
    let starting = Starting { state: Arc::clone(state), plan };
    let begin = |permit: Permit| Box::pin(async move { Some(starting.run(permit).await) });
    let Landing { outcome, part } = state.redemptions.join_or_lead(flight, carried, begin).instrument(span.clone()).await;
    state.cache.flew(part);
    if part == Part::Joined {
        telemetry::joined(&request);
        telemetry::joined(&span);
    }
    let outcome =
        outcome.unwrap_or_else(|why| Err(Arc::new(lost(why, &state.clock)))).map(|Redeemed { head, signed_in, source, .. }| {
            let session = Some(Box::new(AnswerSession(signed_in.is_some().then_some(key))));
            // Who joined the flight may want none, and each has one of its own.
            let record = wanted.zip(signed_in).map(|(wanted, subject)| wanted.of(subject));
            let handle = record.and_then(|record| record.seal(state.cache.handles(), state.clock.unix()));
            Answer { handle, session, ..Answer::of(head, source, RefreshReason::NotApplicable) }
        });
    trace::end(&span, &outcome);
    outcome
}

/// The refusal of a user's token for the session of another user.
fn of_another_user() -> Refusal {
    let detail = "the session of this key is another user's: choose a random key for each user, or write `new` as `session`";
    Refusal::new(Turn::Rights, RefusalKind::SessionOfAnother, detail)
}

// === impl Starting ===

impl Starting {
    async fn run(self, permit: Permit) -> Result<Redeemed, Arc<Refusal>> {
        let Self { state, plan } = &self;
        let (app, tenant) = (&plan.app, plan.tenant.as_ref());
        for place in std::iter::once(&plan.place).chain(&plan.former).filter(|_| !plan.is_new) {
            self.is_the_users(place).await?;
        }
        let job = Job::starting(state, plan, permit);
        if let Some(refusal) = job.held().await {
            return Err(refusal);
        }
        // Before it is sent: without room what it brings could be lost.
        let Some(_room) = state.cache.accounts().room_for_sign_in() else {
            return Err(Arc::new(overloaded("limits.queue", &state.clock)));
        };
        let accounts = state.cache.accounts();
        let before = Before { since: accounts.watch_sign_outs(), epoch: accounts.epoch(&plan.place.user).await };
        let sent = send::run(app, &plan.form, tenant, Flow::OnBehalfOf.repeat(), plan.call.clone()).await;
        let keys = job.keys(sent.version);
        match sent.outcome {
            Ok(response) => self.started(&job, response, &keys, before).await,
            Err(trouble) => Err(job.remember(trouble, tenant, &keys).await),
        }
    }

    /// Whether what stands under the key is no other user's. Where the store cannot say, the session is served, and is not kept in
    /// the end if it is.
    async fn is_the_users(&self, place: &SessionPlace) -> Result<(), Refusal> {
        let standing = self.state.cache.accounts().signed_or_remembered(&place.space, &place.partition).await;
        match standing.map(|signed| signed.sign_in) {
            Ok(Some(sign_in)) if sign_in.session().is_none_or(|session| session.user != place.user) => Err(of_another_user()),
            Err(why @ Unavailable::Unreadable) => Err(unavailable(why)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Keeps what came back.
    async fn started(&self, job: &Job, mut response: TokenResponse, keys: &Keys, before: Before) -> Result<Redeemed, Arc<Refusal>> {
        let Self { state, plan } = self;
        let (app, matching) = (&plan.app, plan.app.authority.matching());
        let renewal = Renewal::take(&mut response);
        self.untyped(&mut response, &renewal);
        let is_said = response.scope.is_some();
        let grant = match issue(app, &plan.expected, response, state.received()) {
            Ok(grant) => grant,
            Err(failure) => return Err(job.remember(failure.into(), plan.tenant.as_ref(), keys).await),
        };
        state.succeeded(app, keys).await;
        if !job.may_be_kept(&plan.scopes, &grant) {
            // Before anything is kept: the refresh token would renew what the caller may not have.
            return Err(Arc::new(beyond_api()));
        }
        let granted = granted(matching, &plan.scopes, &grant);
        let lineage = match (renewal.token(), &grant.account) {
            (Some(_), Some(account)) => self.kept(account.clone(), &renewal, (&grant, is_said), before).await?,
            _ => None,
        };
        let Some(lineage) = lineage else {
            // There is nothing to continue with, and nobody could find the token again.
            return Ok(Redeemed {
                head: grant.write(),
                source: TokenSource::IdentityProvider,
                signed_in: None,
                account: None,
                session: None,
            });
        };
        let query = Query {
            by: &app.name,
            credential: app.credential.version(),
            key: &job.key,
            owned: true,
            taker: RoomTaker::new(plan.owner.index(), false),
            superset: !plan.bound && matching == Matching::Superset,
            bypass: Bypass::Older { than: 0, challenge: plan.challenge },
        };
        let head = state.cache.store(&query, &Loaded { grant, granted, kept: true }).await;
        let signed_in = Some(HandleSubject::Session { partition: plan.place.partition, lineage });
        Ok(Redeemed { head, source: TokenSource::IdentityProvider, signed_in, account: None, session: None })
    }

    /// An answer to tokend's own wish for a refresh token may say that it is one. Its `access_token` may be that refresh token then
    /// (RFC 8693 §2.2.1), and is one for all we know if there is no other.
    fn untyped(&self, response: &mut TokenResponse, renewal: &Renewal) {
        if self.plan.app.session_ask != Some(SessionAsk::RefreshTokenType) {
            return;
        }
        let is_another = |token: &Secret| response.access_token.as_ref().is_some_and(|access| access.expose() != token.expose());
        if renewal.token().is_some_and(is_another) && response.issued_token_type.as_deref().is_some_and(is_refresh_token_type) {
            response.issued_token_type = None;
        }
    }

    /// Keeps the session, and returns its lineage. `None`: its user signed out meanwhile.
    async fn kept(
        &self,
        account: Account,
        renewal: &Renewal,
        (grant, is_said): (&IssuedToken, bool),
        before: Before,
    ) -> Result<Option<[u8; 16]>, Arc<Refusal>> {
        let Self { state, plan } = self;
        let (app, accounts, SessionPlace { space, partition, user }) = (&plan.app, state.cache.accounts(), &plan.place);
        let home = partition_of(app, plan.owner, &account.home_account_id);
        // Of a guest it is not known before the answer whose account it is.
        let home_epoch = if home == *user { before.epoch } else { accounts.epoch(&home).await };
        let mut sign_in = sign_in(space, account, renewal, grant, None);
        if !app.authority.profile().reserved_scopes {
            let mut granted = Scopes::granted(&grant.scope);
            if !is_said && app.session_ask == Some(SessionAsk::OfflineAccess) {
                // RFC 6749 §5.1: what is not said is what was sent.
                granted = granted.with(&["offline_access"]);
            }
            sign_in.set_scopes(&plan.scopes, Some(&granted).filter(|granted| !granted.is_empty()));
        }
        let tenant = plan.tenant.as_ref().map(Tenant::to_string).unwrap_or_default();
        sign_in.set_session(&SessionFacts { user: *user, home, home_epoch, tenant });
        let KeptSignIn { kept, lineage } = accounts.keep_session(space, partition, sign_in, (&before.since, !plan.is_new)).await;
        match kept {
            Kept::Stored | Kept::Later => Ok(Some(lineage)),
            Kept::SignedOut => Ok(None),
            Kept::Stale => {
                self.is_the_users(&plan.place).await?;
                Err(Arc::new(unavailable(Unavailable::Unreachable)))
            }
        }
    }
}
