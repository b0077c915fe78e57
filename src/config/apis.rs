//! `apis`: the named downstream APIs.

use url::Url;

use super::apps::{entries, entry_path, scopes};
use super::report::Report;
use super::scalar::{List, Scalar, Text};
use super::shape::join;
use super::{raw, source};
use crate::finding::Complaint;
use crate::flow;

/// The doors at which an api is served only where it says so. None of this release's doors is one of them.
const OF_APIS: [&str; 3] = ["auth_request", "ms_sidecar", "downstream"];

/// Reads all apis; `apps` are the names that the configuration defines, the broken ones included.
pub(super) fn apis(raw: Option<raw::Entries<raw::Api>>, apps: &[String], report: &mut Report<'_>) -> Vec<flow::ApiSettings> {
    raw.unwrap_or_default().into_iter().map(|(name, raw)| api(name, raw.unwrap_or_default(), apps, report)).collect()
}

fn api(name: String, raw: raw::Api, apps: &[String], report: &mut Report<'_>) -> flow::ApiSettings {
    let path = entry_path("apis", &name, report);
    let app = raw.app.and_then(|app| {
        let path = join(&path, "app");
        let app = source::filled(&path, app, report)?;
        if !apps.contains(&app) {
            report.error(&path, Complaint::new("no app has this name", "write the name of an app under `apps`"));
        }
        Some(app)
    });
    let at = join(&path, "scopes");
    let scopes = scopes(&at, raw.scopes, report);
    let named = |member: &str, raw: Option<Text>, report: &mut Report<'_>| {
        raw.and_then(|text| source::filled(&join(&path, member), text, report))
    };
    let audience = named("audience", raw.audience, report);
    let resource = named("resource", raw.resource, report);
    let doors = served_at(&join(&path, "doors"), raw.doors, report);
    if scopes.is_empty() && audience.is_none() && resource.is_none() {
        report.missing(&at, Complaint::new("the api has no scopes", "list what a token for it has to grant: [User.Read]"));
    }
    let base_url = raw.base_url.and_then(|text| report.take(&join(&path, "base_url"), base_url(&text.0)));
    let on = |switch: Option<Scalar<bool>>| switch.is_some_and(|scalar| scalar.0);
    flow::ApiSettings {
        name,
        app,
        scopes,
        audience,
        resource,
        doors,
        base_url,
        overrides: on(raw.overrides),
        app_token: on(raw.app_token),
    }
}

/// Reads `apis.*.doors`.
fn served_at(path: &str, raw: Option<List>, report: &mut Report<'_>) -> Vec<String> {
    let list = entries(path, raw);
    let known = |text: &str| {
        let remedy = || format!("write one of: {}", OF_APIS.join(", "));
        OF_APIS
            .contains(&text)
            .then(|| text.to_owned())
            .ok_or_else(|| Complaint::new("no door serves named apis under this name", remedy()))
    };
    let named: Vec<(String, String)> =
        list.iter().filter_map(|(key, text)| Some((key.clone(), report.take(key, known(text))?))).collect();
    for (key, _) in &named {
        report.warning(
            key,
            Complaint::new("this release has no such door yet", "remove it, or leave it for the release that has it"),
        );
    }
    named.into_iter().map(|(_, name)| name).collect()
}

fn base_url(text: &str) -> Result<Url, Complaint> {
    let remedy = "write scheme, host and path only: https://graph.microsoft.com/v1.0";
    let url = web_url(text)?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(Complaint::new("user, password, query and fragment do not belong in it", remedy));
    }
    Ok(url)
}

/// An absolute URL of http or https.
pub(super) fn web_url(text: &str) -> Result<Url, Complaint> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    url.ok_or_else(|| Complaint::new("it is no http or https URL", "write https://HOST/…"))
}
