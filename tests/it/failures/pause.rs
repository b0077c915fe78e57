//! Throttling: who waits, for how long, and what they are told (ERR-3, ERR-4).

use std::time::Duration;

use serde_json::json;

use super::{BILLING, USER_READ};
use crate::support::{GRAPH, World};

#[tokio::test]
async fn err_3_the_rest_of_the_pause_is_passed_on() {
    let world = World::new().await;
    world.failing_once(json!({"throttle": {"retry_after": "7"}})).await;
    for (wait, left) in [(0, "7"), (3, "4"), (3, "1")] {
        world.later(wait);
        let answer = world.graph().await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, left), "{}", answer.text);
        assert_eq!(answer.json["retryable"], true);
    }
    // A part of a second is a second to wait.
    world.clock.advance(Duration::from_millis(300));
    assert_eq!(world.graph().await.header("retry-after"), "1");
    assert_eq!(world.calls().await, 1);
    world.clock.advance(Duration::from_millis(700));
    assert_eq!(world.graph().await.source(), "identity_provider");
    assert_eq!(world.calls().await, 2);
}

/// Throttled with this text, the pause is so many seconds.
async fn pauses(text: Option<String>, seconds: u64) {
    let world = World::new().await;
    world.failing_once(json!({"throttle": {"retry_after": text}})).await;
    let answer = world.graph().await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, &*seconds.to_string()), "{text:?}: {}", answer.text);
    world.later(seconds - 1);
    assert_eq!(world.graph().await.status, 429, "{text:?}");
    world.later(1);
    assert_eq!(world.graph().await.status, 200, "{text:?}");
    assert_eq!(world.calls().await, 2, "{text:?}");
}

#[tokio::test]
async fn err_3_a_date_is_a_pause() {
    let clock = tokend::clock::Clock::manual(crate::support::NOW);
    pauses(Some(httpdate::fmt_http_date(clock.wall() + Duration::from_secs(30))), 30).await;
}

#[tokio::test]
async fn err_3_a_long_pause_is_capped_at_an_hour() {
    pauses(Some("7200".to_owned()), 3600).await;
}

#[tokio::test]
async fn err_3_a_pause_that_is_none_is_ignored() {
    // Throttled all the same: tokend waits for five seconds of its own.
    for text in [Some("-5".to_owned()), Some("soon".to_owned()), None] {
        pauses(text, 5).await;
    }
}

#[tokio::test]
async fn err_3_a_negative_pause_of_a_5xx_is_no_pause() {
    let world = World::new().await;
    world.failing_once(json!({"throttle": {"status": 503, "retry_after": "-5"}})).await;
    assert_eq!(world.graph().await.status, 200);
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn err_4_one_users_429_pauses_all_users_of_the_app_and_scopes() {
    let world = World::new().await;
    let (ana, ben) = (world.ana().await, world.ben().await);
    world.failing_once(json!({"throttle": {"retry_after": "7"}})).await;
    assert_eq!(world.obo(&ana).await.status, 429);
    let answer = world.obo(&ben).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "7"));
    assert_eq!(world.calls().await, 1);
    // Other scopes, and other apps.
    assert_eq!(world.obo_as("orders", BILLING, &ben).await.status, 200);
    assert_eq!(world.graph().await.status, 200);
    assert_eq!(world.calls().await, 3);
    world.later(7);
    assert_eq!(world.obo(&ben).await.status, 200);
}

#[tokio::test]
async fn err_4_a_503_with_retry_after_pauses_all_users_as_well() {
    let world = World::new().await;
    let (ana, ben) = (world.ana().await, world.ben().await);
    world.failing_once(json!({"throttle": {"status": 503, "retry_after": "7"}})).await;
    assert_eq!(world.obo(&ana).await.status, 503);
    world.later(2);
    let answer = world.obo(&ben).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn err_4_a_refusal_with_retry_after_stops_its_own_request_for_longer_and_nobody_else() {
    for (error, status, told) in [("invalid_grant", 400, 401), ("invalid_scope", 400, 400), ("interaction_required", 401, 401)] {
        let world = World::new().await;
        let (ana, ben) = (world.ana().await, world.ben().await);
        let said = json!({"status": status, "error": error, "headers": {"retry-after": "9"}});
        world.failing_once(json!({"error": said})).await;
        for (wait, left) in [(0, "9"), (8, "1")] {
            world.later(wait);
            let answer = world.obo(&ana).await;
            assert_eq!((answer.status, answer.header("retry-after")), (told, left), "{}", answer.text);
            assert_eq!(answer.json["retryable"], true);
        }
        assert_eq!(world.calls().await, 1);
        assert_eq!(world.obo(&ben).await.status, 200, "{error}");
        assert_eq!(world.obo_as("orders", BILLING, &ana).await.status, 200, "{error}");
        world.later(1);
        assert_eq!(world.obo(&ana).await.status, 200, "{error}");
    }
}

#[tokio::test]
async fn err_4_a_short_retry_after_makes_no_refusal_shorter() {
    let world = World::new().await;
    let said = json!({"status": 400, "error": "invalid_scope", "headers": {"retry-after": "1"}});
    world.failing_once(json!({"error": said})).await;
    assert_eq!(world.graph().await.header("retry-after"), "5");
    world.later(4);
    assert_eq!(world.graph().await.status, 400);
    world.later(1);
    assert_eq!(world.graph().await.status, 200);
}

#[tokio::test]
async fn err_4_a_refused_client_with_retry_after_is_stopped_where_it_was_refused_alone() {
    let world = World::new().await;
    let [contoso, fabrikam] = [0, 1].map(|index| world.emulator.directory["tenants"][index]["id"].clone());
    let said = json!({"status": 401, "error": "invalid_client", "headers": {"retry-after": "300"}});
    world.emulator.script(json!({"on": {"endpoint": "token", "tenant": fabrikam}, "do": {"error": said}})).await;
    let there = async |tenant| world.app_token(json!({"app": "partner", "tenant": tenant, "scopes": GRAPH})).await;
    assert_eq!((there(&fabrikam).await.status, there(&fabrikam).await.header("retry-after")), (502, "300"));
    assert_eq!(there(&contoso).await.status, 200);
    world.later(299);
    assert_eq!(there(&fabrikam).await.status, 502);
    world.later(1);
    assert_eq!(there(&fabrikam).await.status, 200);
}

#[tokio::test]
async fn err_4_a_5xx_that_comes_as_a_400_is_no_pause_for_others() {
    let world = World::new().await;
    let (ana, ben) = (world.ana().await, world.ben().await);
    let said = json!({"status": 400, "error": "temporarily_unavailable", "headers": {"retry-after": "60"}});
    world.emulator.script(json!({"on": {"endpoint": "token", "user": "ana@contoso.example"}, "do": {"error": said}})).await;
    assert_eq!((world.obo(&ana).await.status, world.obo(&ana).await.header("retry-after")), (503, "60"));
    assert_eq!(world.obo(&ben).await.status, 200);
}

#[tokio::test]
async fn err_4_one_tenants_429_and_503_pause_no_other_tenant() {
    for effect in [json!({"retry_after": "60"}), json!({"status": 503, "retry_after": "60"}), json!({"retry_after": null})] {
        let world = World::new().await;
        let fabrikam = world.emulator.directory["tenants"][1]["id"].as_str().expect("an id").to_owned();
        let on = json!({"endpoint": "token", "tenant": fabrikam});
        world.emulator.script(json!({"on": on, "times": 0, "do": {"throttle": effect}})).await;
        let there = async || world.app_token(json!({"app": "daemon", "tenant": fabrikam, "scopes": GRAPH})).await;
        let first = there().await;
        assert!(matches!(first.status, 429 | 503), "{}", first.text);
        let calls = world.calls().await;
        assert!(there().await.member("detail").contains("remembered"));
        assert_eq!(world.calls().await, calls);
        assert_eq!(world.graph().await.status, 200, "{effect}");
    }
}

#[tokio::test]
async fn err_4_a_pause_takes_no_cached_token_away() {
    let world = World::new().await;
    let (ana, ben) = (world.ana().await, world.ben().await);
    let first = world.obo(&ana).await;
    world.failing(json!({"throttle": {"retry_after": "60"}})).await;
    assert_eq!(world.obo(&ben).await.status, 429);
    assert_eq!((world.obo(&ana).await.token(), world.obo(&ana).await.source()), (first.token(), "cache"));
    // Another assertion of hers has none.
    assert_eq!(world.obo_as("orders", USER_READ, &world.ana().await).await.status, 429);
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn err_4_other_scopes_and_apps_are_not_paused_for_app_tokens() {
    let world = World::new().await;
    world.failing_once(json!({"throttle": {"retry_after": "60"}})).await;
    assert_eq!(world.graph().await.status, 429);
    assert_eq!(world.app_token(json!({"app": "daemon", "scopes": "api://orders/.default"})).await.status, 200);
    assert_eq!(world.app_token(json!({"app": "orders", "scopes": GRAPH})).await.status, 200);
    // Another name of the same registration is the same client to the authority.
    assert_eq!(world.app_token(json!({"app": "daemon-cert", "scopes": GRAPH})).await.status, 429);
    assert_eq!(world.calls().await, 3);
}

#[tokio::test]
async fn err_4_a_pause_tells_nobody_what_was_said_to_one_user() {
    for status in [429, 503] {
        let world = World::new().await;
        let (ana, ben) = (world.ana().await, world.ben().await);
        let said = json!({"status": status, "error": "temporarily_unavailable", "suberror": "basic_action",
            "error_description": "ana has to wait", "headers": {"retry-after": "60"}});
        world.failing_once(json!({"error": said})).await;
        let answer = world.obo(&ana).await;
        assert_eq!((answer.status, answer.member("error_description")), (status, "ana has to wait"), "{}", answer.text);
        world.later(2);
        let answer = world.obo(&ben).await;
        assert_eq!((answer.status, answer.header("retry-after")), (status, "58"), "{}", answer.text);
        assert!(answer.member("detail").contains("remembered from an earlier call; asked again after 58 s"), "{}", answer.text);
        for word in ["ana", "basic_action", "trace_id"] {
            assert!(!answer.text.contains(word), "{word} in {}", answer.text);
        }
        assert_eq!(world.calls().await, 1);
    }
}
