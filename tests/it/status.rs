//! What `/status` tells of authorities: when they last did what they were asked, what failed, and what is held until when.

use serde_json::{Value, json};

use crate::support::{GRAPH, World};

/// The report on the authority of an app.
async fn report(world: &World, app: &str) -> Value {
    let status = world.sidecar.admin.get("/status").await.json;
    let reports = status["authorities"].as_array().unwrap_or_else(|| panic!("{status}")).clone();
    let of = |report: &&Value| report["apps"].as_array().is_some_and(|apps| apps.contains(&json!(app)));
    reports.iter().find(of).unwrap_or_else(|| panic!("{status}")).clone()
}

#[tokio::test]
async fn an_authority_is_told_by_its_last_success_and_its_last_error() {
    let world = World::new().await;
    let before = report(&world, "daemon").await;
    assert!(before["last_success"].is_null() && before["last_error"].is_null() && before["held"] == json!([]), "{before}");
    world.graph().await.token();
    let succeeded = tokend::clock::iso(world.clock.wall());
    assert_eq!(report(&world, "daemon").await["last_success"], succeeded);
    for (effect, error, words) in [
        (
            json!({"raw": {"status": 302, "headers": {"location": "https://sso.example/canary"}, "body": "canary"}}),
            "invalid_answer",
            "sso.example",
        ),
        (
            json!({"error": {"status": 401, "error": "invalid_client", "error_description": "canary"}}),
            "invalid_client",
            "status 401",
        ),
        (json!({"raw": {"status": 503, "body": "canary"}}), "unavailable", "status 503"),
        (json!({"throttle": {"status": 429, "retry_after": "30"}}), "throttled", "fewer requests"),
    ] {
        world.later(3600);
        world.emulator.unscript().await;
        world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": effect})).await;
        assert!(world.app_token(json!({"app": "daemon", "scopes": "api://orders/.default"})).await.status >= 429);
        let told = report(&world, "daemon").await;
        let last = &told["last_error"];
        assert_eq!((&last["error"], &last["purpose"]), (&error.into(), &"client_credentials".into()), "{told}");
        assert!(last["cause"].as_str().is_some_and(|cause| cause.contains(words)), "no {words:?} in {told}");
        assert_eq!(last["at"], tokend::clock::iso(world.clock.wall()), "{told}");
        assert_eq!(told["last_success"], succeeded);
        assert!(!told.to_string().contains("canary"), "{told}");
    }
    // The issuer is another authority.
    assert!(report(&world, "shop").await["last_error"].is_null());
}

#[tokio::test]
async fn what_is_held_is_told_with_its_end() {
    let world = World::new().await;
    for (app, error, stops, seconds) in [
        ("daemon", json!({"error": {"status": 401, "error": "invalid_client"}}), "credential", 60),
        ("web", json!({"error": {"status": 400, "error": "unauthorized_client"}}), "grant", 60),
        ("billing", json!({"throttle": {"status": 429, "retry_after": "30"}}), "pause", 30),
        ("shop", json!({"error": {"status": 400, "error": "invalid_scope"}}), "request", 5),
    ] {
        world.emulator.unscript().await;
        world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": error})).await;
        assert!(world.app_token(json!({"app": app, "scopes": [GRAPH]})).await.status >= 400);
        let until = tokend::clock::iso(world.clock.wall() + std::time::Duration::from_secs(seconds));
        let told = report(&world, app).await;
        let held = told["held"].as_array().expect("a list");
        let own = held.iter().find(|hold| hold["app"] == app && hold["stops"] == stops).unwrap_or_else(|| panic!("{told}"));
        assert_eq!((&own["count"], &own["until"]), (&json!(1), &json!(until)), "{told}");
    }
    world.later(61);
    assert_eq!(report(&world, "daemon").await["held"], json!([]));
}
