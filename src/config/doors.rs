//! `doors`, `public_url`, `msi` and `ms_sidecar`: what kinds of clients are served beside those of the REST API, and with what.

use std::collections::BTreeMap;

use super::apis::web_url;
use super::apps::entries;
use super::report::Report;
use super::scalar::{List, Text};
use super::shape::join;
use super::{raw, source};
use crate::caller::{self, CallerProof};
use crate::finding::Complaint;
use crate::flow::{self, ApiDoor, ApiIdentity};
use crate::http::{ClientDoor, DoorSettings, ImdsSettings, MsSidecarSettings};
use crate::listen::Address;
use crate::reload::Source;

/// What else decides how doors are served.
pub(super) struct DoorContext<'a> {
    pub(super) apps: &'a [flow::AppSettings],
    pub(super) apis: &'a [flow::ApiSettings],
    pub(super) callers: &'a [caller::Settings],
    pub(super) listen: &'a [Address],
}

/// What is written of them.
pub(super) struct RawDoors {
    pub(super) doors: Option<List>,
    pub(super) public_url: Option<Text>,
    pub(super) msi: Option<raw::Msi>,
    pub(super) ms_sidecar: Option<raw::MsSidecar>,
}

/// Reads what doors are open and what they need. The second value: what clients of a managed identity show where there are no
/// callers.
pub(super) fn doors(
    raw: RawDoors,
    known: &DoorContext<'_>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> (DoorSettings, Option<Source>) {
    let RawDoors { doors, public_url, msi, ms_sidecar } = raw;
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
    let has_sidecar = open.contains(&ClientDoor::MsSidecar);
    if ms_sidecar.is_some() && !has_sidecar {
        pointless("ms_sidecar", "ms_sidecar", report);
    }
    let ms_sidecar = self::ms_sidecar(ms_sidecar.unwrap_or_default(), has_sidecar, known, report);
    served_apis(&open, known, report);
    (DoorSettings { open, public_url, imds, ms_sidecar }, secret)
}

/// Reads `ms_sidecar`.
fn ms_sidecar(raw: raw::MsSidecar, is_open: bool, known: &DoorContext<'_>, report: &mut Report<'_>) -> MsSidecarSettings {
    let app = raw.app.and_then(|text| report.take("ms_sidecar.app", app_named(&text.0, known)));
    let implied = || known.apps.len() == 1 || known.apps.iter().any(|app| app.name == "default");
    if is_open && app.is_none() && !known.apps.is_empty() && !implied() {
        let reason = "there are several apps and none is called `default`, so that it is not said whose tokens `/Validate` takes";
        report.missing("ms_sidecar.app", Complaint::new(reason, "write the name of an app under `apps`"));
    }
    let (at, anyone) = ("ms_sidecar.unauthenticated", raw.unauthenticated.is_some());
    let gives_app_tokens = known.apis.iter().any(|api| api.app_token && api.doors.contains(&ApiDoor::MsSidecar));
    if anyone && !known.callers.is_empty() {
        let remedy = "remove it, and let clients that can send nothing be a caller by `listener` or `peer`";
        report.error(at, Complaint::new("where there are `callers`, every request has to be one's", remedy));
    } else if anyone {
        let widened = known.apis.iter().find(|api| api.app_overrides && api.app_token && api.doors.contains(&ApiDoor::MsSidecar));
        let reason = match widened {
            None => "whoever reaches the token listener gets app tokens for the apis with `app_token`".to_owned(),
            Some(api) => format!(
                "whoever reaches the token listener gets app tokens for the apis with `app_token`, and, as `{}` has `app_overrides`, for \
                 whatever resource and listed tenant they name",
                api.name
            ),
        };
        let remedy = "configure `callers`: one by `listener` or `peer` serves clients that can send nothing";
        report.warning(at, Complaint::new(reason, remedy));
    } else if is_open && gives_app_tokens && known.callers.is_empty() {
        let reason = "nobody is answered at the routes without a user: there are no `callers`";
        let remedy = "configure `callers`, or write `ms_sidecar: {unauthenticated: anyone}`";
        report.warning(at, Complaint::new(reason, remedy));
    }
    if is_open {
        says_what_sidecar_lacks(app.as_deref(), known, report);
    }
    MsSidecarSettings { app, anyone }
}

/// Says what of the routes of Microsoft's sidecar cannot work, or means something else than elsewhere.
fn says_what_sidecar_lacks(app: Option<&str>, known: &DoorContext<'_>, report: &mut Report<'_>) {
    let named = match app {
        Some(name) => known.apps.iter().find(|known| known.name == name),
        None => only_app(known.apps),
    };
    if let Some(app) = named.filter(|app| app.inbound.is_none()) {
        let reason = format!("`/Validate` refuses every token: the app `{}` accepts none", app.name);
        let remedy = format!("configure `apps.{}.inbound`, or name another app", app.name);
        report.warning("ms_sidecar.app", Complaint::new(reason, remedy));
    }
    for api in known.apis.iter().filter(|api| api.doors.contains(&ApiDoor::MsSidecar)) {
        let path = join("apis", &api.name);
        let of_api = match &api.app {
            Some(name) => known.apps.iter().find(|app| app.name == *name),
            None => named,
        };
        if api.app.is_none() && named.map(|app| &app.name) != only_app(known.apps).map(|app| &app.name) {
            let reason = "without `app` it is the app of `ms_sidecar` there, and another one at every other route";
            report.warning(&path, Complaint::new(reason, "write `app`"));
        }
        if let Some(app) = of_api.filter(|app| app.inbound.is_none() && !api.app_token) {
            let reason = format!(
                "no request gets a token for it: the app `{}` accepts no users' tokens, and `app_token` is not set",
                app.name
            );
            let remedy = format!("configure `apps.{}.inbound`, or `app_token: true`", app.name);
            report.warning(&path, Complaint::new(reason, remedy));
        }
    }
}

/// Says of apis what the doors that serve them make wrong.
fn served_apis(open: &[ClientDoor], known: &DoorContext<'_>, report: &mut Report<'_>) {
    for (door, client) in [(ApiDoor::AuthRequest, ClientDoor::AuthRequest), (ApiDoor::MsSidecar, ClientDoor::MsSidecar)] {
        let mut served = known.apis.iter().filter(|api| api.doors.contains(&door)).peekable();
        if open.contains(&client) && served.peek().is_none() {
            let remedy = format!("add `doors: [{}]` to the apis that are served there", door.as_str());
            report.warning("doors", Complaint::new(format!("no api is served at `{}`", door.as_str()), remedy));
        }
        let has_door = |caller: &caller::Settings| caller.rights.doors.contains(&client.as_str());
        if open.contains(&client) && !known.callers.is_empty() && !known.callers.iter().any(has_door) {
            let reason = format!("no caller may use `{}`", client.as_str());
            let remedy = format!("add it to the `doors` of one of `callers`: `doors: [{}]`", client.as_str());
            report.warning("doors", Complaint::new(reason, remedy));
        }
        for api in served.filter(|_| !open.contains(&client)) {
            pointless(&join(&join("apis", &api.name), "doors"), door.as_str(), report);
        }
    }
    for api in known.apis.iter().filter(|api| api.doors.contains(&ApiDoor::AuthRequest)) {
        let path = join("apis", &api.name);
        if api.identity == ApiIdentity::App && !may_show_itself(known) {
            let reason = "nobody is answered: the app's own token goes to callers that show a token or a certificate, and over a Unix \
                          socket, only";
            let remedy = "configure such a caller with the door `auth_request`, or let tokend listen on a socket";
            report.error(&join(&path, "identity"), Complaint::new(reason, remedy));
        }
        let app = match &api.app {
            Some(name) => known.apps.iter().find(|app| app.name == *name),
            None => only_app(known.apps),
        };
        if let Some(app) = app.filter(|app| api.identity == ApiIdentity::User && app.inbound.is_none()) {
            let reason = format!("a proxy's requests bring users' tokens for the app `{}`, which accepts none", app.name);
            report.missing(&path, Complaint::new(reason, format!("configure `apps.{}.inbound`", app.name)));
        }
    }
}

/// Whether anybody can ask who shows what no web page can.
fn may_show_itself(known: &DoorContext<'_>) -> bool {
    let is_socket = |address: &Address| matches!(address, Address::Unix(_));
    let shows = |proof: &CallerProof| match proof {
        CallerProof::Token(_) | CallerProof::Jwt(_) | CallerProof::Certificate(_) | CallerProof::Peer(_) => true,
        CallerProof::Listener(addresses) => addresses.iter().any(is_socket),
    };
    let may_pass = |caller: &&caller::Settings| caller.rights.doors.contains(&ClientDoor::AuthRequest.as_str());
    if known.callers.is_empty() {
        return known.listen.iter().any(is_socket);
    }
    known.callers.iter().filter(may_pass).any(|caller| shows(&caller.proof))
}

/// The app that is meant where none is named.
fn only_app(apps: &[flow::AppSettings]) -> Option<&flow::AppSettings> {
    match apps {
        [only] => Some(only),
        several => several.iter().find(|app| app.name == "default"),
    }
}

fn app_named(text: &str, known: &DoorContext<'_>) -> Result<String, Complaint> {
    let found = known.apps.iter().any(|app| app.name == text);
    found.then(|| text.to_owned()).ok_or_else(|| Complaint::new("no app has this name", "write the name of an app under `apps`"))
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
    let apps: Vec<String> = list.iter().filter_map(|(key, text)| report.take(key, app_named(text, known))).collect();
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
