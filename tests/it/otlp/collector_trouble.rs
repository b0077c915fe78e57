//! A collector that is away, or slow: nobody who asks for a token notices.

use std::time::{Duration, Instant};

use super::Stage;
use crate::support::{Collector, eventually};

/// How long an answer from memory may take on a machine that has other things to do.
/// The exporter waits ten seconds for a collector.
const BRISK: Duration = Duration::from_secs(3);

#[expect(clippy::disallowed_methods, reason = "how long a caller waits is the question")]
async fn ask_often(stage: &Stage, count: usize) {
    for _ in 0..count {
        let started = Instant::now();
        stage.graph(&[]).await.token();
        assert!(started.elapsed() < BRISK, "{:?}", started.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_away_costs_one_warning() {
    let away = "otlp: {endpoint: \"http://127.0.0.1:1\", sample_ratio: 1}\n";
    let mut stage = Stage::of(1, Collector::start().await, |_| away.to_owned()).await;
    let warning = "spans cannot be exported";
    // More than one batch of 512, so that more than one export fails.
    ask_often(&stage, 600).await;
    eventually(Duration::from_secs(20), async || stage.fleet.output(0).contains(warning)).await;
    ask_often(&stage, 600).await;
    assert!(stage.spans().await.0.is_empty());
    let output = stage.fleet.output(0);
    assert_eq!(output.matches(warning).count(), 1, "{output}");
    assert!(!output.contains("\"level\":\"ERROR\""), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_slow_costs_nothing() {
    let slow = Collector::slow(Duration::from_secs(60)).await;
    let mut stage = Stage::of(1, slow, |collector| collector.yaml("1.0")).await;
    ask_often(&stage, 600).await;
    eventually(Duration::from_secs(20), async || !stage.collector.spans().0.is_empty()).await;
    ask_often(&stage, 600).await;
    // It ends within the bound on the last export, whatever the collector does.
    stage.spans().await;
}
