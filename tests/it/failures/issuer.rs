//! The documents of an issuer: fetched once for all who wait, not again at once after a failure, and anew when it is over.

use futures_util::future::join_all;
use serde_json::json;

use super::eva;
use crate::support::{Answer, World};

async fn stock(world: &World, app: &str) -> Answer {
    world.app_token(json!({"app": app, "scopes": "stock.read"})).await
}

async fn exchange(world: &World, bearer: &str) -> Answer {
    world.obo_as("shop", "stock.read", bearer).await
}

#[tokio::test]
async fn fifty_requests_at_once_fetch_the_documents_once() {
    let world = World::new().await;
    let tokens = join_all((0..50).map(|_| eva(&world.emulator))).await;
    world.emulator.script(json!({"on": {"endpoint": "discovery"}, "do": {"hold": true}})).await;
    let (answers, ()) = tokio::join!(join_all(tokens.iter().map(|token| exchange(&world, token))), async {
        world.sidecar.answering(50).await;
        world.emulator.release().await;
    });
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(world.emulator.asked("discovery").await.len(), 1);
    assert_eq!(world.emulator.asked("keys").await.len(), 1);
    assert_eq!(world.calls().await, 50);
}

#[tokio::test]
async fn a_failed_discovery_is_not_repeated_at_once_and_heals_by_the_clock() {
    let world = World::new().await;
    world.emulator.script(json!({"on": {"endpoint": "discovery"}, "times": 0, "do": {"raw": {"status": 503}}})).await;
    for _ in 0..10 {
        let answer = stock(&world, "shop").await;
        answer.refused(503, "authority_unavailable", "later");
        assert_eq!(answer.json["retryable"], true);
    }
    // Another app of the issuer shares its documents, and so what is known of them.
    assert_eq!(stock(&world, "shop-cert").await.status, 503);
    assert_eq!(world.emulator.asked("discovery").await.len(), 1);
    // The pause grows: 1 s, then 2 s.
    world.later(1);
    assert_eq!(stock(&world, "shop-web").await.status, 503);
    assert_eq!(world.emulator.asked("discovery").await.len(), 2);
    world.emulator.unscript().await;
    world.later(1);
    assert_eq!(exchange(&world, &eva(&world.emulator).await).await.status, 503);
    assert_eq!(world.emulator.asked("discovery").await.len(), 2);
    world.later(1);
    for app in ["shop", "shop-cert", "shop-web"] {
        assert_eq!(stock(&world, app).await.status, 200, "{app}");
    }
    assert_eq!(world.emulator.asked("discovery").await.len(), 3);
}

#[tokio::test]
async fn a_discovery_that_hangs_is_a_504() {
    let world = World::calling_within("500ms").await;
    world.emulator.script(json!({"on": {"endpoint": "discovery"}, "times": 2, "do": {"hang": true}})).await;
    stock(&world, "shop").await.refused(504, "authority_timeout", "in time");
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn err_3_a_document_that_is_throttled_is_not_asked_for_before_the_pause_is_over() {
    for (status, told) in [(429, 429), (503, 503)] {
        let world = World::new().await;
        let throttle = json!({"status": status, "retry_after": "60"});
        world.emulator.script(json!({"on": {"endpoint": "discovery"}, "do": {"throttle": throttle}})).await;
        let answer = stock(&world, "shop").await;
        assert_eq!((answer.status, answer.header("retry-after")), (told, "60"), "{}", answer.text);
        world.later(59);
        // The other apps of the issuer are told what is left of it.
        for app in ["shop", "shop-cert", "shop-web"] {
            let answer = stock(&world, app).await;
            assert_eq!((answer.status, answer.header("retry-after")), (told, "1"), "{app}: {}", answer.text);
        }
        assert_eq!(world.emulator.asked("discovery").await.len(), 1);
        world.later(1);
        for app in ["shop", "shop-cert", "shop-web"] {
            assert_eq!(stock(&world, app).await.status, 200, "{app}");
        }
        assert_eq!(world.emulator.asked("discovery").await.len(), 2);
    }
}

#[tokio::test]
async fn err_3_throttled_keys_are_a_503_that_says_how_long() {
    let world = World::new().await;
    let throttle = json!({"status": 429, "retry_after": "60"});
    world.emulator.script(json!({"on": {"endpoint": "keys"}, "do": {"throttle": throttle}})).await;
    for (wait, left) in [(0, "60"), (20, "40")] {
        world.later(wait);
        let answer = exchange(&world, &eva(&world.emulator).await).await;
        answer.refused(503, "keys_unavailable", "keys");
        assert_eq!(answer.header("retry-after"), left);
    }
    world.later(40);
    assert_eq!(exchange(&world, &eva(&world.emulator).await).await.status, 200);
    assert_eq!(world.emulator.asked("keys").await.len(), 2);
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_a_503_and_heal_by_the_clock() {
    let world = World::new().await;
    world.emulator.script(json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"raw": {"status": 500}}})).await;
    for _ in 0..10 {
        let answer = exchange(&world, &eva(&world.emulator).await).await;
        answer.refused(503, "keys_unavailable", "keys");
        assert_eq!(answer.json["retryable"], true);
    }
    assert_eq!((world.emulator.asked("keys").await.len(), world.calls().await), (1, 0));
    // App tokens need no keys.
    assert_eq!(stock(&world, "shop").await.status, 200);
    world.emulator.unscript().await;
    world.later(1);
    assert_eq!(exchange(&world, &eva(&world.emulator).await).await.status, 200);
    assert_eq!(world.emulator.asked("keys").await.len(), 2);
}

#[tokio::test]
async fn keys_that_were_had_go_on_verifying_in_an_outage() {
    let world = World::new().await;
    assert_eq!(exchange(&world, &eva(&world.emulator).await).await.status, 200);
    for endpoint in ["keys", "discovery"] {
        world.emulator.script(json!({"on": {"endpoint": endpoint}, "times": 0, "do": {"close": true}})).await;
    }
    // Old enough to be fetched again.
    world.later(3600);
    for _ in 0..3 {
        assert_eq!(exchange(&world, &eva(&world.emulator).await).await.status, 200);
    }
}

#[tokio::test]
async fn entras_keys_fail_and_heal_alike() {
    let world = World::calling_within("500ms").await;
    world.emulator.script(json!({"on": {"endpoint": "keys"}, "times": 2, "do": {"hang": true}})).await;
    world.obo(&world.ana().await).await.refused(503, "keys_unavailable", "keys");
    world.later(1);
    assert_eq!(world.obo(&world.ana().await).await.status, 200);
}
