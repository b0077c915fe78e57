//! What the authority said reaches the caller, member by member, and no more than is good for it.

use serde_json::json;

use super::{FLOWS, Flow, refused};
use crate::support::World;

#[tokio::test]
async fn every_member_that_the_authority_sent_is_there() {
    let world = World::new().await;
    let said = json!({"error": "invalid_grant", "error_description": "AADSTS65001: The user has not consented. Größe",
        "suberror": "consent_required", "error_codes": [65001, 7], "classification": "ConsentRequired",
        "trace_id": "4f4c0a1e-9b1a-4b1e-8f52-0d7e4f2a1b00", "correlation_id": "00000000-0000-0000-0000-000000000001",
        "timestamp": "2026-11-21 06:00:00Z", "claims": "{\"a\":1}", "error_uri": "https://login.example/error?code=65001"});
    for flow in FLOWS {
        world.emulator.unscript().await;
        super::ready(&world, flow).await;
        let raw = json!({"status": 400, "headers": {"content-type": "application/json"}, "body": said});
        world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"raw": raw}})).await;
        let id = "6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f";
        let answer = super::ask(&world, flow).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
        for member in ["error", "error_description", "suberror", "error_codes", "classification", "claims", "trace_id"] {
            assert_eq!(answer.json[member], said[member], "{member}: {}", answer.text);
        }
        // The id is the request's own, not what an authority echoes.
        assert_eq!(answer.member("correlation_id"), answer.header("x-correlation-id"));
        assert_ne!(answer.member("correlation_id"), said["correlation_id"]);
        assert_ne!(answer.member("correlation_id"), id);
        let problem = [&answer.json["type"], &answer.json["title"], &answer.json["detail"]];
        assert!(problem.iter().all(|member| member.as_str().is_some_and(|text| !text.is_empty())), "{}", answer.text);
        assert_eq!(answer.json["status"], 401);
        assert_eq!(answer.json["retryable"], false);
        world.clock.advance(std::time::Duration::from_secs(10));
    }
}

#[tokio::test]
async fn odd_members_do_not_hide_the_error() {
    let world = World::new().await;
    let raw = json!({"status": 400, "body": {"error": "invalid_grant", "error_description": 7, "error_codes": "50076",
        "suberror": ["basic_action"], "claims": null, "trace_id": {}}});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"raw": raw}})).await;
    let answer = super::ask(&world, Flow::Obo).await;
    answer.refused(401, "invalid_grant", "sign in again");
    assert_eq!(answer.json.get("suberror"), None);
}

#[tokio::test]
async fn a_description_is_cut_to_two_kibibytes() {
    let world = World::new().await;
    for letter in ["a", "é", "€", "𝄞"] {
        let long = format!("AADSTS1: {}", letter.repeat(9000));
        let answer = refused(&world, Flow::Obo, json!({"error": "invalid_grant", "error_description": long})).await;
        assert_eq!(answer.status, 401);
        let text = answer.member("error_description");
        assert!((2000..=2048).contains(&text.len()), "{} bytes", text.len());
        assert!(text.starts_with("AADSTS1: ") && answer.text.len() < 4096, "{}", answer.text.len());
    }
    let exact = "x".repeat(2048);
    let answer = refused(&world, Flow::Obo, json!({"error": "invalid_grant", "error_description": exact})).await;
    assert_eq!(answer.member("error_description"), exact);
}

#[tokio::test]
async fn a_long_error_code_does_not_fill_the_answer() {
    let world = World::new().await;
    let said = json!({"error": "e".repeat(100_000), "suberror": "s".repeat(100_000), "error_description": "no"});
    let answer = refused(&world, Flow::Obo, said).await;
    assert_eq!(answer.status, 502, "{}", answer.text.len());
    assert!(answer.text.len() < 8192, "{} bytes", answer.text.len());
}
