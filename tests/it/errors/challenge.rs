//! A claims challenge on its way to the user: an API forwards the header as it stands, a client library reads the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{FLOWS, Flow, refused};
use crate::support::World;

const CLAIMS: &str = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"},"name":"Ünë \"x\""}}"#;

fn challenge() -> Value {
    json!({"error": "interaction_required", "suberror": "basic_action", "error_description": "MFA", "claims": CLAIMS})
}

/// A quoted parameter of a challenge.
fn quoted<'a>(header: &'a str, name: &str) -> &'a str {
    let rest = header.split(&format!("{name}=\"")).nth(1).unwrap_or_else(|| panic!("no {name} in {header}"));
    rest.split('"').next().expect("a value")
}

#[tokio::test]
async fn err_6_a_challenge_is_a_header_to_forward_and_json_in_the_body() {
    let world = World::new().await;
    let tenant = world.emulator.directory["tenants"][0]["id"].as_str().expect("an id");
    for flow in FLOWS {
        let answer = refused(&world, flow, challenge()).await;
        answer.refused(401, "interaction_required", "claims");
        assert_eq!(answer.member("claims"), CLAIMS);
        let header = answer.header("www-authenticate");
        assert!(header.starts_with("Bearer error=\"insufficient_claims\", claims=\""), "{header}");
        assert_eq!(STANDARD.decode(quoted(header, "claims")).expect("base64"), CLAIMS.as_bytes());
        let authorize = format!("{}/{tenant}/oauth2/v2.0/authorize", world.emulator.origin);
        assert_eq!(quoted(header, "authorization_uri"), authorize);
        assert_eq!(answer.headers.get_all("www-authenticate").iter().count(), 1);
    }
}

#[tokio::test]
async fn err_6_without_claims_the_user_is_asked_to_sign_in() {
    let world = World::new().await;
    let answer = refused(&world, Flow::Obo, json!({"error": "interaction_required", "error_description": "sign in"})).await;
    answer.refused(401, "interaction_required", "sign in again");
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"interaction_required\"");
    assert_eq!(answer.json.get("claims"), None);
}

#[tokio::test]
async fn err_6_a_user_who_needs_a_second_factor_gets_the_authoritys_own_challenge() {
    let world = World::new().await;
    let answer = world.obo(&world.emulator.user_token("mia@contoso.example").await).await;
    answer.refused(401, answer.member("error"), "claims");
    let claims: Value = serde_json::from_str(answer.member("claims")).expect("JSON text");
    assert!(claims.is_object());
    let header = answer.header("www-authenticate");
    assert_eq!(STANDARD.decode(quoted(header, "claims")).expect("base64"), answer.member("claims").as_bytes());
}

#[tokio::test]
async fn err_6_a_challenge_goes_back_as_it_came_in_either_form() {
    let world = World::new().await;
    let answer = refused(&world, Flow::App, challenge()).await;
    world.emulator.unscript().await;
    let forms = [answer.member("claims").to_owned(), quoted(answer.header("www-authenticate"), "claims").to_owned()];
    for claims in forms {
        let body = json!({"app": "daemon", "scopes": [crate::support::GRAPH], "claims": claims});
        world.app_token(body).await.token();
        let asked = world.emulator.asked("token").await;
        let sent = asked.last().expect("a call")["form"]["claims"].as_str().expect("claims").to_owned();
        let (sent, whole): (Value, Value) =
            (serde_json::from_str(&sent).expect("JSON"), serde_json::from_str(CLAIMS).expect("JSON"));
        assert_eq!(sent["access_token"]["acrs"], whole["access_token"]["acrs"]);
        assert_eq!(sent["access_token"]["name"], whole["access_token"]["name"]);
        world.clock.advance(std::time::Duration::from_secs(10));
    }
}

#[tokio::test]
async fn nothing_that_an_authority_says_breaks_out_of_the_header() {
    let world = World::new().await;
    let claims = "{\"a\":\"\\\", error=\\\"invalid_token\\\"\\r\\nset-cookie: x=y\"}\r\nset-cookie: x=y";
    let answer = refused(&world, Flow::Obo, json!({"error": "x\", y=\"z", "error_description": "no", "claims": claims})).await;
    assert_eq!(answer.status, 401, "{}", answer.text);
    let header = answer.header("www-authenticate");
    assert_eq!(STANDARD.decode(quoted(header, "claims")).expect("base64"), claims.as_bytes());
    assert!(!header.contains("invalid_token") && !header.contains("y=\"z"), "{header}");
    assert_eq!(answer.header("set-cookie"), "");
}

#[tokio::test]
async fn a_challenge_that_is_too_long_for_a_header_stands_in_the_body_alone() {
    let world = World::new().await;
    for (length, in_header) in [(100, true), (2000, true), (4000, false), (8000, false)] {
        let claims = json!({"access_token": {"x": {"value": "v".repeat(length)}}}).to_string();
        let answer = refused(&world, Flow::Obo, json!({"status": 400, "error": "interaction_required", "claims": claims})).await;
        assert_eq!((answer.status, answer.member("claims")), (401, claims.as_str()), "{length}");
        let header = answer.header("www-authenticate");
        assert!(
            header.starts_with("Bearer error=\"insufficient_claims\"") && header.len() <= 3 * 1024,
            "{length}: {}",
            header.len()
        );
        assert_eq!(header.contains("claims=\"ey"), in_header, "{length}: {header}");
    }
}
