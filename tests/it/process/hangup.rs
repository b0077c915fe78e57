//! SIGHUP: `serve` compares its files at once and goes on; what belongs to a terminal ends with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Serving, binary, end_within, free_port, signal, stage, tokend};
use crate::support::redis::Certificates;
use crate::support::{Client, Emulator, Said, configuration, eventually};

/// Less than the ten seconds after which files are compared anyway: in two waits that follow each other, one at least has to end
/// without that.
const AT_ONCE: Duration = Duration::from_secs(8);

const LONG: Duration = Duration::from_secs(30);

const OLD: &str = "the-first-token-of-alpha-0123456789";
const NEW: &str = "the-second-token-of-alpha-012345678";

/// Every kind of file that is followed: as `/status` names it, and where it is.
fn followed(files: &Path) -> Vec<(&'static str, PathBuf)> {
    [
        ("apps.daemon.credential", "daemon.secret"),
        ("apps.orders.credential", "orders.pem"),
        ("callers.alpha.token", "alpha.token"),
        ("cache.redis.password", "redis-password"),
        ("cache.redis.ca_file", "redis-ca.pem"),
        ("cache.redis.client_cert", "redis.pem"),
        ("cache.redis.client_key", "redis.key"),
        ("cache.redis.encryption.key_ring", "key-ring"),
        ("tls", "tls.key"),
    ]
    .map(|(name, file)| (name, files.join(file)))
    .to_vec()
}

fn configured(emulator: &Emulator, files: &tempfile::TempDir, certificates: &Certificates) -> String {
    let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).expect("a file");
    let copy = |from: PathBuf, name: &str| std::fs::copy(from, files.path().join(name)).expect("a file");
    let yaml = configuration(emulator, files);
    write("alpha.token", OLD);
    write("redis-password", "a-password");
    write("key-ring", &format!("name:{}\nfirst:{}\n", STANDARD.encode([1; 32]), STANDARD.encode([2; 32])));
    copy(certificates.ca(), "redis-ca.pem");
    copy(certificates.client(), "redis.pem");
    copy(certificates.client_key(), "redis.key");
    copy(certificates.server(), "tls.pem");
    copy(certificates.server_key(), "tls.key");
    let more = "callers: [{name: alpha, token: {file: FILES/alpha.token}}]\n\
         tls: {cert: {file: FILES/tls.pem}, key: {file: FILES/tls.key}}\n\
         cache: {redis: {url: \"rediss://127.0.0.1:PORT\", username: tokend, password: {file: FILES/redis-password}, \
         ca_file: FILES/redis-ca.pem, client_cert: FILES/redis.pem, client_key: FILES/redis.key, \
         encryption: {key_ring: {file: FILES/key-ring}}}}\n";
    // Nobody is there: Redis has no part in this.
    let more = more.replace("FILES", &files.path().display().to_string()).replace("PORT", &free_port().to_string());
    format!("{yaml}{more}")
}

/// What `/status` says of files whose newest contents were refused.
async fn refused(serving: &Serving) -> Vec<String> {
    let status = serving.admin.get("/status").await;
    let list = status.json["reload_failures"].as_array().unwrap_or_else(|| panic!("{}", status.text));
    list.iter().map(|report| report["what"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_is_compared_at_once_and_the_process_goes_on() {
    let (emulator, files) = stage().await;
    let certificates = Certificates::new();
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, configured(&emulator, &files, &certificates)).expect("a file");
    let mut command = tokend(&["serve", "--config"]);
    command.arg(&config);
    let mut serving = Serving::start(command).await;
    let followed = followed(files.path());
    let good: Vec<Vec<u8>> = followed.iter().map(|(_, path)| std::fs::read(path).expect("a file")).collect();
    for _ in 0..2 {
        followed.iter().for_each(|(_, path)| std::fs::write(path, "\n").expect("a file"));
        serving.signal("HUP");
        eventually(AT_ONCE, async || {
            let refused = refused(&serving).await;
            followed.iter().all(|(name, _)| refused.iter().any(|other| other == name))
        })
        .await;
        followed.iter().zip(&good).for_each(|((_, path), good)| std::fs::write(path, good).expect("a file"));
        serving.signal("HUP");
        eventually(AT_ONCE, async || refused(&serving).await.is_empty()).await;
    }
    // What is in force shows in what is done, too: nothing but a comparison takes a caller's old token away.
    let ca = std::fs::read_to_string(certificates.ca()).expect("a CA");
    let client = Client::new(&serving.client.base.replace("http://", "https://"), Some(&ca));
    let known = async |token: &str| {
        let request = client.request("/client-credentials", &json!({"app": "none"})).header("x-tokend-token", token);
        Client::send(request).await.member("error") != "caller_not_authenticated"
    };
    assert!(known(OLD).await && !known(NEW).await);
    std::fs::write(files.path().join("alpha.token"), NEW).expect("a file");
    serving.signal("HUP");
    eventually(AT_ONCE, async || !known(OLD).await).await;
    assert!(known(NEW).await);
    assert!(serving.ended().is_none() && serving.admin.get("/readyz").await.status == 200);
    serving.signal("TERM");
    assert_eq!(serving.end_within(LONG).await.code(), Some(0));
}

/// SIGHUP ends it, also where whoever runs the tests had it ignored.
fn in_a_terminal(args: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/env");
    command.arg("--default-signal=HUP").arg(binary()).args(args).env_clear();
    command
}

/// A command that belongs to a terminal, and what it prints; it is killed with the test.
struct Shown(Child, Said);

impl Shown {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("a process");
        let mut said = Said::default();
        said.follow(child.stdout.take().expect("stdout"));
        Self(child, said)
    }

    async fn says(&self, word: &str) -> String {
        eventually(Duration::from_secs(60), async || self.1.text().contains(word)).await;
        self.1.text()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_terminal_ends_the_demo_and_the_emulator_in_order() {
    let mut demo = Shown::start(in_a_terminal(&["demo"]));
    let text = demo.says("Ctrl-C ends it").await;
    let (_, rest) = text.split_once("--cacert ").expect("a CA file");
    let ca = PathBuf::from(rest.split_ascii_whitespace().next().expect("a path"));
    assert!(ca.exists());
    signal(&demo.0, "HUP");
    assert_eq!(end_within(&mut demo.0, LONG).await.and_then(|status| status.code()), Some(0));
    assert!(!ca.exists(), "it leaves nothing behind");
    let mut emulator = Shown::start(in_a_terminal(&["emulator", "--listen", "127.0.0.1:0"]));
    emulator.says("the emulator is at").await;
    signal(&emulator.0, "HUP");
    assert_eq!(end_within(&mut emulator.0, LONG).await.and_then(|status| status.code()), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nohup_keeps_the_emulator() {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" emulator --listen 127.0.0.1:0"]).arg(binary()).env_clear();
    let mut emulator = Shown::start(command);
    emulator.says("the emulator is at").await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", emulator.0.id())).expect("a process");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask").trim();
    assert_eq!(u64::from_str_radix(ignored, 16).expect("a mask") & 1, 1, "SIGHUP is the first: {ignored}");
    signal(&emulator.0, "HUP");
    signal(&emulator.0, "TERM");
    assert_eq!(end_within(&mut emulator.0, LONG).await.and_then(|status| status.code()), Some(0));
}
