//! The binary itself: exit statuses, what it prints, how it starts and how it ends.

mod check;
mod commands;
mod descriptors;
mod leaving;
mod logs;
mod memory;
mod online;
mod roots;
mod serve;
mod shutdown;
mod workload;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokend::clock::Clock;

use crate::support::{Client, Emulator};

/// The binary under test: the package's own, or the one that `TOKEND_BIN` names.
fn binary() -> PathBuf {
    let own = option_env!("CARGO_BIN_EXE_tokend").map(PathBuf::from);
    own.or_else(|| std::env::var_os("TOKEND_BIN").map(PathBuf::from)).expect("TOKEND_BIN names the binary")
}

/// The package's folder: this file is `tests/it/process/mod.rs` below it, and tests run inside it.
fn root() -> &'static Path {
    Path::new(file!()).ancestors().nth(4).expect("a folder")
}

/// A command of the binary with no environment but what is given.
fn tokend(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end, beside the test's own tasks.
async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("a process")).await.expect("no panic")
}

/// Both streams of a process that has ended, and its status.
fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned()).concat();
    (output.status.code().expect("an exit status"), text)
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// An emulator by the machine's clock, and a folder for files.
async fn stage() -> (Emulator, TempDir) {
    (Emulator::start(&Clock::system()).await, tempfile::tempdir().expect("a folder"))
}

/// `tokend serve`, running.
struct Serving {
    child: Child,
    said: Arc<Mutex<String>>,
    client: Client,
    admin: Client,
}

impl Serving {
    /// Starts it; the environment says where it listens. Returns when it is ready.
    async fn start(mut command: Command) -> Self {
        let port = free_port();
        command.env("TOKEND_LISTEN", format!("127.0.0.1:{port}"));
        Self::spawn(command, port).await
    }

    /// The same, listening where the configuration says.
    async fn start_as_configured(command: Command) -> Self {
        Self::spawn(command, 0).await
    }

    async fn spawn(mut command: Command, port: u16) -> Self {
        let admin_port = free_port();
        command.env("TOKEND_ADMIN_LISTEN", format!("127.0.0.1:{admin_port}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
        let said = Arc::<Mutex<String>>::default();
        follow(child.stdout.take().expect("stdout"), &said);
        follow(child.stderr.take().expect("stderr"), &said);
        let at = |port| Client::new(&format!("http://127.0.0.1:{port}"), None);
        let mut serving = Self { child, said, client: at(port), admin: at(admin_port) };
        serving.wait_until_ready(admin_port).await;
        serving
    }

    async fn wait_until_ready(&mut self, admin_port: u16) {
        for _ in 0..1000 {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("it ended with {status}: {}", self.output());
            }
            if std::net::TcpStream::connect(("127.0.0.1", admin_port)).is_ok() && self.admin.get("/readyz").await.status == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not become ready: {}", self.output());
    }

    /// Everything it has printed.
    fn output(&self) -> String {
        self.said.lock().expect("no panic").clone()
    }

    /// Sends it a signal by its number's name.
    fn signal(&self, name: &str) {
        let order = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &order]).status().expect("a shell").success());
    }

    /// Whether it has ended, and how.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Waits for its end, for as long as this at most.
    async fn end_within(&mut self, bound: Duration) -> ExitStatus {
        let polls = bound.as_millis() / 10;
        for _ in 0..polls {
            if let Some(status) = self.ended() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still running after {bound:?}: {}", self.output());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Collects what a stream says until it ends.
fn follow(mut stream: impl std::io::Read + Send + 'static, said: &Arc<Mutex<String>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            said.lock().expect("no panic").push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    });
}
