//! Several tokend processes beside each other, as the pods of one deployment are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::TempDir;

use super::process::{Process, free_port};
use super::wait::eventually;
use super::{Client, Said};

/// Running `tokend serve` processes; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    replicas: Vec<Replica>,
}

#[derive(Debug)]
struct Replica {
    client: Client,
    admin: Client,
    process: Process,
    said: Said,
    folder: TempDir,
    clock: Option<String>,
}

// === impl Fleet ===

impl Fleet {
    /// The library that gives a process another clock; `None`: not on this machine.
    pub(crate) fn faketime() -> Option<PathBuf> {
        let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64", "/usr/local/lib"];
        folders.iter().map(|folder| Path::new(folder).join("faketime/libfaketime.so.1")).find(|library| library.exists())
    }

    /// Starts `count` of them, each with its own configuration, which says nothing about where it listens.
    /// Returns when all are ready.
    pub(crate) async fn start(count: usize, yaml: impl Fn(usize) -> String) -> Self {
        Self::start_at(count, yaml, |_| None).await
    }

    /// Starts `count` of them, some by another clock, as [`Fleet::faketime`] is told it: `+600s`.
    pub(crate) async fn start_at(count: usize, yaml: impl Fn(usize) -> String, clock: impl Fn(usize) -> Option<String>) -> Self {
        Self { replicas: join_all((0..count).map(|index| Replica::start(yaml(index), clock(index)))).await }
    }

    /// The id of its process, which a restart changes.
    pub(crate) fn pid(&self, index: usize) -> u32 {
        self.replicas[index].process.pid()
    }

    /// A caller of one of them.
    pub(crate) fn client(&self, index: usize) -> &Client {
        &self.replicas[index].client
    }

    /// A caller of its second listener, for `/metrics` and `/status`.
    pub(crate) fn admin(&self, index: usize) -> &Client {
        &self.replicas[index].admin
    }

    /// How many there are, those that were killed included.
    pub(crate) fn len(&self) -> usize {
        self.replicas.len()
    }

    /// The value of one sample of its metrics, by its name and labels as they are written; 0 if it is not there.
    pub(crate) async fn metric(&self, index: usize, sample: &str) -> f64 {
        self.admin(index).get("/metrics").await.sample(sample)
    }

    /// Everything that it has printed.
    pub(crate) fn output(&self, index: usize) -> String {
        self.replicas[index].output()
    }

    /// Kills it at once, as a crash would.
    pub(crate) fn kill(&mut self, index: usize) {
        self.replicas[index].process.kill();
    }

    /// Starts it again, dead or alive, with the configuration and on the ports that it had. Returns when it is ready.
    pub(crate) async fn restart(&mut self, index: usize) {
        self.replicas[index].restart().await;
    }

    /// Sends it a signal by its name, such as `TERM`.
    pub(crate) fn signal(&mut self, index: usize, name: &str) {
        self.replicas[index].process.signal(name);
    }

    /// Stops it in its tracks, until it is sent `CONT`. Returns when none of its threads runs any more,
    /// which a busy machine takes its time for.
    pub(crate) async fn stop(&mut self, index: usize) {
        let process = &mut self.replicas[index].process;
        process.signal("STOP");
        let threads = format!("/proc/{}/task", process.pid());
        let stands = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
        eventually(Duration::from_secs(30), async || {
            let threads = std::fs::read_dir(&threads).into_iter().flatten().flatten();
            threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok()).all(stands)
        })
        .await;
    }

    /// Waits for its end, for as long as this at most, and for all that it has printed; returns its exit status.
    pub(crate) async fn end_within(&mut self, index: usize, bound: Duration) -> Option<i32> {
        let Replica { process, said, .. } = &mut self.replicas[index];
        let mut status = None;
        eventually(bound, async || {
            status = process.ended();
            status.is_some()
        })
        .await;
        said.all().await;
        status.and_then(|status| status.code())
    }
}

// === impl Replica ===

impl Replica {
    async fn start(yaml: String, clock: Option<String>) -> Self {
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("tokend.yaml"), &yaml).expect("a file");
            let at = || Client::new(&format!("http://127.0.0.1:{}", free_port()), None);
            let (client, admin) = (at(), at());
            let (process, said) = spawn(&folder, &client, &admin, clock.as_deref());
            let mut replica = Self { client, admin, process, said, folder, clock: clock.clone() };
            if replica.becomes_ready().await {
                return replica;
            }
            replica.said.all().await;
            let output = replica.output();
            // Another process was faster: one of the few failures that a test must not see.
            assert!(output.contains("in use"), "it does not start: {output}");
        }
        panic!("no port stays free");
    }

    async fn restart(&mut self) {
        self.process.kill();
        (self.process, self.said) = spawn(&self.folder, &self.client, &self.admin, self.clock.as_deref());
        assert!(self.becomes_ready().await, "it does not start again: {}", self.output());
    }

    /// Waits until it is ready; `false` if it ended instead.
    async fn becomes_ready(&mut self) -> bool {
        let (admin, process) = (&self.admin, &mut self.process);
        let address = admin.base.trim_start_matches("http://").to_owned();
        let mut ended = false;
        eventually(Duration::from_secs(30), async || {
            ended = process.ended().is_some();
            // The client takes no answer for a failure of the test: so first, is there somebody?
            ended || (std::net::TcpStream::connect(&address).is_ok() && admin.get("/readyz").await.status == 200)
        })
        .await;
        !ended
    }

    fn output(&self) -> String {
        self.said.text()
    }
}

/// The binary under test: the package's own, or the one that `TOKEND_BIN` names.
fn binary() -> PathBuf {
    let own = option_env!("CARGO_BIN_EXE_tokend").map(PathBuf::from);
    own.or_else(|| std::env::var_os("TOKEND_BIN").map(PathBuf::from)).expect("TOKEND_BIN names the binary")
}

fn spawn(folder: &TempDir, client: &Client, admin: &Client, clock: Option<&str>) -> (Process, Said) {
    let mut command = Command::new(binary());
    command.args(["serve", "--config"]).arg(folder.path().join("tokend.yaml")).env_clear();
    if let Some((library, clock)) = Fleet::faketime().zip(clock) {
        // The wall clock alone: time-outs are waited for by the other one.
        // Not by the program of that name, which would be the process.
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME", clock)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }
    for (name, client) in [("TOKEND_LISTEN", client), ("TOKEND_ADMIN_LISTEN", admin)] {
        command.env(name, client.base.trim_start_matches("http://"));
    }
    let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut said = Said::default();
    process.streams().into_iter().flatten().for_each(|stream| said.follow(stream));
    (process, said)
}
