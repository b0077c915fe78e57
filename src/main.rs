//! The program: command line in, exit status out.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use tokend::cli::{self, run::run};

fn main() -> ExitCode {
    // Text that is not UTF-8 becomes text that fits nothing, so that it is a finding where it is ours.
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    match cli::parse(std::env::args_os(), &environment) {
        Ok(command) => ExitCode::from(run(command, environment)),
        Err(exit) => {
            let text = exit.text.as_bytes();
            // A closed pipe leaves nobody to tell.
            let _closed = if exit.asked_for { std::io::stdout().write_all(text) } else { std::io::stderr().write_all(text) };
            ExitCode::from(exit.code)
        }
    }
}
