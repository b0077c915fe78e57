//! Failures without a pause stop the partition that met them, longer each time, and nobody else (ERR-4, ERR-8).

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::USER_READ;
use crate::support::World;

/// Ben's calls fail by `effect`; Ana's do not, before, between and after.
async fn a_neighbour_is_not_stopped(world: World, effect: Value, status: u16) {
    let (ana, ben) = (world.ana().await, world.ben().await);
    world.emulator.script(json!({"on": {"endpoint": "token", "user": "ben@contoso.example"}, "times": 0, "do": effect})).await;
    assert_eq!(world.obo(&ben).await.status, status);
    let first = world.obo(&ana).await;
    assert_eq!((first.status, first.member("token_source")), (200, "identity_provider"), "{}", first.text);
    let asked = world.calls().await;
    assert_eq!(world.obo(&ben).await.status, status);
    assert_eq!(world.calls().await, asked, "ben's partition backs off");
    assert_eq!(world.obo(&world.ana().await).await.status, 200);
    assert_eq!(world.app_token(json!({"app": "orders", "scopes": crate::support::GRAPH})).await.status, 200);
    // Another assertion of his is another partition.
    assert_eq!(world.obo(&world.ben().await).await.status, status);
    assert!(world.calls().await > asked + 2);
}

#[tokio::test]
async fn err_4_one_users_500_stops_no_other() {
    a_neighbour_is_not_stopped(World::new().await, json!({"raw": {"status": 500}}), 503).await;
}

#[tokio::test]
async fn err_4_one_users_503_stops_no_other() {
    a_neighbour_is_not_stopped(World::new().await, json!({"aadsts": 90033}), 503).await;
}

#[tokio::test]
async fn err_4_one_users_time_out_stops_no_other() {
    a_neighbour_is_not_stopped(World::calling_within("2s").await, json!({"hang": true}), 504).await;
}

#[tokio::test]
async fn err_4_one_users_broken_connections_stop_no_other() {
    a_neighbour_is_not_stopped(World::new().await, json!({"close": true}), 503).await;
}

#[tokio::test]
async fn err_4_one_users_garbage_stops_no_other() {
    a_neighbour_is_not_stopped(World::new().await, json!({"raw": {"status": 200, "body": "<html>"}}), 502).await;
}

#[tokio::test]
async fn err_4_one_users_failures_at_an_issuer_stop_no_other() {
    let world = World::new().await;
    let order = |user: &str| json!({"realm": "shop", "app": "https://orders.shop.example", "user": user, "scopes": "orders.read"});
    let (eva, sam) = (world.emulator.mint(order("eva")).await, world.emulator.mint(order("sam")).await);
    world
        .emulator
        .script(json!({"on": {"endpoint": "token", "user": "0c9d-sam"}, "times": 0, "do": {"raw": {"status": 500}}}))
        .await;
    for _ in 0..5 {
        assert_eq!(world.obo_as("shop", "stock.read", &sam).await.status, 503);
    }
    assert_eq!(world.calls().await, 2);
    assert_eq!(world.obo_as("shop", "stock.read", &eva).await.status, 200);
}

#[tokio::test]
async fn fifty_requests_in_a_row_against_a_failing_authority_are_two_calls() {
    let world = World::new().await;
    let ana = world.ana().await;
    world.failing(json!({"aadsts": 90033})).await;
    for _ in 0..50 {
        let answer = world.obo(&ana).await;
        answer.refused(503, "temporarily_unavailable", "later");
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn fifty_requests_at_once_against_a_failing_authority_are_two_calls() {
    let world = World::new().await;
    world.failing(json!({"aadsts": 90033})).await;
    for answer in join_all((0..50).map(|_| world.graph())).await {
        assert_eq!(answer.status, 503);
    }
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn the_back_off_grows_and_ends() {
    let world = World::new().await;
    world.failing(json!({"aadsts": 90033})).await;
    assert_eq!(world.graph().await.status, 503);
    let mut calls = 2;
    assert_eq!(world.calls().await, calls);
    // Each doubles, give or take a fifth, up to 30 s.
    for pause in [1_000_u64, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
        world.clock.advance(std::time::Duration::from_millis(pause * 8 / 10 - 1));
        assert_eq!(world.graph().await.status, 503);
        assert_eq!(world.calls().await, calls, "still in the pause of {pause} ms");
        world.clock.advance(std::time::Duration::from_millis(pause * 4 / 10 + 1));
        assert_eq!(world.graph().await.status, 503);
        calls += 2;
        assert_eq!(world.calls().await, calls, "after the pause of {pause} ms");
    }
    world.emulator.unscript().await;
    world.later(36);
    assert_eq!(world.graph().await.status, 200);
}

#[tokio::test]
async fn err_8_a_success_clears_its_partition() {
    let world = World::new().await;
    let forced = || world.app_token(json!({"app": "daemon", "scopes": crate::support::GRAPH, "force_refresh": true}));
    world.failing(json!({"aadsts": 90033})).await;
    for wait in [0, 2, 3, 5] {
        world.later(wait);
        assert_eq!(forced().await.status, 503);
    }
    assert_eq!(world.calls().await, 8);
    world.emulator.unscript().await;
    world.later(10);
    assert_eq!(forced().await.status, 200);
    // The next failure is a first one again: its pause is over after 1.2 s.
    world.failing(json!({"aadsts": 90033})).await;
    assert_eq!(forced().await.status, 503);
    assert_eq!(world.calls().await, 11);
    world.clock.advance(std::time::Duration::from_millis(1_200));
    assert_eq!(forced().await.status, 503);
    assert_eq!(world.calls().await, 13);
}

#[tokio::test]
async fn what_is_cached_in_a_partition_that_backs_off_is_served() {
    let world = World::new().await;
    let ana = world.ana().await;
    let first = world.obo(&ana).await;
    world.failing(json!({"aadsts": 90033})).await;
    assert_eq!(world.obo_as("orders", super::BILLING, &ana).await.status, 503);
    assert_eq!(world.obo(&ana).await.token(), first.token());
    assert_eq!(world.calls().await, 3);
}

#[tokio::test]
async fn err_4_an_api_whose_tokens_fail_stops_no_other_api_of_the_app() {
    let world = World::new().await;
    let on = json!({"endpoint": "token", "scope": "graph"});
    world.emulator.script(json!({"on": on, "times": 0, "do": {"raw": {"status": 500}}})).await;
    for _ in 0..3 {
        assert_eq!(world.graph().await.status, 503);
    }
    assert_eq!(world.calls().await, 2);
    assert_eq!(world.app_token(json!({"app": "daemon", "scopes": "api://orders/.default"})).await.status, 200);
}

#[tokio::test]
async fn err_4_a_user_whose_calls_fail_backs_off_as_one() {
    let world = World::new().await;
    let ana = world.ana().await;
    let on = json!({"endpoint": "token", "scope": "graph"});
    world.emulator.script(json!({"on": on, "times": 0, "do": {"raw": {"status": 500}}})).await;
    assert_eq!(world.obo(&ana).await.status, 503);
    let answer = world.obo_as("orders", super::BILLING, &ana).await;
    answer.refused(503, "authority_unavailable", "remembered from an earlier call; asked again after");
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn err_8_a_sign_in_ends_the_back_off_of_its_account() {
    let world = World::new().await;
    let access = "api://orders/access_as_user";
    let signed = world.redeem(&world.code("web", access, "ana@contoso.example").await).await;
    signed.token();
    let silent = json!({"app": "web", "scopes": USER_READ, "account": signed.json["account"]["home_account_id"]});
    let ask = async || world.sidecar.client.post("/silent", &silent).await;
    world.failing(json!({"raw": {"status": 500}})).await;
    assert_eq!((ask().await.status, ask().await.status), (503, 503));
    world.emulator.unscript().await;
    assert_eq!(ask().await.status, 503, "it backs off");
    world.redeem(&world.code("web", access, "ana@contoso.example").await).await.token();
    assert_eq!(ask().await.status, 200);
}
