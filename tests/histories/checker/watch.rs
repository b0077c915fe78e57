//! What is looked at beside the requests: what the authority was asked, what processes use, what stands in Redis, and whether the
//! machine is fast enough to say anything at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{RedisError, cmd};
use serde_json::Value;

use super::history::{Call, Family, Key, Millis, Sample, Store, What};
use super::stage::{Machines, Stage};
use crate::support::redis::Admin;

/// A pause of this process that is longer is noted.
const LATE: Millis = 400;
const PULSE: Duration = Duration::from_millis(20);

/// Notes when this process does not get its turn.
pub(super) async fn pulse(stage: Arc<Stage>, stopped: Arc<AtomicBool>) {
    while !stopped.load(Ordering::Relaxed) {
        let begin = stage.now();
        tokio::time::sleep(PULSE).await;
        let took = stage.now() - begin;
        if took > LATE {
            stage.note(What::Machine, format!("this process stood still for {took} ms"), begin);
        }
    }
}

/// The calls of the authority, read as they come: it forgets the oldest.
pub(super) async fn calls(stage: Arc<Stage>, stopped: Arc<AtomicBool>) -> Vec<Call> {
    let (mut calls, mut last) = (Vec::new(), 0);
    loop {
        let ends = stopped.load(Ordering::Relaxed);
        let answer = stage.emulator.client.get(&format!("/_emulator/requests?after={last}")).await;
        for request in answer.json.as_array().into_iter().flatten() {
            last = request["seq"].as_u64().unwrap_or(last);
            calls.extend(call(&stage, request));
        }
        if ends {
            return calls;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn call(stage: &Stage, request: &Value) -> Option<Call> {
    if request["endpoint"] != "token" {
        return None;
    }
    let form = |name: &str| request["form"][name].as_str();
    let key = match request["grant_type"].as_str()? {
        "client_credentials" => Key::App(form("scope")?.to_owned()),
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
            Key::Obo(stage.bearers.iter().position(|bearer| Some(bearer.as_str()) == form("assertion"))?)
        }
        _ => return None,
    };
    Some(Call { at: moment(stage, &request["at"]), key })
}

/// A time of the authority's as one of the run.
fn moment(stage: &Stage, at: &Value) -> Millis {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds since 1970 fit, and are positive")]
    let millis = (at.as_f64().unwrap_or_default() * 1_000.0) as u64;
    millis.saturating_sub(stage.epoch)
}

/// The sign-ins of which a refresh token was ever sent.
pub(super) async fn families(stage: &Stage) -> Vec<Family> {
    let numbers: BTreeMap<_, _> = (0..stage.plan.accounts).map(|number| (Stage::account(number), number)).collect();
    let answer = stage.emulator.client.get("/_emulator/families").await;
    let family = |family: &Value| {
        let redemptions = family["redemptions"].as_array()?.iter();
        Some(Family {
            sid: family["sid"].as_str()?.to_owned(),
            account: *numbers.get(family["username"].as_str()?)?,
            redemptions: redemptions.map(|one| (moment(stage, &one["at"]), one["reused"] == true)).collect(),
        })
    };
    answer.json.as_array().into_iter().flatten().filter_map(family).collect()
}

/// What each process uses now, where `/proc` says it.
pub(super) fn samples(stage: &Stage, machines: &Machines) -> Vec<Sample> {
    let sample = |replica| {
        let folder = format!("/proc/{}", machines.fleet.pid(replica));
        let status = std::fs::read_to_string(format!("{folder}/status")).ok()?;
        let kilobytes: u64 =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches(" kB").parse().ok()?;
        let descriptors = std::fs::read_dir(format!("{folder}/fd")).ok()?.count();
        Some(Sample { at: stage.now(), replica, memory: kilobytes * 1_024, descriptors })
    };
    (0..stage.plan.replicas).filter_map(sample).collect()
}

/// What stands in each server that takes writes.
pub(super) async fn stores(stage: &Stage, machines: &mut Machines) -> Vec<Store> {
    let mut stores = Vec::new();
    for master in machines.backend.masters().await {
        stores.extend(store(stage, machines.backend.nodes()[master].admin()).await);
    }
    stores
}

async fn store(stage: &Stage, admin: &Admin) -> Result<Store, RedisError> {
    let (connections, names) = (admin.clients().await?.len(), admin.keys().await?);
    let mut connection = admin.connect().await?;
    let mut without_end = Vec::new();
    for name in &names {
        let left: i64 = cmd("PTTL").arg(name).query_async(&mut connection).await?;
        // -2: it has ended since.
        if left == -1 {
            without_end.push(name.clone());
        }
    }
    Ok(Store { at: stage.now(), connections, keys: names.len(), without_end })
}
