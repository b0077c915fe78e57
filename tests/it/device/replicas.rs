//! Device codes in replicas that share a Redis: any of them polls a code, all of them together ask once, and none where they cannot
//! agree.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;
use tokend::clock::Clock;

use super::{ANA, EVA, ORDERS, STOCK, approve, deny, poll, polled, start};
use crate::support::redis::RedisServer;
use crate::support::{Emulator, Fault, NOW, Sidecar, configuration, eventually};

/// An emulator and replicas, each of which reaches Redis by a way of its own.
struct Stage {
    emulator: Emulator,
    replicas: Vec<Sidecar>,
    faults: Vec<Fault>,
    redis: RedisServer,
    clock: Clock,
    _files: TempDir,
}

// === impl Stage ===

impl Stage {
    async fn new(count: usize, encryption: &str) -> Self {
        let clock = Clock::manual(NOW);
        let (emulator, redis) = (Emulator::start(&clock).await, RedisServer::start().await);
        let files = tempfile::tempdir().expect("a folder");
        let ring = format!("name:{}\nfirst:{}\n", STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
        std::fs::write(files.path().join("key-ring"), ring).expect("a file");
        let encryption = encryption.replace("FILES", &files.path().display().to_string());
        let yaml = configuration(&emulator, &files);
        let (mut faults, mut replicas) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let fault = Fault::to(format!("127.0.0.1:{}", redis.port())).await;
            let cache = format!(
                "cache:\n  redis:\n    url: \"redis://{}\"\n    timeout: 1s\n    write_timeout: 2s\n    encryption: {{{encryption}}}\n",
                fault.address()
            );
            replicas.push(Sidecar::start(&format!("{yaml}\n{cache}"), &clock).await);
            faults.push(fault);
        }
        Self { emulator, replicas, faults, redis, clock, _files: files }
    }

    async fn usual(count: usize) -> Self {
        Self::new(count, "key_ring: {file: FILES/key-ring}").await
    }

    fn client(&self, replica: usize) -> &crate::support::Client {
        &self.replicas[replica].client
    }

    fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn req_6_any_replica_polls_what_another_has_started_and_all_keep_one_interval() {
    for encryption in ["key_ring: {file: FILES/key-ring}", "plaintext: true"] {
        let stage = Stage::new(2, encryption).await;
        let started = start(stage.client(0), "web", ORDERS).await;
        poll(stage.client(1), &started).await.refused(400, "authorization_pending", "");
        stage.later(2);
        poll(stage.client(0), &started).await.refused(400, "slow_down", "");
        stage.later(5);
        poll(stage.client(1), &started).await.refused(400, "slow_down", "");
        assert_eq!(polled(&stage.emulator).await.len(), 1);
        approve(&stage.emulator, &started, ANA).await;
        stage.later(7);
        let first = poll(stage.client(0), &started).await;
        // The other replica finds what the code became.
        let second = poll(stage.client(1), &started).await;
        assert_eq!(first.token(), second.token());
        assert_eq!(second.member("token_source"), "cache", "{}", second.text);
        assert_eq!(polled(&stage.emulator).await.len(), 2);
        let denied = start(stage.client(0), "web", ORDERS).await;
        deny(&stage.emulator, &denied).await;
        poll(stage.client(0), &denied).await.refused(400, "access_denied", "");
        poll(stage.client(1), &denied).await.refused(400, "access_denied", "");
        assert_eq!(polled(&stage.emulator).await.len(), 3);
        let dump = stage.redis.dump().await;
        let code = polled(&stage.emulator).await[0]["device_code"].as_str().expect("a code").as_bytes().to_vec();
        let has = |text: &[u8], bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        assert!(dump.iter().all(|(name, value)| !has(&code, name) && !has(&code, value)), "the authority's code lies there");
    }
}

#[tokio::test]
async fn replicas_that_poll_at_once_make_one_call_and_give_one_answer() {
    let stage = Stage::usual(3).await;
    for round in 0..8 {
        let is_approved = round % 2 == 1;
        let started = start(stage.client(0), "web", ORDERS).await;
        if is_approved {
            approve(&stage.emulator, &started, ANA).await;
        }
        stage.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"delay_ms": 200}})).await;
        let before = polled(&stage.emulator).await.len();
        let answers = join_all((0..6).map(|index| poll(stage.client(index % 3), &started))).await;
        for answer in &answers {
            if is_approved {
                assert_eq!(answer.token(), answers[0].token(), "round {round}");
            } else {
                answer.refused(400, "authorization_pending", "");
            }
        }
        assert_eq!(polled(&stage.emulator).await.len(), before + 1, "round {round}");
        stage.emulator.unscript().await;
    }
}

#[tokio::test]
async fn many_devices_at_a_time_each_get_the_token_of_their_own_user() {
    let stage = Stage::usual(2).await;
    let users = [("web", ORDERS, ANA), ("web", ORDERS, "ben@contoso.example"), ("shop-web", STOCK, EVA)];
    let devices = join_all((0..12).map(|index| {
        let (app, scopes, user) = users[index % 3];
        let client = stage.client(index % 2);
        async move { (start(client, app, scopes).await, user) }
    }))
    .await;
    for (started, user) in &devices {
        approve(&stage.emulator, started, user).await;
    }
    // Each by both replicas at the same time.
    let polls = (0..24_usize).map(|index| {
        let (stage, devices) = (&stage, &devices);
        async move {
            let (started, user) = &devices[index / 2];
            (poll(stage.client(index % 2), started).await, *user)
        }
    });
    for (answer, user) in join_all(polls).await {
        answer.token();
        let name = answer.json["account"]["username"].as_str().unwrap_or_default();
        assert!(name == user || name.starts_with(user), "{user}: {}", answer.text);
    }
    assert_eq!(polled(&stage.emulator).await.len(), 12);
}

#[tokio::test]
async fn where_replicas_cannot_agree_nothing_is_sent_and_what_memory_knows_is_served() {
    let stage = Stage::usual(2).await;
    let (known, open) = (start(stage.client(0), "web", ORDERS).await, start(stage.client(0), "web", ORDERS).await);
    for started in [&known, &open] {
        approve(&stage.emulator, started, ANA).await;
    }
    let token = poll(stage.client(0), &known).await.token().to_owned();
    let calls = polled(&stage.emulator).await.len();
    for (away, back) in [(Fault::cut as fn(&Fault), Fault::pass as fn(&Fault)), (Fault::freeze, Fault::pass)] {
        stage.faults.iter().for_each(away);
        let refused = poll(stage.client(0), &open).await;
        refused.refused(503, "cache_unavailable", "try again later");
        poll(stage.client(1), &known).await.refused(503, "cache_unavailable", "");
        // This replica knows what became of it.
        assert_eq!(poll(stage.client(0), &known).await.token(), token);
        // A start needs no store: the ring seals it.
        start(stage.client(0), "web", ORDERS).await;
        assert_eq!(polled(&stage.emulator).await.len(), calls, "nothing was sent");
        stage.faults.iter().for_each(back);
        let asked = async || {
            stage.later(1);
            poll(stage.client(1), &known).await.status == 200
        };
        eventually(Duration::from_secs(60), asked).await;
    }
    let answer = async || {
        stage.later(5);
        poll(stage.client(1), &open).await.status == 200
    };
    eventually(Duration::from_secs(60), answer).await;
    assert_eq!(polled(&stage.emulator).await.len(), calls + 1);
}

#[tokio::test]
async fn a_code_that_is_redeemed_while_redis_goes_away_is_found_when_it_is_back() {
    let stage = Stage::usual(2).await;
    for (app, scopes, user) in [("web", ORDERS, ANA), ("shop-web", STOCK, EVA)] {
        let started = start(stage.client(0), app, scopes).await;
        approve(&stage.emulator, &started, user).await;
        let before = polled(&stage.emulator).await.len();
        stage.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true}})).await;
        let polls = poll(stage.client(0), &started);
        let goes = async {
            stage.emulator.asked_times("token", before + 1).await;
            stage.faults[0].freeze();
            stage.emulator.release().await;
        };
        let (answer, ()) = tokio::join!(polls, goes);
        let token = answer.token().to_owned();
        stage.faults[0].pass();
        eventually(Duration::from_secs(60), async || {
            stage.later(1);
            let other = poll(stage.client(1), &started).await;
            assert!([200, 503].contains(&other.status), "{}", other.text);
            other.status == 200 && other.member("access_token") == token
        })
        .await;
        assert_eq!(polled(&stage.emulator).await.len(), before + 1, "the code was sent once");
        stage.emulator.unscript().await;
    }
}
