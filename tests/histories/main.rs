//! Long histories: random requests and faults on each kind of shared cache, and what must hold whatever happens.
//!
//! Parameters come by environment, each with a usual value:
//! - `HISTORIES_TOPOLOGY`: `standalone`, `sentinel`, `cluster` or `valkey`; usually one after the other.
//! - `HISTORIES_SEED`: what decides the requests and the faults; usually another one each time.
//! - `HISTORIES_SECONDS`: for how long faults are begun; 600.
//! - `HISTORIES_RUNS`: how many histories, each with the next seed; 1.
//! - `HISTORIES_ONLY`: the name of the only fault that happens, as it stands in a report.
//! - `HISTORIES_SKEW`: seconds that the clock of one replica is ahead, where there is a `libfaketime`; 600 for every third seed,
//!   else 0.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod checker;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests against the emulator use the rest of it")]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use checker::plan::{Plan, Topology};
use checker::report::HEAD;
use checker::run::run;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let number =
        |name: &str| variable(name).map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is no number: {text}")));
    let topologies = variable("HISTORIES_TOPOLOGY").map_or_else(
        || Topology::ALL.to_vec(),
        |name| vec![Topology::named(&name).unwrap_or_else(|| panic!("there is no topology {name}"))],
    );
    let first = number("HISTORIES_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let runtime = Runtime::new().expect("a runtime");
    let (mut rows, mut failed) = (Vec::new(), false);
    for topology in topologies {
        for seed in (first..).take(usize::try_from(number("HISTORIES_RUNS").unwrap_or(1)).expect("a number of runs")) {
            let only = variable("HISTORIES_ONLY");
            let plan = Plan {
                topology,
                seed,
                length: Duration::from_secs(number("HISTORIES_SECONDS").unwrap_or(600)),
                replicas: 3,
                accounts: 16,
                workers: 8,
                calm: (2_000, 10_000),
                longest: Duration::from_secs(7),
                recheck: Duration::from_secs(5),
                deadline: Duration::from_millis(100),
                command: "make test-histories-long",
                lifetime: 24,
                skew: number("HISTORIES_SKEW").unwrap_or(if seed % 3 == 0 { 600 } else { 0 }),
                only: only.map(|name| topology.deed(&name).unwrap_or_else(|| panic!("no fault there is called {name}"))),
            };
            say(&format!("{}, seed {seed}", topology.name()));
            let report = runtime.block_on(run(plan));
            say(&report.text());
            failed |= !report.violations.is_empty();
            rows.push(report.row());
        }
    }
    say(&format!("{HEAD}\n{}", rows.join("\n")));
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

#[expect(clippy::print_stdout, reason = "what it says is what it is run for")]
fn say(text: &str) {
    println!("{text}");
}
