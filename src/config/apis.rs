//! `apis`: the named downstream APIs.

use url::Url;

use super::apps::{entries, entry_path, scopes};
use super::report::Report;
use super::scalar::{List, Scalar, Text};
use super::shape::join;
use super::{raw, source};
use crate::finding::Complaint;
use crate::flow;

/// A door that serves apis in a later release.
const LATER: &str = "downstream";

/// Headers that no claim fills, because they mean something to the proxy, to the application or to tokend.
const RESERVED: [&str; 34] = [
    "authorization",
    "www-authenticate",
    "cookie",
    "set-cookie",
    "host",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "transfer-encoding",
    "cache-control",
    "pragma",
    "expires",
    "age",
    "etag",
    "last-modified",
    "vary",
    "date",
    "location",
    "refresh",
    "link",
    "retry-after",
    "server",
    "via",
    "forwarded",
    "origin",
    "referer",
    "strict-transport-security",
    "traceparent",
    "tracestate",
    "x-real-ip",
    "x-http-method-override",
    "x-correlation-id",
];

/// What the names of others begin with, tokend's own among them.
const FAMILIES: [&str; 9] =
    ["x-tokend-", "access-control-", "content-", "proxy-", "sec-", "x-accel-", "x-original-", "x-rewrite-", "x-forwarded-"];

/// Those of such a family that say who a user is, by the custom of other proxies.
const OF_USERS: [&str; 5] =
    ["x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username", "x-forwarded-roles"];

/// What an api has for proxies, as it is written.
struct Proxied {
    identity: Option<Scalar<flow::ApiIdentity>>,
    exchange: Option<Scalar<bool>>,
    headers: Option<raw::Entries<Text>>,
}

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
    let written = Proxied { identity: raw.identity, exchange: raw.exchange, headers: raw.identity_headers };
    let proxied = proxied(&path, written, &doors, report);
    let only_judged = !proxied.exchange && doors == [flow::ApiDoor::AuthRequest];
    if scopes.is_empty() && audience.is_none() && resource.is_none() && !only_judged {
        report.missing(&at, Complaint::new("the api has no scopes", "list what a token for it has to grant: [User.Read]"));
    }
    let base_url = raw.base_url.and_then(|text| report.take(&join(&path, "base_url"), base_url(&text.0)));
    let on = |switch: Option<Scalar<bool>>| switch.is_some_and(|scalar| scalar.0);
    let (overrides, app_overrides, app_token) = (on(raw.overrides), on(raw.app_overrides), on(raw.app_token));
    let of_sidecar = [("overrides", overrides), ("app_overrides", app_overrides), ("app_token", app_token)];
    if !doors.contains(&flow::ApiDoor::MsSidecar) {
        for (member, _) in of_sidecar.into_iter().filter(|(_, on)| *on) {
            without_effect(&join(&path, member), flow::ApiDoor::MsSidecar, report);
        }
    } else if app_overrides && !app_token {
        let problem = Complaint::new(
            "it has no effect: no request without a user gets a token for this api",
            "add `app_token: true`, or remove it",
        );
        report.warning(&join(&path, "app_overrides"), problem);
    }
    flow::ApiSettings { name, app, scopes, audience, resource, doors, base_url, overrides, app_overrides, app_token, ..proxied }
}

/// What an api says to proxies that ask whether a request may pass; the other settings are left to the caller.
fn proxied(path: &str, written: Proxied, doors: &[flow::ApiDoor], report: &mut Report<'_>) -> flow::ApiSettings {
    let Proxied { identity, exchange, headers } = written;
    if !doors.contains(&flow::ApiDoor::AuthRequest) {
        let given = [("identity", identity.is_some()), ("exchange", exchange.is_some()), ("identity_headers", headers.is_some())];
        for (member, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            without_effect(&join(path, member), flow::ApiDoor::AuthRequest, report);
        }
    }
    let identity = identity.map(|scalar| scalar.0).unwrap_or_default();
    let exchange = exchange.is_none_or(|scalar| scalar.0);
    let at = join(path, "identity_headers");
    let identity_headers: Vec<(String, String)> =
        headers.unwrap_or_default().into_iter().filter_map(|(name, claim)| identity_header(&at, &name, claim, report)).collect();
    for (index, (name, _)) in identity_headers.iter().enumerate() {
        if identity_headers.iter().take(index).any(|(other, _)| other == name) {
            report.error(&at, Complaint::new(format!("`{name}` stands twice: the case of headers says nothing"), "remove one"));
        }
    }
    if identity == flow::ApiIdentity::App {
        let no_user = "with `identity: app` no user's token is looked at";
        if !exchange {
            let problem = Complaint::new(format!("{no_user}, so that there is nothing to judge"), "remove one of the two");
            report.error(&join(path, "exchange"), problem);
        }
        if !identity_headers.is_empty() {
            let problem = Complaint::new(format!("{no_user}, so that there are no claims"), "remove one of the two");
            report.error(&at, problem);
        }
    }
    flow::ApiSettings { identity, exchange, identity_headers, ..flow::ApiSettings::default() }
}

/// One of `identity_headers`: a header's name in lower case, and a claim.
fn identity_header(path: &str, name: &str, claim: Option<Text>, report: &mut Report<'_>) -> Option<(String, String)> {
    let remedy = "write a header's name and a claim's, such as `x-user-id: oid`";
    let lower = name.to_ascii_lowercase();
    // What proxies fold into `_`, or take for a separator of headers, is no name that reaches an application as it was written.
    let is_name = !lower.is_empty() && lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_name {
        let reason = "a header's name has letters, digits and `-` only";
        report.error(&join(path, super::name::shown(name)), Complaint::new(reason, remedy));
        return None;
    }
    let at = join(path, &lower);
    let is_of_family = FAMILIES.iter().any(|family| lower.starts_with(family)) && !OF_USERS.contains(&&*lower);
    if RESERVED.contains(&&*lower) || is_of_family {
        let reason = "this header means something else to the proxy, to the application or to tokend";
        report.error(&at, Complaint::new(reason, "name another one, such as `x-user-id`"));
        return None;
    }
    let claim = source::filled(&at, claim.unwrap_or_else(|| Text(String::new())), report)?;
    Some((lower, claim))
}

fn without_effect(path: &str, door: flow::ApiDoor, report: &mut Report<'_>) {
    let remedy = format!("add `{}` to the api's `doors`, or remove it", door.as_str());
    report.warning(path, Complaint::new("it has no effect: the api is not served at that door", remedy));
}

/// Reads `apis.*.doors`.
fn served_at(path: &str, raw: Option<List>, report: &mut Report<'_>) -> Vec<flow::ApiDoor> {
    let mut doors = Vec::new();
    for (key, text) in entries(path, raw) {
        if text == LATER {
            let problem = Complaint::new("this release has no such door yet", "remove it, or leave it for the release that has it");
            report.warning(&key, problem);
            continue;
        }
        let remedy = || format!("write one of: {}", flow::ApiDoor::ALL.map(flow::ApiDoor::as_str).join(", "));
        let door = flow::ApiDoor::ALL.into_iter().find(|door| door.as_str() == text);
        let door = door.ok_or_else(|| Complaint::new("no door serves named apis under this name", remedy()));
        if let Some(door) = report.take(&key, door)
            && !doors.contains(&door)
        {
            doors.push(door);
        }
    }
    doors
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
