//! `callers`: who may ask, and for what.

use std::collections::BTreeMap;

use super::apps::entries;
use super::report::Report;
use super::scalar::List;
use super::shape::join;
use super::{name, raw, source};
use crate::caller::{AccountRights, CallerProof, DOORS, INTROSPECT, Rights, Settings};
use crate::finding::Complaint;
use crate::flow::flow_names;

/// The names that rights are given by, the broken entries included.
pub(super) struct KnownNames<'a> {
    pub(super) apps: &'a [String],
    pub(super) apis: &'a [String],
}

/// Reads all callers.
pub(super) fn callers(
    raw: Option<Vec<Option<raw::Caller>>>,
    known: &KnownNames<'_>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Vec<Settings> {
    let mut all: Vec<Settings> = Vec::new();
    for (index, raw) in raw.unwrap_or_default().into_iter().enumerate() {
        let (path, Some(raw)) = (format!("callers[{index}]"), raw) else { continue };
        let Some(caller) = caller(&path, raw, known, environment, report) else { continue };
        if all.iter().any(|other| other.name == caller.name) {
            let problem = Complaint::new(
                "another caller has this name",
                "give each caller a name of its own: its accounts are kept under it",
            );
            report.error(&join(&path, "name"), problem);
        }
        all.push(caller);
    }
    all
}

fn caller(
    path: &str,
    raw: raw::Caller,
    known: &KnownNames<'_>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<Settings> {
    let at = |member: &str| join(path, member);
    let name = raw.name.map(|text| text.0);
    match &name {
        None => report
            .missing(&at("name"), Complaint::new("the caller has no name", "write one, of lower-case letters, digits and `-`")),
        Some(name) if !name::is_valid(name) => {
            let reason = "the name is empty or has characters that names do not have";
            report.error(
                &at("name"),
                Complaint::new(reason, "use lower-case letters, digits and `-`, and begin with a letter or digit"),
            );
        }
        Some(_) => {}
    }
    if raw.token.is_none() {
        let remedy = "write `token: {file: /run/secrets/…}`: a file with one token per line, of 22 characters at least";
        report.missing(&at("token"), Complaint::new("the caller has no token", remedy));
    }
    let token = raw.token.and_then(|place| source::source(&at("token"), place, environment, report));
    let of = |known: &[String], text: &str| known.iter().any(|name| name == text).then(|| text.to_owned());
    let apps = listed(&at("apps"), raw.apps, report, |text| {
        of(known.apps, text).ok_or_else(|| Complaint::new("no app has this name", "write the name of an app under `apps`"))
    });
    let apis = listed(&at("apis"), raw.apis, report, |text| {
        of(known.apis, text).ok_or_else(|| Complaint::new("no api has this name", "write the name of an api under `apis`"))
    });
    let flows = listed(&at("flows"), raw.flows, report, |text| {
        let known = || flow_names().chain([INTROSPECT]);
        let remedy = || format!("write one of: {}", known().collect::<Vec<_>>().join(", "));
        known().find(|name| *name == text).ok_or_else(|| Complaint::new("no flow has this name", remedy()))
    });
    let doors = listed(&at("doors"), raw.doors, report, |text| {
        let remedy = || format!("write one of: {}", DOORS.join(", "));
        DOORS.into_iter().find(|name| *name == text).ok_or_else(|| Complaint::new("no door has this name", remedy()))
    });
    let accounts = raw.accounts.map_or(AccountRights::Own, |scalar| scalar.0);
    // Without a name there is a finding, and its file is looked at all the same.
    let name = name.unwrap_or_else(|| path.to_owned());
    let doors = doors.unwrap_or_else(|| vec!["rest"]);
    Some(Settings { name, proof: CallerProof::Token(token?), rights: Rights { apps, apis, flows, doors, accounts } })
}

/// A list of names. An empty one would allow nothing at all, and is more often meant to allow everything.
fn listed<T>(
    path: &str,
    raw: Option<List>,
    report: &mut Report<'_>,
    read: impl Fn(&str) -> Result<T, Complaint>,
) -> Option<Vec<T>> {
    let list = entries(path, Some(raw?));
    if list.is_empty() {
        report.missing(
            path,
            Complaint::new(
                "the list is empty, and would allow nothing",
                "list what is allowed, or remove the key: then what is usual is",
            ),
        );
    }
    Some(list.iter().filter_map(|(key, text)| report.take(key, read(text))).collect())
}
