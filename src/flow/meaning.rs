//! What a request means whose client speaks another protocol than tokend's own: which app it names, and, of a caller that may have
//! tokens for certain apis only, which of them. Then it is a request like any other, and is judged like any other.

use std::sync::Arc;

use super::app::{Api, App};
use super::refusal::{Refusal, RefusalKind};
use super::request::{Common, NamedApp};
use super::state::{FlowState, client_key};
use crate::caller::Caller;
use crate::token::{Matching, Scopes, Turn};

/// Which apps may be meant at all, whoever asks.
#[derive(Clone, Copy)]
pub(super) enum Among<'a> {
    All,
    These(&'a [String]),
}

// === impl Among ===

impl Among<'_> {
    fn has(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.iter().any(|known| known == name),
        }
    }
}

// === impl FlowState ===

impl FlowState {
    /// The common members as they are meant; `None`: as they stand.
    ///
    /// # Errors
    /// No app or no api is meant, or several are.
    pub(super) fn meant<'a>(&'a self, caller: Caller, given: &Common<'a>) -> Result<Option<Common<'a>>, Arc<Refusal>> {
        self.meant_among(caller, given, Among::All)
    }

    /// As [`FlowState::meant`], where the app is one of these.
    pub(super) fn meant_among<'a>(
        &'a self,
        caller: Caller,
        given: &Common<'a>,
        among: Among<'_>,
    ) -> Result<Option<Common<'a>>, Arc<Refusal>> {
        let has_target = |name| self.apis.get(name).is_some_and(|api: &Api| api.audience.is_some() || api.resource.is_some());
        if given.client.is_none() && !given.finds_api && !given.api.is_some_and(has_target) {
            return Ok(None);
        }
        let mut common = given.clone();
        if let Some(client) = common.client {
            common.app = self.app_by(caller, client, among)?;
        }
        if common.finds_api && common.api.is_none() && self.is_bound(caller) {
            common.api = Some(self.api_by(caller, &common, among)?);
            (common.scopes, common.audience, common.resource) = (None, None, None);
        }
        if common.client.take().is_some() && common.app.is_none() {
            // An api may say whose it is.
            let of_api = common.api.and_then(|name| self.apis.get(name)).and_then(|api| api.app.as_deref());
            common.app = of_api.or_else(|| self.only(caller, among)).filter(|app| among.has(app));
            if common.app.is_none() && matches!(among, Among::These(_)) {
                return Err(self.no_app());
            }
            if common.app.is_none() && common.api.is_none() {
                let detail = "there are several apps and none is called `default`: name one as `client_id`";
                return Err(Arc::new(Refusal::new(Turn::Configuration, RefusalKind::UnknownApp, detail)));
            }
        }
        if let Some(api) = common.api.and_then(|name| self.apis.get(name)) {
            common.audience = common.audience.or(api.audience.as_deref());
            common.resource = common.resource.or(api.resource.as_deref());
        }
        // It names everything itself now: whoever asks again what it means need not look.
        common.finds_api = false;
        Ok(Some(common))
    }

    /// The app that a client names, among those that its caller may use. `None`: it names none.
    fn app_by<'a>(&'a self, caller: Caller, client: NamedApp<'_>, among: Among<'_>) -> Result<Option<&'a str>, Arc<Refusal>> {
        let may_use = |name: &str| among.has(name) && self.usable(caller).is_none_or(|apps| apps.iter().any(|app| app == name));
        let by_name = |name| self.apps.get(name).map(|app| app.name.as_str()).filter(|name| may_use(name));
        let by_client_id = |id: &str| {
            let names = self.clients.get(&*client_key(id)).into_iter().flatten();
            names.map(String::as_str).filter(|name| may_use(name)).collect::<Vec<_>>()
        };
        let found = match client {
            NamedApp::Only => return Ok(None),
            NamedApp::Named(name) => match by_name(name) {
                Some(app) => return Ok(Some(app)),
                None => by_client_id(name),
            },
            NamedApp::ClientId(id) => by_client_id(id),
            NamedApp::ManagedIdentity(id) => {
                let is_it = |app: &&Arc<App>| app.managed_identity_ids.iter().any(|known| known.eq_ignore_ascii_case(id));
                self.apps.values().filter(is_it).map(|app| app.name.as_str()).filter(|name| may_use(name)).collect()
            }
        };
        match *found {
            [app] => Ok(Some(app)),
            [] => Err(self.no_app()),
            _ => Err(Arc::new(Refusal::member("several apps have this client id: name one by its name under `apps`"))),
        }
    }

    /// The refusal of a request that names no app which its caller may use. Whether there is such an app is not said.
    fn no_app(&self) -> Arc<Refusal> {
        if self.callers.is_some() {
            let detail = "this caller may not use this app, or there is none of this name or id: name one of its own, or extend \
                          `callers.*.apps`";
            return Arc::new(Refusal::new(Turn::Rights, RefusalKind::CallerNotAllowed, detail));
        }
        let detail = "no app that is served here is called so, or has this id: name one of `apps` in the configuration";
        Arc::new(Refusal::new(Turn::Configuration, RefusalKind::UnknownApp, detail))
    }

    /// The app that is meant where none is named: the caller's only one, or `default`.
    fn only(&self, caller: Caller, among: Among<'_>) -> Option<&str> {
        match (self.usable(caller), among) {
            (Some([only]), _) => Some(only.as_str()),
            (_, Among::These([only])) => self.apps.get(only).map(|app| app.name.as_str()),
            _ => self.implied.as_ref().map(|app| app.name.as_str()),
        }
    }

    fn usable(&self, caller: Caller) -> Option<&[String]> {
        self.callers.as_ref().and_then(|callers| callers.apps(caller))
    }

    /// The one of its caller's apis that a request means by what it asks for.
    fn api_by<'a>(&'a self, caller: Caller, common: &Common<'_>, among: Among<'_>) -> Result<&'a str, Arc<Refusal>> {
        let callers = self.callers.as_ref();
        let names = callers.and_then(|callers| callers.apis(caller)).unwrap_or_default();
        let is_meant = |api: &Api| {
            let app = common.app.or(api.app.as_deref()).or_else(|| self.only(caller, among));
            let app = app.filter(|app| among.has(app)).and_then(|app| self.apps.get(app));
            let fits = |app: &Arc<App>| {
                let is_its = api.app.as_deref().is_none_or(|of| of == app.name);
                is_its && api.is_meant(common, app.authority.matching())
            };
            app.is_some_and(fits)
        };
        let all = names.iter().filter_map(|name| self.apis.get_key_value(name));
        let meant: Vec<&str> = all.filter(|(_, api)| is_meant(api)).map(|(name, _)| name.as_str()).collect();
        let detail = match *meant {
            [api] => return Ok(api),
            [] => {
                "what is asked for is none of the apis that this caller may have tokens for: ask for the scopes of one of them, \
                 or extend `callers.*.apis`"
            }
            _ => "this caller may have tokens for several apis: say by `scope`, `resource`, `audience` or `api` which one is meant",
        };
        Err(Arc::new(Refusal::new(Turn::Rights, RefusalKind::CallerNotAllowed, detail).about_target()))
    }
}

// === impl Api ===

impl Api {
    /// Whether a request means this api: all that it says of its target is what the api is configured with.
    fn is_meant(&self, common: &Common<'_>, matching: Matching) -> bool {
        // What OpenID Connect reserves says nothing of an api.
        let asked = common.scopes.as_ref().map(|scopes| scopes.of_apis()).filter(|scopes| !scopes.is_empty());
        let same_scopes = |asked: &Scopes| asked.folded(matching) == self.scopes.folded(matching);
        let same_resource = |resource: &str| match (&self.resource, matching) {
            (Some(own), _) => own == resource,
            // Entra-style authorities have a resource's permissions as one scope.
            (None, Matching::Superset) => {
                let scopes = Scopes::granted(&format!("{resource}/.default"));
                same_scopes(&scopes)
            }
            (None, Matching::Identical) => false,
        };
        asked.as_ref().is_none_or(same_scopes)
            && common.audience.is_none_or(|audience| self.audience.as_deref() == Some(audience))
            && common.resource.is_none_or(same_resource)
    }
}
