//! Which calls are repeated, once, and which never (ERR-1, ERR-2).

use serde_json::{Value, json};

use super::{BILLING, USER_READ, eva};
use crate::support::{Answer, World};

/// The three grants that may be repeated, each by its own request.
async fn each(world: &World) -> [Answer; 3] {
    let (ana, eva) = (world.ana().await, eva(&world.emulator).await);
    [world.graph().await, world.obo_as("orders", BILLING, &ana).await, world.obo_as("shop", "stock.read", &eva).await]
}

/// One rule for each of the three.
async fn once_each(world: &World, effect: &Value) {
    for grant in
        ["client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange"]
    {
        world.emulator.script(json!({"on": {"endpoint": "token", "grant_type": grant}, "do": effect})).await;
    }
}

#[tokio::test]
async fn err_1_a_5xx_is_repeated_once() {
    for status in [500, 502, 503, 504] {
        let world = World::new().await;
        once_each(&world, &json!({"raw": {"status": status, "body": "<html>"}})).await;
        for answer in each(&world).await {
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        let statuses: Vec<Value> = world.emulator.asked("token").await.iter().map(|call| call["status"].clone()).collect();
        assert_eq!(statuses, [status, 200, status, 200, status, 200]);
    }
}

#[tokio::test]
async fn err_1_it_is_not_repeated_twice() {
    let world = World::new().await;
    world.failing(json!({"error": {"status": 500, "error": "server_error"}})).await;
    for answer in each(&world).await {
        answer.refused(503, "server_error", "later");
        assert_eq!(answer.json["retryable"], true);
    }
    assert_eq!(world.calls().await, 6);
}

#[tokio::test]
async fn err_1_with_retry_after_it_is_not_repeated() {
    let world = World::new().await;
    world.failing(json!({"throttle": {"status": 503, "retry_after": "7"}})).await;
    for answer in each(&world).await {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "7"), "{}", answer.text);
    }
    assert_eq!(world.calls().await, 3);
}

#[tokio::test]
async fn err_1_a_429_is_not_repeated() {
    let world = World::new().await;
    world.failing(json!({"throttle": {"status": 429, "retry_after": null}})).await;
    for answer in each(&world).await {
        assert_eq!(answer.status, 429, "{}", answer.text);
    }
    assert_eq!(world.calls().await, 3);
}

#[tokio::test]
async fn err_1_a_refusal_is_not_repeated() {
    let world = World::new().await;
    world.failing(json!({"error": {"status": 400, "error": "invalid_scope"}})).await;
    for answer in each(&world).await {
        answer.refused(400, "invalid_scope", "request");
        assert_eq!(answer.json["retryable"], false);
    }
    assert_eq!(world.calls().await, 3);
}

#[tokio::test]
async fn err_2_a_broken_connection_is_repeated_once() {
    let world = World::new().await;
    once_each(&world, &json!({"close": true})).await;
    for answer in each(&world).await {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(world.calls().await, 6);
}

#[tokio::test]
async fn err_2_a_connection_that_breaks_twice_is_an_error() {
    let world = World::new().await;
    world.failing(json!({"close": true})).await;
    for answer in each(&world).await {
        answer.refused(503, "authority_unavailable", "broke");
        assert_eq!(answer.json["retryable"], true);
    }
    assert_eq!(world.calls().await, 6);
}

#[tokio::test]
async fn err_2_a_time_out_is_repeated_once() {
    let world = World::calling_within("2s").await;
    world.failing_once(json!({"hang": true})).await;
    let ana = world.ana().await;
    assert_eq!(world.obo(&ana).await.status, 200);
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn err_2_a_time_out_that_comes_twice_is_an_error() {
    let world = World::calling_within("1s").await;
    world.failing(json!({"hang": true})).await;
    let answer = world.graph().await;
    answer.refused(504, "authority_timeout", "in time");
    assert_eq!(answer.json["retryable"], true);
    assert_eq!(world.calls().await, 2);
}

/// A code is redeemed and fails by `effect`: it is sent once.
async fn a_code_is_sent_once(world: World, effect: Value, status: u16) {
    let body = world.code("web", USER_READ, "ana@contoso.example").await;
    world.failing(effect).await;
    let answer = world.redeem(&body).await;
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn err_1_a_code_is_not_repeated_after_a_5xx() {
    a_code_is_sent_once(World::new().await, json!({"aadsts": 90033}), 503).await;
}

#[tokio::test]
async fn err_2_a_code_is_not_repeated_after_a_broken_connection() {
    a_code_is_sent_once(World::new().await, json!({"close": true}), 503).await;
}

#[tokio::test]
async fn err_2_a_code_is_not_repeated_after_a_time_out_and_its_outcome_is_unknown() {
    a_code_is_sent_once(World::calling_within("1s").await, json!({"hang": true}), 503).await;
}

#[tokio::test]
async fn a_time_out_as_short_as_the_pause_before_a_repetition_leaves_time_for_both() {
    let world = World::changed(|yaml, _| yaml.replace("authority: {retry_delay: 10ms}", "authority: {timeout: 1s}")).await;
    assert_eq!(world.graph().await.status, 200);
    world.failing_once(json!({"error": {"status": 500, "error": "server_error"}})).await;
    let other = json!({"app": "daemon", "scopes": ["api://orders/.default"]});
    assert_eq!(world.app_token(other).await.status, 200);
}
