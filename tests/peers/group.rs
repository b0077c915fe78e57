//! A server of others as a process group, and how it ends.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// A process group of its own, led by a small shell that holds the other end of a pipe: when the pipe closes, because this
/// value was dropped or because the test process is gone however it went, the shell ends the whole group.
pub(crate) struct Group {
    name: &'static str,
    leader: Child,
    pipe: Option<ChildStdin>,
    log: PathBuf,
}

/// `$$` is the shell's own id and, as it leads the group, the group's.
const LEADER: &str =
    r#"{ "$@" </dev/null; echo "the server ended with status $?"; } & while read -r _; do :; done; kill -s KILL -- -$$"#;

// === impl Group ===

impl Group {
    /// Starts a server. The port only makes the name of its log one of its own.
    pub(crate) fn spawn(name: &'static str, port: u16, server: &Command) -> Self {
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{port}.log"));
        let out = File::create(&log).expect("a log file");
        let err = out.try_clone().expect("a log file");
        let mut leader = Command::new("sh");
        leader.args(["-c", LEADER, name]).arg(server.get_program()).args(server.get_args());
        for (variable, value) in server.get_envs() {
            match value {
                Some(value) => leader.env(variable, value),
                None => leader.env_remove(variable),
            };
        }
        if let Some(folder) = server.get_current_dir() {
            leader.current_dir(folder);
        }
        leader.stdin(Stdio::piped()).stdout(out).stderr(err).process_group(0);
        let mut leader = leader.spawn().unwrap_or_else(|error| panic!("a process for {name}: {error}"));
        let pipe = leader.stdin.take();
        Self { name, leader, pipe, log }
    }

    /// Panics if the server gave up: the leader outlives it, and tells its end in the log.
    pub(crate) fn assert_running(&self) {
        let words = self.last_words();
        assert!(!words.contains("the server ended with status"), "{} did not start\n{words}", self.name);
    }

    /// The end of the log.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // The leader is in the group that it ends: this returns at once, and leaves no zombie.
        let _status = self.leader.wait();
        let _removed = fs::remove_file(&self.log);
    }
}
