//! The images, run with nothing granted.

use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use super::engine::{Container, HARDENED, image, podman, until};
use crate::support::output;

/// A daemon of the emulator's directory. `localhost` is a name, so that resolving one is part of every token.
const CONFIG: &str = "
apps:
  daemon:
    authority: https://localhost:8652/8eaef023-2b34-4da1-9baa-8bc8c9d6a490
    client_id: a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350
    credential: {secret: {file: /etc/tokend/client-secret}}
    ca_file: /etc/tokend/ca.pem
";

const APP_TOKEN: &str = r#"{"scopes": ["api://orders/.default"]}"#;

/// A folder to be mounted at /etc/tokend. Whoever the container's user is, the emulator writes its CA into it.
pub(super) fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("a mode");
    std::fs::write(folder.path().join("tokend.yaml"), CONFIG).expect("a file");
    std::fs::write(folder.path().join("client-secret"), "daemon-secret-for-tests-only\n").expect("a file");
    folder
}

/// Containers with a network of their own, in which there is loopback only.
fn emulator(folder: &Path, network: &str) -> Container {
    let volume = format!("--volume={}:/etc/tokend", folder.display());
    let image = image("tokend-emulator");
    let emulator =
        Container::start(&[&HARDENED[..], &[network, &volume, &image, "emulator", "--ca-file", "/etc/tokend/ca.pem"]].concat());
    until("the emulator", || emulator.logs().contains("the emulator is at").then_some(()));
    emulator
}

fn serve(folder: &Path, more: &[&str]) -> Container {
    let volume = format!("--volume={}:/etc/tokend:ro", folder.display());
    let image = image("tokend");
    Container::start(&[&HARDENED[..], more, &[&volume, &image, "serve", "--config", "/etc/tokend/tokend.yaml"]].concat())
}

fn gets_a_token(tokend: &Container) {
    let (status, token) = tokend.post("/client-credentials", APP_TOKEN);
    assert_eq!((status, token["token_source"].as_str()), (200, Some("identity_provider")), "{token}\n{}", tokend.logs());
    let (status, again) = tokend.post("/client-credentials", APP_TOKEN);
    assert_eq!((status, again["cache_level"].as_str()), (200, Some("memory")), "{again}");
}

#[test]
fn any_user_gets_a_token_where_nothing_is_granted() {
    let folder = folder();
    let emulator = emulator(folder.path(), "--network=none");
    // The image's own user, the one that an OpenShift project might assign, and one that nobody thought of.
    for user in ["65532:65532", "1000680000:0", "7:7"] {
        let tokend = serve(folder.path(), &[&emulator.network(), "--user", user]);
        tokend.ready();
        gets_a_token(&tokend);

        let status = std::fs::read_to_string(format!("/proc/{}/status", tokend.inspect(".State.Pid"))).expect("a process");
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).expect("a line");
        assert!(line("Uid:").starts_with(user.split(':').next().expect("a number")), "{status}");
        assert_eq!((line("CapEff:"), line("CapBnd:")), ("0000000000000000", "0000000000000000"));
        assert_eq!((line("NoNewPrivs:"), line("Seccomp:")), ("1", "2"));
        assert_eq!(tokend.stop(), "0", "{}", tokend.logs());
    }
}

#[test]
fn a_probe_says_why_it_fails() {
    let folder = folder();
    let volume = format!("--volume={}:/etc/tokend:ro", folder.path().display());
    let probe = output(podman().args(["run", "--rm", "--network=none", &volume, &image("tokend")]).args([
        "healthcheck",
        "--config",
        "/etc/tokend/tokend.yaml",
    ]));
    let said = String::from_utf8_lossy(&probe.stderr);
    assert_eq!(probe.status.code(), Some(1), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
}

#[test]
fn it_starts_with_no_file_of_the_systems() {
    let folder = folder();
    // An authority as most have it: no `ca_file`, so the roots are those that are compiled in.
    let config = CONFIG.lines().filter(|line| !line.contains("ca_file")).collect::<Vec<_>>().join("\n");
    std::fs::write(folder.path().join("tokend.yaml"), config).expect("a file");
    let tokend = serve(folder.path(), &["--network=none", "--no-hosts"]);
    tokend.ready();
    // Nothing is there, not even mounted.
    for path in ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/tmp", "/lib", "/usr", "/bin"] {
        let inside = format!("/proc/{}/root{path}", tokend.inspect(".State.Pid"));
        assert!(!Path::new(&inside).exists(), "{path}");
    }
    // There is no way to a name then, and tokend says so instead of hanging.
    let (status, problem) = tokend.post("/client-credentials", APP_TOKEN);
    assert_eq!((status, problem["retryable"].as_bool()), (503, Some(true)), "{problem}");
    assert_eq!(tokend.stop(), "0", "{}", tokend.logs());
}

#[test]
fn names_come_from_dns_without_a_library_of_the_systems() {
    let folder = folder();
    let emulator = emulator(folder.path(), "--network=none");
    std::fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.1\n").expect("a file");
    let mut dns = Dns::start(&emulator);
    // Its own `resolv.conf`, and no `hosts` in which `localhost` would stand.
    let resolv = format!("--volume={}/resolv.conf:/etc/resolv.conf:ro", folder.path().display());
    let tokend = serve(folder.path(), &[&emulator.network(), &resolv, "--no-hosts"]);
    tokend.ready();
    assert!(!Path::new(&format!("/proc/{}/root/etc/hosts", tokend.inspect(".State.Pid"))).exists());
    gets_a_token(&tokend);
    assert_eq!(dns.line(), "localhost");
}

/// A name server for one name, inside a container's network.
struct Dns {
    server: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Dns {
    fn start(container: &Container) -> Self {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &container.inspect(".State.Pid"), "python3", "-u", "-c", include_str!("dns.py")]);
        let mut server = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("nsenter");
        let said = BufReader::new(server.stdout.take().expect("a pipe")).lines();
        let mut dns = Self { server, said };
        assert_eq!(dns.line(), "ready");
        dns
    }

    /// What it was asked first, then next.
    fn line(&mut self) -> String {
        self.said.next().expect("a line").expect("text")
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        let _ended = self.server.kill();
        let _status = self.server.wait();
    }
}
