//! A program that says a JSON object on each line.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::support::soon;

/// A running program; it ends when this is dropped.
pub(crate) struct Program {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
}

// === impl Program ===

impl Program {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = child.stdout.take().map(BufReader::new);
        Self { child, lines }
    }

    /// The next line that is an object: a library may say something in between.
    pub(crate) async fn line(&mut self) -> Value {
        let mut lines = self.lines.take().expect("nobody else reads");
        // Elsewhere than on the test's only thread, on which the emulator answers the program.
        let read = tokio::task::spawn_blocking(move || {
            let found = lines.by_ref().lines().map_while(Result::ok).find_map(|line| serde_json::from_str(&line).ok());
            (lines, found)
        });
        let (lines, found): (_, Option<Value>) = soon(read).await.expect("no panic");
        self.lines = Some(lines);
        found.unwrap_or_else(|| panic!("it ended without a word: {}", self.last_words()))
    }

    /// A line of its standard input.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("it listens");
    }

    fn last_words(&mut self) -> String {
        let mut said = String::new();
        let read = self.child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said));
        format!("{said} ({read:?})")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
