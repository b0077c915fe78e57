//! The authority's keys: unknown ids, rotation, and when they cannot be had.

use std::time::Duration;

use serde_json::json;

use super::{is_refused, order};
use crate::support::World;

const ANA: &str = "ana@contoso.example";

#[tokio::test]
async fn a_key_that_was_never_published_is_refused() {
    let world = World::new().await;
    let token = world.emulator.mint(order(json!({"key": "unknown"}))).await;
    is_refused(&world.obo(&token).await, "publish");
}

#[tokio::test]
async fn unknown_key_ids_fetch_the_keys_once_in_thirty_seconds() {
    let world = World::new().await;
    let fetched = async || self::fetched(&world, false).await;
    world.obo(&world.emulator.user_token(ANA).await).await.token();
    assert_eq!(fetched().await, 1);
    let strangers = async |first: u32| {
        for number in first..first + 20 {
            let token = world.emulator.mint(order(json!({"header": {"kid": format!("stranger-{number}")}}))).await;
            is_refused(&world.obo(&token).await, "publish");
        }
    };
    strangers(0).await;
    assert!(fetched().await <= 2, "{} fetches for 20 unknown ids", fetched().await);
    world.clock.advance(Duration::from_secs(31));
    let before = fetched().await;
    strangers(20).await;
    assert_eq!(fetched().await, before + 1);
    world.clock.advance(Duration::from_secs(31));
    strangers(40).await;
    assert_eq!(fetched().await, before + 2);
    assert!((2..=3).contains(&self::fetched(&world, true).await), "those of the app are asked for no more often");
}

/// How often the keys were fetched: those of all apps, or those of one app.
async fn fetched(world: &World, of_app: bool) -> usize {
    let asked = world.emulator.asked("keys").await;
    asked.iter().filter(|request| request["query"].as_str().is_some_and(|query| query.starts_with("appid=") == of_app)).count()
}

#[tokio::test]
async fn unknown_key_ids_at_the_same_time_are_one_fetch() {
    let world = World::new().await;
    world.obo(&world.emulator.user_token(ANA).await).await.token();
    world.clock.advance(Duration::from_secs(31));
    let mut tokens = Vec::new();
    for number in 0..20 {
        tokens.push(world.emulator.mint(order(json!({"header": {"kid": format!("stranger-{number}")}}))).await);
    }
    let answers = futures_util::future::join_all(tokens.iter().map(|token| world.obo(token))).await;
    answers.iter().for_each(|answer| is_refused(answer, "publish"));
    assert_eq!((fetched(&world, false).await, fetched(&world, true).await), (2, 1));
}

#[tokio::test]
async fn a_new_key_is_found_at_once() {
    let world = World::new().await;
    world.obo(&world.emulator.user_token(ANA).await).await.token();
    world.clock.advance(Duration::from_secs(31));
    world.emulator.rotate_keys(true).await;
    world.obo(&world.emulator.user_token(ANA).await).await.token();
    assert_eq!(world.emulator.asked("keys").await.len(), 2);
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_503_and_not_401() {
    for down in [
        json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"raw": {"status": 500}}}),
        json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"raw": {"status": 404, "body": "<html>"}}}),
        json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"raw": {"status": 200, "body": "<html>"}}}),
        json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"throttle": {"status": 429, "retry_after": "9"}}}),
        json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"close": true}}),
        json!({"on": {"endpoint": "discovery"}, "times": 0, "do": {"raw": {"status": 503}}}),
    ] {
        let world = World::new().await;
        world.emulator.script(down.clone()).await;
        let token = world.emulator.user_token(ANA).await;
        let answer = world.obo(&token).await;
        assert_eq!(answer.status, 503, "{down}: {}", answer.text);
        answer.refused(503, "keys_unavailable", "keys");
        assert_eq!(answer.json["retryable"], true);
        assert_eq!(answer.header("www-authenticate"), "");
        assert!(world.emulator.asked("token").await.is_empty());
        // It heals by itself.
        world.emulator.unscript().await;
        world.clock.advance(Duration::from_secs(31));
        world.obo(&token).await.token();
    }
}

#[tokio::test]
async fn an_unknown_key_id_while_keys_cannot_be_had_is_503_and_known_ones_go_on() {
    let world = World::new().await;
    let known = world.emulator.user_token(ANA).await;
    world.obo(&known).await.token();
    world.clock.advance(Duration::from_secs(31));
    world.emulator.script(json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"raw": {"status": 500}}})).await;
    let stranger = world.emulator.mint(order(json!({"header": {"kid": "stranger"}}))).await;
    world.obo(&stranger).await.refused(503, "keys_unavailable", "keys");
    let other = world.emulator.user_token("ben@contoso.example").await;
    world.obo(&other).await.token();
}
