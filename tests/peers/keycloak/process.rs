//! Keycloak's processes, and how they end.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{Login, must};

/// A process group of its own, led by a small shell that holds the other end of a pipe: when the pipe closes, because this
/// value was dropped or because the test process is gone however it went, the shell ends the whole group, Java included.
pub(super) struct Process {
    leader: Child,
    pipe: Option<ChildStdin>,
    log: PathBuf,
}

/// `$$` is the shell's own id and, as it leads the group, the group's.
const LEADER: &str =
    r#"{ "$@" </dev/null; echo "kc.sh ended with status $?"; } & while read -r _; do :; done; kill -s KILL -- -$$"#;

// === impl Process ===

impl Process {
    /// Starts Keycloak on this port, with an administrator of that name and password.
    pub(super) fn spawn(port: u16, admin: Login) -> Self {
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("keycloak-{port}.log"));
        let out = must("a log file", File::create(&log));
        let err = must("a log file", out.try_clone());
        let mut leader = Command::new("sh");
        leader
            .args(["-c", LEADER, "keycloak"])
            .arg(home().join("bin/kc.sh"))
            .args(["start-dev", "--db", "dev-mem", "--http-host", "127.0.0.1", "--http-port"])
            .arg(port.to_string())
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", admin.0)
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", admin.1)
            // It lives for seconds: what the optimizing compiler would gain never comes back.
            .env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1")
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .process_group(0);
        let mut leader = must("a process for Keycloak", leader.spawn());
        let pipe = leader.stdin.take();
        Self { leader, pipe, log }
    }

    /// Panics if Keycloak gave up: the leader outlives kc.sh, and tells its end in the log.
    pub(super) fn assert_running(&self) {
        let words = self.last_words();
        assert!(!words.contains("kc.sh ended with status"), "Keycloak did not start\n{words}");
    }

    /// The end of the log.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // The leader is in the group that it ends: this returns at once, and leaves no zombie.
        let _ = self.leader.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// Where `tests/setup/keycloak` put it; that script alone knows the version.
fn home() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/keycloak");
    let home = fs::read_dir(&folder)
        .ok()
        .and_then(|found| found.filter_map(Result::ok).map(|entry| entry.path()).find(|path| path.join("bin/kc.sh").is_file()));
    home.unwrap_or_else(|| panic!("no Keycloak in {}: run tests/setup/peers", folder.display()))
}
