//! Short histories of the checker that `make test-histories-long` runs for minutes,
//! and the checker itself on histories that are made up.

#[path = "../../histories/checker/mod.rs"]
mod checker;
mod made_up;

use std::time::Duration;

use checker::plan::{Plan, Topology};
use checker::report::HEAD;
use checker::run::run;

/// Memory that is too small, and then an older snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_is_kept_where_redis_loses_something() {
    keeps_every_promise(15).await;
}

/// Replicas whose Redis swallows everything while a refresh token is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_is_kept_where_replicas_are_cut_off() {
    keeps_every_promise(5).await;
}

/// A history of some seconds; another seed is one of the environment.
#[expect(clippy::print_stdout, reason = "figures are what this is read for")]
async fn keeps_every_promise(seed: u64) {
    let plan = Plan {
        topology: Topology::Standalone,
        seed: number("HISTORIES_SEED").unwrap_or(seed),
        length: Duration::from_secs(number("HISTORIES_SECONDS").unwrap_or(5)),
        replicas: 2,
        accounts: 4,
        workers: 8,
        calm: (200, 800),
        longest: Duration::from_secs(2),
        recheck: Duration::from_secs(2),
        // Other tests run on the same machine.
        deadline: Duration::from_millis(500),
        command: "cargo test --test it histories::every_promise_is_kept_where_redis",
        lifetime: 16,
        skew: 0,
        only: None,
    };
    let report = run(plan).await;
    println!("{HEAD}\n{}", report.row());
    assert!(report.violations.is_empty(), "\n{}", report.text());
}

fn number(name: &str) -> Option<u64> {
    std::env::var_os(name).map(|value| value.to_string_lossy().parse().unwrap_or_else(|_| panic!("{name} is no number")))
}
