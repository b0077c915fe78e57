//! Renewals, forced and not: one call for the fleet, and who gets the new token when.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokend::clock::Clock;

use super::{SOON, Stage, level, measured, sha256};
use crate::support::eventually;
use crate::support::redis::RedisServer;

/// Three replicas that have one token in memory, which is due for renewal.
async fn due() -> (Stage, String) {
    let stage = Stage::new(3).await;
    stage.answering_with(1, json!({"expires_in": 10_000, "set": {"refresh_in": 1000}})).await;
    let first = stage.graph(0).await.token().to_owned();
    for index in 1..3 {
        let found = stage.graph(index).await;
        assert_eq!((found.token(), level(&found)), (first.as_str(), "redis"));
    }
    stage.elapse(1000).await;
    (stage, first)
}

/// The sum of a metric over all replicas.
async fn sum(stage: &Stage, sample: &str) -> f64 {
    join_all((0..stage.replicas.len()).map(|index| stage.sidecar(index).metric(sample))).await.iter().sum()
}

#[tokio::test]
async fn cch_12_three_replicas_that_find_a_token_due_renew_it_once() {
    let (stage, first) = due().await;
    stage.answering_with(0, json!({"hold": true})).await;
    for answer in join_all((0..30).map(|index| stage.graph(index % 3))).await {
        assert_eq!((answer.token(), level(&answer)), (first.as_str(), "memory"));
    }
    // One of them asks, the others leave it to that one.
    stage.emulator.asked_times("token", 2).await;
    eventually(SOON, async || sum(&stage, "tokend_cache_leases_total{outcome=\"given_up\"}").await >= 2.0).await;
    // As long as it takes, all serve what they have.
    for answer in join_all((0..30).map(|index| stage.graph(index % 3))).await {
        assert_eq!((answer.token(), level(&answer)), (first.as_str(), "memory"));
    }
    stage.emulator.release().await;
    let renewed = "tokend_refreshes_total{app=\"daemon\",flow=\"client_credentials\",outcome=\"ok\"}";
    eventually(SOON, async || sum(&stage, renewed).await >= 1.0).await;
    // The others find the new one in Redis the next time they look for it, and nobody asks the authority again.
    for index in 0..3 {
        eventually(SOON, async || stage.graph(index).await.token() != first).await;
    }
    let tokens = join_all((0..3).map(|index| stage.graph(index))).await;
    assert!(tokens.iter().all(|answer| answer.token() == tokens[0].token() && level(answer) == "memory"));
    assert_eq!((stage.calls().await, sum(&stage, renewed).await), (2, 1.0));
}

#[tokio::test]
async fn cch_13_a_renewal_that_fails_at_one_replica_holds_the_others_and_takes_nothing_away() {
    let (stage, first) = due().await;
    stage.answering_with(0, json!({"throttle": {"retry_after": "600"}})).await;
    assert_eq!(stage.graph(0).await.token(), first);
    eventually(SOON, async || {
        let text = stage.sidecar(0).admin.get("/metrics").await.text;
        text.lines().any(|line| line.starts_with("tokend_refreshes_total{app=\"daemon\"") && !line.contains("\"ok\""))
    })
    .await;
    for answer in join_all((0..30).map(|index| stage.graph(index % 3))).await {
        assert_eq!((answer.token(), level(&answer)), (first.as_str(), "memory"));
    }
    // The others' renewals end at the pause that stands in Redis.
    let held = "tokend_held_requests_total{app=\"daemon\",flow=\"client_credentials\"}";
    eventually(SOON, async || {
        // One that found the other's lease left it at that; the next request tries again.
        assert_eq!((stage.graph(1).await.token(), stage.graph(2).await.token()), (first.as_str(), first.as_str()));
        sum(&stage, held).await >= 2.0
    })
    .await;
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
async fn cch_11_what_was_forced_at_one_replica_is_served_by_the_others_within_a_second() {
    let stage = Stage::new(3).await;
    let first = stage.graph(0).await.token().to_owned();
    for index in 1..3 {
        assert_eq!(stage.graph(index).await.token(), first);
    }
    let clock = Clock::system();
    let forced = stage.graph_with(0, &json!({"force_refresh": true})).await;
    let told = clock.precise();
    assert_eq!((forced.source(), forced.member("refresh_reason")), ("identity_provider", "force_refresh_or_claims"));
    assert_ne!(forced.token(), first);
    for index in 1..3 {
        eventually(SOON, async || stage.graph(index).await.token() == forced.token()).await;
    }
    measured("all serve the forced token after", clock.precise() - told);
    for index in 0..3 {
        assert_eq!((stage.graph(index).await.token(), level(&stage.graph(index).await)), (forced.token(), "memory"));
    }
    assert_eq!(stage.calls().await, 2);
    assert_eq!(sum(&stage, "tokend_cache_invalidations_total{direction=\"sent\",kind=\"replaced\"}").await, 1.0);
    assert_eq!(sum(&stage, "tokend_cache_invalidations_total{direction=\"received\",kind=\"replaced\"}").await, 2.0);
}

#[tokio::test]
async fn cch_11_what_was_forced_is_served_within_recheck_when_the_message_is_lost() {
    // The first replica's user may not publish.
    let users = ["user default off", "user mute on >pw ~* resetchannels +@all", "user heard on >pw ~* &* +@all"];
    let mut stage = Stage::empty(RedisServer::options().acl(&users).start().await).await;
    let password = stage.files.path().join("password").display().to_string();
    std::fs::write(&password, "pw").expect("a file");
    let yaml = |stage: &Stage, index, user| {
        let login = format!("redis: {{username: {user}, password: {{file: {password}}}, ");
        stage.yaml(index).replace("redis: {", &login)
    };
    stage.add(yaml(&stage, 0, "heard")).await;
    stage.add_deaf(yaml(&stage, 1, "mute")).await;
    let ana = stage.ana().await;
    let body = json!({"app": "orders", "scopes": [super::USER_READ], "force_refresh": true});
    let (first, app) = (stage.obo(0, &ana).await, stage.graph(0).await);
    assert_eq!(level(&stage.obo(1, &ana).await), "redis");
    let forced = stage.sidecar(1).client.post_as("/obo", &ana, &body).await;
    let forced_app = stage.graph_with(1, &json!({"force_refresh": true})).await;
    assert!(forced.token() != first.token() && forced_app.token() != app.token());
    stage.elapse(59).await;
    let still = stage.obo(0, &ana).await;
    assert_eq!((still.token(), stage.graph(0).await.token()), (first.token(), app.token()));
    assert_eq!(stage.sidecar(0).metric("tokend_cache_invalidations_total{direction=\"received\",kind=\"replaced\"}").await, 0.0);
    stage.elapse(1).await;
    assert_eq!((stage.obo(0, &ana).await.token(), stage.graph(0).await.token()), (forced.token(), forced_app.token()));
    assert_eq!(stage.calls().await, 4);
}

/// What three replicas are told that are asked at the same time to go past the token that they have.
async fn bypassed(more: impl Fn(&str) -> Value) -> (Stage, Value) {
    let stage = Stage::new(3).await;
    let first = stage.graph(0).await.token().to_owned();
    for index in 1..3 {
        assert_eq!(stage.graph(index).await.token(), first);
    }
    let more = more(&first);
    let answers = stage.together(json!({}), async |index| stage.graph_with(index, &more).await).await;
    assert_eq!(stage.calls().await, 2);
    for answer in &answers {
        assert_eq!(answer.token(), answers[0].token());
        assert_ne!(answer.token(), first);
    }
    // All have it now, in memory or, where the message that the old one was replaced came last, in Redis.
    for index in 0..3 {
        let again = stage.graph(index).await;
        assert_eq!((again.token(), again.source()), (answers[0].token(), "cache"));
    }
    assert_eq!(stage.calls().await, 2);
    (stage, more)
}

#[tokio::test]
async fn cch_11_a_token_that_was_rejected_is_replaced_once_for_the_fleet() {
    let (stage, more) = bypassed(|first| json!({"access_token_sha256": sha256(first)})).await;
    // Who comes with the old one later is served the new one.
    for index in 0..3 {
        assert_eq!(stage.graph_with(index, &more).await.source(), "cache");
    }
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
async fn cch_11_a_rejected_token_is_replaced_once_also_when_replicas_come_one_after_the_other() {
    let stage = Stage::new(3).await;
    let first = stage.graph(0).await.token().to_owned();
    // The last one has the old one in memory; the one before has nothing.
    assert_eq!(stage.graph(2).await.token(), first);
    let rejected = json!({"access_token_sha256": sha256(&first)});
    let next = stage.graph_with(0, &rejected).await;
    assert_eq!(level(&next), "identity_provider");
    for index in 1..3 {
        let other = stage.graph_with(index, &rejected).await;
        assert_eq!((other.token(), other.source()), (next.token(), "cache"));
    }
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
async fn cch_11_a_challenge_at_three_replicas_at_once_is_one_call() {
    let claims = json!({"access_token": {"nbf": {"essential": true, "value": "1795300000"}}}).to_string();
    let (stage, more) = bypassed(|_| json!({"claims": claims})).await;
    // The next one is a new challenge, and asks again.
    assert_eq!(level(&stage.graph_with(1, &more).await), "identity_provider");
    assert_eq!(stage.calls().await, 3);
    assert!(stage.emulator.asked("token").await[1]["form"]["claims"].as_str().unwrap_or_default().contains("nbf"));
}

#[tokio::test]
async fn cch_11_forced_requests_at_three_replicas_at_once_are_one_call() {
    let (stage, more) = bypassed(|_| json!({"force_refresh": true})).await;
    let next = tokio::time::timeout(Duration::from_secs(20), stage.graph_with(2, &more)).await.expect("an answer");
    assert_eq!(level(&next), "identity_provider");
}
