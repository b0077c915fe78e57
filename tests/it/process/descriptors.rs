//! Few descriptors: what `check` says of that, and that idle connections leave none for nobody else.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Serving, binary, run, said, serving_with, stage};
use crate::support::{Client, GRAPH, configuration, output, soon};

/// The binary with so many descriptors; `which` is `-n` for both limits, or `-Sn` for the usual one alone.
fn limited(which: &str, limit: u32, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit {which} {limit} && exec \"$0\" \"$@\"")]).arg(binary()).args(args);
    command.env_clear().stdin(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_over_the_limit_stop_nothing() {
    let (emulator, files) = stage().await;
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
    let mut command = limited("-n", 1024, &["serve", "--config"]);
    command.arg(&config);
    let serving = Serving::start(command).await;
    let address = serving.client.base.trim_start_matches("http://").to_owned();
    // The test needs as many of its own.
    tokend::sidecar::Descriptors::raise();
    let mut idle = Vec::new();
    for round in 0..1100 {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
        let mut answer = [0; 1024];
        assert_ne!(soon(stream.read(&mut answer)).await.expect("an answer"), 0, "{round}");
        idle.push(stream);
    }
    assert_eq!(serving.admin.get("/livez").await.status, 200);
    // A new connection, and a call to the authority.
    let body = json!({"app": "daemon", "scopes": [GRAPH]});
    Client::new(&serving.client.base, None).post("/client-credentials", &body).await.token();
    let output = serving.output();
    assert!(output.contains("RLIMIT_NOFILE") && !output.contains("no connection can be accepted"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_limit_the_admin_listener_still_answers() {
    let (_emulator, _files, serving) = serving_with("").await;
    let address = serving.client.base.trim_start_matches("http://").to_owned();
    // Idle connections take the numbers that the start left free between the others.
    let mut idle = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
        assert_ne!(soon(stream.read(&mut [0; 1024])).await.expect("an answer"), 0);
        idle.push(stream);
    }
    let pid = serving.child.id();
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of ours");
    let numbers: BTreeSet<usize> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    let open = (0..).find(|number| !numbers.contains(number)).expect("a number that is free");
    // From here on there is none left.
    let mut command = Command::new("prlimit");
    command.args(["--pid", &pid.to_string(), &format!("--nofile={open}:{open}")]);
    assert!(output(command).await.status.success(), "no limit");
    let mut waiting = TcpStream::connect(&address).await.expect("a place in the system's queue");
    waiting.write_all(b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let mut answer = [0; 64];
    let refused = tokio::time::timeout(Duration::from_millis(300), waiting.read(&mut answer)).await;
    assert!(refused.is_err(), "there are descriptors left: {refused:?}");
    for path in ["/livez", "/readyz", "/metrics", "/livez"] {
        // A new connection each.
        assert_eq!(Client::new(&serving.admin.base, None).get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn check_warns_of_a_hard_limit_that_is_too_low_and_of_no_other() {
    let (emulator, files) = stage().await;
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
    let check = |which, limit| {
        let mut command = limited(which, limit, &["check", "--config"]);
        command.arg(&config);
        command
    };
    let (code, text) = said(&run(check("-n", 1024)).await);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("warning: environment: RLIMIT_NOFILE") && text.contains("raise the hard limit"), "{text}");
    let (code, text) = said(&run(check("-Sn", 256)).await);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("RLIMIT_NOFILE"), "the usual limit is raised: {text}");
}
