//! Assertions as tokens: asked for by `requested_token_type`, kept apart from access tokens, and called what they are.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{ANA, SAML1, SAML2, with};
use crate::support::{Answer, World};

const BILLING: &str = "api://billing/.default";

/// `POST /obo` as the app `orders` for the billing API.
async fn obo(world: &World, bearer: &str, more: Value) -> Answer {
    world.sidecar.client.post_as("/obo", bearer, &with(json!({"app": "orders", "scopes": BILLING}), more)).await
}

fn xml(answer: &Answer) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(answer.token()).expect("base64url");
    String::from_utf8(bytes).expect("XML")
}

#[tokio::test]
async fn req_8_entra_gives_an_assertion_where_one_is_asked_for() {
    let world = World::new().await;
    let bearer = world.emulator.user_token(ANA).await;
    let access = obo(&world, &bearer, json!({})).await;
    assert_eq!((access.member("token_type"), access.json["issued_token_type"].clone()), ("Bearer", Value::Null));
    for (kind, namespace) in [(SAML1, "SAML:1.0:assertion"), (SAML2, "SAML:2.0:assertion")] {
        let first = obo(&world, &bearer, json!({"requested_token_type": kind})).await;
        assert_eq!(first.source(), "identity_provider", "{}", first.text);
        assert_eq!((first.member("token_type"), first.member("issued_token_type")), ("N_A", kind), "{}", first.text);
        let text = xml(&first);
        assert!(text.contains(namespace) && text.contains(ANA) && text.contains("api://billing"), "{text}");
        assert!(first.json["expires_in"].as_i64().is_some_and(|seconds| seconds > 3_000), "{}", first.text);
        let asked = world.emulator.asked("token").await;
        let form = &asked.last().expect("a call")["form"];
        assert_eq!((&form["requested_token_type"], &form["requested_token_use"]), (&json!(kind), &json!("on_behalf_of")));
        let again = obo(&world, &bearer, json!({"requested_token_type": kind})).await;
        assert_eq!((again.source(), again.token(), again.member("token_type")), ("cache", first.token(), "N_A"));
    }
    // Each is a token of its own.
    assert_eq!(obo(&world, &bearer, json!({})).await.token(), access.token());
    assert_eq!(world.calls().await, 3);
    for kind in ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:access_token", "canary", ""] {
        let answer = obo(&world, &bearer, json!({"requested_token_type": kind})).await;
        answer.refused(400, "invalid_request", "`requested_token_type` has no meaning");
    }
}

#[tokio::test]
async fn req_8_an_issuer_gives_an_assertion_where_one_is_asked_for() {
    let world = World::new().await;
    let eva = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
    let eva = world.emulator.mint(eva).await;
    let ask = async |more: Value| {
        let body = json!({"app": "shop", "audience": "https://stock.shop.example", "scopes": "stock.read"});
        world.sidecar.client.post_as("/obo", &eva, &with(body, more)).await
    };
    let access = ask(json!({})).await;
    for kind in [SAML1, SAML2] {
        let first = ask(json!({"requested_token_type": kind})).await;
        assert_eq!((first.source(), first.member("token_type")), ("identity_provider", "N_A"), "{}", first.text);
        assert_eq!(first.member("issued_token_type"), kind);
        assert!(xml(&first).contains("https://stock.shop.example"));
        assert_eq!(ask(json!({"requested_token_type": kind})).await.token(), first.token());
    }
    assert_eq!(ask(json!({})).await.token(), access.token());
}

#[tokio::test]
async fn an_assertion_comes_of_an_assertion() {
    let world = World::new().await;
    let given = super::of_user(&world.emulator, ANA).await;
    let body =
        json!({"app": "orders", "scopes": BILLING, "assertion": given, "assertion_type": SAML2, "requested_token_type": SAML1});
    let answer = world.sidecar.client.post("/obo", &body).await;
    assert_eq!((answer.member("token_type"), answer.member("issued_token_type")), ("N_A", SAML1), "{}", answer.text);
    assert!(xml(&answer).contains("SAML:1.0:assertion"));
}

#[tokio::test]
async fn an_answer_without_the_assertion_is_502_unless_it_says_what_it_is() {
    let world = World::new().await;
    let bearer = world.emulator.user_token(ANA).await;
    let set = async |what: Value| {
        world.emulator.unscript().await;
        world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"set": what}})).await;
    };
    let more = || json!({"requested_token_type": SAML2, "force_refresh": true});
    set(json!({"issued_token_type": null, "access_token": "eyJhbGciOiJub25lIn0.e30."})).await;
    obo(&world, &bearer, more()).await.refused(502, "invalid_authority_response", "no assertion");
    world.later(61);
    set(json!({"issued_token_type": null})).await;
    let unsaid = obo(&world, &bearer, more()).await;
    assert_eq!((unsaid.member("token_type"), unsaid.member("issued_token_type")), ("N_A", SAML2), "{}", unsaid.text);
    set(json!({"issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer"})).await;
    let other = obo(&world, &bearer, more()).await;
    assert_eq!(other.member("token_type"), "Bearer", "{}", other.text);
    world.later(61);
    set(json!({"issued_token_type": "urn:ietf:params:oauth:token-type:refresh_token"})).await;
    obo(&world, &bearer, more()).await.refused(502, "invalid_authority_response", "");
}
