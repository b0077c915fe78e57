//! Standard error is a pipe that nobody reads: requests, probes and the end do not wait for a reader.

use std::process::ChildStderr;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Serving, stage, tokend};
use crate::support::{Client, Emulator, GRAPH, configuration, eventually};

const DROPPED: &str = "tokend_log_lines_dropped_total";

const LONG: Duration = Duration::from_secs(60);

async fn unread() -> (Emulator, TempDir, Serving, ChildStderr) {
    let (emulator, files) = stage().await;
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
    let mut command = tokend(&["serve", "--config"]);
    command.arg(&config);
    let (serving, stderr) = Serving::start_unread(command).await;
    (emulator, files, serving, stderr)
}

/// Has requests fail until a line of theirs was dropped. Returns how many failed.
async fn fill(serving: &Serving) -> usize {
    let mut failed = 0;
    let body = json!({"app": "an-app-that-is-none", "scopes": [GRAPH]});
    // Twice as many as there is room for, at about 300 bytes each.
    while serving.metric(DROPPED).await == 0.0 {
        assert!(failed < 10_000, "{failed} lines, and all of them have found room");
        let clients = (0..8).map(|_| async {
            let client = Client::new(&serving.client.base, None);
            for _ in 0..50 {
                client.post("/client-credentials", &body).await.refused(404, "unknown_app", "");
            }
        });
        join_all(clients).await;
        failed += 8 * 50;
    }
    failed
}

async fn serves(serving: &Serving) {
    serving.client.post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await.token();
    for probe in ["/livez", "/readyz"] {
        assert_eq!(serving.admin.get(probe).await.status, 200, "{probe}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_and_says_how_many_lines_are_missing_once_somebody_reads() {
    let (_emulator, _files, mut serving, stderr) = unread().await;
    let failed = fill(&serving).await;
    serves(&serving).await;
    let dropped = serving.metric(DROPPED).await;
    assert!(dropped > 0.0);
    serving.said.follow(stderr);
    let notices = || {
        let output = serving.output();
        // The last line may be on its way.
        let whole = output.rfind('\n').map_or("", |end| &output[..end]);
        let lines: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
        let message = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
        let missing = lines.iter().map(message).filter_map(|text| text.split_once(" log line")?.0.parse::<usize>().ok()).sum();
        let there = lines.iter().filter(|line| line["message"] == "request failed").count();
        (missing, there)
    };
    // Nothing is lost without being counted, and nothing that was counted is there.
    eventually(LONG, async || {
        let (missing, there): (usize, usize) = notices();
        missing > 0 && missing + there == failed
    })
    .await;
    assert_eq!(notices().0.to_string(), dropped.to_string());
    // From here on there is room again.
    let refused = serving.client.post("/client-credentials", &json!({"app": "another-that-is-none"})).await;
    eventually(LONG, async || serving.output().contains(refused.member("correlation_id"))).await;
    assert_eq!(serving.metric(DROPPED).await, dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_while_nobody_reads() {
    let (_emulator, _files, mut serving, stderr) = unread().await;
    fill(&serving).await;
    serves(&serving).await;
    serving.signal("TERM");
    // Long before the grace of 20 s: nothing is in progress.
    assert_eq!(serving.end_within(Duration::from_secs(15)).await.code(), Some(0));
    drop(stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_went_away_stops_nothing() {
    let (_emulator, _files, mut serving, stderr) = unread().await;
    drop(stderr);
    let body = json!({"app": "an-app-that-is-none", "scopes": [GRAPH]});
    serving.client.post("/client-credentials", &body).await.refused(404, "unknown_app", "");
    eventually(LONG, async || serving.metric(DROPPED).await > 0.0).await;
    serves(&serving).await;
    serving.signal("TERM");
    assert_eq!(serving.end_within(Duration::from_secs(15)).await.code(), Some(0));
}
