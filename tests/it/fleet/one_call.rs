//! Real processes that share one Redis ask the authority once, however many callers they have and whoever of them dies.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use super::{SOON, USER_READ, measured, ring};
use crate::support::redis::RedisServer;
use crate::support::{Emulator, Fleet, GRAPH, configuration, eventually};

/// An emulator, a Redis and processes of one configuration.
struct Processes {
    emulator: Emulator,
    fleet: Fleet,
    _redis: RedisServer,
    _files: TempDir,
}

async fn processes(count: usize) -> Processes {
    let (emulator, redis) = (Emulator::start(&Clock::system()).await, RedisServer::start().await);
    let files = tempfile::tempdir().expect("a folder");
    let path = files.path().join("key-ring");
    std::fs::write(&path, ring("name", &["1"])).expect("a file");
    let (url, path) = (redis.url(), path.display());
    let cache = format!("cache: {{redis: {{url: \"{url}\", timeout: 1s, encryption: {{key_ring: {{file: {path}}}}}}}}}\n");
    let yaml = configuration(&emulator, &files) + &cache;
    let fleet = Fleet::start(count, |_| yaml.clone()).await;
    Processes { emulator, fleet, _redis: redis, _files: files }
}

fn graph() -> Value {
    json!({"app": "daemon", "scopes": [GRAPH]})
}

#[tokio::test]
async fn cch_15_fifteen_hundred_cold_requests_at_three_processes_are_one_call() {
    let Processes { emulator, fleet, .. } = &processes(3).await;
    emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"delay_ms": 1000}})).await;
    let body = graph();
    let requests = (0..1500).map(|index| fleet.client(index % fleet.len()).post("/client-credentials", &body));
    let answers = join_all(requests).await;
    let first = answers[0].token();
    assert!(answers.iter().all(|answer| answer.token() == first));
    assert_eq!(emulator.asked("token").await.len(), 1);
}

#[tokio::test]
async fn cch_15_fifty_users_at_four_processes_are_fifty_calls() {
    let Processes { emulator, fleet, .. } = &processes(4).await;
    emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"delay_ms": 300}})).await;
    let users = join_all((0..50).map(async |index| {
        let claims = json!({"oid": format!("user-{index}"), "preferred_username": format!("u{index}@contoso.example")});
        emulator.mint(json!({"app": "orders-api", "scopes": "access_as_user", "claims": claims})).await
    }))
    .await;
    let body = json!({"app": "orders", "scopes": [USER_READ]});
    let mut tokens: Vec<String> = Vec::new();
    for round in 0..3 {
        let requests = users.iter().flat_map(|user| (0..fleet.len()).map(|index| fleet.client(index).post_as("/obo", user, &body)));
        let answers = join_all(requests).await;
        let mut seen = Vec::new();
        for (user, answers) in answers.chunks(fleet.len()).enumerate() {
            assert!(answers.iter().all(|answer| answer.token() == answers[0].token()), "round {round}, user {user}");
            seen.push(answers[0].token().to_owned());
        }
        assert!(tokens.is_empty() || tokens == seen, "round {round}");
        tokens = seen;
    }
    assert_eq!(emulator.asked("token").await.len(), 50);
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 50);
}

#[tokio::test]
async fn cch_15_when_the_leader_is_killed_one_follower_takes_its_place() {
    let Processes { emulator, mut fleet, _redis, _files } = processes(3).await;
    // Held for good: whoever asked is gone when it is let go.
    emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true}})).await;
    let body = graph();
    let dying = fleet.client(0).request("/client-credentials", &body);
    let clients = [fleet.client(1).clone(), fleet.client(2).clone()];
    let clock = Clock::system();
    let (ended, answers) = tokio::join!(unanswered(dying), async {
        emulator.asked_times("token", 1).await;
        let requests = clients.iter().flat_map(|client| (0..20).map(|_| client.post("/client-credentials", &body)));
        let (answers, killed) = tokio::join!(join_all(requests), async {
            for index in [1, 2] {
                let claimed = "tokend_redis_requests_total{op=\"claim\",outcome=\"ok\"}";
                eventually(SOON, async || fleet.metric(index, claimed).await >= 1.0).await;
            }
            fleet.kill(0);
            clock.precise()
        });
        measured("answered after the leader was killed", clock.precise() - killed);
        assert!(clock.precise() - killed < SOON);
        answers
    });
    assert!(ended, "the first one was not answered");
    assert!(answers.iter().all(|answer| answer.token() == answers[0].token()));
    assert_eq!(emulator.asked("token").await.len(), 2);
    let mut taken_over = 0.0;
    for index in [1, 2] {
        taken_over += fleet.metric(index, "tokend_cache_leases_total{outcome=\"taken_over\"}").await;
    }
    assert_eq!(taken_over, 1.0);
    // A newcomer is served what they have.
    fleet.restart(0).await;
    let late = fleet.client(0).post("/client-credentials", &body).await;
    assert_eq!((late.token(), late.member("cache_level")), (answers[0].token(), "redis"));
    assert_eq!(emulator.asked("token").await.len(), 2);
}

#[tokio::test]
async fn cch_15_a_leader_that_hung_and_wakes_up_takes_what_took_its_place() {
    let Processes { emulator, mut fleet, _redis, _files } = processes(2).await;
    emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true}})).await;
    let body = graph();
    let (hung, other) = (fleet.client(0).clone(), fleet.client(1).clone());
    let (woken, other) = tokio::join!(hung.post("/client-credentials", &body), async {
        emulator.asked_times("token", 1).await;
        fleet.signal(0, "STOP");
        let answer = other.post("/client-credentials", &body).await;
        // Its own answer reaches it when it is too late.
        emulator.release().await;
        fleet.signal(0, "CONT");
        answer
    });
    assert_eq!(
        (woken.status, other.source(), emulator.asked("token").await.len()),
        (200, "identity_provider", 2),
        "{}",
        woken.text
    );
    for index in 0..2 {
        let now = fleet.client(index).post("/client-credentials", &body).await;
        assert_eq!((now.token(), now.member("cache_level")), (other.token(), "memory"));
    }
    assert_eq!(emulator.asked("token").await.len(), 2);
}

/// Sends a request that must come to nothing.
#[expect(clippy::disallowed_methods, reason = "a test is a caller of the sidecar, not a part of it")]
async fn unanswered(request: reqwest::RequestBuilder) -> bool {
    tokio::time::timeout(Duration::from_secs(25), request.send()).await.is_ok_and(|sent| sent.is_err())
}
