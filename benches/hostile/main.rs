//! What hostile callers and answers cost a whole `tokend serve`: probes and requests that are answered meanwhile, the longest wait,
//! the most memory. Prints figures and asserts nothing; the tests in `tests/it/hostile` say what must hold.
//!
//! `cargo bench --bench hostile -- [PART] [BINARY…]` runs each part with each binary, by default the one of this build. All load
//! goes to loopback and ends by itself.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints, and ends where it cannot go on")]
#![expect(clippy::disallowed_methods, reason = "the tasks are hostile clients, which end with their runtime")]

mod authority;
mod descriptors;
mod echo;
mod flights;
mod heads;
mod places;
mod probe;
mod process;

use std::path::PathBuf;

use process::Tokend;

/// A part: it loads one process and returns its figures as a line.
type Part = fn(&std::path::Path) -> String;

const PARTS: [(&str, Part); 8] = [
    ("admin places", places::admin),
    ("token places", places::token),
    ("plain heads", heads::plain),
    ("TLS heads", heads::tls),
    ("abandoned requests", flights::abandoned),
    ("reset streams", flights::reset),
    ("descriptors", descriptors::few),
    ("inexact echo", echo::inexact),
];

fn main() {
    // Cargo passes `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let (paths, names): (Vec<String>, Vec<String>) = words.into_iter().partition(|word| word.contains('/'));
    let mut binaries: Vec<PathBuf> = paths.into_iter().map(PathBuf::from).collect();
    if binaries.is_empty() {
        binaries.push(PathBuf::from(env!("CARGO_BIN_EXE_tokend")));
    }
    for (name, part) in PARTS {
        if !names.is_empty() && !names.iter().any(|wanted| name.contains(wanted.as_str())) {
            continue;
        }
        println!("\n{name}");
        for binary in &binaries {
            println!("  {}: {}", binary.display(), part(binary));
        }
    }
}

/// Runs one part's load on a runtime of its own, beside the process that it loads.
fn run<T>(load: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime").block_on(load)
}

/// Resident memory before a load, at its peak and what that adds, in MiB.
fn memory(tokend: &Tokend, before: u64) -> String {
    let peak = tokend.peak();
    format!("{} MiB before, {} MiB at the peak", before >> 20, peak >> 20)
}
