//! Refusals that are remembered: of a grant for five seconds, of a credential for a minute or until it changes.

use serde_json::json;

use super::BILLING;
use crate::support::{GRAPH, World};

#[tokio::test]
async fn an_interaction_error_is_remembered_for_five_seconds_for_its_assertion() {
    let world = World::new().await;
    let mia = world.emulator.user_token("mia@contoso.example").await;
    for wait in [0, 0, 4] {
        world.later(wait);
        let answer = world.obo(&mia).await;
        answer.refused(401, "interaction_required", "sign in");
        assert!(answer.member("claims").contains("capolids"), "{}", answer.text);
        assert!(answer.header("www-authenticate").contains("insufficient_claims"), "{:?}", answer.headers);
        assert_eq!(answer.json["retryable"], false);
        assert_eq!(world.calls().await, 1);
    }
    world.later(1);
    assert_eq!(world.obo(&mia).await.status, 401);
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn a_refused_grant_is_remembered_for_nobody_else() {
    let world = World::new().await;
    let (ana, ben) = (world.ana().await, world.ben().await);
    world.emulator.script(json!({"on": {"endpoint": "token", "scope": "graph"}, "do": {"aadsts": 50173}})).await;
    world.obo(&ana).await.refused(401, "invalid_grant", "sign in");
    world.obo(&ana).await.refused(401, "invalid_grant", "sign in");
    assert_eq!(world.calls().await, 1);
    // Another assertion of hers, other scopes of the same assertion, another user.
    assert_eq!(world.obo(&world.ana().await).await.status, 200);
    assert_eq!(world.obo_as("orders", BILLING, &ana).await.status, 200);
    assert_eq!(world.obo(&ben).await.status, 200);
    world.obo(&ana).await.refused(401, "invalid_grant", "sign in");
    assert_eq!(world.calls().await, 4);
    world.later(5);
    assert_eq!(world.obo(&ana).await.status, 200);
}

#[tokio::test]
async fn a_satisfied_challenge_is_not_stopped_by_the_refusal_that_asked_for_it() {
    let world = World::new().await;
    let ana = world.ana().await;
    world.failing_once(json!({"aadsts": 50076})).await;
    let refused = world.obo(&ana).await;
    let body = json!({"app": "orders", "scopes": super::USER_READ, "claims": refused.member("claims")});
    assert_eq!(world.sidecar.client.post_as("/obo", &ana, &body).await.status, 200);
    assert_eq!(world.calls().await, 2);
}

/// A world whose app `daemon` has a wrong secret.
async fn with_a_wrong_secret() -> World {
    World::changed(|yaml, files| {
        std::fs::write(files.join("daemon.secret"), "wrong").expect("a file");
        yaml
    })
    .await
}

#[tokio::test]
async fn err_7_a_refused_credential_is_remembered_for_a_minute() {
    let world = with_a_wrong_secret().await;
    for _ in 0..20 {
        world.graph().await.refused(502, "invalid_client", "credential");
    }
    // It is the app's, whatever is asked for.
    world.app_token(json!({"app": "daemon", "scopes": "api://orders/.default"})).await.refused(502, "invalid_client", "credential");
    world.later(59);
    assert_eq!(world.graph().await.status, 502);
    assert_eq!(world.calls().await, 1);
    world.later(1);
    assert_eq!(world.graph().await.status, 502);
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn a_refused_credential_stops_no_other_credential_of_the_client() {
    let world = with_a_wrong_secret().await;
    assert_eq!(world.graph().await.status, 502);
    let answer = world.app_token(json!({"app": "daemon-cert", "scopes": GRAPH})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn err_8_the_oldest_refusals_are_over_by_the_clock_alone() {
    let world = World::new().await;
    world.failing_once(json!({"error": {"status": 400, "error": "invalid_scope"}})).await;
    assert_eq!(world.graph().await.status, 400);
    assert_eq!(world.graph().await.status, 400);
    world.later(5);
    assert_eq!(world.graph().await.status, 200);
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn a_refused_refresh_token_says_nothing_of_the_next_one() {
    let world = World::new().await;
    let access = "api://orders/access_as_user";
    let signed = world.redeem(&world.code("web", access, "ana@contoso.example").await).await;
    signed.token();
    let silent = json!({"app": "web", "scopes": super::USER_READ, "account": signed.json["account"]["home_account_id"]});
    let ask = async || world.sidecar.client.post("/silent", &silent).await;
    world.failing(json!({"aadsts": 50_173})).await;
    ask().await.refused(401, "invalid_grant", "sign in");
    ask().await.refused(401, "invalid_grant", "remembered");
    assert_eq!(world.calls().await, 2);
    world.emulator.unscript().await;
    // The user signs in again, for other scopes.
    world.redeem(&world.code("web", access, "ana@contoso.example").await).await.token();
    assert_eq!(ask().await.source(), "identity_provider");
}
