//! Keys: rotated while all serve, seen by replicas at different times; and a replica that has other ones.

use std::time::Duration;

use serde_json::json;
use tokend::clock::Clock;

use super::{CHANNEL, SOON, Stage, level, measured, ring};
use crate::support::eventually;

impl Stage {
    /// Has every replica read its key ring again, as each does by itself every ten seconds: what is sealed by a key that nobody
    /// knows makes them look at once, though not more than once a second.
    async fn nudge(&self) {
        self.clock.advance(Duration::from_secs(1));
        let mut connection = self.redis.client().await;
        let stranger = b"0000000000000000\x03\x08stranger and nothing that could be opened";
        redis::cmd("PUBLISH").arg(CHANNEL).arg(&stranger[..]).exec_async(&mut connection).await.expect("told");
    }

    /// Has the rings read until each replica has these keys, in this order.
    async fn rings_read(&self, expected: [&[&str]; 2]) {
        for (index, kids) in expected.into_iter().enumerate() {
            eventually(SOON, async || {
                self.nudge().await;
                self.sidecar(index).admin.get("/status").await.json["cache"]["redis"]["keys"] == json!(kids)
            })
            .await;
            let shown = self.sidecar(index).admin.get("/metrics").await.text;
            for kid in kids {
                assert!(shown.contains(&format!("tokend_key_ring_key{{kid=\"{kid}\"}} 1")), "{kid}");
            }
        }
    }

    /// By which key the tokens in Redis are sealed, sorted.
    async fn sealed_by(&self) -> Vec<String> {
        let mut kids = Vec::new();
        for key in self.tokens().await {
            let value = self.value(&key).await;
            kids.push(String::from_utf8_lossy(&value[18..18 + usize::from(value[17])]).into_owned());
        }
        kids.sort();
        kids
    }

    async fn reads(&self, index: usize, kid: &str) -> f64 {
        self.sidecar(index).metric(&format!("tokend_key_ring_reads_total{{kid=\"{kid}\"}}")).await
    }

    /// One replica gets a token, and the other one has to find it. Returns the assertion that it was for.
    async fn passes_on(&self, from: usize, to: usize) -> String {
        let (user, calls) = (self.ana().await, self.calls().await);
        let first = self.obo(from, &user).await;
        assert_eq!(level(&first), "identity_provider");
        let found = self.obo(to, &user).await;
        assert_eq!((found.token(), level(&found), self.calls().await), (first.token(), "redis", calls + 1));
        user
    }
}

#[tokio::test]
async fn cch_19_a_ring_is_rotated_in_three_edits_and_no_hit_is_lost() {
    let stage = Stage::new(2).await;
    let first = stage.passes_on(0, 1).await;
    // Appended, at one replica first.
    stage.write_ring(0, &["1", "2"]);
    stage.rings_read([&["1", "2"], &["1"]]).await;
    stage.passes_on(0, 1).await;
    stage.passes_on(1, 0).await;
    stage.write_ring(1, &["1", "2"]);
    stage.rings_read([&["1", "2"], &["1", "2"]]).await;
    assert_eq!(stage.sealed_by().await, ["1"; 3]);
    // Moved to the front, at one replica first.
    stage.write_ring(0, &["2", "1"]);
    stage.rings_read([&["2", "1"], &["1", "2"]]).await;
    stage.passes_on(0, 1).await;
    stage.passes_on(1, 0).await;
    stage.write_ring(1, &["2", "1"]);
    stage.rings_read([&["2", "1"], &["2", "1"]]).await;
    assert_eq!(stage.sealed_by().await, ["1", "1", "1", "1", "2"]);
    // What the old key sealed is still found.
    let calls = stage.calls().await;
    for index in 0..2 {
        assert_eq!(stage.obo(index, &first).await.source(), "cache");
    }
    assert_eq!(stage.calls().await, calls);
    // Nobody reads by it any more, and it goes, at one replica first.
    let before = [stage.reads(0, "1").await, stage.reads(1, "1").await];
    let last = stage.passes_on(0, 1).await;
    stage.passes_on(1, 0).await;
    assert_eq!([stage.reads(0, "1").await, stage.reads(1, "1").await], before);
    stage.write_ring(1, &["2"]);
    stage.rings_read([&["2", "1"], &["2"]]).await;
    stage.passes_on(0, 1).await;
    stage.passes_on(1, 0).await;
    stage.write_ring(0, &["2"]);
    stage.rings_read([&["2"], &["2"]]).await;
    stage.passes_on(0, 1).await;
    assert_eq!(stage.obo(0, &last).await.source(), "cache");
    for index in 0..2 {
        assert_eq!(stage.sidecar(index).metric("tokend_key_ring_key{kid=\"1\"}").await, 0.0);
        assert_eq!(stage.unreadable(index, "garbage").await, 0.0);
    }
}

#[tokio::test]
async fn cch_19_what_a_removed_key_sealed_is_a_miss() {
    let mut stage = Stage::new(2).await;
    let ana = stage.ana().await;
    let first = stage.obo(0, &ana).await;
    stage.write_ring(1, &["2"]);
    stage.restart(1, |yaml| yaml).await;
    let again = stage.obo(1, &ana).await;
    assert_eq!(level(&again), "identity_provider");
    assert_ne!(again.token(), first.token());
    assert!(stage.unreadable(1, "unknown_key").await >= 1.0);
    // The other one goes on with what it has, and reads the new key's token once its file has come.
    assert_eq!(stage.obo(0, &ana).await.token(), first.token());
    stage.write_ring(0, &["1", "2"]);
    stage.clock.advance(Duration::from_secs(60));
    assert_eq!((stage.obo(0, &ana).await.token(), stage.calls().await), (again.token(), 2));
}

#[tokio::test]
async fn cch_19_a_key_that_is_in_the_file_and_not_yet_read_loses_no_hit() {
    let mut stage = Stage::new(2).await;
    stage.write_ring(0, &["2", "1"]);
    stage.restart(0, |yaml| yaml).await;
    // Its file has come, and it has had no reason to look.
    stage.write_ring(1, &["1", "2"]);
    stage.passes_on(0, 1).await;
    assert_eq!(stage.sealed_by().await, ["2"]);
    assert_eq!(stage.unreadable(1, "unknown_key").await, 0.0);
}

#[tokio::test]
async fn cch_19_a_ring_that_is_no_ring_or_names_otherwise_changes_nothing() {
    let stage = Stage::new(2).await;
    let failures = "tokend_reload_failures_total{app=\"cache.redis\"}";
    for bad in ["", "name:AAAA\n", &ring("another name", &["1", "2"])] {
        let before = stage.sidecar(1).metric(failures).await;
        std::fs::write(stage.ring_file(1), bad).expect("a file");
        eventually(SOON, async || {
            stage.nudge().await;
            stage.sidecar(1).metric(failures).await > before
        })
        .await;
        stage.passes_on(0, 1).await;
        stage.passes_on(1, 0).await;
    }
}

#[tokio::test]
async fn cch_17_replicas_of_different_rings_serve_and_do_not_read_each_other() {
    for name in ["name", "another name"] {
        let mut stage = Stage::new(1).await;
        let yaml = stage.yaml(1);
        std::fs::write(stage.ring_file(1), ring(name, &["x"])).expect("a file");
        stage.add(yaml).await;
        let ana = stage.ana().await;
        let (one, other) = (stage.obo(0, &ana).await, stage.obo(1, &ana).await);
        assert_eq!((level(&one), level(&other)), ("identity_provider", "identity_provider"));
        for round in 0..3 {
            assert_eq!((stage.obo(0, &ana).await.token(), stage.obo(1, &ana).await.token()), (one.token(), other.token()));
            let forced = json!({"force_refresh": true});
            let forced = [stage.graph_with(0, &forced).await, stage.graph_with(1, &forced).await];
            assert_eq!(forced.each_ref().map(|answer| level(answer)), ["identity_provider"; 2], "round {round}");
        }
        assert_eq!(stage.calls().await, 8);
        // A message that cannot be opened at least.
        assert!(stage.unreadable(0, "unknown_key").await >= 1.0 && stage.unreadable(1, "unknown_key").await >= 1.0);
        assert_eq!(stage.unreadable(0, "garbage").await, 0.0);
    }
}

#[tokio::test]
async fn cch_17_a_follower_that_cannot_read_what_its_leader_left_is_served_soon() {
    let mut stage = Stage::new(1).await;
    let yaml = stage.yaml(1);
    stage.write_ring(1, &["x"]);
    stage.add(yaml).await;
    let clock = Clock::system();
    let answers = stage.together(json!({}), async |index| stage.graph(index).await).await;
    let took = clock.precise();
    measured("a follower with another ring is answered after", took);
    assert_eq!((level(&answers[0]), level(&answers[1])), ("identity_provider", "identity_provider"));
    assert_eq!(stage.calls().await, 2);
    // What it cannot read it need not wait for.
    assert!(took < Duration::from_secs(4), "{took:?}");
}
