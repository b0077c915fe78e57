//! Processes that end with the test however it ends, and ports that stay theirs while they are down.

use std::collections::HashSet;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

/// A process that is killed when this is dropped.
///
/// A destructor does not run when the test process itself is killed. So a small shell stands by that holds the other end of a
/// pipe; when the pipe closes because the test process is gone, the shell kills in its place.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    guard: Child,
    _pipe: Option<ChildStdin>,
}

const GUARD: &str = r#"while read -r _; do :; done; kill -s KILL "$1" 2>/dev/null"#;

/// Ports below those that a system gives to outgoing connections (Linux: 32768, others: higher): nobody gets one by accident
/// while its server is down, and a server can come back on it.
const FIRST: u16 = 12_000;
const PORTS: u16 = 20_000;

/// How long a command may take that runs to its end.
const LONGEST: Duration = Duration::from_secs(120);

static TAKEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port on loopback that nobody listens on, and that this process never hands out again.
pub(crate) fn free_port() -> u16 {
    let mut taken = TAKEN.lock().expect("no panic");
    // Anywhere: test processes that run at the same time must not queue for the same ports.
    let start = rand::random_range(0..PORTS);
    (0..PORTS)
        .map(|step| FIRST + (start + step) % PORTS)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok() && taken.insert(*port))
        .expect("a free port")
}

/// Runs a command to its end, beside the test's own tasks. One that does not end is killed, and what it said is in the failure.
pub(crate) async fn output(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let pid = child.id();
    let mut ended = tokio::task::spawn_blocking(move || child.wait_with_output().expect("a child"));
    match tokio::time::timeout(LONGEST, &mut ended).await {
        Ok(output) => output.expect("no panic"),
        Err(_) => {
            // Nobody has waited for it yet: the id is still its own.
            let killed = Command::new("sh").args(["-c", &format!("kill -s KILL {pid}")]).status();
            let said = tokio::time::timeout(Duration::from_secs(5), ended).await;
            panic!("{command:?} does not end ({killed:?}): {said:?}")
        }
    }
}

// === impl Process ===

impl Process {
    /// Starts it, with nothing on its standard input.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).spawn().expect("a process");
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(child.id().to_string());
        // Out of the terminal's group: Ctrl-C ends the tests, and then the guard has work to do.
        guard.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut guard = guard.spawn().unwrap_or_else(|error| {
            // Nobody else would end it now.
            let _ended = child.kill();
            panic!("no guard: {error}")
        });
        let pipe = guard.stdin.take();
        Self { child, guard, _pipe: pipe }
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it writes to its standard output and standard error, where the command said `piped`.
    pub(crate) fn streams(&mut self) -> [Option<Box<dyn std::io::Read + Send>>; 2] {
        let out = self.child.stdout.take().map(|stream| Box::new(stream) as _);
        [out, self.child.stderr.take().map(|stream| Box::new(stream) as _)]
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Sends it a signal by its name, such as `STOP`.
    pub(crate) fn signal(&mut self, name: &str) {
        // Only to one that is still ours: the id of one that is gone may be another's.
        assert!(self.ended().is_none(), "it has ended");
        let order = format!("kill -s {name} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &order]).status().expect("a shell").success());
    }

    /// Kills it; afterwards it is gone, and its sockets are closed.
    pub(crate) fn kill(&mut self) {
        // The guard first: once the process is waited for, its id may become another's. Either may have ended by itself.
        let _ended = self.guard.kill();
        let _status = self.guard.wait();
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
