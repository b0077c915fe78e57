//! A run: everybody signs in, workers work, faults come and go, and after a last calm the history is looked at.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::deeds;
use super::history::{History, Kind, Millis};
use super::invariants::{Bounds, check};
use super::plan::{Plan, Step, Topology};
use super::report::Report;
use super::stage::{Stage, TIMEOUT};
use super::{watch, work};
use crate::support::Fleet;

/// How much longer than the contract says a machine that has other things to do may take for everything.
const GRACE: Millis = 1_000;
/// After trouble: the pause of a breaker (2 s), what is asked once a second, and the grace.
const SETTLE: Millis = 4_000;
/// What a process may use that was built without optimisation.
const MEMORY: u64 = 256 << 20;
const DESCRIPTORS: usize = 256;
/// For calls, messages, acknowledged writes, and one of each that is being replaced.
const CONNECTIONS: usize = 8;

/// Runs it and looks at what happened.
pub(crate) async fn run(plan: Plan) -> Report {
    let (stage, mut machines) = Stage::start(plan).await;
    let sign_ins = (0..plan.accounts).map(|account| {
        work::perform(
            &stage,
            Step { pause: Duration::ZERO, kind: Kind::SignIn, replica: account % plan.replicas, account, scopes: 0, crossed: None },
        )
    });
    join_all(sign_ins).await;
    let stopped = Arc::new(AtomicBool::new(false));
    let (mut workers, mut watchers) = (JoinSet::new(), JoinSet::new());
    for worker in 0..plan.workers {
        workers.spawn(work::work(Arc::clone(&stage), worker, Arc::clone(&stopped)));
    }
    watchers.spawn(watch::pulse(Arc::clone(&stage), Arc::clone(&stopped)));
    let mut calls = JoinSet::new();
    calls.spawn(watch::calls(Arc::clone(&stage), Arc::clone(&stopped)));
    let (mut samples, mut stores) = (Vec::new(), Vec::new());
    let end = stage.now() + millis(plan.length);
    for round in plan.rounds() {
        tokio::time::sleep(round.calm).await;
        if stage.now() > end {
            break;
        }
        samples.extend(watch::samples(&stage, &machines));
        stores.extend(watch::stores(&stage, &mut machines).await);
        deeds::perform(&stage, &mut machines, &round).await;
    }
    // What the last one did must have shown.
    tokio::time::sleep(Duration::from_millis(SETTLE + GRACE) + plan.recheck).await;
    samples.extend(watch::samples(&stage, &machines));
    stores.extend(watch::stores(&stage, &mut machines).await);
    stopped.store(true, Ordering::Relaxed);
    workers.join_all().await;
    watchers.join_all().await;
    let calls = calls.join_all().await.into_iter().flatten().collect();
    let families = watch::families(&stage).await;
    let mut history = History {
        replicas: plan.replicas,
        length: stage.now(),
        epoch: stage.epoch,
        ops: std::mem::take(&mut *stage.ops.lock().expect("no panic")),
        faults: std::mem::take(&mut *stage.faults.lock().expect("no panic")),
        families,
        calls,
        samples,
        stores,
        skewed: if plan.skew > 0 && Fleet::faketime().is_some() { BTreeSet::from([plan.replicas - 1]) } else { BTreeSet::new() },
    };
    history.with_refreshes();
    history.ops.sort_by_key(|op| op.span.begin);
    let violations = check(&history, &bounds(&plan));
    Report { plan, history, violations }
}

/// What is right for a plan.
fn bounds(plan: &Plan) -> Bounds {
    let lifetime = u64::try_from(plan.lifetime).unwrap_or_default();
    // All but the last quarter is used, and no renewal begins before 70 % of that.
    let renewal = (lifetime - lifetime / 4) * 7 / 10;
    Bounds {
        message: 1_000 + GRACE,
        recheck: millis(plan.recheck) + GRACE,
        settle: SETTLE,
        mark: 2 * millis(TIMEOUT),
        renewal: renewal * 1_000,
        scopes: work::SCOPES.len(),
        memory: MEMORY,
        descriptors: DESCRIPTORS,
        connections: if plan.topology == Topology::Cluster { 2 * CONNECTIONS } else { CONNECTIONS },
        keys: 200 * (plan.accounts + 10),
    }
}

fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
