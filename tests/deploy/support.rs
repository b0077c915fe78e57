//! Starting tools, and saying what they said when they fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The clone.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A tool that a script in tests/setup put into the clone; a panic names the script when it is not there.
pub(crate) fn tool(path: &str, setup: &str) -> PathBuf {
    let tool = root().join(".tools").join(path);
    assert!(tool.exists(), "{} is not there: tests/setup/{setup} makes it (`make test-deploy` calls it)", tool.display());
    tool
}

/// What a command printed, whatever its status.
pub(crate) fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// The standard output of a command that has to go well.
pub(crate) fn run(command: &mut Command) -> String {
    let output = output(command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
