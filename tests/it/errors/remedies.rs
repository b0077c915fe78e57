//! What helps against a refusal: the numbers of Entra's choose the words, and never the status.

use serde_json::json;

use super::{Flow, ask, ready, refused};
use crate::support::{GRAPH, World};

#[tokio::test]
async fn an_aadsts_number_chooses_a_remedy_that_fits() {
    let world = World::new().await;
    for (flow, error, codes, status, words) in [
        // A tenant that is mistyped, in the configuration.
        (Flow::App, "invalid_request", json!([90002]), 502, "no such tenant"),
        (Flow::Obo, "invalid_request", json!([900_023]), 400, "no such tenant"),
        // A consent that is missing, for the app and for the user.
        (Flow::App, "invalid_grant", json!([65001]), 502, "have an administrator consent"),
        (Flow::Obo, "invalid_grant", json!([65001]), 401, "`prompt` `consent`"),
        (Flow::Silent, "invalid_grant", json!([65004]), 401, "declined"),
        // A loop.
        (Flow::App, "invalid_grant", json!([50196]), 502, "loop"),
        (Flow::Obo, "invalid_grant", json!([50196]), 401, "loop"),
        (Flow::Silent, "invalid_grant", json!([50196]), 401, "loop"),
        // And others.
        (Flow::App, "invalid_client", json!([7_000_222]), 502, "has expired"),
        (Flow::App, "unauthorized_client", json!([700_016]), 502, "`client_id`"),
        (Flow::App, "invalid_scope", json!([1_002_012]), 400, "`/.default`"),
        (Flow::Obo, "invalid_resource", json!([500_011]), 400, "no such resource"),
    ] {
        let said = json!({"status": 400, "error": error, "error_codes": codes});
        let with = refused(&world, flow, said).await;
        with.refused(status, error, words);
        let without = refused(&world, flow, json!({"status": 400, "error": error, "error_codes": [999_999]})).await;
        assert_eq!(without.status, status, "the number decides nothing: {}", without.text);
        assert_ne!(without.member("detail"), with.member("detail"));
    }
}

#[tokio::test]
async fn a_remedy_is_told_to_all_who_are_stopped_by_the_refusal() {
    let world = World::new().await;
    let said = json!({"status": 401, "error": "invalid_client", "error_codes": [7_000_222]});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"error": said}})).await;
    for scopes in [GRAPH, "api://orders/.default"] {
        world.app_token(json!({"app": "daemon", "scopes": scopes})).await.refused(
            502,
            "invalid_client",
            "make a new client secret",
        );
    }
}

#[tokio::test]
async fn invalid_request_of_an_app_is_the_operators_turn_unless_the_request_names_a_tenant() {
    let world = World::new().await;
    let tenants = world.emulator.directory["tenants"].as_array().expect("tenants").clone();
    let other = tenants[1]["id"].as_str().expect("an id");
    for (tenant, status) in [(None, 502), (Some(other), 400)] {
        let said = json!({"status": 400, "error": "invalid_request", "error_codes": [90002]});
        world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"error": said}})).await;
        let answer = world.app_token(json!({"app": "daemon", "scopes": GRAPH, "tenant": tenant})).await;
        answer.refused(status, "invalid_request", "`tenant` of the request");
        world.later(61);
    }
}

#[tokio::test]
async fn a_flood_of_numbers_reaches_neither_answer_nor_log() {
    let world = World::new().await;
    let codes: Vec<u32> = (0..100_000).collect();
    for flow in [Flow::App, Flow::Obo, Flow::Code] {
        ready(&world, flow).await;
        let body = json!({"error": "invalid_grant", "error_codes": codes});
        let raw = json!({"status": 400, "headers": {"content-type": "application/json"}, "body": body});
        world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"raw": raw}})).await;
        let answer = ask(&world, flow).await;
        assert_eq!(answer.json["error_codes"], json!((0..16).collect::<Vec<u32>>()), "{}", answer.text.len());
        assert!(answer.text.len() < 2048, "{}", answer.text.len());
    }
}
