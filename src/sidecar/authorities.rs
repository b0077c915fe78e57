//! What `/status` tells of each authority: when it last did what it was asked, what failed last, and what is held.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admin::{AuthorityReport, CallErrorReport, HoldReport};
use crate::authority::{Authority, FailedCall, StandingHold};
use crate::caller::Callers;
use crate::clock::{Clock, Moment, iso};
use crate::flow::{App, Service};

/// A report for each authority of these apps, in the order in which they name them, and for each issuer of callers' JWTs.
pub(super) fn authority_reports(service: &Service, apps: &[&Arc<App>], clock: &Clock) -> Vec<AuthorityReport> {
    let mut held = held(service, clock);
    let mut reports: Vec<(&Arc<Authority>, AuthorityReport)> = Vec::new();
    let of_apps = apps.iter().flat_map(|app| app.authorities().map(move |authority| (app, authority)));
    for (app, authority) in of_apps {
        // Apps of one authority share it.
        let index = match reports.iter().position(|(known, _)| Arc::ptr_eq(known, authority)) {
            Some(index) => index,
            None => {
                reports.push((authority, report(authority)));
                reports.len() - 1
            }
        };
        if let Some((_, report)) = reports.get_mut(index) {
            report.apps.push(app.name.clone());
            report.held.extend(held.remove(&app.name).into_iter().flatten());
        }
    }
    let of_callers = service.callers().into_iter().flat_map(|callers| issuer_reports(callers));
    reports.into_iter().map(|(_, report)| report).chain(of_callers).collect()
}

/// A report for each issuer of callers' JWTs.
fn issuer_reports(callers: &Callers) -> Vec<AuthorityReport> {
    let of_one = |(authority, names): (&Arc<Authority>, Vec<&str>)| AuthorityReport {
        callers: names.into_iter().map(str::to_owned).collect(),
        ..report(authority)
    };
    callers.issuers().map(of_one).collect()
}

fn report(authority: &Authority) -> AuthorityReport {
    let record = authority.record();
    let failed = |FailedCall { at, purpose, error, cause }: FailedCall| CallErrorReport {
        at: iso(at),
        purpose,
        error: error.to_owned(),
        cause,
    };
    AuthorityReport {
        authority: authority.address.to_string(),
        last_success: record.succeeded.map(iso),
        last_error: record.failed.map(failed),
        ..AuthorityReport::default()
    }
}

/// What is held now, by app.
fn held(service: &Service, clock: &Clock) -> BTreeMap<String, Vec<HoldReport>> {
    let mut counted: BTreeMap<(Arc<str>, &'static str), (u64, Moment)> = BTreeMap::new();
    for StandingHold { stops, until, app } in service.standing_holds() {
        let (count, last) = counted.entry((app, stops.as_str())).or_insert((0, until));
        (*count, *last) = (*count + 1, until.max(*last));
    }
    let (wall, now) = (clock.wall(), clock.moment());
    let mut held: BTreeMap<String, Vec<HoldReport>> = BTreeMap::new();
    for ((app, stops), (count, until)) in counted {
        let app = app.to_string();
        let report = HoldReport { app: app.clone(), stops: stops.to_owned(), count, until: iso(wall + until.since(now)) };
        held.entry(app).or_default().push(report);
    }
    held
}
