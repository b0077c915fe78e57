//! The ids of a request, and what an answer says of its own origin.

use std::time::Duration;

use serde_json::json;

use crate::support::{Client, GRAPH, World};

const ID: &str = "6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f";

#[tokio::test]
async fn api_1_the_callers_id_goes_to_the_authority_and_comes_back() {
    let world = World::new().await;
    let body = json!({"app": "daemon", "scopes": [GRAPH]});
    let request = world.sidecar.client.request("/client-credentials", &body).header("x-correlation-id", ID.to_uppercase());
    let answer = Client::send(request).await;
    answer.token();
    assert_eq!((answer.header("x-correlation-id"), answer.member("correlation_id")), (ID, ID));
    let asked = world.emulator.asked("token").await;
    assert_eq!(asked[0]["headers"]["client-request-id"], ID);
}

#[tokio::test]
async fn api_1_without_an_id_one_is_made() {
    let world = World::new().await;
    let answer = world.graph().await;
    let id = answer.member("correlation_id").to_owned();
    assert_eq!(id.len(), 36, "{id}");
    assert_eq!(answer.header("x-correlation-id"), id);
    assert_eq!(world.emulator.asked("token").await[0]["headers"]["client-request-id"], id);
    assert_ne!(world.graph().await.member("correlation_id"), id, "each request has its own, a cached answer too");
}

#[tokio::test]
async fn api_1_an_error_carries_the_id_too() {
    let world = World::new().await;
    for (path, body) in
        [("/client-credentials", json!({"app": "nobody"})), ("/nowhere", json!({})), ("/obo", json!({"app": "orders"}))]
    {
        let answer = Client::send(world.sidecar.client.request(path, &body).header("x-correlation-id", ID)).await;
        assert!(answer.status >= 400);
        assert_eq!((answer.header("x-correlation-id"), answer.member("correlation_id")), (ID, ID), "{path}");
    }
}

#[tokio::test]
async fn api_1_what_is_no_uuid_is_400() {
    let world = World::new().await;
    let body = json!({"app": "daemon", "scopes": [GRAPH]});
    for id in [
        "",
        "x",
        "6f0a4f0e9d5b4a4f8f3f9b110a4f5f3f",
        "{6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f}",
        "6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3g",
    ] {
        let answer = Client::send(world.sidecar.client.request("/client-credentials", &body).header("x-correlation-id", id)).await;
        answer.refused(400, "invalid_request", "`x-correlation-id`");
        assert_ne!(answer.header("x-correlation-id"), id);
    }
    assert!(world.emulator.asked("token").await.is_empty());
}

#[tokio::test]
async fn api_2_an_answer_says_where_it_comes_from_and_why() {
    let world = World::new().await;
    let ask = async |more: serde_json::Value| {
        let mut body = json!({"app": "daemon", "scopes": [GRAPH]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("members").clone());
        let answer = world.app_token(body).await;
        answer.token();
        let members = ["token_source", "cache_level", "refresh_reason"];
        members.map(|member| answer.json[member].as_str().map(str::to_owned)).map(Option::unwrap_or_default)
    };
    assert_eq!(ask(json!({})).await, ["identity_provider", "", "no_cached_access_token"]);
    assert_eq!(ask(json!({})).await, ["cache", "memory", "not_applicable"]);
    assert_eq!(ask(json!({"force_refresh": true})).await, ["identity_provider", "", "force_refresh_or_claims"]);
    assert_eq!(ask(json!({"claims": "{\"access_token\":{}}"})).await, ["identity_provider", "", "force_refresh_or_claims"]);
    assert_eq!(ask(json!({})).await, ["cache", "memory", "not_applicable"]);
    world.clock.advance(Duration::from_secs(4000));
    let expired = ask(json!({})).await;
    assert_eq!((expired[0].as_str(), expired[1].as_str()), ("identity_provider", ""));
    assert!(["expired", "no_cached_access_token"].contains(&expired[2].as_str()), "{expired:?}");
}

#[tokio::test]
async fn api_2_a_token_that_is_due_is_served_and_renewed() {
    let world = World::new().await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"set": {"refresh_in": 100}}})).await;
    world.graph().await.token();
    world.clock.advance(Duration::from_secs(1800));
    let due = world.graph().await;
    assert_eq!((due.member("token_source"), due.member("refresh_reason")), ("cache", "proactively_refreshed"), "{}", due.text);
    assert_eq!(due.json["cache_level"], "memory");
    world.emulator.asked_times("token", 2).await;
}
