//! An authority that is down, mute or talks nonsense: what callers are told, and how it heals.

use serde_json::json;

use crate::support::{Relay, World};

#[tokio::test]
async fn an_authority_that_is_down_at_the_start_and_comes_up_later() {
    let mut relay = Relay::new();
    let mut target = String::new();
    let world = World::changed(|yaml, _| {
        let origin = yaml.split("authority: \"https://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        let yaml = yaml.replace(&origin, &relay.address.to_string());
        target = origin;
        yaml
    })
    .await;
    assert_eq!(world.sidecar.admin.get("/readyz").await.status, 200);
    let refused = world.graph().await;
    refused.refused(503, "authority_unavailable", "cannot be reached");
    assert_eq!(refused.json["retryable"], true);
    relay.open(&target);
    // The back-off of the failure has to be over, nothing else.
    world.later(2);
    assert_eq!(world.graph().await.status, 200);
}

#[tokio::test]
async fn an_authority_that_hangs_is_a_504() {
    let world = World::calling_within("500ms").await;
    world.failing(json!({"hang": true})).await;
    let answer = world.obo(&world.ana().await).await;
    answer.refused(504, "authority_timeout", "in time");
    assert_eq!(answer.json["retryable"], true);
}

#[tokio::test]
async fn rsp_6_what_is_no_answer_is_a_502() {
    let size = 2 * 1024 * 1024;
    for effect in [
        json!({"raw": {"status": 200, "body": "<html>"}}),
        json!({"raw": {"status": 200, "body": "{}"}}),
        json!({"raw": {"status": 200, "body": ""}}),
        json!({"raw": {"status": 400, "body": "<html>"}}),
        json!({"raw": {"status": 302, "headers": {"location": "https://127.0.0.1/"}}}),
        json!({"set": {"token_type": "pop"}}),
        json!({"set": {"access_token": null}}),
        json!({"size": size}),
    ] {
        let world = World::new().await;
        world.failing(effect.clone()).await;
        let answer = world.graph().await;
        answer.refused(502, "invalid_authority_response", "cannot be used");
        // It is not sent twice at once, and it backs off.
        assert_eq!(world.graph().await.status, 502, "{effect}");
        assert_eq!(world.calls().await, 1, "{effect}");
    }
}

#[tokio::test]
async fn what_is_cached_outlives_an_outage() {
    let world = World::new().await;
    let ana = world.ana().await;
    let (app, user) = (world.graph().await, world.obo(&ana).await);
    world.emulator.script(json!({"times": 0, "do": {"close": true}})).await;
    assert_eq!(world.graph().await.token(), app.token());
    assert_eq!(world.obo(&ana).await.token(), user.token());
    // A user's token whose key is known needs no authority either; what it is exchanged for does.
    assert_eq!(world.obo_as("orders", super::BILLING, &ana).await.status, 503);
}
