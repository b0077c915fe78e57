//! The doors of clients that ask for a managed identity's token: as Azure App Service gives it, and as the instance metadata
//! service does. Either is a token for the app itself, by client credentials.

use std::borrow::Cow;

use super::super::fault::{Fault, FaultKind};
use super::super::members::ScopeList;
use super::{DoorInput, FlowCall, IdentityRequest, ManagedIdentity, text};
use crate::caller::Beyond;
use crate::flow::{Common, NamedApp, Request};

/// The one version of App Service's protocol that is served.
const APP_SERVICE: &str = "2019-08-01";

/// The one version of the instance metadata service's.
const IMDS: &str = "2018-02-01";

/// `GET /msi/token`.
pub(in crate::http) fn app_service<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    call(given, APP_SERVICE, None)
}

/// `GET /metadata/identity/oauth2/token`.
pub(in crate::http) fn imds<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    // What a proxy or a browser that was tricked into asking cannot send.
    if !given.head.has_metadata {
        return Err(invalid("the header `Metadata: true` is missing"));
    }
    if given.head.is_forwarded {
        let detail = "the request came through a proxy (`X-Forwarded-For`, `Forwarded` or `Via`): ask tokend directly";
        return Err(Fault::new(FaultKind::ForwardedHeader, detail));
    }
    let settings =
        given.settings.imds.as_ref().ok_or_else(|| {
            Fault::new(FaultKind::NotFound, "the instance metadata route is not served: configure `msi.imds` for it")
        })?;
    call(given, IMDS, Some(&settings.apps))
}

fn call<'a>(given: &'a DoorInput<'_>, version: &'static str, among: Option<&'a [String]>) -> Result<FlowCall<'a>, Fault> {
    let members = &given.members;
    if text(&members.api_version) != Some(version) {
        return Err(invalid(format!("`api-version` is missing or another one: only `{version}` is served here")));
    }
    let resource = text(&members.resource).ok_or_else(|| {
        invalid("`resource` is missing: name what the token is for by its App ID URI, such as https://vault.azure.net")
    })?;
    if resource.ends_with("/.default") {
        return Err(invalid("`resource` ends in `/.default`, which is a scope's: name the resource alone"));
    }
    let list = ScopeList::of_text(&format!("{resource}/.default"));
    if list.fault().is_some() || resource.contains(|c: char| c.is_ascii_whitespace()) {
        return Err(invalid("`resource` has characters that no App ID URI has"));
    }
    let ids = [&members.mi_res_id, &members.msi_res_id, &members.object_id, &members.principal_id];
    let ids = ids.into_iter().filter_map(|member| text(member).map(NamedApp::ManagedIdentity));
    let mut named = text(&members.client_id).map(NamedApp::ClientId).into_iter().chain(ids);
    let client = match (named.next(), named.next()) {
        (None, _) => NamedApp::Only,
        (Some(client), None) => client,
        (Some(_), Some(_)) => {
            return Err(invalid(
                "the identity is named twice: give one of `client_id`, `mi_res_id`, `object_id` and `principal_id`",
            ));
        }
    };
    let common = Common {
        client: Some(client),
        finds_api: true,
        beyond: Beyond::Nothing,
        scopes: list.into_scopes(),
        access_token_sha256: text(&members.token_sha256_to_refresh),
        ..Common::default()
    };
    let asked = ManagedIdentity { resource: Cow::Borrowed(resource) };
    Ok(FlowCall::ManagedIdentity(Box::new(IdentityRequest { request: Request::ClientCredentials(common), asked, among })))
}

fn invalid(detail: impl Into<Cow<'static, str>>) -> Fault {
    Fault::new(FaultKind::InvalidRequest, detail)
}
