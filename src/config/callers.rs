//! `callers`: who may ask, and for what.

use super::apps::listed;
use super::proofs::{self, Surroundings};
use super::report::Report;
use super::shape::join;
use super::{name, raw};
use crate::caller::{AccountRights, DOORS, INTROSPECT, Rights, Settings};
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
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Vec<Settings> {
    let mut all: Vec<(String, Settings)> = Vec::new();
    for (index, raw) in raw.unwrap_or_default().into_iter().enumerate() {
        let (path, Some(raw)) = (format!("callers[{index}]"), raw) else { continue };
        let Some(caller) = caller(&path, raw, known, around, report) else { continue };
        all.push((path, caller));
    }
    unique_names(&all, report);
    proofs::unique(&all, around, report);
    all.into_iter().map(|(_, caller)| caller).collect()
}

/// What is kept under a name is one caller's.
fn unique_names(all: &[(String, Settings)], report: &mut Report<'_>) {
    const REMEDY: &str = "give each caller names of its own: its accounts are kept under them";
    for (index, (path, caller)) in all.iter().enumerate() {
        let before = || all.iter().take(index).map(|(_, other)| other);
        if before().any(|other| other.name == caller.name) {
            let problem = Complaint::new("another caller has this name", REMEDY);
            report.error(&join(path, "name"), problem);
        }
        for (at, former) in caller.former_names.iter().enumerate() {
            let others = || all.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, (_, other))| other);
            let reason = if *former == caller.name || caller.former_names.iter().take(at).any(|other| other == former) {
                "the caller has this name anyway"
            } else if others().any(|other| other.name == *former) {
                "another caller has this name"
            } else if before().any(|other| other.former_names.contains(former)) {
                "another caller had this name"
            } else {
                continue;
            };
            report.error(&format!("{}[{at}]", join(path, "former_names")), Complaint::new(reason, REMEDY));
        }
    }
}

fn caller(
    path: &str,
    raw: raw::Caller,
    known: &KnownNames<'_>,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<Settings> {
    let at = |member: &str| join(path, member);
    let proof = proofs::proof(
        path,
        proofs::RawProofs { token: raw.token, jwt: raw.jwt, certificate: raw.certificate, peer: raw.peer, listener: raw.listener },
        around,
        report,
    );
    let name = raw.name.map(|text| text.0);
    match &name {
        None => report
            .missing(&at("name"), Complaint::new("the caller has no name", "write one, of lower-case letters, digits and `-`")),
        Some(name) if !name::is_valid(name) => report.error(&at("name"), no_name()),
        Some(_) => {}
    }
    let former_names = listed(&at("former_names"), raw.former_names, report, |text| {
        Some(text).filter(|text| name::is_valid(text)).map(str::to_owned).ok_or_else(no_name)
    });
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
    let rights = Rights { apps, apis, flows, doors: doors.unwrap_or_else(|| vec!["rest"]), accounts };
    Some(Settings { name, former_names: former_names.unwrap_or_default(), proof: proof?, rights })
}

fn no_name() -> Complaint {
    let reason = "the name is empty or has characters that names do not have";
    Complaint::new(reason, "use lower-case letters, digits and `-`, and begin with a letter or digit")
}
