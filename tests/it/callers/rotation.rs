//! New tokens in the file of a caller: taken without a restart, and without a look at the disk for every wrong one.

use futures_util::future::join_all;
use serde_json::json;

use super::{Stage, THREE, token};
use crate::support::{Answer, GRAPH, hang};

const NEW: &str = "canary-of-alpha-the-second-abcdefghij";

/// Asks with this token.
async fn ask(stage: &Stage, token: &str) -> Answer {
    stage.nobody(0).calling(token).post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await
}

#[tokio::test]
async fn a_new_token_is_taken_at_once_and_the_old_one_while_it_stands_there() {
    let stage = Stage::memory(&THREE).await;
    let old = token("alpha");
    ask(&stage, &old).await.token();
    stage.write_tokens("alpha", &[&old, NEW]);
    ask(&stage, NEW).await.token();
    ask(&stage, &old).await.token();
    stage.write_tokens("alpha", &[NEW]);
    // Nothing was refused: the old one goes with the next comparison, of which another's wrong token is the occasion here.
    stage.clock.advance(std::time::Duration::from_secs(1));
    ask(&stage, "wrong").await.refused(403, "caller_not_authenticated", "no caller");
    ask(&stage, &old).await.refused(403, "caller_not_authenticated", "no caller");
    ask(&stage, NEW).await.token();
    ask(&stage, &token("beta")).await.token();
}

#[tokio::test]
async fn wrong_tokens_make_it_look_once_a_second_at_most() {
    let stage = Stage::memory(&THREE).await;
    ask(&stage, "wrong").await.refused(403, "caller_not_authenticated", "no caller");
    stage.write_tokens("alpha", &[&token("alpha"), NEW]);
    // The clock stands still: the second is not over.
    for answer in join_all((0..50).map(|_| ask(&stage, NEW))).await {
        answer.refused(403, "caller_not_authenticated", "no caller");
    }
    stage.clock.advance(std::time::Duration::from_millis(999));
    ask(&stage, NEW).await.refused(403, "caller_not_authenticated", "no caller");
    stage.clock.advance(std::time::Duration::from_millis(1));
    // Whoever comes while the files are being compared waits for the end of that.
    for answer in join_all((0..50).map(|_| ask(&stage, NEW))).await {
        answer.token();
    }
}

#[tokio::test]
async fn files_that_hang_stop_neither_their_callers_nor_others() {
    let mut stage = Stage::memory(&THREE).await;
    for name in ["alpha", "beta"] {
        hang(&stage.token_file(name));
    }
    stage.write_tokens("desk", &[NEW]);
    for _ in 0..3 {
        stage.clock.advance(std::time::Duration::from_secs(1));
        for answer in join_all((0..50).map(|_| ask(&stage, "wrong"))).await {
            answer.refused(403, "caller_not_authenticated", "no caller");
        }
    }
    for good in [&token("alpha"), &token("beta"), NEW] {
        ask(&stage, good).await.token();
    }
    assert!(stage.replicas.remove(0).stop().await, "it did not end in time");
}

#[tokio::test]
async fn a_bad_new_file_keeps_the_old_one() {
    let stage = Stage::memory(&THREE).await;
    let (old, mut failures) = (token("alpha"), 0.0);
    let metric = "tokend_reload_failures_total{app=\"callers.alpha\"}";
    let taken = format!("{NEW}\n{}", token("beta"));
    for bad in ["", "canary-too-short", &format!("{NEW}\ncanary canary canary canary"), &taken] {
        std::fs::write(stage.token_file("alpha"), bad).expect("a file");
        stage.clock.advance(std::time::Duration::from_secs(1));
        ask(&stage, NEW).await.refused(403, "caller_not_authenticated", "no caller");
        ask(&stage, &old).await.token();
        ask(&stage, &token("beta")).await.token();
        failures += 1.0;
        assert!((stage.replicas[0].metric(metric).await - failures).abs() < f64::EPSILON, "{bad}");
        let status = stage.replicas[0].admin.get("/status").await;
        let report = &status.json["reload_failures"][0];
        assert_eq!(report["what"], "callers.alpha.token", "{}", status.text);
        assert!(report["problem"].is_string() && !status.text.contains("canary"), "{}", status.text);
    }
    std::fs::remove_file(stage.token_file("alpha")).expect("removed");
    stage.clock.advance(std::time::Duration::from_secs(1));
    ask(&stage, NEW).await.refused(403, "caller_not_authenticated", "no caller");
    ask(&stage, &old).await.token();
    // A good one heals it.
    stage.write_tokens("alpha", &[NEW]);
    stage.clock.advance(std::time::Duration::from_secs(1));
    ask(&stage, NEW).await.token();
    ask(&stage, &old).await.refused(403, "caller_not_authenticated", "no caller");
    assert_eq!(stage.replicas[0].admin.get("/status").await.json["reload_failures"], json!([]));
}
