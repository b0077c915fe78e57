//! The program: command line in, exit status out.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use tokend::cli;

fn main() -> ExitCode {
    // A variable that is not UTF-8 can be none of ours.
    let environment: BTreeMap<String, String> =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
    match cli::parse(std::env::args_os(), &environment) {
        Ok(command) => ExitCode::from(cli::run(command, environment)),
        Err(exit) => {
            let text = exit.text.as_bytes();
            // A closed pipe leaves nobody to tell.
            let _closed = if exit.asked_for { std::io::stdout().write_all(text) } else { std::io::stderr().write_all(text) };
            ExitCode::from(exit.code)
        }
    }
}
