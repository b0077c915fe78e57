//! Foreign bytes at every parser, on stable: inputs of a corpus as they are, and then mutated, for as many seconds as it is told.
//!
//! Nothing may panic, take long, tell a secret, or be read otherwise than it was written; what else must hold stands with each
//! target. All targets run at a time, each on a thread of its own. Names on the command line choose some of them.
//!
//! Parameters come by environment:
//! - `FUZZ_SECONDS`: how long each target runs; 20.
//! - `FUZZ_SEED`: what decides the mutations; usually another one each time.
//!
//! What fails is written to `tests/fuzz/found`. Mended, it belongs into the target's folder below `tests/fuzz/corpus`: the inputs
//! there come first, unchanged.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod bench;
mod mutate;
#[path = "../histories/checker/random.rs"]
#[expect(dead_code, reason = "the histories use the rest of it")]
mod random;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests against the emulator use the rest of it")]
mod support;
mod targets;

use std::process::ExitCode;
use std::time::Duration;

use bench::{Bench, Ran};
use targets::TARGETS;

fn main() -> ExitCode {
    // As cargo calls a test: filters, and switches that mean nothing here.
    let filters: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let seconds = variable("FUZZ_SECONDS").unwrap_or(20);
    let seed = variable("FUZZ_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let wanted: Vec<_> = (0_u64..).zip(TARGETS).filter(|(_, (name, _))| is_wanted(name)).collect();
    bench::watch_panics();
    let ran: Vec<Ran> = std::thread::scope(|scope| {
        let begin = |(stream, (name, target)): (u64, (&'static str, targets::Target))| {
            let bench = Bench::new(name, (seed, stream), Duration::from_secs(seconds));
            scope.spawn(move || bench.run(target))
        };
        let threads: Vec<_> = wanted.into_iter().map(begin).collect();
        threads.into_iter().map(|thread| thread.join().expect("a target that ended")).collect()
    });
    for ran in &ran {
        say(&ran.text(seed));
    }
    if ran.iter().all(|ran| ran.failure.is_none()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?.to_string_lossy().into_owned();
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[expect(clippy::print_stdout, reason = "what it says is what it is run for")]
fn say(text: &str) {
    println!("{text}");
}
