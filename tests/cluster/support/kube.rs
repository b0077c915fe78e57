//! `kubectl` and `helm`, run as commands: what they say is what an operator reads.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a command printed, or what it complained of.
pub(crate) type Said = Result<String, String>;

/// Runs `kubectl` with these arguments, and with a document on its standard input where there is one.
pub(crate) fn kubectl(arguments: &[&str], input: Option<&Value>) -> Said {
    said(Command::new("kubectl").args(arguments), input)
}

/// Runs `helm`: the one that tests/setup/chart built, else the machine's.
pub(crate) fn helm(arguments: &[&str], values: Option<&Value>) -> Said {
    let built = super::root().join(".tools/go/bin/helm");
    let helm = if built.exists() { built.as_path() } else { Path::new("helm") };
    said(Command::new(helm).args(arguments), values)
}

/// Runs a command to its end.
pub(crate) fn said(command: &mut Command, input: Option<&Value>) -> Said {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child =
        child.unwrap_or_else(|error| panic!("{command:?} cannot be run ({error}): `make test-cluster` gets what is needed"));
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        stdin.write_all(input.to_string().as_bytes()).expect("a command that reads its input");
    }
    let output = child.wait_with_output().expect("a command that ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }
}

/// The JSON that a command printed.
pub(crate) fn json(said: Said) -> Value {
    let text = said.unwrap_or_else(|complaint| panic!("{complaint}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}
