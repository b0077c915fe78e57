//! Which status an authority's refusal becomes: by `error`, `suberror`, `claims` and flow, and by nothing else.

use serde_json::{Value, json};

use super::{FLOWS, Flow, SIGN_INS, refused};
use crate::support::World;

/// What the status table says: for app tokens, on-behalf-of, authorization codes, refresh tokens.
type Row = (&'static str, Option<&'static str>, [u16; 4]);

const ROWS: [Row; 31] = [
    ("invalid_grant", None, [502, 401, 400, 401]),
    ("invalid_grant", Some("bad_token"), [502, 401, 400, 401]),
    ("invalid_grant", Some("token_expired"), [502, 401, 400, 401]),
    ("invalid_grant", Some("device_authentication_failed"), [502, 401, 400, 401]),
    ("invalid_grant", Some("something_new"), [502, 401, 400, 401]),
    ("invalid_grant", Some("basic_action"), [502, 401, 401, 401]),
    ("invalid_grant", Some("additional_action"), [502, 401, 401, 401]),
    ("invalid_grant", Some("message_only"), [502, 401, 401, 401]),
    ("invalid_grant", Some("consent_required"), [502, 401, 401, 401]),
    ("invalid_grant", Some("user_password_expired"), [502, 401, 401, 401]),
    ("invalid_grant", Some("client_mismatch"), [403, 403, 403, 403]),
    ("invalid_grant", Some("protection_policy_required"), [403, 403, 403, 403]),
    ("interaction_required", None, [401, 401, 401, 401]),
    ("interaction_required", Some("basic_action"), [401, 401, 401, 401]),
    ("interaction_required", Some("something_new"), [401, 401, 401, 401]),
    ("login_required", None, [401, 401, 401, 401]),
    ("consent_required", None, [401, 401, 401, 401]),
    ("invalid_client", Some("protection_policy_required"), [403, 403, 403, 403]),
    ("unauthorized_client", Some("protection_policy_required"), [403, 403, 403, 403]),
    ("unauthorized_client", Some("client_mismatch"), [403, 403, 403, 403]),
    ("interaction_required", Some("protection_policy_required"), [403, 403, 403, 403]),
    ("something_new", Some("client_mismatch"), [403, 403, 403, 403]),
    ("invalid_request", None, [502, 400, 400, 400]),
    ("invalid_scope", None, [400, 400, 400, 400]),
    ("invalid_resource", None, [400, 400, 400, 400]),
    ("invalid_target", None, [400, 400, 400, 400]),
    ("unauthorized_client", None, [502, 502, 502, 502]),
    ("access_denied", None, [502, 502, 502, 502]),
    ("unsupported_grant_type", None, [502, 502, 502, 502]),
    ("something_new", None, [502, 502, 502, 502]),
    ("something_new", Some("basic_action"), [502, 502, 502, 502]),
];

fn body(error: &str, suberror: Option<&str>, claims: bool) -> Value {
    let claims = claims.then(|| json!({"access_token": {"acrs": {"essential": true, "value": "c1"}}}));
    json!({"error": error, "error_description": "no", "suberror": suberror, "claims": claims})
}

#[tokio::test]
async fn err_5_the_status_says_whose_turn_it_is() {
    let world = World::new().await;
    for (error, suberror, statuses) in ROWS {
        for (flow, status) in FLOWS.into_iter().zip(statuses) {
            let answer = refused(&world, flow, body(error, suberror, false)).await;
            assert_eq!(answer.status, status, "{flow:?} {error} {suberror:?}: {}", answer.text);
            assert_eq!(answer.member("error"), error);
            assert_eq!(answer.json["suberror"].as_str(), suberror);
            assert_eq!(answer.header("www-authenticate").is_empty(), status != 401);
        }
    }
}

#[tokio::test]
async fn err_5_what_a_user_signs_in_by_is_the_users_turn_where_a_refresh_is() {
    let world = World::new().await;
    for (error, suberror, [.., status]) in ROWS {
        for flow in SIGN_INS {
            let answer = refused(&world, flow, body(error, suberror, false)).await;
            assert_eq!(answer.status, status, "{flow:?} {error} {suberror:?}: {}", answer.text);
            assert_eq!(answer.member("error"), error);
        }
    }
    for flow in SIGN_INS {
        let answer = refused(&world, flow, body("interaction_required", Some("basic_action"), true)).await;
        assert_eq!(answer.status, 401, "{flow:?}: {}", answer.text);
        assert!(answer.header("www-authenticate").contains("insufficient_claims"), "{:?}", answer.headers);
    }
}

#[tokio::test]
async fn err_5_anything_with_claims_is_the_users_turn() {
    let world = World::new().await;
    for (error, suberror) in [
        ("invalid_grant", None),
        ("invalid_grant", Some("basic_action")),
        ("invalid_grant", Some("bad_token")),
        ("interaction_required", None),
        ("interaction_required", Some("additional_action")),
        ("something_new", None),
    ] {
        for flow in FLOWS {
            let answer = refused(&world, flow, body(error, suberror, true)).await;
            assert_eq!(answer.status, 401, "{flow:?} {error} {suberror:?}: {}", answer.text);
            assert!(answer.header("www-authenticate").contains("insufficient_claims"), "{:?}", answer.headers);
        }
    }
}

#[tokio::test]
async fn an_app_tokens_request_is_the_callers_turn_only_where_it_named_a_tenant() {
    let world = World::new().await;
    let fabrikam = world.emulator.directory["tenants"][1]["id"].as_str().expect("an id");
    for (tenant, status) in [(None, 502), (Some(fabrikam), 400)] {
        world.emulator.script(super::refusal(body("invalid_request", None, false))).await;
        let request = json!({"app": "daemon", "scopes": crate::support::GRAPH, "tenant": tenant});
        let answer = world.sidecar.client.post("/client-credentials", &request).await;
        assert_eq!((answer.status, answer.member("error")), (status, "invalid_request"), "{}", answer.text);
    }
}

#[tokio::test]
async fn err_7_invalid_client_is_the_operators_turn() {
    let world = World::new().await;
    for flow in FLOWS {
        for status in [400, 401] {
            let said = json!({"status": status, "error": "invalid_client", "error_description": "the secret is wrong"});
            let answer = refused(&world, flow, said).await;
            answer.refused(502, "invalid_client", "credential");
            assert_eq!(answer.member("error_description"), "the secret is wrong");
            assert_eq!(answer.header("www-authenticate"), "", "the caller's own 401 would be another matter");
            assert_eq!(answer.json["retryable"], false);
        }
    }
}

#[tokio::test]
async fn err_9_aadsts_numbers_change_nothing() {
    let world = World::new().await;
    for (error, flow, status) in [
        ("invalid_grant", Flow::Obo, 401),
        ("invalid_grant", Flow::Code, 400),
        ("invalid_grant", Flow::App, 502),
        ("invalid_scope", Flow::App, 400),
        ("something_new", Flow::Obo, 502),
    ] {
        for codes in [json!([50076]), json!([65001, 7_000_215]), json!([999_999_999]), json!([])] {
            let description = format!("AADSTS{codes}: You must use multi-factor authentication.");
            let said = json!({"error": error, "error_description": description, "error_codes": codes});
            let answer = refused(&world, flow, said).await;
            assert_eq!(answer.status, status, "{error} {codes}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn an_error_with_status_200_is_an_error() {
    let world = World::new().await;
    let answer = refused(&world, Flow::Obo, json!({"status": 200, "error": "invalid_grant", "error_description": "no"})).await;
    answer.refused(401, "invalid_grant", "sign in again");
}

#[tokio::test]
async fn garbage_from_the_authority_is_502() {
    let world = World::new().await;
    for raw in [
        json!({"status": 200, "body": "<html>"}),
        json!({"status": 200, "body": "{}"}),
        json!({"status": 200, "body": "[]"}),
        json!({"status": 400, "body": "<html>"}),
        json!({"status": 404, "body": ""}),
        json!({"status": 302, "headers": {"location": "https://attacker.example/"}, "body": ""}),
        json!({"status": 200, "body": {"token_type": "Bearer", "expires_in": 3600}}),
        json!({"status": 200, "body": {"access_token": "t", "token_type": 7, "expires_in": 3600}}),
        json!({"status": 200, "body": {"access_token": "t", "token_type": "pop", "expires_in": 3600}}),
    ] {
        for flow in FLOWS {
            super::ready(&world, flow).await;
            world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"raw": raw}})).await;
            let answer = super::ask(&world, flow).await;
            assert_eq!(answer.status, 502, "{flow:?} {raw}: {}", answer.text);
            answer.refused(502, "invalid_authority_response", "answer");
            world.clock.advance(std::time::Duration::from_secs(61));
            world.emulator.unscript().await;
        }
    }
}
