//! The binary itself: exit statuses, what it prints, how it starts and how it ends.

mod check;
mod commands;
mod convert;
mod descriptors;
mod hangup;
mod leaving;
mod logs;
mod memory;
mod online;
mod roots;
mod serve;
mod shutdown;
mod stopped;
mod terminal;
mod unread;
mod workload;

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokend::clock::Clock;

use crate::support::{Client, Emulator, Said, configuration, free_port, output as run};

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

/// Both streams of a process that has ended, and its status.
fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned()).concat();
    (output.status.code().expect("an exit status"), text)
}

/// An emulator by the machine's clock, and a folder for files.
async fn stage() -> (Emulator, TempDir) {
    (Emulator::start(&Clock::system()).await, tempfile::tempdir().expect("a folder"))
}

/// An emulator, its files, and a process with more configuration than the usual.
async fn serving_with(more: &str) -> (Emulator, TempDir, Serving) {
    let (emulator, files) = stage().await;
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, format!("{}{more}", configuration(&emulator, &files))).expect("a file");
    let mut command = tokend(&["serve", "--config"]);
    command.arg(&config);
    let serving = Serving::start(command).await;
    (emulator, files, serving)
}

/// `tokend serve`, running.
struct Serving {
    child: Child,
    said: Said,
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

    /// Starts it listening where the configuration says.
    async fn start_as_configured(command: Command) -> Self {
        Self::spawn(command, 0).await
    }

    async fn spawn(command: Command, port: u16) -> Self {
        let (mut serving, stderr) = Self::spawn_unread(command, port);
        serving.said.follow(stderr);
        serving.wait_until_ready().await;
        serving
    }

    /// Starts it as [`Serving::start`] does, with a standard error that is a pipe: nobody reads it yet.
    async fn start_unread(mut command: Command) -> (Self, ChildStderr) {
        let port = free_port();
        command.env("TOKEND_LISTEN", format!("127.0.0.1:{port}"));
        let (mut serving, stderr) = Self::spawn_unread(command, port);
        serving.wait_until_ready().await;
        (serving, stderr)
    }

    fn spawn_unread(mut command: Command, port: u16) -> (Self, ChildStderr) {
        let admin_port = free_port();
        command.env("TOKEND_ADMIN_LISTEN", format!("127.0.0.1:{admin_port}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
        let mut said = Said::default();
        said.follow(child.stdout.take().expect("stdout"));
        let stderr = child.stderr.take().expect("stderr");
        let at = |port| Client::new(&format!("http://127.0.0.1:{port}"), None);
        (Self { child, said, client: at(port), admin: at(admin_port) }, stderr)
    }

    async fn wait_until_ready(&mut self) {
        let admin = self.admin.base.trim_start_matches("http://").to_owned();
        for _ in 0..1000 {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("it ended with {status}: {}", self.output());
            }
            if std::net::TcpStream::connect(&admin).is_ok() && self.admin.get("/readyz").await.status == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not become ready: {}", self.output());
    }

    /// The value of one sample of its metrics, by its name and labels as they are written; 0 if it is not there.
    async fn metric(&self, sample: &str) -> f64 {
        self.admin.get("/metrics").await.sample(sample)
    }

    /// Everything it has printed.
    fn output(&self) -> String {
        self.said.text()
    }

    /// Sends it a signal by its number's name.
    fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Whether it has ended, and how.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Waits for its end, for as long as this at most, and for all that it has printed.
    async fn end_within(&mut self, bound: Duration) -> ExitStatus {
        let ended = end_within(&mut self.child, bound).await;
        let ended = ended.unwrap_or_else(|| panic!("still running after {bound:?}: {}", self.output()));
        self.said.all().await;
        ended
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Sends a process a signal by its number's name.
fn signal(child: &Child, name: &str) {
    let order = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &order]).status().expect("a shell").success());
}

/// Waits for the end of a process. `None`: it is still running.
async fn end_within(child: &mut Child, bound: Duration) -> Option<ExitStatus> {
    for _ in 0..bound.as_millis() / 10 {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}
