//! The spine of what is sent once: no look, no repetition, detached from its caller, and stored if it says whose it is (RFC 6749
//! §4.1.3, §4.3, §6, RFC 8628 §3.4).

use std::sync::Arc;

use tracing::{Instrument as _, Span};

use super::bound::beyond_api;
use super::evidence::NO_CREDENTIAL;
use super::failure::{lost, refuse};
use super::holds::{Asked, Keys, keys};
use super::job::user_lane;
use super::outcome::{MayStop, SentOnce, was_looked_at};
use super::refresh::{Renewal, sign_in};
use super::send::{self, SendError, Sent};
use crate::authority::AuthorityError;
use crate::cache::{
    Allowance, Bypass, CountedAttempt, Kept, KeptSignIn, Landing, Loaded, Lost, Part, Permit, Query, RefreshLease, Room, TooMany,
};
use crate::clock::Moment;
use crate::flow::about::Owner;
use crate::flow::handle::HandleSubject;
use crate::flow::id_token::{self, IdTokenWanted};
use crate::flow::issue::{Exchanged, Expected, Redeemed, account_of, granted, issue};
use crate::flow::plan::{ExpectedIdToken, OncePlan, TriedGrant};
use crate::flow::refusal::{Refusal, RefusalKind, overloaded};
use crate::flow::request::{Answer, AnswerSession, Outcome, RefreshReason, TokenSource};
use crate::flow::state::FlowState;
use crate::flow::trace;
use crate::oauth::{ErrorBody, TokenResponse};
use crate::source::ClientProof;
use crate::telemetry::{self, outgoing};
use crate::token::{Account, IssuedToken, Lane, Matching, PartitionOwner, Retry, RoomTaker, Scopes, TokenKey, Turn};

/// Carries a plan out: once, whatever happens, and detached from the caller, who may leave but must not lose what is sent.
pub(in crate::flow) async fn run(state: &Arc<FlowState>, plan: OncePlan) -> Outcome {
    fly(state, plan, |redemption| async move { redemption.run().await }).await
}

/// As [`run`], where `work` says when the grant is sent.
pub(in crate::flow) async fn fly<W>(
    state: &Arc<FlowState>,
    mut plan: OncePlan,
    work: impl FnOnce(Redemption) -> W + Send + 'static,
) -> Outcome
where
    W: Future<Output = Result<Redeemed, Arc<Refusal>>> + Send + 'static,
{
    let (request, span) = (Span::current(), trace::begin(&plan.call, &plan.app, plan.flow, false));
    plan.call = plan.call.inside(outgoing(plan.call.trace, &span));
    let (key, carried, wanted) = (plan.flight, plan.carried, plan.handle.take());
    let redemption = Redemption { state: Arc::clone(state), plan };
    let flight = |permit: Permit| {
        Box::pin(async move {
            let _until_it_ends = permit;
            Some(work(redemption).await)
        })
    };
    let Landing { outcome, part } = state.redemptions.join_or_lead(key, carried, flight).instrument(span.clone()).await;
    state.cache.flew(part);
    if part == Part::Joined {
        telemetry::joined(&request);
        telemetry::joined(&span);
    }
    let redeemed = outcome.unwrap_or_else(|why| {
        let (is_sent, refusal) = (why != Lost::NoRoom, lost(why, &state.clock));
        // What was sent is spent.
        Err(Arc::new(if is_sent { refusal.retrying(Retry::Never) } else { refusal }))
    });
    let outcome = redeemed.map(|Redeemed { head, source, signed_in, session, .. }| {
        // Who joined the flight may want none, and each has one of its own.
        let record = wanted.zip(signed_in).map(|(wanted, subject)| wanted.of(subject));
        let handle = record.and_then(|record| record.seal(state.cache.handles(), state.clock.unix()));
        let session = session.map(|key| Box::new(AnswerSession(Some(key))));
        Answer { handle, session, ..Answer::of(head, source, RefreshReason::NotApplicable) }
    });
    trace::end(&span, &outcome);
    outcome
}

/// A grant on its way, with all that its redemption needs.
pub(in crate::flow) struct Redemption {
    state: Arc<FlowState>,
    plan: OncePlan,
}

// === impl Redemption ===

impl Redemption {
    async fn run(self) -> Result<Redeemed, Arc<Refusal>> {
        // Before it is sent: what it brings cannot be had again.
        let _room = self.ready().await?;
        let tried = self.begin_try().await?;
        let sent = self.send(None).await;
        if let Some((grant, attempt)) = tried {
            let attempts = &self.state.attempts;
            if grant.is_used_by(&sent.outcome) { attempts.was_wrong(&attempt) } else { attempts.give_back(&attempt).await }
        }
        self.ended(sent).await
    }

    /// What it works with.
    pub(super) fn parts(&self) -> (&Arc<FlowState>, &OncePlan) {
        (&self.state, &self.plan)
    }

    /// To be called before it is sent: whether that may be done now, and there is room to keep what comes back.
    pub(in crate::flow) async fn ready(&self) -> Result<Room, Arc<Refusal>> {
        let Self { state, plan } = self;
        let app = &plan.app;
        let keys = self.keys(app.credential.version(), &Lane::default());
        let standing = match state.standing_for_all(&keys) {
            None => state.held_elsewhere(app, &keys, &keys.for_all()).await,
            standing => standing,
        };
        if let Some(refusal) = standing {
            app.metrics.held(plan.flow);
            return Err(refusal);
        }
        let room = state.cache.accounts().room_for_sign_in();
        room.ok_or_else(|| Arc::new(overloaded("limits.queue", &state.clock)))
    }

    /// Sends it, under a turn if it may be sent only while that is held.
    pub(in crate::flow) async fn send(&self, turn: Option<(&RefreshLease, u64)>) -> Sent {
        let OncePlan { app, form, flow, tenant, client, call, .. } = &self.plan;
        if turn.is_some() {
            return send::run_in(app, form, tenant.as_ref(), *client, turn, call.clone()).await;
        }
        send::run_as(app, form, tenant.as_ref(), (flow.repeat(), *client), call.clone()).await
    }

    /// Keeps what came of it, or remembers why nothing did.
    pub(in crate::flow) async fn ended(&self, sent: Sent) -> Result<Redeemed, Arc<Refusal>> {
        match sent.outcome {
            Ok(response) => self.redeemed(response, sent.version).await,
            Err(trouble) => Err(self.once(sent.version).failed(&self.state, trouble).await),
        }
    }

    /// Takes a place among the tries, where there are few.
    async fn begin_try(&self) -> Result<Option<(TriedGrant, CountedAttempt)>, Arc<Refusal>> {
        let (state, plan) = (&self.state, &self.plan);
        let Some(grant) = plan.tried else { return Ok(None) };
        let (key, allowance) = match &grant {
            TriedGrant::Password(key) => (key, Allowance::PASSWORDS),
            TriedGrant::SingleUse(key) => (key, Allowance::SINGLE_USE),
        };
        let begun = state.attempts.begin(plan.app.space.id(), key, allowance).await;
        begun.map(|attempt| Some((grant, attempt))).map_err(|why| {
            let after = |left| state.clock.moment().after(left);
            Arc::new(match (why, grant) {
                (TooMany::Until(left), TriedGrant::Password(_)) => guessed(after(left)),
                (TooMany::Until(_), TriedGrant::SingleUse(_)) => used_already(),
                (TooMany::Keys(left), _) => {
                    let detail = "too many different users or tokens are tried: wait as long as Retry-After says";
                    Refusal::new(Turn::Throttled, RefusalKind::Throttled, detail).retrying(Retry::At(after(left)))
                }
            })
        })
    }

    /// Keeps what came back. From here on the grant is spent, whatever is wrong with what it brought.
    async fn redeemed(&self, mut response: TokenResponse, version: u64) -> Result<Redeemed, Arc<Refusal>> {
        let (state, plan, app) = (&self.state, &self.plan, &self.plan.app);
        if response.access_token.as_ref().is_some_and(|token| plan.form.secrets().contains(&token.expose())) {
            // It would be shown to the caller, and kept, as what it is not.
            return Err(self.spent(AuthorityError::Invalid("its access_token is what was sent to it")));
        }
        let renewed_by = Renewal::take(&mut response);
        let owner = self.owner(&response).await?;
        let login_hint = owner.login_hint().map(str::to_owned);
        let tenant = plan.tenant.as_ref();
        let mut grant = self.issued(owner, response)?;
        if grant.account.is_none() && plan.asks_whose {
            grant.account = self.asked_whose(&grant).await;
        }
        let matching = app.authority.matching();
        let granted = granted(matching, &plan.scopes, &grant);
        let Some(account) = &grant.account else {
            if matches!(plan.id_token, ExpectedIdToken::Needed { .. }) {
                return Err(self.spent(AuthorityError::Invalid("it does not say whose token it is")));
            }
            // Nobody could find the token again; what renews it must not be lost.
            state.succeeded(app, &self.keys(version, &Lane::default())).await;
            let session = if plan.asks_whose { Box::pin(self.as_session(&renewed_by, &grant)).await } else { None };
            let source = TokenSource::IdentityProvider;
            return Ok(Redeemed { head: grant.write(), source, signed_in: None, account: None, session });
        };
        let space = app.space_of(plan.owner);
        let partition = space.partition(PartitionOwner::Account(&account.home_account_id));
        let mut sign_in = sign_in(space.id(), account.clone(), &renewed_by, &grant, None);
        if !app.authority.profile().reserved_scopes {
            let granted = Scopes::granted(&grant.scope);
            sign_in.set_scopes(&plan.scopes, Some(&granted).filter(|granted| !granted.is_empty()));
        }
        grant.tenant_id.iter().for_each(|tenant| sign_in.add_tenant(tenant));
        sign_in.set_public(plan.client == ClientProof::Public);
        sign_in.set_login_hint(login_hint.as_deref());
        // First what is good for one sign-in only, and before the answer: nobody may be told of a sign-in that is lost.
        let renews = sign_in.refresh_token.is_some();
        let KeptSignIn { kept, lineage } = state.cache.accounts().keep_sign_in(space.id(), &partition, sign_in).await;
        if kept == Kept::Stale {
            tracing::warn!(app = app.name, correlation_id = %plan.call.correlation_id, "a sign-in was not kept: it was overtaken, or what stands there was written by another release or under another key ring");
        }
        let kept = matches!(kept, Kept::Stored | Kept::Later).then(|| (account.home_account_id.clone(), lineage));
        let signed_in = kept.clone().filter(|_| renews);
        let signed_in = signed_in.map(|(home_account_id, lineage)| HandleSubject::Account { home_account_id, lineage });
        let lane = user_lane(&partition, tenant, None);
        state.succeeded(app, &self.keys(version, &lane)).await;
        let key = TokenKey { partition, variant: plan.variant, scopes: plan.scopes.folded(matching) };
        let query = Query {
            by: &app.name,
            credential: app.credential.version(),
            key: &key,
            owned: true,
            taker: RoomTaker::new(plan.owner.index(), true),
            superset: matching == Matching::Superset,
            bypass: Bypass::Older { than: 0, challenge: 0 },
        };
        let head = if grant.has_access_token() {
            state.cache.store(&query, &Loaded { grant, granted, kept: true }).await
        } else {
            // There is nothing that could be found again.
            grant.write()
        };
        Ok(Redeemed { head, source: TokenSource::IdentityProvider, signed_in, account: kept, session: None })
    }

    /// Whose the answer is: its id token says it, and is verified.
    async fn owner(&self, response: &TokenResponse) -> Result<Owner, Arc<Refusal>> {
        let (state, plan) = (&self.state, &self.plan);
        let nonce = match &plan.id_token {
            ExpectedIdToken::Needed { .. } if response.id_token.is_none() => {
                return Err(self.spent(AuthorityError::Invalid("it has no id_token")));
            }
            ExpectedIdToken::Needed { nonce } => nonce.as_deref(),
            ExpectedIdToken::Optional => None,
        };
        let Some(id_token) = &response.id_token else { return Ok(Owner::Unnamed) };
        let wanted = IdTokenWanted { nonce, tenant: plan.tenant.as_ref(), now: state.clock.unix() };
        let user = id_token::verify(&plan.app, id_token.expose(), wanted, plan.call.clone()).await;
        Ok(Owner::SignedIn(user.map_err(|refusal| refusal.retrying(Retry::Never))?))
    }

    /// Whose an answer is that names nobody. The grant is spent, so that no answer to this question loses what it brought.
    async fn asked_whose(&self, grant: &IssuedToken) -> Option<Account> {
        let app = &self.plan.app;
        let claims = app.authority.userinfo(&grant.access_token, self.plan.call.clone().for_app(&app.label)).await;
        claims.ok().flatten().and_then(|claims| account_of(app, &claims))
    }

    /// What the grant brought, if its caller may have it.
    fn issued(&self, owner: Owner, response: TokenResponse) -> Result<IssuedToken, Arc<Refusal>> {
        let (state, plan, app) = (&self.state, &self.plan, &self.plan.app);
        let expected = Expected { asked: plan.scopes.clone(), tenant: plan.tenant.clone(), owner, exchange: Exchanged::No };
        let is_said = response.scope.is_some() || plan.sends_scope;
        let mut grant = issue(app, &expected, response, state.received()).map_err(|failure| self.spent(failure))?;
        if !is_said {
            // What was asked for stands in the URL where the user signed in (RFC 6749 §5.1), which may not be ours.
            grant.scope.clear();
        }
        if plan.bound && !plan.scopes.contain(&grant.scope, app.authority.matching()) {
            // Before anything is kept: the refresh token would renew what the caller may not have.
            return Err(Arc::new(beyond_api()));
        }
        Ok(grant)
    }

    fn once(&self, credential_version: u64) -> SentOnce<'_> {
        SentOnce {
            flow: self.plan.flow,
            app: &self.plan.app,
            tenant: self.plan.tenant.as_ref(),
            keys: self.keys(credential_version, &Lane::default()),
            lost: self.plan.flow.lost(),
            may_stop: if self.plan.asks_whose { MayStop::Paused } else { MayStop::Others },
        }
    }

    /// The keys of what is remembered. Before the answer neither the account nor the lane is known, and then only keys that are not
    /// about the grant mean anything.
    fn keys(&self, credential_version: u64, lane: &Lane) -> Keys {
        let OncePlan { app, flow, tenant, variant, scopes, client, .. } = &self.plan;
        let credential_version = if *client == ClientProof::Public { NO_CREDENTIAL } else { credential_version };
        let scopes = scopes.folded(app.authority.matching());
        let asked = Asked { lane, variant, scopes: &scopes, challenge: 0, refresh_token: 0, is_asserted: false };
        keys(app, (*flow, tenant.as_ref()), credential_version, asked)
    }

    /// The refusal of an answer that is no good: the grant is used up all the same.
    fn spent(&self, failure: AuthorityError) -> Arc<Refusal> {
        Arc::new(refuse(self.plan.flow, failure, None).retrying(Retry::Never))
    }
}

// === impl TriedGrant ===

impl TriedGrant {
    /// Whether a try counts, by what came of it.
    fn is_used_by(self, outcome: &Result<TokenResponse, SendError>) -> bool {
        match (self, outcome) {
            (Self::Password(_), Err(SendError::Authority(AuthorityError::Refused { body, .. }))) => !is_of_something_else(body),
            (Self::SingleUse(_), Err(SendError::Authority(failure))) => {
                was_looked_at(failure) && !matches!(failure, AuthorityError::Refused { .. })
            }
            (Self::SingleUse(_), Ok(_)) => true,
            (Self::Password(_), _) | (Self::SingleUse(_), Err(_)) => false,
        }
    }
}

/// What an authority says to a password that is right, while the user has something to do yet (MSAL's sub-errors).
const NOT_THE_PASSWORD: [&str; 5] =
    ["basic_action", "additional_action", "message_only", "consent_required", "user_password_expired"];

/// What it says of the client, of what was asked for, or of the user's next step.
const NOT_THE_USER: [&str; 10] = [
    "interaction_required",
    "consent_required",
    "login_required",
    "invalid_client",
    "unauthorized_client",
    "invalid_request",
    "invalid_scope",
    "invalid_resource",
    "invalid_target",
    "unsupported_grant_type",
];

/// Whether a refusal is about anything but the password. What is not known to be counts as a wrong one: servers have codes of their
/// own for those.
fn is_of_something_else(body: &ErrorBody) -> bool {
    body.claims.is_some()
        || body.suberror.as_deref().is_some_and(|suberror| NOT_THE_PASSWORD.contains(&suberror))
        || NOT_THE_USER.contains(&&*body.error)
}

/// The refusal of a guess, after too many wrong ones.
fn guessed(until: Moment) -> Refusal {
    let detail =
        "five passwords of this user were wrong within five minutes, or are being tried now: wait as long as Retry-After says";
    Refusal::new(Turn::Throttled, RefusalKind::Throttled, detail).retrying(Retry::At(until))
}

/// The refusal of a refresh token that was brought before.
fn used_already() -> Refusal {
    Refusal::member(
        "`refresh_token` was brought here within the last 15 minutes, and is good for one use: its user is signed in, so ask \
         `/silent`; if that answer was lost, let the user sign in again",
    )
}
