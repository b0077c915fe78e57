//! What one replica is told counts for the others: a leader's error for those who waited with it, a pause for all.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{SOON, Stage, USER_READ};
use crate::support::redis::RedisServer;
use crate::support::{Answer, GRAPH, eventually};

const BILLING: &str = "api://billing/invoices.read";

/// What a caller sees of a refusal, but for what is its request's own.
fn refusal(answer: &Answer) -> (u16, Value, String) {
    let mut body = answer.json.clone();
    body.as_object_mut().expect("a problem").remove("correlation_id");
    (answer.status, body, answer.header("www-authenticate").to_owned())
}

#[tokio::test]
async fn cch_15_a_users_challenge_reaches_who_waits_at_other_replicas() {
    let stage = Stage::new(3).await;
    let ana = stage.ana().await;
    let claims = json!({"access_token": {"acrs": {"essential": true, "value": "c1"}}}).to_string();
    let error = json!({"error": "interaction_required", "suberror": "basic_action", "error_codes": [50076],
        "error_description": "AADSTS50076: do more", "claims": claims});
    let answers = stage.together(json!({"error": error}), async |index| stage.obo(index, &ana).await).await;
    assert_eq!(stage.calls().await, 1);
    for index in 1..3 {
        assert_eq!(stage.sidecar(index).metric("tokend_cache_leases_total{outcome=\"waited\"}").await, 1.0);
        assert_eq!(stage.sidecar(index).metric("tokend_cache_leases_total{outcome=\"taken_over\"}").await, 0.0);
    }
    assert_eq!((answers[0].status, answers[0].member("claims")), (401, claims.as_str()), "{}", answers[0].text);
    assert!(answers[0].header("www-authenticate").contains("insufficient_claims"));
    for answer in &answers[1..] {
        assert_eq!(refusal(answer), refusal(&answers[0]));
    }
}

#[tokio::test]
async fn cch_15_an_authority_in_trouble_is_asked_by_one() {
    let stage = Stage::new(3).await;
    // Once, and its one repetition.
    let answers = stage.together(json!({"raw": {"status": 500}}), async |index| stage.graph(index).await).await;
    assert_eq!(stage.calls().await, 2);
    for answer in &answers {
        assert_eq!(refusal(answer), refusal(&answers[0]));
        assert_eq!((answer.status, &answer.json["retryable"]), (503, &json!(true)));
    }
}

#[tokio::test]
async fn cch_15_one_time_out_is_everybodys() {
    let stage = Stage::changed(3, |_, yaml| yaml.replace("authority: {retry", "authority: {timeout: 2s, retry")).await;
    let answers = stage.together(json!({"hang": true}), async |index| stage.graph(index).await).await;
    // One call, and its one repetition.
    assert_eq!(stage.calls().await, 2);
    for answer in &answers {
        assert_eq!(refusal(answer), refusal(&answers[0]));
        assert_eq!(answer.status, 504, "{}", answer.text);
    }
}

#[tokio::test]
async fn cch_15_a_failure_that_was_shared_is_not_remembered_as_a_users() {
    let stage = Stage::new(2).await;
    let ana = stage.ana().await;
    let answers = stage.together(json!({"aadsts": 50_173}), async |index| stage.obo(index, &ana).await).await;
    assert!(answers.iter().all(|answer| answer.status == 401), "{answers:?}");
    assert_eq!(stage.calls().await, 1);
    // That user is held at the other replica too, and nobody else is.
    assert_eq!(stage.obo(1, &ana).await.status, 401);
    assert_eq!(stage.calls().await, 1);
    for index in [0, 1] {
        assert_eq!(stage.obo(index, &stage.ben().await).await.status, 200);
        assert_eq!(stage.obo(index, &stage.ana().await).await.status, 200);
    }
    // Not for longer than five seconds.
    stage.elapse(6).await;
    assert_eq!(stage.obo(1, &ana).await.status, 200);
}

#[tokio::test]
async fn cch_6_a_token_that_does_not_say_when_it_ends_is_told_and_not_kept() {
    let stage = Stage::new(3).await;
    let answers = stage.together(json!({"set": {"expires_in": null}}), async |index| stage.graph(index).await).await;
    assert_eq!(stage.calls().await, 1);
    for answer in &answers {
        assert_eq!((answer.token(), &answer.json["expires_in"]), (answers[0].token(), &json!(null)));
    }
    assert_eq!((answers[0].source(), answers[1].member("cache_level")), ("identity_provider", "redis"));
    assert_eq!(stage.tokens().await, Vec::<String>::new());
    // Whoever comes later asks anew.
    let later = stage.graph(2).await;
    assert_eq!(later.source(), "identity_provider");
    assert_ne!(later.token(), answers[0].token());
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
async fn cch_18_a_pause_holds_the_other_replicas_until_it_ends() {
    let stage = Stage::new(2).await;
    stage.answering_with(1, json!({"throttle": {"retry_after": "100"}})).await;
    assert_eq!((stage.graph(0).await.status, stage.graph(0).await.header("retry-after")), (429, "100"));
    let told = stage.graph(1).await;
    assert_eq!((told.status, &told.json["retryable"]), (429, &json!(true)), "{}", told.text);
    let pause: u64 = told.header("retry-after").parse().expect("seconds");
    // Replicas that were stopped together do not come back together.
    assert!((99..=121).contains(&pause), "{pause}");
    assert_eq!(stage.calls().await, 1);
    stage.elapse(98).await;
    assert_eq!((stage.graph(0).await.status, stage.graph(1).await.status), (429, 429));
    assert_eq!(stage.calls().await, 1);
    stage.elapse(24).await;
    assert_eq!(stage.graph(1).await.source(), "identity_provider");
    assert_eq!(stage.calls().await, 2);
    // What it got ends the pause of the other one, too.
    assert_eq!(stage.graph(0).await.member("cache_level"), "redis");
}

#[tokio::test]
async fn cch_18_who_hears_late_of_a_pause_is_told_what_is_left_of_it() {
    let stage = Stage::new(2).await;
    stage.answering_with(1, json!({"throttle": {"retry_after": "100"}})).await;
    assert_eq!(stage.graph(0).await.status, 429);
    stage.elapse(80).await;
    let told = stage.graph(1).await;
    let left: u64 = told.header("retry-after").parse().expect("seconds");
    assert!((19..=25).contains(&left), "{}: {}", told.header("retry-after"), told.text);
    // A pause is the app's for these scopes; others are not stopped.
    assert_eq!(stage.app_token(1, &json!({"app": "daemon", "scopes": "api://orders/.default"})).await.status, 200);
    assert_eq!(stage.app_token(1, &json!({"app": "orders", "scopes": GRAPH})).await.status, 200);
}

#[tokio::test]
async fn cch_18_a_pause_during_the_call_is_told_to_the_followers() {
    let stage = Stage::new(3).await;
    let effect = json!({"throttle": {"retry_after": "100"}});
    let answers = stage.together(effect, async |index| stage.graph(index).await).await;
    assert_eq!(stage.calls().await, 1);
    for answer in &answers {
        assert_eq!((answer.status, answer.header("retry-after")), (429, "100"), "{}", answer.text);
    }
    for index in 0..3 {
        assert_eq!(stage.graph(index).await.status, 429);
    }
    assert_eq!(stage.calls().await, 1);
}

#[tokio::test]
async fn cch_18_a_refused_credential_stops_the_replicas_that_have_the_same() {
    let mut stage = Stage::empty(RedisServer::start().await).await;
    let good = std::fs::read_to_string(stage.files.path().join("daemon.secret")).expect("a file");
    for (index, text) in ["wrong", "wrong", &good].into_iter().enumerate() {
        let secret = format!("daemon-{index}.secret");
        std::fs::write(stage.files.path().join(&secret), text).expect("a file");
        stage.add(stage.yaml(index).replace("daemon.secret", &secret)).await;
    }
    let first = stage.graph(0).await;
    assert_eq!((first.status, first.member("error")), (502, "invalid_client"), "{}", first.text);
    let calls = stage.calls().await;
    let second = stage.graph(1).await;
    assert_eq!((second.status, second.member("error"), stage.calls().await), (502, "invalid_client", calls), "{}", second.text);
    // The new credential has reached this one already.
    assert_eq!(stage.graph(2).await.source(), "identity_provider");
    assert_eq!(stage.calls().await, calls + 1);
    // What it got is good for all.
    assert_eq!((stage.graph(0).await.source(), stage.graph(1).await.source()), ("cache", "cache"));
}

#[tokio::test]
async fn cch_18_a_new_credential_that_one_replica_finds_is_looked_for_by_the_others() {
    let mut stage = Stage::empty(RedisServer::start().await).await;
    let secret = |index: usize| format!("daemon-{index}.secret");
    let good = std::fs::read_to_string(stage.files.path().join("daemon.secret")).expect("a file");
    for index in 0..2 {
        std::fs::write(stage.files.path().join(secret(index)), "wrong").expect("a file");
        stage.add(stage.yaml(index).replace("daemon.secret", &secret(index))).await;
    }
    // The first one finds it when the old one is refused. What has come to the other one is no good, so that it is seen to look.
    std::fs::write(stage.files.path().join(secret(0)), good).expect("a file");
    std::fs::write(stage.files.path().join(secret(1)), "").expect("a file");
    assert_eq!(stage.graph(0).await.source(), "identity_provider");
    assert_eq!(stage.calls().await, 2);
    let heard = "tokend_cache_invalidations_total{direction=\"received\",kind=\"credential\"}";
    eventually(SOON, async || stage.sidecar(1).metric(heard).await >= 1.0).await;
    let failures = "tokend_reload_failures_total{app=\"daemon\"}";
    // Sooner than it would have looked by itself.
    eventually(Duration::from_secs(6), async || stage.sidecar(1).metric(failures).await >= 1.0).await;
    assert_eq!(stage.graph(1).await.member("cache_level"), "redis");
}

#[tokio::test]
async fn cch_15_a_slow_call_is_made_by_its_leader_alone_longer_than_a_lease_lasts() {
    let stage = Stage::changed(3, |_, yaml| yaml.replace("authority: {retry", "authority: {timeout: 14s, retry")).await;
    stage.answering_with(0, json!({"delay_ms": 4500})).await;
    let answers = join_all((0..30).map(|index| stage.graph(index % 3))).await;
    assert!(answers.iter().all(|answer| answer.token() == answers[0].token()));
    assert_eq!(stage.calls().await, 1);
}

#[tokio::test]
async fn cch_18_a_partitions_back_off_is_the_fleets_and_stops_nobody_else() {
    let stage = Stage::new(2).await;
    let ana = stage.ana().await;
    let failing = json!({"on": {"endpoint": "token", "user": "ana@contoso.example"}, "times": 0, "do": {"raw": {"status": 500}}});
    stage.emulator.script(failing).await;
    // Some failures, so that the pause outlasts this test: each one is longer, whoever meets it.
    for round in 0..4 {
        assert_eq!(stage.obo(round % 2, &ana).await.status, 503);
        assert_eq!(stage.calls().await, 2 * (round + 1), "round {round}");
        if round < 3 {
            stage.elapse(40).await;
        }
    }
    // Held at both, for other scopes of this user as well.
    for index in [0, 1] {
        assert_eq!(stage.obo(index, &ana).await.status, 503);
        assert_eq!(stage.obo_as(index, "orders", BILLING, &ana).await.status, 503);
    }
    assert_eq!(stage.calls().await, 8);
    let ben = stage.ben().await;
    assert_eq!(stage.obo(1, &ben).await.source(), "identity_provider");
    assert_eq!(stage.obo(0, &ben).await.member("cache_level"), "redis");
    assert_eq!(stage.graph(0).await.source(), "identity_provider");
}

#[tokio::test]
async fn cch_18_one_users_slow_call_holds_up_no_other_at_any_replica() {
    let stage = Stage::new(2).await;
    let (ana, ben) = (stage.ana().await, stage.ben().await);
    let slow = json!({"on": {"endpoint": "token", "user": "ana@contoso.example"}, "times": 0, "do": {"hold": true}});
    stage.emulator.script(slow).await;
    let (waiting, ()) = tokio::join!(async { tokio::join!(stage.obo(0, &ana), stage.obo(1, &ana)) }, async {
        stage.emulator.asked_times("token", 1).await;
        assert_eq!(stage.obo(0, &ben).await.source(), "identity_provider");
        assert_eq!(stage.obo(1, &ben).await.member("cache_level"), "redis");
        // Other scopes of the same user neither, once the authority answers them.
        stage.emulator.release().await;
    });
    assert_eq!(waiting.0.token(), waiting.1.token());
    assert_eq!(stage.obo_as(1, "orders", USER_READ, &ana).await.source(), "cache");
    assert_eq!(stage.calls().await, 2);
}
