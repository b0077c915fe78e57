//! Whether and when to come again: `retryable` and `Retry-After`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{FLOWS, Flow, ask, ready, refused};
use crate::support::World;

#[tokio::test]
async fn err_10_what_the_authority_refused_is_not_retryable() {
    let world = World::new().await;
    for error in ["invalid_grant", "interaction_required", "invalid_scope", "invalid_client", "something_new"] {
        for flow in FLOWS {
            let answer = refused(&world, flow, json!({"error": error, "error_description": "no"})).await;
            assert_eq!(answer.json["retryable"], false, "{error}: {}", answer.text);
            assert_eq!(answer.header("retry-after"), "");
        }
    }
}

#[tokio::test]
async fn err_10_what_passes_is_retryable() {
    for (effect, status, error) in [
        (json!({"throttle": {"status": 429, "retry_after": "7"}}), 429, ""),
        (json!({"throttle": {"status": 503, "retry_after": "7"}}), 503, ""),
        (json!({"raw": {"status": 500, "body": "<html>"}}), 503, "authority_unavailable"),
        (json!({"raw": {"status": 502, "body": ""}}), 503, "authority_unavailable"),
        (json!({"error": {"status": 400, "error": "temporarily_unavailable"}}), 503, "temporarily_unavailable"),
        (json!({"error": {"status": 400, "error": "server_error"}}), 503, "server_error"),
        (json!({"close": true}), 503, "authority_unavailable"),
    ] {
        for flow in [Flow::App, Flow::Obo] {
            let world = World::new().await;
            world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": effect})).await;
            let answer = ask(&world, flow).await;
            assert_eq!((answer.status, &answer.json["retryable"]), (status, &json!(true)), "{effect}: {}", answer.text);
            assert!(error.is_empty() || answer.member("error") == error, "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn err_10_out_of_time_is_504_and_retryable() {
    let world = World::new().await;
    let yaml = crate::support::configuration(&world.emulator, &world.files);
    let yaml = yaml.replace("retry_delay: 10ms", "retry_delay: 10ms, timeout: 400ms");
    let sidecar = crate::support::Sidecar::start(&yaml, &world.clock).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hang": true}})).await;
    let body = json!({"app": "daemon", "scopes": [crate::support::GRAPH]});
    let answer = sidecar.client.post("/client-credentials", &body).await;
    answer.refused(504, "authority_timeout", "in time");
    assert_eq!(answer.json["retryable"], true);
}

#[tokio::test]
async fn a_code_whose_fate_is_unknown_is_503_and_not_retryable() {
    let world = World::new().await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"close": true}})).await;
    let answer = ask(&world, Flow::Code).await;
    answer.refused(503, "authority_unavailable", "start the sign-in again");
    assert_eq!(answer.json["retryable"], false);
    assert_eq!(world.emulator.asked("token").await.len(), 1, "sent once");
}

#[tokio::test]
async fn retry_after_is_passed_on() {
    // The clock of the sidecar stands at a second of November 2026; a date is the other form of RFC 9110 §10.2.3.
    let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(1_795_300_000 + 90));
    for (sent, expected) in [("7", "7"), ("120", "120"), (date.as_str(), "90"), ("86400", "3600")] {
        for status in [429, 503] {
            for flow in FLOWS {
                let world = World::new().await;
                ready(&world, flow).await;
                let throttle = json!({"status": status, "retry_after": sent});
                world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"throttle": throttle}})).await;
                let answer = ask(&world, flow).await;
                assert_eq!((answer.status, answer.header("retry-after")), (status, expected), "{flow:?} {sent}: {}", answer.text);
                assert_eq!(answer.json["retryable"], true);
            }
        }
    }
}

#[tokio::test]
async fn a_pause_counts_down_for_those_who_come_early() {
    let world = World::new().await;
    let throttle: Value = json!({"throttle": {"status": 429, "retry_after": "30"}});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": throttle})).await;
    assert_eq!(world.graph().await.header("retry-after"), "30");
    world.clock.advance(Duration::from_millis(10_500));
    let early = world.graph().await;
    assert_eq!((early.status, early.header("retry-after")), (429, "20"), "rounded up: {}", early.text);
    assert_eq!(world.emulator.asked("token").await.len(), 1);
    world.clock.advance(Duration::from_millis(19_500));
    world.graph().await.token();
}
