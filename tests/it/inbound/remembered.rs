//! What is remembered of a token: that a key signed it, and only while the key is published.

use std::time::Duration;

use serde_json::json;

use super::{is_refused, order};
use crate::support::World;

const ANA: &str = "ana@contoso.example";

/// Waits until the withdrawn key of this token is known to be gone; fails after five seconds.
async fn is_refused_at_last(world: &World, old: &str) {
    for _ in 0..500 {
        if world.obo(old).await.status == 401 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    is_refused(&world.obo(old).await, "publish");
}

#[tokio::test]
async fn a_withdrawn_key_is_noticed_with_the_next_key_set() {
    let world = World::new().await;
    let old = world.emulator.user_token(ANA).await;
    world.obo(&old).await.token();
    assert_eq!(world.obo(&old).await.member("token_source"), "cache");
    world.clock.advance(Duration::from_secs(31));
    world.emulator.rotate_keys(false).await;
    // Signed by the new key: the set is fetched, and the old key is not in it.
    world.obo(&world.emulator.user_token(ANA).await).await.token();
    is_refused(&world.obo(&old).await, "publish");
}

#[tokio::test]
async fn a_key_that_stays_published_keeps_what_it_signed() {
    let world = World::new().await;
    let old = world.emulator.user_token(ANA).await;
    world.obo(&old).await.token();
    world.clock.advance(Duration::from_secs(31));
    world.emulator.rotate_keys(true).await;
    world.obo(&world.emulator.user_token(ANA).await).await.token();
    assert_eq!(world.obo(&old).await.member("token_source"), "cache");
}

#[tokio::test]
async fn a_withdrawn_key_is_noticed_without_any_new_token() {
    let world = World::new().await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"expires_in": 7200}})).await;
    let old = world.emulator.mint(order(json!({"lifetime": 7200}))).await;
    world.obo(&old).await.token();
    world.emulator.rotate_keys(false).await;
    world.clock.advance(Duration::from_secs(15 * 60 + 1));
    // The set is too old: this request still gets the answer, and starts the fetch in the background.
    world.obo(&old).await.token();
    world.emulator.asked_times("keys", 2).await;
    is_refused_at_last(&world, &old).await;
}

#[tokio::test]
async fn a_busy_token_does_not_outlive_its_key() {
    let world = World::new().await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"expires_in": 7200}})).await;
    let old = world.emulator.mint(order(json!({"lifetime": 7200}))).await;
    world.obo(&old).await.token();
    world.emulator.rotate_keys(false).await;
    // Asked again and again, each time within what is remembered: the key set has to be looked at all the same.
    for _ in 0..16 {
        world.clock.advance(Duration::from_secs(120));
        world.obo(&old).await;
    }
    world.emulator.asked_times("keys", 2).await;
    is_refused_at_last(&world, &old).await;
}
