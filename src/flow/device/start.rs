//! The start of a device flow (RFC 8628 §3.1): the authority's codes, and ours in place of its device code.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::code::{DeviceCodeRecord, MOST_ASKED};
use crate::authority::BegunDevice;
use crate::caller::Caller;
use crate::flow::app::App;
use crate::flow::catalogue::Flow;
use crate::flow::handle::HandleAsked;
use crate::flow::members::{self, ClaimsMember};
use crate::flow::refusal::{Refusal, RefusalKind};
use crate::flow::request::{Call, Common, DeviceAuthorization};
use crate::flow::spine::failure::unavailable;
use crate::flow::spine::{Beginning, device};
use crate::flow::state::FlowState;
use crate::oauth::Form;
use crate::source::ClientProof;
use crate::token::{Scopes, Turn};

/// What metrics and spans call the call to the authority.
const PURPOSE: &str = "device_authorization";

/// Begins a device flow for a caller.
pub(in crate::flow) async fn start(
    state: &FlowState,
    app: &Arc<App>,
    (caller, call): (Caller, Call),
    common: &Common<'_>,
    has_openid: bool,
) -> Result<DeviceAuthorization, Arc<Refusal>> {
    let scopes = members::scopes(state, common)?;
    members::user_target(app, common, scopes)?;
    let claims = ClaimsMember::read(common)?;
    let tenant = app.tenant(common.tenant)?;
    fits(scopes, common)?;
    // Before the authority is asked: without a key there is nothing to hand out.
    state.cache.handles().ready().await.map_err(unavailable)?;
    let variant = app.usual.variant_of(&claims.variant(app, common, tenant.as_ref()));
    let beginning = Beginning {
        flow: Flow::DeviceCode,
        app,
        call,
        tenant: tenant.as_ref(),
        client: client(app),
        form: form(app, scopes, common, claims.merged(app)),
        scopes,
        variant: &variant,
        challenge: claims.challenge(),
    };
    let begun = device(state, &beginning).await?.ok_or_else(not_available)?;
    let record = DeviceCodeRecord {
        id: rand::random(),
        space: *app.space_of(caller).id(),
        caller: state.caller_name(caller),
        app: app.name.clone(),
        api: common.api.map(str::to_owned),
        asked: HandleAsked::of(scopes, common),
        claims: common.claims.map(str::to_owned),
        client_claims: common.client_claims.map(str::to_owned),
        has_openid,
        ends: state.clock.unix().saturating_add(begun.expires_in),
        interval: begun.interval,
        code: begun.device_code.expose().to_owned(),
        more: BTreeMap::new(),
    };
    let code = record.seal(state.cache.handles(), state.clock.unix()).ok_or_else(unsealed)?;
    let BegunDevice { user_code, verification_uri, verification_uri_complete, expires_in, interval, message, .. } = begun;
    let message =
        message.unwrap_or_else(|| format!("To sign in, open the page {verification_uri} and enter the code {user_code}."));
    let device_code = code.expose().to_owned();
    Ok(DeviceAuthorization { device_code, user_code, verification_uri, verification_uri_complete, expires_in, interval, message })
}

/// As whom it is asked: where a device is a public client by its kind, a start never has a credential (REQ-6).
fn client(app: &App) -> ClientProof {
    if app.authority.profile().public_devices { ClientProof::Public } else { app.device_client }
}

fn form(app: &App, scopes: &Scopes, common: &Common<'_>, claims: Option<String>) -> Form {
    Form::of_call(PURPOSE)
        .with("scope", members::sign_in_scopes(app, scopes).to_string())
        .with_some("audience", common.audience)
        .with_some("resource", common.resource)
        .with_some("claims", claims)
}

/// Whether what is asked for fits into a device code beside the authority's.
fn fits(scopes: &Scopes, common: &Common<'_>) -> Result<(), Refusal> {
    let texts = [common.audience, common.resource, common.tenant, common.claims, common.client_claims];
    let length = scopes.to_string().len() + texts.iter().flatten().map(|text| text.len()).sum::<usize>();
    if length > MOST_ASKED {
        let detail = format!(
            "`scopes`, `audience`, `resource`, `tenant`, `claims` and `client_claims` come to more than {MOST_ASKED} bytes, \
             which no device code has room for: ask for less"
        );
        return Err(Refusal::member(detail));
    }
    Ok(())
}

fn not_available() -> Refusal {
    let detail = "the app's authority has no device flow, or its metadata names no `device_authorization_endpoint`";
    Refusal::new(Turn::Rights, RefusalKind::FlowNotAvailable, detail)
}

fn unsealed() -> Refusal {
    let detail = "there is no key to seal the device code with, or the code would be too long";
    Refusal::new(Turn::Unavailable, RefusalKind::InternalError, detail)
}
