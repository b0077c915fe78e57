//! One `tokend serve` as a process of its own, whose memory can be read.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::authority::Authority;

/// A running tokend; killed when dropped.
pub(crate) struct Tokend {
    child: Child,
    pub(crate) port: u16,
    pub(crate) admin: u16,
    _folder: tempfile::TempDir,
}

impl Tokend {
    /// Starts it with one app at the authority. `more` is added to the configuration.
    pub(crate) fn start(binary: &Path, authority: &Authority, more: &str) -> Self {
        Self::limited(binary, authority, more, "true")
    }

    /// Starts one after a shell command, which may set limits.
    pub(crate) fn limited(binary: &Path, authority: &Authority, more: &str, first: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, admin) = (free_port(), free_port());
        let url = &authority.url;
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\nadmin_listen: \"127.0.0.1:{admin}\"\nlog: {{level: error}}\n\
             apps:\n  shop: {{issuer: \"{url}\", insecure_http: true, client_id: shop, credential: {{secret: {{inline: a-secret}}}}}}\n{more}"
        );
        let file = folder.path().join("tokend.yaml");
        std::fs::write(&file, text).expect("a file");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{first}; exec \"$0\" serve --config \"$1\"")]).arg(binary).arg(&file);
        let child = command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let this = Self { child: child.expect("a process"), port, admin, _folder: folder };
        this.wait_until_ready();
        this
    }

    fn wait_until_ready(&self) {
        for _ in 0..500 {
            // The listeners are bound together, the admin one last to serve.
            if std::net::TcpStream::connect(("127.0.0.1", self.admin)).is_ok() {
                std::thread::sleep(Duration::from_millis(200));
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("tokend does not serve");
    }

    /// Resident memory now, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident memory so far, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a live process");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
    }
}

impl Drop for Tokend {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}
