//! Work that goes on without its caller: it looks once more at what is remembered, sends the grant, and keeps or remembers what
//! came of it.

use std::sync::Arc;
use std::time::Duration;

use super::failure::{refuse_at, unavailable};
use super::holds::{Asked, Keys, keys};
use super::send::{self, SendError};
use crate::authority::AuthorityError;
use crate::cache::{Loaded, OpenWatch, Permit, Remembering};
use crate::caller::Caller;
use crate::flow::app::App;
use crate::flow::catalogue::Flow;
use crate::flow::issue::{Expected, granted, issue};
use crate::flow::plan::{CachedPlan, StartPlan, Work};
use crate::flow::refusal::Refusal;
use crate::flow::request::Call;
use crate::flow::state::FlowState;
use crate::oauth::Form;
use crate::token::{IssuedToken, Lane, Partition, PartitionOwner, Tenant, TokenDigest, TokenKey};

/// Work with all that it needs to run on its own, without the caller.
pub(super) struct Job {
    pub(super) state: Arc<FlowState>,
    pub(super) app: Arc<App>,
    pub(super) flow: Flow,
    /// The flow whose facts hold for what is sent.
    pub(super) sends: Flow,
    pub(super) call: Call,
    pub(super) owner: Caller,
    pub(super) key: TokenKey<'static>,
    pub(super) bound: bool,
    /// Whether its partition is an assertion's, of which the answer alone says whose it is.
    is_asserted: bool,
    pub(super) lane: Lane,
    tenant: Option<Tenant>,
    challenge: u64,
    /// The refresh token that memory had when the job began.
    known: u64,
    /// Held for as long as anything of it goes on, also what outlives its flight.
    _permit: Permit,
}

// === impl CachedPlan ===

impl CachedPlan<'_> {
    /// What backs off together when calls fail.
    pub(super) fn lane(&self) -> Lane {
        let TokenKey { partition, variant, scopes } = &self.key;
        if self.owned {
            user_lane(partition, self.tenant.as_ref(), self.assertion.as_ref())
        } else {
            // One API that fails says nothing of the others that the app calls.
            Lane::of(&[partition, variant, scopes.as_bytes()])
        }
    }
}

// === impl Job ===

impl Job {
    /// The work for a plan.
    pub(super) fn new(state: &Arc<FlowState>, plan: &CachedPlan<'_>, call: Call, permit: Permit) -> Self {
        Self {
            state: Arc::clone(state),
            app: Arc::clone(plan.app),
            flow: plan.flow,
            sends: plan.sends(),
            call,
            owner: plan.owner,
            key: plan.key.detached(),
            bound: plan.bound,
            is_asserted: plan.is_asserted(),
            lane: plan.lane(),
            tenant: plan.tenant.clone(),
            challenge: plan.claims.challenge(),
            known: refresh_token(state, plan.sends(), &plan.key.partition),
            _permit: permit,
        }
    }

    /// The work of a session that begins.
    pub(super) fn starting(state: &Arc<FlowState>, plan: &StartPlan, permit: Permit) -> Self {
        let scopes = plan.scopes.folded(plan.app.authority.matching());
        let key = TokenKey { partition: plan.place.partition, variant: plan.variant, scopes };
        Self {
            state: Arc::clone(state),
            app: Arc::clone(&plan.app),
            flow: Flow::OnBehalfOf,
            sends: Flow::OnBehalfOf,
            call: plan.call.clone(),
            owner: plan.owner,
            key: key.detached(),
            bound: plan.bound,
            lane: plan.lane,
            tenant: plan.tenant.clone(),
            challenge: plan.challenge,
            known: 0,
            is_asserted: false,
            _permit: permit,
        }
    }

    pub(super) async fn run(self, work: Work) -> Result<Loaded, Arc<Refusal>> {
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
    pub(super) async fn held(&self) -> Option<Arc<Refusal>> {
        let keys = self.keys(self.app.credential.version());
        let standing = match self.state.standing(&keys) {
            None => self.state.held_elsewhere(&self.app, &keys, &keys.all()).await,
            standing => standing,
        };
        standing.inspect(|_| self.app.metrics.held(self.flow))
    }

    /// What stands against it after a wait for the account. What failed here meanwhile stops this job too. If the wait brought
    /// another refresh token, the other replicas have not been asked about that one yet: they are asked now.
    pub(super) async fn held_now(&self) -> Option<Arc<Refusal>> {
        if refresh_token(&self.state, self.sends, &self.key.partition) != self.known {
            return self.held().await;
        }
        let standing = self.state.standing(&self.keys(self.app.credential.version()));
        standing.inspect(|_| self.app.metrics.held(self.flow))
    }

    async fn send(&self, form: &Form, expected: &Expected) -> Result<Loaded, Arc<Refusal>> {
        let (state, app) = (&self.state, &self.app);
        let since = state.cache.accounts().watch_sign_outs();
        let sent = send::run(app, form, expected.tenant.as_ref(), self.flow.repeat(), self.call.clone()).await;
        let keys = self.keys(sent.version);
        match sent.outcome.and_then(|response| Ok(issue(app, expected, response, state.received())?)) {
            Ok(grant) => {
                state.succeeded(app, &keys).await;
                let granted = granted(app.authority.matching(), &expected.asked, &grant);
                let kept = self.may_be_kept(&expected.asked, &grant) && self.is_reached_by_sign_out(&grant, &since).await;
                Ok(Loaded { grant, granted, kept })
            }
            Err(trouble) => Err(self.remember(trouble, expected.tenant.as_ref(), &keys).await),
        }
    }

    /// Whether signing out the account that the answer names also reaches the partition that the inbound token named. A guest is at
    /// home elsewhere, and an assertion says nobody's name that is believed: the account has to know of the partition.
    async fn is_reached_by_sign_out(&self, grant: &IssuedToken, since: &OpenWatch) -> bool {
        let Some(account) = &grant.account else { return true };
        let home = self.app.space_of(self.owner).partition(PartitionOwner::Account(&account.home_account_id));
        let left = grant.times.expires_on.map_or(0, |ends| ends.saturating_sub(grant.times.received_on));
        let lasting = Duration::from_secs(u64::try_from(left).unwrap_or(0));
        let time = if self.is_asserted { Remembering::Token(lasting) } else { Remembering::Place(lasting) };
        home == self.key.partition || self.state.cache.accounts().link(&home, &self.key.partition, time, since).await
    }

    pub(super) fn keys(&self, credential_version: u64) -> Keys {
        let TokenKey { partition, variant, scopes } = &self.key;
        let refresh_token = refresh_token(&self.state, self.sends, partition);
        let asked =
            Asked { lane: &self.lane, variant, scopes, challenge: self.challenge, refresh_token, is_asserted: self.is_asserted };
        keys(&self.app, (self.sends, self.tenant.as_ref()), credential_version, asked)
    }

    /// Makes the refusal for all who wait, and remembers what is told to those who come before its pause is over.
    pub(super) async fn remember(&self, trouble: SendError, tenant: Option<&Tenant>, keys: &Keys) -> Arc<Refusal> {
        let (remembered, clock) = (&self.state.remembered, &self.state.clock);
        let (stop, mut refusal) = match trouble {
            SendError::Credential(problem) => (Some(keys.stop_request(clock)), send::unusable(&problem)),
            SendError::Turn(why) => (None, unavailable(why)),
            SendError::Before(failure) | SendError::Authority(failure) => {
                let jitter = self.state.jitter;
                let stop = keys.stop(&failure, remembered, clock, jitter());
                let until =
                    stop.filter(|_| !matches!(failure, AuthorityError::Refused { retry_after: None, .. })).map(|stop| stop.until);
                (stop, refuse_at(self.flow, tenant, failure, until))
            }
        };
        refusal.authorization_uri = send::authorization_uri(&self.app, tenant, &refusal);
        let refusal = Arc::new(refusal);
        if let Some(stop) = stop {
            self.state.remember(&self.app, keys, stop, &refusal).await;
        }
        refusal
    }
}

/// What of a user's backs off together: what fails for one inbound token may do for another.
pub(super) fn user_lane(partition: &Partition, tenant: Option<&Tenant>, assertion: Option<&TokenDigest>) -> Lane {
    let tenant = tenant.map_or("", Tenant::as_str);
    Lane::of(&[partition, tenant.as_bytes(), assertion.map_or(&[], |assertion| &**assertion)])
}

/// Names the refresh token that would be sent: what was said of another one says nothing of it.
pub(super) fn refresh_token(state: &FlowState, flow: Flow, partition: &Partition) -> u64 {
    if flow.sends_refresh_token() { state.cache.accounts().refresh_token(partition) } else { 0 }
}
