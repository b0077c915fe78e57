//! What clients of Microsoft's sidecar ask: a token of a named api, in whose request they may say more than tokend's own API would
//! let them; and what a token says.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::app::{Api, App};
use super::catalogue::Flow;
use super::grants::{judged_for_introspection, no_bearer, user_of};
use super::introspect::claims;
use super::policies;
use super::refusal::{Refusal, RefusalKind};
use super::request::{Call, Common, OnBehalfOf, Request};
use super::settings::ApiDoor;
use super::state::FlowState;
use crate::caller::{Beyond, Caller};
use crate::token::{Scopes, TokenDigest, Turn};

/// A request for the `Authorization` header of a named api.
// No `Debug`: it would show what the caller was trusted with.
pub struct SidecarRequest<'a> {
    /// The api.
    pub api: String,
    /// The app of apis that name none.
    pub app: Option<&'a str>,
    /// Whether it is one for a user.
    pub for_user: bool,
    /// The user's token, from `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    /// Whether whoever asks is answered without a user, where there are no callers.
    pub anyone: bool,
    /// What it says beside the api.
    pub overrides: Overrides<'a>,
}

/// `optionsOverride.*`, as far as it says which token is wanted.
// No `Debug`: it would show what the caller was trusted with.
#[derive(Default)]
pub struct Overrides<'a> {
    /// Other scopes than the api's.
    pub scopes: Option<Scopes>,
    /// The app's own token, though there is a user.
    pub app_token: bool,
    /// Another tenant than the authority's own.
    pub tenant: Option<&'a str>,
    /// A claims challenge.
    pub claims: Option<&'a str>,
    /// Do not answer from the cache.
    pub force_refresh: bool,
    /// One of the app's `managed_identity_ids`.
    pub managed_identity: Option<&'a str>,
}

/// What `/Validate` says of a token.
// No `Debug`: it would show the user's claims.
pub struct Validated {
    /// The claims as the token has them.
    pub claims: Map<String, Value>,
}

// === impl Overrides ===

impl Overrides<'_> {
    /// Whether anything is said by them that is not so anyway.
    fn has_any(&self, for_user: bool) -> bool {
        self.scopes.is_some()
            || (self.app_token && for_user)
            || self.tenant.is_some()
            || self.claims.is_some()
            || self.force_refresh
            || self.managed_identity.is_some()
    }
}

/// The request of tokend's own that asks for the token of the header.
///
/// # Errors
/// No such api is served there, or it does not let such a request say this, and why.
pub(super) async fn wanted<'a>(
    state: &'a FlowState,
    caller: Caller,
    call: &Call,
    asked: &'a SidecarRequest<'_>,
) -> Result<Request<'a>, Arc<Refusal>> {
    let api = state.served_to(caller, ApiDoor::MsSidecar, &asked.api)?;
    let for_app = !asked.for_user || asked.overrides.app_token;
    let flow = if for_app { Flow::ClientCredentials } else { Flow::OnBehalfOf };
    // Who may not ask learns nothing of how the api is configured.
    let common = state.asked_by_sidecar(caller, api, asked)?;
    let app = state.asked_of(caller, flow, &common)?;
    let counted = |refusal: Refusal| {
        state.not_allowed(caller, &refusal);
        app.metrics.refused(flow, &refusal);
        Arc::new(refusal)
    };
    state.judge_sidecar(api, &app, asked).map_err(counted)?;
    if !for_app {
        return Ok(Request::OnBehalfOf(OnBehalfOf { common, bearer: asked.bearer, ..OnBehalfOf::default() }));
    }
    if asked.for_user {
        // The app's token, for a request that has a user: the user's token has to be good all the same, and a user's.
        judge_user(state, &app, call.clone(), asked.bearer).await.map_err(counted)?;
    }
    Ok(Request::ClientCredentials(common))
}

/// Whether the token of a request is one of a user whom the app accepts.
async fn judge_user(state: &FlowState, app: &App, call: Call, bearer: Option<&str>) -> Result<(), Refusal> {
    let token = bearer.ok_or_else(no_bearer)?;
    user_of(state, app, (token, &TokenDigest::of(token)), call).await.map(drop)
}

/// What a token says that an app accepts, be it a user's or an app's.
///
/// # Errors
/// It is not accepted, and why.
pub(super) async fn validated(state: &FlowState, app: &Arc<App>, call: Call, bearer: Option<&str>) -> Result<Validated, Refusal> {
    let app = bearer.map_or(app, |token| policies::of_token(app, token));
    let guard = app.guard.as_ref().ok_or_else(|| {
        let detail = "this app accepts no tokens that could be looked at: configure `apps.*.inbound` for it";
        Refusal::new(Turn::Rights, RefusalKind::FlowNotAllowed, detail)
    })?;
    let token = bearer.ok_or_else(no_bearer)?;
    judged_for_introspection(state, app, guard, (token, &TokenDigest::of(token)), call).await?;
    let unread = || Refusal::new(Turn::User, RefusalKind::InvalidToken, "the token's claims cannot be read");
    Ok(Validated { claims: claims(token).ok_or_else(unread)? })
}

// === impl FlowState ===

impl FlowState {
    /// The members of a request of tokend's own that asks for the same.
    fn asked_by_sidecar<'a>(
        &'a self,
        caller: Caller,
        api: &'a Api,
        asked: &'a SidecarRequest<'_>,
    ) -> Result<Common<'a>, Arc<Refusal>> {
        let Overrides { scopes, tenant, claims, force_refresh, .. } = &asked.overrides;
        let common = Common {
            app: if api.app.is_none() { asked.app } else { None },
            api: Some(&asked.api),
            tenant: *tenant,
            claims: *claims,
            force_refresh: *force_refresh,
            beyond: Beyond::Nothing,
            ..Common::default()
        };
        let Some(scopes) = scopes else { return Ok(common) };
        if !self.is_bound(caller) {
            let app = api.app.as_deref().or(asked.app);
            let (audience, resource) = (api.audience.as_deref(), api.resource.as_deref());
            return Ok(Common { app, api: None, scopes: Some(scopes.clone()), audience, resource, ..common });
        }
        // Of a caller that may have tokens for certain apis only, they have to be among the api's: then the api's token is good for
        // them.
        let matching = self.app_of(&common)?.authority.matching();
        if api.scopes.contain(&scopes.to_string(), matching) {
            return Ok(common);
        }
        Ok(Common { beyond: Beyond::Member("optionsOverride.Scopes"), ..common })
    }

    /// What the api's configuration lets such a request say.
    fn judge_sidecar(&self, api: &Api, app: &App, asked: &SidecarRequest<'_>) -> Result<(), Refusal> {
        let refused = |detail: String| Err(Refusal::new(Turn::Rights, RefusalKind::CallerNotAllowed, detail));
        let (name, overrides) = (&asked.api, &asked.overrides);
        let for_app = !asked.for_user || overrides.app_token;
        if for_app && self.callers.is_none() && !asked.anyone {
            return refused(
                "tokens without a user are answered to known callers only: configure `callers`, or \
                 `ms_sidecar: {unauthenticated: anyone}`"
                    .to_owned(),
            );
        }
        if for_app && !api.app_token {
            return refused(format!("the api `{name}` has no tokens without a user: configure `apis.{name}.app_token: true`"));
        }
        let (may, switch) = if asked.for_user { (api.overrides, "overrides") } else { (api.app_overrides, "app_overrides") };
        if !may && overrides.has_any(asked.for_user) {
            return refused(format!(
                "the api `{name}` lets requests say no `optionsOverride`: configure `apis.{name}.{switch}: true`"
            ));
        }
        match overrides.managed_identity {
            Some(id) if !is_id_of(app, id) => refused(format!(
                "`optionsOverride.AcquireTokenOptions.ManagedIdentity.UserAssignedClientId` is no id of the app of this api: list it \
                 in `apps.{}.managed_identity_ids`",
                app.name
            )),
            _ => Ok(()),
        }
    }
}

/// Whether a managed identity's id is one of the app's.
fn is_id_of(app: &App, id: &str) -> bool {
    app.client_id.eq_ignore_ascii_case(id) || app.managed_identity_ids.iter().any(|known| known.eq_ignore_ascii_case(id))
}
