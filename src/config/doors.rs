//! `doors`, `public_url` and `msi`: what kinds of clients are served beside those of the REST API, and with what.

use std::collections::BTreeMap;

use super::apis::web_url;
use super::apps::entries;
use super::report::Report;
use super::scalar::{List, Text};
use super::shape::join;
use super::{raw, source};
use crate::caller;
use crate::finding::Complaint;
use crate::flow;
use crate::http::{ClientDoor, DoorSettings, ImdsSettings};
use crate::reload::Source;

/// What else decides how doors are served.
pub(super) struct DoorContext<'a> {
    pub(super) apps: &'a [flow::AppSettings],
    pub(super) callers: &'a [caller::Settings],
}

/// Reads what doors are open and what they need. The second value: what clients of a managed identity show where there are no
/// callers.
pub(super) fn doors(
    doors: Option<List>,
    public_url: Option<Text>,
    msi: Option<raw::Msi>,
    known: &DoorContext<'_>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> (DoorSettings, Option<Source>) {
    let open = open(doors, report);
    if open.contains(&ClientDoor::OAuth2) && known.callers.is_empty() {
        let reason = "without `callers`, whoever reaches the token listener may redeem a refresh token that it was answered with";
        report.warning("doors", Complaint::new(reason, "configure `callers`, or keep those tokens as secrets"));
    }
    let public_url = public_url.and_then(|text| report.take("public_url", self::public_url(&text.0)));
    if public_url.is_some() && !open.contains(&ClientDoor::OAuth2) {
        pointless("public_url", "oauth2", report);
    }
    let raw::Msi { secret, imds } = msi.unwrap_or_default();
    let has_msi = open.contains(&ClientDoor::Msi);
    if (secret.is_some() || imds.is_some()) && !has_msi {
        pointless("msi", "msi", report);
    }
    if secret.is_some() && !known.callers.is_empty() {
        let problem = Complaint::new(
            "it has no effect where there are `callers`: a client shows its caller's token",
            "remove it, and give the client a token of its caller's",
        );
        report.warning("msi.secret", problem);
    }
    if has_msi && secret.is_none() && known.callers.is_empty() && imds.is_none() {
        let remedy = "write `secret: {file: /run/secrets/…}`, as `tokend caller-token new` makes one, or configure `callers`";
        report.missing("msi.secret", Complaint::new("there is nothing that clients of a managed identity could show", remedy));
    }
    let secret = secret.and_then(|place| source::source("msi.secret", place, environment, report));
    let imds = imds.map(|raw| self::imds(raw, known, report));
    (DoorSettings { open, public_url, imds }, secret)
}

/// Says of apps what the doors make wrong: one that is called as another one's client id could be either.
pub(super) fn ambiguous(apps: &[flow::AppSettings], report: &mut Report<'_>) {
    for app in apps {
        if let Some(other) = apps.iter().find(|other| other.name != app.name && other.client_id == app.name) {
            let reason = format!("the app is called as the client id of the app `{}` is: clients name apps by either", other.name);
            report.error(&join("apps", &app.name), Complaint::new(reason, "give it another name"));
        }
    }
}

fn open(raw: Option<List>, report: &mut Report<'_>) -> Vec<ClientDoor> {
    let mut open = vec![ClientDoor::Rest];
    for (key, text) in entries("doors", raw) {
        let remedy = || format!("write some of: {}", ClientDoor::ALL.map(ClientDoor::as_str).join(", "));
        let door = ClientDoor::of(&text).ok_or_else(|| Complaint::new("there is no door of this name", remedy()));
        if let Some(door) = report.take(&key, door)
            && !open.contains(&door)
        {
            open.push(door);
        }
    }
    open
}

fn public_url(text: &str) -> Result<String, Complaint> {
    let remedy = "write scheme, host and port only: https://tokens.example";
    let url = web_url(text)?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !is_bare || !url.username().is_empty() || url.password().is_some() {
        return Err(Complaint::new("path, query, fragment, user and password do not belong in it", remedy));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn imds(raw: raw::Imds, known: &DoorContext<'_>, report: &mut Report<'_>) -> ImdsSettings {
    let path = "msi.imds";
    let list = entries(&join(path, "apps"), raw.apps);
    if list.is_empty() {
        let remedy = "list the apps whose tokens whoever reaches tokend may have: [default]";
        report.missing(&join(path, "apps"), Complaint::new("no app is listed, so that nobody would be served", remedy));
    }
    let is_app = |text: &str| {
        let found = known.apps.iter().any(|app| app.name == text);
        found
            .then(|| text.to_owned())
            .ok_or_else(|| Complaint::new("no app has this name", "write the name of an app under `apps`"))
    };
    let apps: Vec<String> = list.iter().filter_map(|(key, text)| report.take(key, is_app(text))).collect();
    let at = join(path, "caller");
    let caller = raw.caller.and_then(|text| {
        let place = known.callers.iter().position(|caller| caller.name == text.0);
        let problem = || Complaint::new("no caller has this name", "write the name of one under `callers`");
        report.take(&at, place.ok_or_else(problem))
    });
    if caller.is_none() && !known.callers.is_empty() {
        report.missing(&at, Complaint::new("it is not said which caller asks there", "write the name of one under `callers`"));
    }
    let problem = Complaint::new(
        "whoever reaches the token listener gets these apps' tokens: clients of the instance metadata service can show no secret",
        "keep it to a Pod or a machine of one workload, or use `/msi/token`",
    );
    report.warning(path, problem);
    ImdsSettings { apps, caller }
}

fn pointless(path: &str, door: &str, report: &mut Report<'_>) {
    report.warning(
        path,
        Complaint::new("it has no effect while its door is closed", format!("add `{door}` to `doors`, or remove it")),
    );
}
