//! Renewal before the end (CCH-12), and what happens when it fails (CCH-13).

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Answer, World};

/// A world with one token that is due for renewal: it lives two hours more than half of its life, and `refresh_in` is over.
async fn due() -> (World, Answer) {
    let world = World::new().await;
    let rule = json!({"on": {"endpoint": "token"}, "do": {"expires_in": 10_000, "set": {"refresh_in": 1000}}});
    world.emulator.script(rule).await;
    let first = world.graph().await;
    world.later(1000);
    (world, first)
}

/// Waits for a renewal to have ended, by its counter.
async fn renewed(world: &World, outcome: &str) {
    let sample = format!("tokend_refreshes_total{{app=\"daemon\",flow=\"client_credentials\",outcome=\"{outcome}\"}}");
    for _ in 0..500 {
        if world.sidecar.metric(&sample).await > 0.0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no renewal ended as {outcome}: {}", world.sidecar.admin.get("/metrics").await.text);
}

#[tokio::test]
async fn cch_12_callers_get_the_valid_token_at_once_and_one_renewal_runs() {
    let (world, first) = due().await;
    world.hold().await;
    let all = tokio::time::timeout(Duration::from_secs(4), join_all((0..50).map(|_| world.graph())));
    for answer in all.await.expect("answers while the renewal is held") {
        assert_eq!((answer.source(), answer.token()), ("cache", first.token()));
        assert_eq!((answer.member("cache_level"), answer.member("refresh_reason")), ("memory", "proactively_refreshed"));
    }
    world.emulator.asked_times("token", 2).await;
    world.emulator.release().await;
    renewed(&world, "ok").await;
    let next = world.graph().await;
    assert_eq!((next.source(), next.member("refresh_reason")), ("cache", "not_applicable"));
    assert_ne!(next.token(), first.token());
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_12_before_refresh_in_nothing_is_renewed() {
    let world = World::new().await;
    let rule = json!({"on": {"endpoint": "token"}, "do": {"expires_in": 10_000, "set": {"refresh_in": 1000}}});
    world.emulator.script(rule).await;
    let first = world.graph().await;
    assert_eq!(first.json["refresh_on"], crate::support::NOW + 1000);
    world.later(999);
    let again = world.graph().await;
    assert_eq!((again.source(), again.member("refresh_reason")), ("cache", "not_applicable"));
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn cch_12_without_refresh_in_the_point_is_jittered() {
    let world = World::new().await;
    world.lifetime(3600).await;
    let mut points = Vec::new();
    for index in 0..8 {
        let scopes = ["https://graph.microsoft.com/.default", "api://orders/.default"];
        let body = json!({"app": "daemon", "scopes": scopes[index % 2], "force_refresh": true});
        points.push(world.app_token(body).await.json["refresh_on"].as_i64().unwrap() - crate::support::NOW);
    }
    // Of the 3,300 usable seconds.
    assert!(points.iter().all(|point| (2310..=2970).contains(point)), "{points:?}");
    points.sort_unstable();
    points.dedup();
    assert!(points.len() > 4, "{points:?}");
    world.later(2309);
    assert_eq!(world.graph().await.member("refresh_reason"), "not_applicable");
    world.later(2970 - 2309);
    assert_eq!(world.graph().await.member("refresh_reason"), "proactively_refreshed");
    renewed(&world, "ok").await;
}

#[tokio::test]
async fn cch_12_nothing_is_renewed_unless_somebody_asks() {
    let (world, _) = due().await;
    world.later(5000);
    for _ in 0..5 {
        world.sidecar.admin.get("/status").await;
    }
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn cch_12_a_users_renewal_uses_the_assertion_of_the_request_that_found_it_due() {
    let world = World::new().await;
    let rule = json!({"on": {"endpoint": "token"}, "do": {"expires_in": 10_000, "set": {"refresh_in": 1000}}});
    world.emulator.script(rule).await;
    let ana = world.emulator.user_token("ana@contoso.example").await;
    let first = world.obo(&ana).await;
    // Another assertion of hers is newer, and none of this token's business.
    let newer = world.emulator.mint(json!({"app": "orders-api", "user": "ana@contoso.example", "lifetime": 9000})).await;
    world.obo(&newer).await.token();
    world.later(1000);
    assert_eq!(world.obo(&ana).await.member("refresh_reason"), "proactively_refreshed");
    let asked = world.emulator.asked_times("token", 3).await;
    assert_eq!(asked[2]["form"]["assertion"], ana);
    for _ in 0..500 {
        let now = world.obo(&ana).await;
        if now.token() != first.token() {
            assert_eq!(now.source(), "cache");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the renewed token is not served");
}

/// The renewal fails by `rule`: the token is served to its end, the authority is asked `calls` times at a standing clock, then the
/// error comes.
async fn fails(rule: serde_json::Value, outcome: &str, calls: usize, status: u16) {
    let (world, first) = due().await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": rule})).await;
    assert_eq!(world.graph().await.token(), first.token());
    renewed(&world, outcome).await;
    for _ in 0..20 {
        let answer = world.graph().await;
        assert_eq!((answer.source(), answer.token()), ("cache", first.token()));
    }
    assert_eq!(world.calls().await, 1 + calls);
    // The last second it is served, and the first it is not.
    world.later(10_000 - 1000 - 301);
    assert_eq!(world.graph().await.token(), first.token());
    world.emulator.asked_times("token", 1 + 2 * calls).await;
    world.later(61);
    assert_eq!(world.graph().await.status, status);
}

#[tokio::test]
async fn cch_13_a_renewal_that_meets_a_5xx_takes_nothing_away() {
    fails(json!({"aadsts": 90033}), "unavailable", 2, 503).await;
}

#[tokio::test]
async fn cch_13_a_renewal_that_is_refused_takes_nothing_away() {
    fails(json!({"error": {"status": 400, "error": "invalid_grant"}}), "operator", 1, 502).await;
}

#[tokio::test]
async fn cch_13_a_user_whose_grant_ended_is_served_until_the_token_ends() {
    let world = World::new().await;
    let ana = world.emulator.mint(json!({"app": "orders-api", "user": "ana@contoso.example", "lifetime": 20_000})).await;
    let rule = json!({"on": {"endpoint": "token"}, "do": {"expires_in": 10_000, "set": {"refresh_in": 1000}}});
    world.emulator.script(rule).await;
    let first = world.obo(&ana).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"aadsts": 50173}})).await;
    world.later(1000);
    assert_eq!(world.obo(&ana).await.token(), first.token());
    world.emulator.asked_times("token", 2).await;
    world.later(8699);
    assert_eq!(world.obo(&ana).await.token(), first.token());
    world.later(1);
    world.obo(&ana).await.refused(401, "invalid_grant", "sign in");
}
