//! How long a token is served (CCH-5, CCH-6): not in its last five minutes, nor in the last quarter of a short life.

use serde_json::json;

use crate::support::{NOW, World};

/// Asks at the last second at which a token of this life is served, and at the next one.
async fn is_served_until(lifetime: i64, last: u64) {
    let world = World::new().await;
    world.lifetime(lifetime).await;
    let first = world.graph().await;
    assert_eq!(first.json["expires_on"], NOW + lifetime);
    // It is due for renewal by then; no renewal gets through while it is looked at.
    world.emulator.unscript().await;
    world.hold().await;
    world.later(last);
    let served = world.graph().await;
    assert_eq!((served.source(), served.token()), ("cache", first.token()));
    assert_eq!(served.json["expires_in"], lifetime - i64::try_from(last).expect("some seconds"));
    world.later(1);
    let (next, ()) = tokio::join!(world.graph(), async {
        world.sidecar.answering(1).await;
        world.emulator.release().await;
    });
    assert_eq!((next.source(), next.member("refresh_reason")), ("identity_provider", "expired"));
    assert_ne!(next.token(), first.token());
    // It took the renewal that was under way.
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_5_the_last_five_minutes_are_not_served() {
    is_served_until(3600, 3600 - 301).await;
}

#[tokio::test]
async fn cch_5_of_a_short_life_the_last_quarter_is_not_served() {
    is_served_until(60, 44).await;
}

#[tokio::test]
async fn cch_6_what_does_not_say_credibly_when_it_ends_is_returned_once_and_not_kept() {
    let world = World::new().await;
    let ten_years = 10 * 365 * 24 * 3600;
    for (index, odd) in [json!(null), json!(0), json!(-5), json!("soon"), json!(ten_years + 1)].into_iter().enumerate() {
        world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": {"expires_in": odd}}})).await;
        let answer = world.graph().await;
        assert_eq!((answer.source(), &answer.json["expires_in"]), ("identity_provider", &json!(null)), "{odd}: {}", answer.text);
        assert_eq!(world.calls().await, index + 1);
    }
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": {"expires_in": ten_years}}})).await;
    assert_eq!(world.graph().await.json["expires_in"], ten_years);
    assert_eq!(world.graph().await.source(), "cache");
    assert_eq!(world.calls().await, 6);
}

#[tokio::test]
async fn cch_5_a_life_in_text_counts_as_a_number() {
    let world = World::new().await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": {"expires_in": "3600"}}})).await;
    assert_eq!(world.graph().await.json["expires_on"], NOW + 3600);
    assert_eq!(world.graph().await.source(), "cache");
}
