//! What all flows share: the apps and apis, the cache, what is remembered of failures, and who may ask for what.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::app::{Api, App};
use super::catalogue::Flow;
use super::issue::{Received, Redeemed};
use super::metrics::AppMetrics;
use super::policies;
use super::refusal::{Refusal, RefusalKind};
use super::request::Common;
use super::settings::{ApiDoor, ApiSettings, HandleSettings};
use super::spine::holds::{Remembered, remembered};
use crate::cache::{Attempts, Cache, Flight, Work};
use crate::caller::{Beyond, Caller, Callers, RightError, WantedRights};
use crate::clock::Clock;
use crate::tasks::Tasks;
use crate::token::{FlightKey, Turn};

/// By what an app is found by its client id: a GUID's digits mean the same in either case (RFC 9562 §4).
pub(super) fn client_key(client_id: &str) -> Cow<'_, str> {
    match uuid::Uuid::try_parse(client_id) {
        Ok(_) => client_id.to_ascii_lowercase().into(),
        Err(_) => client_id.into(),
    }
}

/// The refusal of a caller that lacks a right.
pub(super) fn lacking(right: RightError) -> Refusal {
    let refusal = Refusal::new(Turn::Rights, RefusalKind::CallerNotAllowed, right.to_string());
    match right {
        RightError::Api | RightError::Member(_) => refusal.about_target(),
        _ => refusal,
    }
}

/// Where jitter comes from: numbers from 0 to 1.
pub type Jitter = fn() -> f64;

/// What every flow works with.
#[derive(Debug)]
pub struct Means {
    /// Where tokens are kept.
    pub cache: Arc<Cache<Arc<Refusal>>>,
    /// What time it is.
    pub clock: Clock,
    /// Where work goes on that outlives its request.
    pub tasks: Tasks,
    /// Where jitter comes from.
    pub jitter: Jitter,
    /// After how long the edge gives a request up.
    pub patience: Duration,
    /// How long refresh handles are good.
    pub handles: HandleSettings,
}

/// What all flows share.
#[derive(Debug)]
pub(super) struct FlowState {
    pub(super) apps: HashMap<String, Arc<App>>,
    pub(super) implied: Option<Arc<App>>,
    /// Counts requests that name no app of ours.
    unknown: Option<AppMetrics>,
    pub(super) apis: HashMap<String, Api>,
    /// The apps of each client id.
    pub(super) clients: HashMap<String, Vec<String>>,
    pub(super) callers: Option<Arc<Callers>>,
    pub(super) cache: Arc<Cache<Arc<Refusal>>>,
    pub(super) remembered: Remembered,
    pub(super) redemptions: Flight<FlightKey, Redeemed, Arc<Refusal>>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) jitter: Jitter,
    pub(super) patience: Duration,
    pub(super) handles: HandleSettings,
    /// Counts what may be tried a few times only.
    pub(super) attempts: Attempts,
}

// === impl FlowState ===

impl FlowState {
    /// Puts the apps and apis over one cache.
    pub(super) fn new(apps: Vec<Arc<App>>, apis: &[ApiSettings], callers: Option<Arc<Callers>>, means: Means) -> Self {
        let implied = match &*apps {
            [only] => Some(Arc::clone(only)),
            several => several.iter().find(|app| app.name == "default").cloned(),
        };
        let mut clients: HashMap<String, Vec<String>> = HashMap::new();
        for app in &apps {
            clients.entry(client_key(&app.client_id).into_owned()).or_default().push(app.name.clone());
        }
        let Means { cache, clock, tasks, jitter, patience, handles } = means;
        Self {
            implied,
            unknown: apps.first().map(|app| app.metrics.unknown()),
            apps: apps.into_iter().map(|app| (app.name.clone(), app)).collect(),
            apis: apis.iter().map(|api| (api.name.clone(), Api::from(api))).collect(),
            clients,
            callers,
            redemptions: Flight::new(tasks.clone(), cache.budget().clone(), Work::Redemption),
            attempts: Attempts::new(cache.fleet().cloned(), clock.clone()),
            cache,
            remembered: remembered(),
            clock,
            tasks,
            jitter,
            patience,
            handles,
        }
    }

    /// What a caller is called; `None`: there are no callers.
    pub(super) fn caller_name(&self, caller: Caller) -> Option<String> {
        self.callers.as_ref().and_then(|callers| callers.name(caller)).map(str::to_owned)
    }

    /// This moment, for an answer that has come.
    pub(super) fn received(&self) -> Received {
        Received { on: self.clock.unix(), jitter: (self.jitter)() }
    }

    /// The app that a request names, if its caller may have what it asks for.
    pub(super) fn allowed(&self, caller: Caller, flow: Option<Flow>, request: &Common<'_>) -> Result<Arc<App>, Arc<Refusal>> {
        self.allowed_by_name(caller, flow.map(Flow::as_str), request)
    }

    /// As [`FlowState::allowed`], for whatever has a name among the flows.
    pub(super) fn allowed_by_name(
        &self,
        caller: Caller,
        flow: Option<&'static str>,
        request: &Common<'_>,
    ) -> Result<Arc<App>, Arc<Refusal>> {
        let Some(callers) = &self.callers else { return self.app_of(request) };
        let app = self.app_at_its_own(request);
        let api = request.api.map(|name| self.apis.get(name));
        let of_api = api.flatten().and_then(|api| api.app.as_deref());
        let wanted = WantedRights {
            flow,
            apps: [request.app, of_api, app.as_ref().ok().map(|app| app.name.as_str())],
            unknown_api: matches!(api, Some(None)),
            api: request.api,
            beyond: request.beyond,
        };
        // Before anything is said of the app: whether it is there is said to those only who may use it.
        callers.judge(caller, &wanted).map_err(lacking)?;
        self.app_of(request)
    }

    /// Whose accounts a caller may use, its own first; `None`: its own alone.
    pub(super) fn owners(&self, caller: Caller) -> Option<Vec<Caller>> {
        self.callers.as_ref().and_then(|callers| callers.owners(caller))
    }

    /// The caller itself, and what it was called before: sessions and handles are these callers' alone, whatever others may see.
    pub(super) fn selves(&self, caller: Caller) -> Vec<(Caller, Option<&str>)> {
        match &self.callers {
            Some(callers) => callers.selves(caller).collect(),
            None => vec![(caller, None)],
        }
    }

    /// The app that a request names, by itself or by its api, at the policy that it names.
    pub(super) fn app_of(&self, request: &Common<'_>) -> Result<Arc<App>, Arc<Refusal>> {
        let app = self.app_at_its_own(request)?;
        Ok(Arc::clone(policies::named(&app, request.policy)?))
    }

    /// The app that a request names, whatever policy it names.
    fn app_at_its_own(&self, request: &Common<'_>) -> Result<Arc<App>, Arc<Refusal>> {
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
            Arc::new(Refusal::new(Turn::Configuration, RefusalKind::UnknownApp, detail))
        })
    }

    pub(super) fn api(&self, name: &str) -> Result<&Api, Arc<Refusal>> {
        let detail = "there is no such `api`: name one of `apis` in the configuration";
        self.apis.get(name).ok_or_else(|| Arc::new(Refusal::new(Turn::Configuration, RefusalKind::UnknownApi, detail)))
    }

    /// The api of this name, if it says that this door serves it. Who may not ask for it learns nothing of that.
    pub(super) fn served_to(&self, caller: Caller, door: ApiDoor, name: &str) -> Result<&Api, Arc<Refusal>> {
        self.served_at(door, name).map_err(|refusal| {
            let common = Common { api: Some(name), beyond: Beyond::Nothing, ..Common::default() };
            match self.allowed(caller, Some(Flow::OnBehalfOf), &common) {
                Err(lacks) if lacks.kind == RefusalKind::CallerNotAllowed => lacks,
                _ => refusal,
            }
        })
    }

    /// The api of this name, if it says that this door serves it.
    fn served_at(&self, door: ApiDoor, name: &str) -> Result<&Api, Arc<Refusal>> {
        self.apis.get(name).filter(|api| api.doors.contains(&door)).ok_or_else(|| {
            let door = door.as_str();
            let detail = format!("no api of this name is served here: name one of `apis` whose `doors` have `{door}`");
            let reason = "no api of this name is served at this door";
            Arc::new(Refusal::new(Turn::Configuration, RefusalKind::UnknownApi, detail).because(reason))
        })
    }

    /// Counts the refusal of a request of which it is not known which app it means.
    pub(super) fn counted_meaningless(&self, caller: Caller, flow: Flow, refusal: &Refusal) {
        self.not_allowed(caller, refusal);
        self.counted_unknown(flow, refusal);
    }

    /// Counts for its caller a refusal that no judgement of its rights has counted.
    pub(super) fn not_allowed(&self, caller: Caller, refusal: &Refusal) {
        if let Some(callers) = self.callers.as_ref().filter(|_| refusal.kind == RefusalKind::CallerNotAllowed) {
            callers.not_allowed(caller);
        }
    }

    /// Counts the refusal of a request of which the app is not known.
    pub(super) fn counted_unknown(&self, flow: Flow, refusal: &Refusal) {
        if let Some(unknown) = &self.unknown {
            unknown.refused(flow, refusal);
        }
    }

    /// The app of a request for a token. A refusal counts for the app; one that names none of ours is counted as well.
    pub(super) fn asked_of(&self, caller: Caller, flow: Flow, request: &Common<'_>) -> Result<Arc<App>, Arc<Refusal>> {
        self.allowed(caller, Some(flow), request).inspect_err(|refusal| match self.app_at_its_own(request) {
            Ok(app) => app.metrics.refused(flow, refusal),
            Err(_) => self.counted_unknown(flow, refusal),
        })
    }
}
