//! A certificate is replaced while it is in use.

use std::time::Duration;

use super::{LATER, PATIENCE, Stage, der, write};
use crate::support::{eventually, hang};

const A_SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn new_connections_see_the_new_certificate_and_old_ones_live_on() {
    let stage = Stage::new().await;
    let mut old = stage.connect().await.expect("a connection");
    assert_eq!(old.ask().await.expect("an answer"), 404);
    let next = stage.authority.listener(&[], 2040);
    write(&stage.files, &next);
    // Within a second of the last look nobody looks again.
    assert_eq!(stage.shown().await, old.leaf);
    stage.clock.advance(A_SECOND);
    eventually(PATIENCE, async || stage.shown().await == der(&next)).await;
    assert_eq!(old.ask().await.expect("an answer"), 404);
    let until = stage.sidecar.admin.get("/status").await.json["tls"]["expires_on"].as_i64().expect("a time");
    assert_eq!(until, 2_208_988_800, "2040 begins then");
    assert_eq!(stage.sidecar.metric("tokend_listener_certificate_expiry_timestamp_seconds").await as i64, until);
    assert_eq!(failures(&stage).await, 0.0);
}

#[tokio::test]
async fn a_pair_that_does_not_fit_keeps_the_old_one_and_is_told() {
    let stage = Stage::new().await;
    let first = stage.shown().await;
    let next = stage.authority.listener(&[], LATER);
    std::fs::write(stage.files.path().join("tls.crt"), &next.cert).expect("a file");
    told(&stage, "not the key", 1.0).await;
    assert_eq!(stage.shown().await, first);
    // The second file follows.
    std::fs::write(stage.files.path().join("tls.key"), &next.key).expect("a file");
    stage.clock.advance(A_SECOND);
    eventually(PATIENCE, async || stage.shown().await == der(&next)).await;
    let status = stage.sidecar.admin.get("/status").await;
    assert!(status.json["tls"]["problem"].is_null() && status.json["reload_failures"] == serde_json::json!([]), "{}", status.text);
    assert_eq!(failures(&stage).await, 1.0);
}

#[tokio::test]
async fn files_that_are_lost_or_garbage_keep_the_old_pair() {
    let stage = Stage::new().await;
    let first = stage.shown().await;
    std::fs::write(stage.files.path().join("tls.key"), "canary").expect("a file");
    told(&stage, "`tls.key`: it holds no private key", 1.0).await;
    std::fs::remove_file(stage.files.path().join("tls.crt")).expect("a file");
    told(&stage, "cannot be read", 2.0).await;
    assert_eq!(stage.shown().await, first);
    assert!(!stage.sidecar.admin.get("/status").await.text.contains("canary"));
}

#[tokio::test]
async fn a_file_that_hangs_keeps_nobody_from_connecting() {
    let stage = Stage::new().await;
    let first = stage.shown().await;
    hang(&stage.files.path().join("tls.key"));
    told(&stage, "not read within 1 s", 1.0).await;
    for _ in 0..50 {
        stage.clock.advance(A_SECOND);
        assert_eq!(stage.shown().await, first);
    }
    assert!(stage.sidecar.stop().await, "it did not end in time");
}

/// Has the files looked at, and waits until `/status` tells of the problem and it is counted.
async fn told(stage: &Stage, what: &str, count: f64) {
    stage.clock.advance(A_SECOND);
    drop(stage.shown().await);
    eventually(PATIENCE, async || {
        let status = stage.sidecar.admin.get("/status").await;
        let [tls, listed] = [&status.json["tls"]["problem"], &status.json["reload_failures"][0]["problem"]];
        tls.as_str().is_some_and(|problem| problem.contains(what)) && tls == listed
    })
    .await;
    assert_eq!(failures(stage).await, count);
}

async fn failures(stage: &Stage) -> f64 {
    stage.sidecar.metric("tokend_reload_failures_total{app=\"listen.tls\"}").await
}
