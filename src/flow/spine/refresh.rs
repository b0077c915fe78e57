//! A refresh token's way (RFC 6749 §6): looked up, sent once, and its successor kept before anybody is answered.
//!
//! Where it is good for one use only, one call at a time is made per account in the whole fleet, and none where the fleet cannot
//! agree on whose turn it is (RFC 9700 §4.14: a second use may end the session).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tracing::Instrument as _;

use super::failure::{broken_off, no_tokens, refuse, unavailable};
use super::job::Job;
use super::outcome::SentOnce;
use super::send::{self, SendError};
use crate::authority::AuthorityError;
use crate::cache::{Kept, Loaded, RefreshLease, Renewed, Room, Signed, Unavailable};
use crate::flow::about::{self, Owner};
use crate::flow::app::App;
use crate::flow::issue::{Expected, granted, issue};
use crate::flow::plan::Refresh;
use crate::flow::refusal::{Refusal, overloaded};
use crate::flow::settings::RefreshTokens;
use crate::oauth::{Form, GRANT_REFRESH_TOKEN, TokenResponse};
use crate::secret::Secret;
use crate::token::{Account, IssuedToken, KeySpace, SignIn};

/// How long a refresh token is kept if its server does not say how long it lasts, in seconds: as long as Entra's.
const USUAL_LIFETIME: i64 = 90 * 24 * 3600;
/// How often and after which pause it is tried again to store the successor of a refresh token that is used up.
const PATIENCE: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// How often a turn is asked for while the shared store does not say yet what replicas know.
const SETTLES: u32 = 3;
/// How long a request is held after an answer of no use: each further one would cost a refresh token.
const UNUSABLE: Duration = Duration::from_secs(5);
/// How long a request is held if the shared store could not answer it.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A refresh token as an answer brings it.
#[derive(Debug)]
pub(super) struct Renewal {
    token: Option<Secret>,
    lifetime: Option<i64>,
}

// === impl Renewal ===

impl Renewal {
    /// Takes it out of an answer.
    pub(super) fn take(response: &mut TokenResponse) -> Self {
        Self { token: response.refresh_token.take(), lifetime: response.refresh_expires_in.filter(|seconds| *seconds > 0) }
    }
}

/// What is kept of a sign-in. `old` is the refresh token that stays good if the answer brings none (REQ-5).
pub(super) fn sign_in(space: &KeySpace, account: Account, renewal: &Renewal, grant: &IssuedToken, old: Option<&SignIn>) -> SignIn {
    let now = grant.times.received_on;
    let (refresh_token, expires_on) = match (&renewal.token, old) {
        (Some(token), _) => (Some(token.clone()), now.saturating_add(renewal.lifetime.unwrap_or(USUAL_LIFETIME))),
        (None, Some(old)) => (old.refresh_token.clone(), old.expires_on),
        // Nothing renews it: it lasts as long as its token.
        (None, None) => (None, grant.times.expires_on.unwrap_or(now)),
    };
    let space = *space.id();
    let mut sign_in =
        SignIn { account, refresh_token, expires_on, space, epoch: None, lineage: [0; 16], more: BTreeMap::new(), shared: 0 };
    if let Some(old) = old {
        sign_in.descend_from(old);
    }
    sign_in
}

// === impl Refresh ===

impl Refresh {
    /// Redeems the account's refresh token. From the moment it is sent until its successor is kept nothing may break this off,
    /// neither a caller that leaves, nor a shutdown, which drops renewals.
    pub(super) async fn run(self, job: Job) -> Result<Loaded, Arc<Refusal>> {
        let (sender, outcome) = tokio::sync::oneshot::channel();
        let tasks = job.state.tasks.clone();
        let turn = async move {
            let outcome = self.in_turn(&job, &|| sender.is_closed()).await;
            // With its permit.
            drop(job);
            let _gone = sender.send(outcome);
        };
        tasks.awaited("refresh", Box::pin(turn).in_current_span());
        outcome.await.unwrap_or_else(|_| Err(broken_off().into()))
    }

    async fn in_turn(&self, job: &Job, is_unwanted: &(dyn Fn() -> bool + Sync)) -> Result<Loaded, Arc<Refusal>> {
        if job.app.refresh_tokens == RefreshTokens::Reusable {
            return self.redeem(job, None, is_unwanted).await;
        }
        let (cache, space) = (&job.state.cache, job.app.space_of(job.owner).id());
        for _ in 0..SETTLES {
            // Before the turn is asked for: who is sending says so there again, and nobody must stand in the way.
            cache.accounts().settle(&job.key.partition).await;
            let work = |turn| async move {
                match cache.accounts().is_settled(space, &job.key.partition).await {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(why) => return Some(Err(self.unavailable(job, why))),
                }
                // Its type is left out: the compiler would have to look through all of it.
                Some(self.redeem(job, Some(&turn), is_unwanted).boxed().await)
            };
            match cache.accounts().in_turn(&job.key.partition, job.app.authority.timeout(), work).await {
                Ok(Some(outcome)) => return outcome,
                Ok(None) => {}
                Err(Unavailable::Busy) => return Err(refuse(job.flow, AuthorityError::Busy, None).into()),
                Err(why) => return Err(self.unavailable(job, why)),
            }
        }
        // The store becomes another one again and again.
        Err(self.unavailable(job, Unavailable::Unreachable))
    }

    async fn redeem(
        &self,
        job: &Job,
        turn: Option<&RefreshLease>,
        is_unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Loaded, Arc<Refusal>> {
        let mut signed = self.signed(job).await?;
        if let Some(refusal) = job.held_now().await {
            return Err(refusal);
        }
        loop {
            let Some(sign_in) = signed.sign_in.clone() else { return Err(no_tokens().into()) };
            let Some(token) = sign_in.refresh_token.clone() else { return Err(no_tokens().into()) };
            // The process ends, and nobody waits any more: there may be no time left to keep what would come back.
            if job.state.tasks.soft().is_cancelled() && is_unwanted() {
                return Err(broken_off().into());
            }
            let _room = room(job)?;
            let form = self.form(&job.app, token.clone());
            let turn = turn.map(|turn| (turn, sign_in.shared));
            let sent = send::run_in(&job.app, &form, self.tenant.as_ref(), turn, job.call.clone()).await;
            let trouble = match sent.outcome {
                Ok(response) => return self.keep(job, (&signed, &sign_in), (response, sent.version)).await,
                Err(SendError::Turn(why)) => return Err(self.unavailable(job, why)),
                Err(trouble) => trouble,
            };
            // Another replica may have renewed it a moment ago; what it left is tried in place of the used one.
            if is_invalid_grant(&trouble) {
                let again = self.signed(job).await?;
                let newer = again.sign_in.as_ref().and_then(|sign_in| sign_in.refresh_token.as_ref());
                if newer.is_some_and(|newer| newer.expose() != token.expose()) {
                    signed = again;
                    continue;
                }
            }
            return Err(self.once(job, sent.version).failed(&job.state, trouble).await);
        }
    }

    /// The shared store cannot say: for a second nobody asks it again for this, least of all a renewal on every request.
    fn unavailable(&self, job: &Job, why: Unavailable) -> Arc<Refusal> {
        let refusal = Arc::new(unavailable(why));
        let until = job.state.clock.moment().after(ASK_AGAIN);
        job.keys(job.app.credential.version()).hold_request(&job.state.remembered, &job.app.label, until, &refusal);
        refusal
    }

    async fn signed(&self, job: &Job) -> Result<Signed, Arc<Refusal>> {
        let (cache, space) = (&job.state.cache, job.app.space_of(job.owner).id());
        let signed = match job.app.refresh_tokens {
            RefreshTokens::Reusable => cache.accounts().signed_or_remembered(space, &job.key.partition).await,
            RefreshTokens::SingleUse => cache.accounts().signed(space, &job.key.partition).await,
        };
        signed.map_err(|why| self.unavailable(job, why))
    }

    /// Keeps what came back, the refresh token first.
    async fn keep(
        &self,
        job: &Job,
        (over, old): (&Signed, &SignIn),
        (mut response, version): (TokenResponse, u64),
    ) -> Result<Loaded, Arc<Refusal>> {
        let (state, app) = (&job.state, &job.app);
        let renewal = Renewal::take(&mut response);
        let owner = Owner::Known(old.account.clone());
        if let Err(failure) = about::check(app, &owner, &response) {
            // Not even its refresh token is kept. If the one that was sent is void now, the user has to sign in again.
            return Err(self.once(job, version).failed(state, SendError::Authority(failure)).await);
        }
        let expected = Expected { asked: self.scopes.clone(), tenant: self.tenant.clone(), owner, exchange: false };
        let issued = issue(app, &expected, response, state.received());
        let kept = match &issued {
            Ok(grant) => {
                // The account as it signed in: this token may be another tenant's.
                let sign_in = sign_in(app.space_of(job.owner), old.account.clone(), &renewal, grant, Some(old));
                self.kept(job, sign_in, over).await
            }
            // The rest of the answer is no good, but the old refresh token may be spent all the same.
            Err(_) => match renewal.token {
                Some(token) => {
                    let sign_in = SignIn { refresh_token: Some(token), ..old.clone() };
                    self.kept(job, sign_in, over).await
                }
                None => Kept::Stored,
            },
        };
        if kept == Kept::SignedOut {
            return Err(no_tokens().into());
        }
        match issued {
            Ok(grant) => {
                state.succeeded(app, &job.keys(version)).await;
                let granted = granted(app.authority.matching(), &self.scopes, &grant);
                let kept = job.may_be_kept(&self.scopes, &grant);
                Ok(Loaded { grant, granted, kept })
            }
            Err(failure) => Err(Self::unusable(job, version, failure)),
        }
    }

    /// The refusal of an answer that is of no use, also for whoever asks again in a moment.
    fn unusable(job: &Job, version: u64, failure: AuthorityError) -> Arc<Refusal> {
        let refusal = Arc::new(refuse(job.flow, failure, None));
        // Of the successor, which is what the next one would send.
        let until = job.state.clock.moment().after(UNUSABLE);
        job.keys(version).hold_request(&job.state.remembered, &job.app.label, until, &refusal);
        refusal
    }

    /// Stores the sign-in. The only good refresh token is worth some patience: while this replica has the turn, no other one reads
    /// the used token. If the store stays away, memory has the new one until it can be stored.
    async fn kept(&self, job: &Job, sign_in: SignIn, over: &Signed) -> Kept {
        let cache = &job.state.cache;
        let renewed = match job.app.refresh_tokens {
            RefreshTokens::Reusable => Renewed::Reusable,
            RefreshTokens::SingleUse => Renewed::SingleUse,
        };
        let mut kept = cache.accounts().renew_sign_in(&job.key.partition, sign_in.clone(), over, renewed).await;
        for _ in 0..PATIENCE {
            if kept != Kept::Later || job.app.refresh_tokens == RefreshTokens::Reusable {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            kept = cache.accounts().renew_sign_in(&job.key.partition, sign_in.clone(), over, renewed).await;
        }
        kept
    }

    fn form(&self, app: &App, token: Secret) -> Form {
        let profile = app.authority.profile();
        let scope = if profile.reserved_scopes { Some(self.scopes.with_reserved().to_string()) } else { self.narrowed() };
        Form::default()
            .with("grant_type", GRANT_REFRESH_TOKEN)
            .with_some("scope", scope)
            .with_some("client_info", profile.client_info.then_some("1"))
            .with_some("audience", self.audience.clone())
            .with_some("resource", self.resource.clone())
            .with_some("claims", self.claims.clone())
            .with_secret("refresh_token", token)
    }

    /// RFC 6749 §6: without `scope` everything that was granted is meant.
    fn narrowed(&self) -> Option<String> {
        (!self.scopes.is_empty()).then(|| self.scopes.with(&["openid"]).to_string())
    }

    fn once<'a>(&'a self, job: &'a Job, version: u64) -> SentOnce<'a> {
        SentOnce {
            flow: job.flow,
            app: &job.app,
            tenant: self.tenant.as_ref(),
            keys: job.keys(version),
            lost: job.flow.lost().filter(|_| job.app.refresh_tokens == RefreshTokens::SingleUse),
            stops_request: true,
        }
    }
}

/// Room for the successor of a refresh token that is used up by being sent, in case the shared store does not take it. A token that
/// stays good after its use needs no room: nothing is lost with its successor.
fn room(job: &Job) -> Result<Option<Room>, Arc<Refusal>> {
    if job.app.refresh_tokens == RefreshTokens::Reusable {
        return Ok(None);
    }
    let state = &job.state;
    let room = state.cache.accounts().room_for_sign_in();
    room.map(Some).ok_or_else(|| Arc::new(overloaded("limits.queue", &state.clock)))
}

fn is_invalid_grant(trouble: &SendError) -> bool {
    matches!(trouble, SendError::Authority(AuthorityError::Refused { body, .. }) if body.error == "invalid_grant")
}
