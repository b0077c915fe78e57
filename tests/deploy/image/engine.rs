//! Containers that end with the test, and images as archives.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{output, run, tool};

const SETUP: &str = "image --platforms";

/// What is granted to a container in these tests: nothing. Podman's own memory file systems under `--read-only` are off too.
pub(super) const HARDENED: [&str; 6] = [
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--memory=128m",
    "--pids-limit=64",
];

/// A container that is removed when this is dropped.
pub(crate) struct Container {
    id: String,
}

/// podman, with the storage of these tests.
pub(crate) fn podman() -> Command {
    Command::new(tool("containers/podman", SETUP))
}

/// The name of an image of this clone in that storage.
pub(crate) fn image(name: &str) -> String {
    format!("localhost/{name}:test-{}", this_machine())
}

/// This machine, as images name it.
pub(super) fn this_machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => panic!("no image is built for {other}"),
    }
}

/// An archive that the set-up left.
pub(super) fn archive(name: &str) -> PathBuf {
    tool(&format!("images/{name}"), SETUP)
}

/// Unpacks a tar archive, compressed or not.
pub(super) fn unpack(archive: &Path) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(directory.path()));
    directory
}

/// A JSON file.
pub(super) fn json(file: &Path) -> Value {
    let text = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Asks again and again until there is an answer; says what was waited for when there is none.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1200 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("waited in vain for {what}");
}

// === impl Container ===

impl Container {
    /// Starts one; `arguments` are those of `podman run`.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self { id: run(podman().args(["run", "--detach"]).args(arguments)).trim().to_owned() }
    }

    pub(super) fn network(&self) -> String {
        format!("--network=container:{}", self.id)
    }

    /// Runs a program of the image in it.
    pub(super) fn exec(&self, command: &[&str]) -> Output {
        output(podman().arg("exec").arg(&self.id).args(command))
    }

    /// What it has written.
    pub(crate) fn logs(&self) -> String {
        let output = output(podman().arg("logs").arg(&self.id));
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// One member of what podman knows about it.
    pub(super) fn inspect(&self, member: &str) -> String {
        run(podman().args(["inspect", "--format", &format!("{{{{{member}}}}}")]).arg(&self.id)).trim().to_owned()
    }

    /// Asks from inside its network, with a program from outside: there is none inside.
    pub(super) fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let answer = run(Command::new("nsenter")
            .args(["--net", "--target", &self.inspect(".State.Pid"), "curl", "-sS", "-m", "30", "-w", "\n%{http_code}"])
            .args(["-H", "content-type: application/json", "-d", body, &format!("http://127.0.0.1:8650{path}")]));
        let (body, status) = answer.rsplit_once('\n').expect("a status below the body");
        (status.parse().expect("a status"), serde_json::from_str(body).unwrap_or_else(|error| panic!("{body}: {error}")))
    }

    /// Waits until tokend in it says that it is ready, as an exec probe asks.
    pub(super) fn ready(&self) {
        until("a ready tokend", || {
            assert_eq!(self.inspect(".State.Status"), "running", "{}", self.logs());
            self.exec(&["/tokend", "healthcheck", "--config", "/etc/tokend/tokend.yaml"]).status.success().then_some(())
        });
    }

    /// Stops it as an orchestrator does, and tells its exit status.
    pub(super) fn stop(&self) -> String {
        run(podman().args(["stop", "--time=30"]).arg(&self.id));
        self.inspect(".State.ExitCode")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _gone = podman().args(["rm", "--force", "--volumes", "--time=0"]).arg(&self.id).output();
    }
}
