//! What is asked: each flow turns a request into a grant and the parts of a cache key; two spines do the rest.
//!
//! `acquire` is for what may be cached and shared (client credentials, on-behalf-of, silent), `redeem` for what is sent once and always
//! brings something new (authorization codes). Every lower error becomes a [`Refusal`] here.

mod about;
mod accounts;
mod acquire;
mod app;
mod auth_code;
mod bound;
mod classify;
mod client_credentials;
mod evidence;
mod exchange;
mod holds;
mod id_token;
mod issue;
mod members;
mod metrics;
mod on_behalf_of;
mod once;
mod redeem;
mod refresh;
mod refusal;
mod remember;
mod request;
mod settings;
mod silent;
mod trace;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use app::App;
pub use metrics::{Flow, Metrics};
pub use refusal::{Kind, Refusal, loggable};
pub use request::{
    Accounts, Answer, AuthCode, AuthCodeUrl, AuthorizationUrl, Call, Common, Listing, OnBehalfOf, RefreshReason, Silent,
    TokenSource,
};
pub use settings::{ApiSettings, AppSettings, RefreshTokens, flow_names};

use crate::authority::Stops;
use crate::cache::{Cache, Flight, Key, Wire, Work};
use crate::caller::{Caller, Callers, WantedRights};
use crate::clock::Clock;
use crate::tasks::Tasks;
use crate::token::{Account, Head, Turn};

/// An answer, or why there is none; shared by all who waited for the same.
pub type Outcome = Result<Answer, Arc<Refusal>>;

/// Where jitter comes from: numbers from 0 to 1.
pub type Jitter = fn() -> f64;

/// How refusals travel to other replicas.
pub const WIRE: Wire<Arc<Refusal>> = Wire { write: wire::write, read: wire::read, late: wire::late };

/// How often what has ended is removed.
const SWEEP: Duration = Duration::from_secs(60);

/// How often it is looked whether a credential is new, for telling the other replicas.
const FOLLOW: Duration = Duration::from_millis(250);

/// All flows over all apps; clones share everything.
#[derive(Clone, Debug)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    apps: HashMap<String, Arc<App>>,
    implied: Option<Arc<App>>,
    /// Counts requests that name no app of ours.
    unknown: Option<metrics::AppMetrics>,
    apis: HashMap<String, app::Api>,
    callers: Option<Arc<Callers>>,
    cache: Arc<Cache<Arc<Refusal>>>,
    remembered: holds::Remembered,
    redemptions: Flight<Key, Head, Arc<Refusal>>,
    clock: Clock,
    tasks: Tasks,
    jitter: Jitter,
    /// After how long the edge gives a request up.
    patience: Duration,
}

/// Counts a request when it ends, also when the edge gives it up and nobody is left to say how it ended.
struct Timed<'a> {
    app: &'a App,
    flow: Flow,
    clock: &'a Clock,
    started: Duration,
    /// When the edge will give it up: it has waited for the body already.
    given_up: Duration,
    ended: bool,
}

/// What is noted of a call before its flow takes it.
#[derive(Clone, Copy)]
struct Seen {
    sampled: bool,
    arrived: Duration,
}

// === impl Seen ===

impl Seen {
    fn of(call: &Call) -> Self {
        Self { sampled: call.trace.sampled, arrived: call.arrived }
    }
}

// === impl Service ===

impl Service {
    /// Puts the apps and apis over one cache; without `callers`, whoever reaches tokend may use all of them. The edge gives a request
    /// up after `patience`.
    pub fn new(
        apps: Vec<Arc<App>>,
        apis: &[ApiSettings],
        callers: Option<Arc<Callers>>,
        cache: Arc<Cache<Arc<Refusal>>>,
        (clock, tasks, jitter): (Clock, Tasks, Jitter),
        patience: Duration,
    ) -> Self {
        let implied = match &*apps {
            [only] => Some(Arc::clone(only)),
            several => several.iter().find(|app| app.name == "default").cloned(),
        };
        let api = |api: &ApiSettings| (api.name.clone(), app::Api { app: api.app.clone(), scopes: api.scopes.clone() });
        Self(Arc::new(Inner {
            implied,
            unknown: apps.first().map(|app| app.metrics.unknown()),
            apps: apps.into_iter().map(|app| (app.name.clone(), app)).collect(),
            apis: apis.iter().map(api).collect(),
            callers,
            redemptions: Flight::new(tasks.clone(), cache.budget().clone(), Work::Redemption),
            cache,
            remembered: holds::remembered(),
            clock,
            tasks,
            jitter,
            patience,
        }))
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
        let standing: Vec<Stops> = self.0.remembered.all_standing(self.0.clock.moment()).collect();
        Stops::ALL.map(|stops| (stops, standing.iter().filter(|other| **other == stops).count()))
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
        client_credentials::probe(&app, call).await
    }

    /// `POST /client-credentials` (RFC 6749 §4.4).
    ///
    /// # Errors
    /// There is no token, and why.
    pub async fn client_credentials(&self, caller: Caller, call: Call, request: &Common<'_>) -> Outcome {
        let (app, seen) = (self.0.asked_of(caller, Flow::ClientCredentials, request)?, Seen::of(&call));
        let work = client_credentials::run(&self.0, &app, caller, call, request);
        self.0.timed((&app, Flow::ClientCredentials, seen), (caller, request), work).await
    }

    /// `POST /obo` (RFC 7523 with Entra's extension, or RFC 8693).
    ///
    /// # Errors
    /// There is no token, and why.
    pub async fn obo(&self, caller: Caller, call: Call, request: &OnBehalfOf<'_>) -> Outcome {
        let (app, seen) = (self.0.asked_of(caller, Flow::OnBehalfOf, &request.common)?, Seen::of(&call));
        let work = on_behalf_of::run(&self.0, &app, caller, call, request);
        self.0.timed((&app, Flow::OnBehalfOf, seen), (caller, &request.common), work).await
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
        auth_code::url(&self.0, &app, call, request).await
    }

    /// `POST /auth-code` (RFC 6749 §4.1.3).
    ///
    /// # Errors
    /// There is no token, and why.
    pub async fn auth_code(&self, caller: Caller, call: Call, request: &AuthCode<'_>) -> Outcome {
        let (app, seen) = (self.0.asked_of(caller, Flow::AuthCode, &request.common)?, Seen::of(&call));
        let work = redeem::run(&self.0, &app, caller, call, request);
        self.0.timed((&app, Flow::AuthCode, seen), (caller, &request.common), work).await
    }

    /// `POST /silent` (RFC 6749 §6 where the cache has nothing).
    ///
    /// # Errors
    /// There is no token, and why.
    pub async fn silent(&self, caller: Caller, call: Call, request: &Silent<'_>) -> Outcome {
        let (app, seen) = (self.0.asked_of(caller, Flow::Silent, &request.common)?, Seen::of(&call));
        let work = silent::run(&self.0, &app, caller, call, request);
        self.0.timed((&app, Flow::Silent, seen), (caller, &request.common), work).await
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
    pub async fn account(&self, caller: Caller, app: Option<&str>, home_account_id: &str) -> Result<Account, Arc<Refusal>> {
        let app = self.0.allowed(caller, None, &Common { app, ..Common::default() })?;
        Ok(accounts::one(&self.0, &app, caller, home_account_id).await?)
    }

    /// `DELETE /accounts/{home_account_id}`: signs the account out; one that nobody knows is signed out already.
    ///
    /// # Errors
    /// There is no such app, there is no room for the work, or the shared cache cannot be asked: then this process alone has forgotten it.
    pub async fn sign_out(&self, caller: Caller, app: Option<&str>, home_account_id: &str) -> Result<(), Arc<Refusal>> {
        let app = self.0.allowed(caller, None, &Common { app, ..Common::default() })?;
        Ok(accounts::sign_out(&self.0, &app, caller, home_account_id).await?)
    }
}

// === impl Inner ===

impl Inner {
    /// The app that a request names, if its caller may have what it asks for.
    fn allowed(&self, caller: Caller, flow: Option<Flow>, request: &Common<'_>) -> Result<Arc<App>, Arc<Refusal>> {
        let app = self.app_of(request);
        let Some(callers) = &self.callers else { return app };
        let api = request.api.map(|name| self.apis.get(name));
        let of_api = api.flatten().and_then(|api| api.app.as_deref());
        let wanted = WantedRights {
            flow: flow.map(Flow::as_str),
            apps: [request.app, of_api, app.as_ref().ok().map(|app| app.name.as_str())],
            unknown_api: matches!(api, Some(None)),
            api: request.api,
            beyond: request.beyond,
        };
        // Before anything is said of the app: whether it is there is said to those only who may use it.
        callers.judge(caller, &wanted).map_err(|right| Refusal::new(Turn::Rights, Kind::CallerNotAllowed, right.to_string()))?;
        app
    }

    /// Whose accounts a caller may use, its own first; `None`: its own alone.
    fn owners(&self, caller: Caller) -> Option<Vec<Caller>> {
        self.callers.as_ref().and_then(|callers| callers.owners(caller))
    }

    /// The app that a request names, by itself or by its api.
    fn app_of(&self, request: &Common<'_>) -> Result<Arc<App>, Arc<Refusal>> {
        let of_api = match request.api {
            Some(name) => self.api(name)?.app.as_deref(),
            None => None,
        };
        let named = match (request.app, of_api) {
            (Some(app), Some(of_api)) if app != of_api => {
                return Err(Arc::new(Refusal::member("`app` is not the app of this `api`: leave `app` out")));
            }
            (app, of_api) => app.or(of_api),
        };
        self.app_named(named)
    }

    /// An app by its name, or the one that is meant without.
    fn app_named(&self, named: Option<&str>) -> Result<Arc<App>, Arc<Refusal>> {
        let found = match named {
            Some(name) => self.apps.get(name),
            None => self.implied.as_ref(),
        };
        found.cloned().ok_or_else(|| {
            let detail = if named.is_some() {
                "there is no such `app`: name one of `apps` in the configuration"
            } else {
                "there are several apps and none is called `default`: name one as `app`"
            };
            Arc::new(Refusal::new(Turn::Configuration, Kind::UnknownApp, detail))
        })
    }

    fn api(&self, name: &str) -> Result<&app::Api, Arc<Refusal>> {
        let detail = "there is no such `api`: name one of `apis` in the configuration";
        self.apis.get(name).ok_or_else(|| Arc::new(Refusal::new(Turn::Configuration, Kind::UnknownApi, detail)))
    }

    /// The app of a request for a token. A refusal counts for the app; one that names none of ours is counted as well.
    fn asked_of(&self, caller: Caller, flow: Flow, request: &Common<'_>) -> Result<Arc<App>, Arc<Refusal>> {
        self.allowed(caller, Some(flow), request).inspect_err(|refusal| match (self.app_of(request), &self.unknown) {
            (Ok(app), _) => app.metrics.refused(flow, refusal),
            (Err(_), Some(unknown)) => unknown.refused(flow, refusal),
            (Err(_), None) => {}
        })
    }

    /// Does the work of a request, judges what it brings by the caller's rights, and counts it.
    async fn timed(
        &self,
        (app, flow, seen): (&App, Flow, Seen),
        (caller, request): (Caller, &Common<'_>),
        work: impl Future<Output = Outcome>,
    ) -> Outcome {
        let given_up = seen.arrived + self.patience;
        let mut timed = Timed { app, flow, clock: &self.clock, started: self.clock.precise(), given_up, ended: false };
        let outcome = self.within(caller, app, request, work.await);
        timed.ended = true;
        app.metrics.request(flow, outcome.as_ref().map_err(|refusal| &**refusal), timed.took());
        // Asked before the current span is, which costs more than all of this.
        if seen.sampled {
            trace::end_request(app, flow, &outcome);
        }
        outcome
    }
}

// === impl Timed ===

impl Timed<'_> {
    fn took(&self) -> Duration {
        self.clock.precise().saturating_sub(self.started)
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        // Who goes away earlier is a caller that left.
        if !self.ended && self.clock.precise() >= self.given_up {
            self.app.metrics.given_up(self.flow, self.took());
        }
    }
}
