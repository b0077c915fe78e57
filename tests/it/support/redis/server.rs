//! One server process: started, killed, frozen, started again.

use std::path::PathBuf;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use super::{Admin, Options};
use crate::support::process::{Process, free_port};
use crate::support::wait::eventually;

/// How long a server may take to answer, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server on loopback that keeps nothing on disk; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    options: Options,
    role: Role,
    port: u16,
    folder: TempDir,
    process: Process,
    admin: Admin,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    Data,
    Sentinel,
}

// === impl RedisServer ===

impl RedisServer {
    /// Redis with its defaults: no TLS, no users, memory without a bound.
    pub(crate) async fn start() -> Self {
        Self::options().start().await
    }

    /// To say more before it starts.
    pub(crate) fn options() -> Options {
        Options::new()
    }

    pub(super) async fn start_with(options: Options) -> Self {
        Self::launch(options, Role::Data, "").await
    }

    /// Starts a process in a role; `more` goes at the end of its configuration.
    pub(super) async fn launch(options: Options, role: Role, more: &str) -> Self {
        for _ in 0..5 {
            let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
            let file = options.file(role, port, folder.path()) + more;
            std::fs::write(folder.path().join("node.conf"), file).expect("a file");
            let process = spawn(&options, role, &folder);
            let admin = Admin::new(&options, role, port);
            let mut server = Self { options: options.clone(), role, port, folder, process, admin };
            if server.answers().await {
                return server;
            }
            let log = server.log();
            // Another process was faster: one of the few failures that a test must not see.
            assert!(log.contains("Address already in use"), "it does not start: {log}");
        }
        panic!("no port stays free");
    }

    /// Waits until it answers; `false` if it ended instead.
    async fn answers(&mut self) -> bool {
        let (admin, process) = (self.admin.clone(), &mut self.process);
        let pid = process.pid().to_string();
        let mut ended = false;
        eventually(PATIENCE, async || {
            ended = process.ended().is_some();
            // Its own answer, not one of somebody else's who has the port.
            ended || admin.info("server", "process_id").await.is_ok_and(|found| found == pid)
        })
        .await;
        !ended
    }

    /// `redis://127.0.0.1:port`, or `rediss://` and the name that its certificate has; without an account.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{}:{}", self.options.host(), self.port)
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The id of its process, which a restart changes.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills it at once, as a crash would. Nobody else gets its port.
    pub(crate) async fn kill(&mut self) {
        self.process.kill();
    }

    /// Writes a snapshot, with which it starts from now on.
    pub(crate) async fn save(&self) {
        self.admin.ask::<()>(&["SAVE"]).await.expect("a snapshot");
    }

    /// Starts it again, dead or alive: the same port and configuration, and no data but what was saved.
    pub(crate) async fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.options, self.role, &self.folder);
        assert!(self.answers().await, "it does not start again: {}", self.log());
    }

    /// Stops it in its tracks: connections stay, and nothing is answered.
    pub(crate) fn freeze(&mut self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&mut self) {
        self.process.signal("CONT");
    }

    /// Whether its process is there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// What it has logged, for messages of tests.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// For questions that may fail because the server is down.
    pub(crate) fn admin(&self) -> &Admin {
        &self.admin
    }

    /// A new connection that may do everything.
    pub(crate) async fn client(&self) -> MultiplexedConnection {
        self.admin.connect().await.expect("a connection")
    }

    /// Every key with everything that is stored under it.
    pub(crate) async fn dump(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.admin.dump().await.expect("a dump")
    }

    /// The names of all keys, sorted.
    pub(crate) async fn keys(&self) -> Vec<String> {
        self.admin.keys().await.expect("keys")
    }

    /// Forgets everything that is stored.
    pub(crate) async fn flush(&self) {
        self.admin.ask::<()>(&["FLUSHALL"]).await.expect("an empty server");
    }

    /// How many clients are connected, the support and other servers left out.
    pub(crate) async fn client_count(&self) -> usize {
        self.admin.clients().await.expect("a list").len()
    }
}

fn spawn(options: &Options, role: Role, folder: &TempDir) -> Process {
    let log = std::fs::File::create(folder.path().join("log")).expect("a file");
    let mut command = options.program();
    command.arg(folder.path().join("node.conf"));
    if role == Role::Sentinel {
        command.arg("--sentinel");
    }
    command.stdout(log.try_clone().expect("a file")).stderr(log);
    Process::spawn(&mut command)
}
