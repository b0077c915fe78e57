//! What is asked: each flow turns its request into a plan, and one of two spines carries it out.
//!
//! `catalogue` has the flows and how they differ, `request` what a door asks, and `grants` makes the plan. In `spine`, `cached` is
//! for what may be cached and shared (client credentials, on-behalf-of, silent). `once` is for what is sent once and always brings
//! something new (authorization codes). `device` is the flow of those who have no browser. `handle` is what a client keeps of a
//! sign-in, and `redeem` what becomes of that. Every lower error becomes a [`Refusal`] here.

mod about;
mod accounts;
mod app;
mod auth_request;
mod catalogue;
mod device;
mod grants;
mod handle;
mod id_token;
mod introspect;
mod issue;
mod meaning;
mod members;
mod metrics;
mod ms_sidecar;
mod plan;
mod policies;
mod probe;
mod redeem;
mod refusal;
mod request;
mod settings;
mod sign_in_url;
mod sign_out_url;
mod spine;
mod state;
mod timed;
mod trace;
mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{Either, ready};

pub use app::App;
pub use auth_request::{AuthRequest, Authorized, Passage};
pub use catalogue::Flow;
pub use introspect::Introspection;
pub use metrics::Metrics;
pub use ms_sidecar::{Overrides, SidecarRequest, Validated};
pub use refusal::{Refusal, RefusalKind, loggable};
// What doors ask and are answered: all of it is public.
pub use request::*;
pub use settings::{
    ApiDoor, ApiIdentity, ApiSettings, AppSettings, DeviceClient, HandleSettings, RefreshTokens, SessionAsk, flow_names,
};
pub use state::{Jitter, Means};

use meaning::Among;
use plan::{Asker, Planning, Working};
use spine::carry_out;
use state::FlowState;
use timed::Timed;

use crate::authority::{StandingHold, Stops};
use crate::cache::ErrorCodec;
use crate::caller::{Caller, Callers, INTROSPECT};
use crate::finding::Complaint;
use crate::token::{SignedInAccount, Turn};

/// How refusals travel to other replicas.
pub const WIRE: ErrorCodec<Arc<Refusal>> = ErrorCodec { write: wire::write, read: wire::read, late: wire::late };

/// How often what has ended is removed.
const SWEEP: Duration = Duration::from_secs(60);

/// How often it is looked whether a credential is new, for telling the other replicas.
const FOLLOW: Duration = Duration::from_millis(250);

/// All flows over all apps; clones share everything.
#[derive(Clone, Debug)]
pub struct Service(Arc<FlowState>);

/// Does what a request asks for.
fn work<'a>(asker: Asker<'a>, request: &'a Request<'a>) -> Working<'a> {
    let state = asker.state;
    match grants::plan(asker, request) {
        Err(refusal) => Either::Left(ready(Err(refusal.into()))),
        Ok(Planning::Done(plan)) => carry_out(state, plan),
        Ok(Planning::Opens(asker, request)) => Either::Right(Box::pin(redeem::run(asker, request))),
        Ok(Planning::Waits(planning)) => Either::Right(Box::pin(async move { carry_out(state, planning.await?).await })),
    }
}

// === impl Service ===

impl Service {
    /// Puts the apps and apis over one cache; without `callers`, whoever reaches tokend may use all of them.
    pub fn new(apps: Vec<Arc<App>>, apis: &[ApiSettings], callers: Option<Arc<Callers>>, means: Means) -> Self {
        Self(Arc::new(FlowState::new(apps, apis, callers, means)))
    }

    /// Removes every minute what has ended from the cache, and what is over from what is remembered of failures.
    pub fn sweep(&self) {
        let this = Arc::clone(&self.0);
        self.0.tasks.background("sweep", async move {
            let mut ticks = tokio::time::interval(SWEEP);
            loop {
                ticks.tick().await;
                this.cache.sweep();
                this.remembered.sweep(this.clock.moment());
            }
        });
    }

    /// Takes part in the fleet that shares a store: hears what other replicas say, and tells them when a credential is new.
    pub fn join_fleet(&self) {
        let this = Arc::clone(&self.0);
        self.0.cache.accounts().join_fleet(move |name| {
            for app in this.apps.values().filter(|app| app.credential_name() == name) {
                // One reading at a time, however many tell.
                if app.reading.swap(true, Ordering::AcqRel) {
                    continue;
                }
                let app = Arc::clone(app);
                this.tasks.background("credential", async move {
                    // Where the file has not arrived yet, it will be seen to be new when it does.
                    if app.credential.reread().await {
                        app.told.store(app.credential.version(), Ordering::Relaxed);
                    }
                    app.reading.store(false, Ordering::Release);
                });
            }
        });
        let this = Arc::clone(&self.0);
        self.0.tasks.background("credentials", async move {
            let mut ticks = tokio::time::interval(FOLLOW);
            loop {
                ticks.tick().await;
                for app in this.apps.values() {
                    let version = app.credential.version();
                    // Whoever was told need not tell: ten thousand replicas would tell each other.
                    if app.told.swap(version, Ordering::Relaxed) != version {
                        this.cache.accounts().tell_credential(app.credential_name()).await;
                    }
                }
            }
        });
    }

    /// The callers, where the configuration has any.
    pub fn callers(&self) -> Option<&Arc<Callers>> {
        self.0.callers.as_ref()
    }

    /// How many remembered failures stop something now, by what they stop.
    pub fn holds(&self) -> [(Stops, usize); Stops::ALL.len()] {
        let standing: Vec<Stops> = self.standing_holds().map(|hold| hold.stops).collect();
        Stops::ALL.map(|stops| (stops, standing.iter().filter(|other| **other == stops).count()))
    }

    /// The remembered failures that stop something now, in no order.
    pub fn standing_holds(&self) -> impl Iterator<Item = StandingHold> {
        self.0.remembered.all_standing(self.0.clock.moment())
    }

    /// The app that a request means, for the log: whether its caller may use it is not asked.
    pub fn app_meant(&self, caller: Caller, request: &Common<'_>) -> Option<Arc<App>> {
        let meant = self.0.meant(caller, request).ok()?;
        self.0.app_of(meant.as_ref().unwrap_or(request)).ok()
    }

    /// The apps, in no order.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.0.apps.values()
    }

    /// Asks the authority for one token for this app, past the cache: what `tokend check --online` does.
    ///
    /// # Errors
    /// There is no such app, or the authority gives it no token, and why.
    pub async fn probe(&self, call: Call, app: &str) -> Result<(), Arc<Refusal>> {
        let app = self.0.app_of(&Common { app: Some(app), ..Common::default() })?;
        probe::run(&app, call).await
    }

    /// What is odd about the issuers that an app's authority names: what `tokend check --online` says beside the probe.
    pub async fn foreign_issuers(&self, call: Call, app: &str) -> Vec<Complaint> {
        match self.0.app_of(&Common { app: Some(app), ..Common::default() }) {
            Ok(app) => {
                let mut problems = Vec::new();
                for authority in app.authorities() {
                    problems.extend(authority.foreign_issuers(call.clone()).await);
                }
                problems
            }
            Err(_) => Vec::new(),
        }
    }

    /// What is wrong with the host of an app's authority, if the cloud that it would be of says so (AUT-4).
    pub async fn unknown_instance(&self, call: Call, app: &str) -> Option<Complaint> {
        let app = self.0.app_of(&Common { app: Some(app), ..Common::default() }).ok()?;
        app.authority.unknown_instance(call).await
    }

    /// A token, by the flow whose request it is.
    ///
    /// # Errors
    /// There is no token, and why.
    pub async fn token(&self, caller: Caller, call: Call, request: &Request<'_>) -> Outcome {
        if let Request::Redeem(redeem @ Redeem { of_session: false, .. }) = request
            && Box::pin(redeem::is_of_session(&self.0, redeem.handle)).await
        {
            return Box::pin(self.redeem_session(caller, call, redeem)).await;
        }
        let (state, flow) = (&self.0, request.flow());
        if let Request::Redeem(redeem) = request
            && state.is_bound(caller)
            && redeem.common.names_no_target()
        {
            // What the handle was issued for says which api is meant.
            return Box::pin(self.redeem_bound(caller, call, redeem)).await;
        }
        // Most requests name everything themselves, and are not copied.
        let meant =
            state.meant(caller, request.common()).inspect_err(|refusal| state.counted_meaningless(caller, flow, refusal))?;
        // On the heap: few need one of their own.
        let meant = meant.map(|common| Box::new(request.with_common(common)));
        let request = meant.as_deref().unwrap_or(request);
        let app = state.asked_of(caller, flow, request.common())?;
        // As in `token_of`, which would be room of its own in the future of every request.
        let timed = Timed::begin(state, &app, flow, &call);
        let outcome = work(Asker { state, app: &app, caller, call }, request).await;
        timed.end(caller, request.common(), outcome.map(|answer| request.named_in(answer)))
    }

    /// A token of an app that the caller may have it of.
    async fn token_of(&self, app: &Arc<App>, caller: Caller, call: Call, request: &Request<'_>) -> Outcome {
        let timed = Timed::begin(&self.0, app, request.flow(), &call);
        let outcome = work(Asker { state: &self.0, app, caller, call }, request).await;
        timed.end(caller, request.common(), outcome.map(|answer| request.named_in(answer)))
    }

    /// Redeems the handle of a session, which is of another flow than an account's, by which its caller is judged.
    async fn redeem_session(&self, caller: Caller, call: Call, request: &Redeem<'_>) -> Outcome {
        Box::pin(self.token(caller, call, &Request::Redeem(Redeem { of_session: true, ..request.clone() }))).await
    }

    /// Redeems a handle for a caller that may have tokens for certain apis only, and that names none.
    async fn redeem_bound(&self, caller: Caller, call: Call, request: &Redeem<'_>) -> Outcome {
        let handle = redeem::open(&self.0, request.handle).await?;
        let common = handle.asked_by(&request.common);
        if common.names_no_target() {
            let detail = "what the refresh token was issued for is not known any more: say by `scope` or `api` which api is meant";
            return Err(Arc::new(Refusal::member(detail)));
        }
        Box::pin(self.token(caller, call, &Request::Redeem(Redeem { common, ..*request }))).await
    }

    /// A token for the app itself, for a client that asks for a managed identity's, and the app. Where there is a list, the app is
    /// one of it.
    ///
    /// # Errors
    /// There is no token, and why. Only Entra-style authorities have what such clients ask for.
    pub async fn managed_identity(
        &self,
        caller: Caller,
        call: Call,
        request: &Request<'_>,
        among: Option<&[String]>,
    ) -> Result<(Answer, Arc<App>), Arc<Refusal>> {
        let (state, flow) = (&self.0, request.flow());
        let among = among.map_or(Among::All, Among::These);
        let meant = state
            .meant_among(caller, request.common(), among)
            .inspect_err(|refusal| state.counted_meaningless(caller, flow, refusal))?;
        let meant = meant.map(|common| request.with_common(common));
        let request = meant.as_ref().unwrap_or(request);
        let app = state.asked_of(caller, flow, request.common())?;
        if app.authority.profile().target.has_resource() {
            let detail =
                "only apps at Entra-style authorities have tokens for a `resource`: name another app, or ask by another route";
            let refusal = Refusal::new(Turn::Rights, RefusalKind::FlowNotAllowed, detail);
            app.metrics.refused(flow, &refusal);
            return Err(Arc::new(refusal));
        }
        Ok((self.token_of(&app, caller, call, request).await?, app))
    }

    /// `POST /introspect` (RFC 7662): whether an app accepts a token, and its claims.
    ///
    /// # Errors
    /// The caller may not ask, the app accepts no tokens, or what decides it cannot be had.
    pub async fn introspect(
        &self,
        caller: Caller,
        call: Call,
        client: NamedApp<'_>,
        token: &str,
    ) -> Result<Introspection, Arc<Refusal>> {
        let state = &self.0;
        let common = Common { client: Some(client), ..Common::default() };
        let meant = state.meant(caller, &common)?;
        let app = state.allowed_by_name(caller, Some(INTROSPECT), meant.as_ref().unwrap_or(&common))?;
        Ok(introspect::run(state, &app, call, token).await?)
    }

    /// `/auth/{api}`: what a proxy's request comes to.
    ///
    /// # Errors
    /// No such api is served, or it is not for whoever asks.
    pub fn passage<'a>(&'a self, caller: Caller, asked: &AuthRequest<'a>) -> Result<Box<Passage<'a>>, Arc<Refusal>> {
        auth_request::passage(&self.0, caller, asked)
    }

    /// Judges the user's token of a proxy's request as if it were exchanged.
    ///
    /// # Errors
    /// It is not accepted, and why.
    pub async fn judge(&self, caller: Caller, call: Call, passage: &Passage<'_>) -> Result<(), Arc<Refusal>> {
        auth_request::judge(&self.0, caller, call, passage).await
    }

    /// `/AuthorizationHeader/{api}` and `/AuthorizationHeaderUnauthenticated/{api}`: the token of the header.
    ///
    /// # Errors
    /// There is no token, and why.
    pub async fn authorization_header(&self, caller: Caller, call: Call, asked: &SidecarRequest<'_>) -> Outcome {
        let request = ms_sidecar::wanted(&self.0, caller, &call, asked).await?;
        self.token(caller, call, &request).await
    }

    /// The app whose token such a header is, for the log.
    pub fn app_of_header(&self, caller: Caller, asked: &SidecarRequest<'_>) -> Option<Arc<App>> {
        let app = asked.app.filter(|_| self.0.apis.get(&asked.api).is_some_and(|api| api.app.is_none()));
        self.app_meant(caller, &Common { app, api: Some(&asked.api), ..Common::default() })
    }

    /// `/Validate`: what a token says that this app accepts, be it a user's or an app's.
    ///
    /// # Errors
    /// It is not accepted, and why.
    pub async fn validate(
        &self,
        caller: Caller,
        call: Call,
        app: Option<&str>,
        bearer: Option<&str>,
    ) -> Result<Validated, Arc<Refusal>> {
        let app = self.0.allowed(caller, None, &Common { app, ..Common::default() })?;
        let validated = ms_sidecar::validated(&self.0, &app, call, bearer).await;
        app.metrics.introspected(validated.is_ok());
        Ok(validated?)
    }

    /// The app of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn app_named(&self, name: &str) -> Result<Arc<App>, Arc<Refusal>> {
        self.0.app_of(&Common { app: Some(name), ..Common::default() })
    }

    /// `POST /auth-code/url` (RFC 6749 §4.1.1 with RFC 7636).
    ///
    /// # Errors
    /// There is no URL, and why.
    pub async fn auth_code_url(
        &self,
        caller: Caller,
        call: Call,
        request: &AuthCodeUrl<'_>,
    ) -> Result<AuthorizationUrl, Arc<Refusal>> {
        let app = self.0.allowed(caller, Some(Flow::AuthCode), &request.common)?;
        sign_in_url::url(&self.0, &app, call, request).await
    }

    /// `POST /sign-out/url` (RP-Initiated Logout 1.0). With an account, that is signed out as by [`Service::sign_out`].
    ///
    /// # Errors
    /// There is no URL, or the account could not be signed out, and why.
    pub async fn sign_out_url(&self, caller: Caller, call: Call, request: &SignOutUrl<'_>) -> Result<EndSessionUrl, Arc<Refusal>> {
        let app = self.0.allowed(caller, None, &Common { app: request.app, ..Common::default() })?;
        sign_out_url::url(&self.0, &app, caller, call, request).await
    }

    /// `POST /device-code` and `/oauth2/device_authorization` (RFC 8628 §3.1).
    ///
    /// # Errors
    /// The flow does not begin, and why.
    pub async fn device_authorization(
        &self,
        caller: Caller,
        call: Call,
        request: &DeviceStart<'_>,
    ) -> Result<DeviceAuthorization, Arc<Refusal>> {
        let meant = self.0.meant(caller, &request.common)?;
        let common = meant.as_ref().unwrap_or(&request.common);
        let app = self.0.allowed(caller, Some(Flow::DeviceCode), common)?;
        device::start(&self.0, &app, (caller, call), common, request.has_openid).await
    }

    /// One poll of a device code (RFC 8628 §3.4): the token, and whether an id token was asked for at the start.
    ///
    /// # Errors
    /// There is no token yet, or none at all, and why.
    pub async fn device_token(&self, caller: Caller, call: Call, request: &DevicePoll<'_>) -> Result<(Answer, bool), Arc<Refusal>> {
        device::poll(&self.0, caller, call, request).await
    }

    /// `GET /accounts`.
    ///
    /// # Errors
    /// There is no such app or cursor, or the cache cannot be asked.
    pub async fn accounts(&self, caller: Caller, listing: &Listing<'_>) -> Result<Accounts, Arc<Refusal>> {
        let app = self.0.allowed(caller, None, &Common { app: listing.app, ..Common::default() })?;
        Ok(accounts::list(&self.0, &app, caller, listing).await?)
    }

    /// `GET /accounts/{home_account_id}`.
    ///
    /// # Errors
    /// There is no such app or account, or the cache cannot be asked.
    pub async fn account(&self, caller: Caller, app: Option<&str>, home_account_id: &str) -> Result<SignedInAccount, Arc<Refusal>> {
        let app = self.0.allowed(caller, None, &Common { app, ..Common::default() })?;
        Ok(accounts::one(&self.0, &app, caller, home_account_id).await?)
    }

    /// `DELETE /accounts/{home_account_id}`: signs the account out; one that nobody knows is signed out already.
    ///
    /// # Errors
    /// There is no such app, there is no room for the work, or the shared cache cannot be asked. In the last case this process
    /// alone has forgotten the account.
    pub async fn sign_out(&self, caller: Caller, app: Option<&str>, home_account_id: &str) -> Result<(), Arc<Refusal>> {
        let app = self.0.allowed(caller, None, &Common { app, ..Common::default() })?;
        Ok(accounts::sign_out(&self.0, &app, caller, home_account_id).await?)
    }

    /// `DELETE /obo`: ends a session of the caller; one that nobody knows has ended already.
    ///
    /// # Errors
    /// There is no such app, the key is none, there is no room for the work, or the shared cache cannot be asked. In the last case
    /// this process alone has forgotten the session.
    pub async fn end_session(&self, caller: Caller, ending: EndSession<'_>) -> Result<(), Arc<Refusal>> {
        let app = self.0.allowed(caller, None, &Common { app: ending.app, ..Common::default() })?;
        Ok(grants::end_session(&self.0, &app, caller, ending.session).await?)
    }

    /// `POST /oauth2/revoke` (RFC 7009): what a refresh handle names is signed out for this caller, or ended if it is a session,
    /// and with it every handle of that sign-in. Whatever is no handle of this caller changes nothing.
    ///
    /// # Errors
    /// Redis, or what opens the handle, cannot be asked. This process alone has then forgotten the account, if it knew that.
    pub async fn revoke(&self, caller: Caller, _call: Call, token: &str) -> Result<(), Arc<Refusal>> {
        Ok(redeem::revoke(&self.0, caller, token).await?)
    }

    /// Whether a text is a refresh handle by its form.
    pub fn is_handle(text: &str) -> bool {
        handle::is_handle(text)
    }
}
