//! A short history of the checker that `make test-histories-long` runs for minutes, and the checker itself on histories that are made up.

#[path = "../../histories/checker/mod.rs"]
mod checker;
mod made_up;

use std::time::Duration;

use checker::plan::{Plan, Topology};
use checker::report::HEAD;
use checker::run::run;

#[expect(clippy::print_stdout, reason = "figures are what this is read for")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_history_keeps_every_promise() {
    let plan = Plan {
        topology: Topology::Standalone,
        seed: number("HISTORIES_SEED").unwrap_or(33),
        length: Duration::from_secs(number("HISTORIES_SECONDS").unwrap_or(5)),
        replicas: 2,
        accounts: 4,
        workers: 8,
        calm: (200, 800),
        longest: Duration::from_secs(2),
        recheck: Duration::from_secs(2),
        // Other tests run on the same machine.
        deadline: Duration::from_millis(500),
        command: "cargo test --test it histories",
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
