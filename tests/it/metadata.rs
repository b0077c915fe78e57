//! Metadata documents as servers send them: what is optional and odd is not there, what is needed is named when it is needed.

use serde_json::{Value, json};

use crate::support::World;

/// A world in which every metadata document has these members instead; null takes one away.
async fn saying(members: Value) -> World {
    let world = World::new().await;
    world.emulator.script(json!({"on": {"endpoint": "discovery"}, "times": 0, "do": {"set": members}})).await;
    world
}

async fn stock(world: &World) -> crate::support::Answer {
    world.app_token(json!({"app": "shop", "scopes": "stock.read"})).await
}

async fn eva(world: &World) -> String {
    let order = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
    world.emulator.mint(order).await
}

#[tokio::test]
async fn an_optional_member_of_another_shape_is_not_there() {
    for members in [
        json!({"token_endpoint_auth_methods_supported": "client_secret_basic"}),
        json!({"token_endpoint_auth_methods_supported": ["client_secret_post", null]}),
        json!({"token_endpoint_auth_methods_supported": [null], "token_endpoint_auth_signing_alg_values_supported": 7}),
        json!({"token_endpoint_auth_methods_supported": {}, "authorization_endpoint": 7, "jwks_uri": ["x"]}),
        json!({"authorization_endpoint": null, "jwks_uri": false, "scopes_supported": 7, "end_session_endpoint": 7}),
        json!({"token_endpoint_auth_signing_alg_values_supported": [null, 7], "grant_types_supported": "all"}),
    ] {
        let world = saying(members.clone()).await;
        stock(&world).await.token();
        let signed = world.app_token(json!({"app": "shop-cert", "scopes": "stock.read"})).await;
        // What announces no assertions takes none; all else says nothing about them.
        if members["token_endpoint_auth_methods_supported"][0] == "client_secret_post" {
            signed.refused(502, "credential_unusable", "private_key_jwt");
        } else {
            signed.token();
        }
    }
}

#[tokio::test]
async fn a_member_that_is_needed_is_named() {
    for odd in [
        json!(7),
        json!(null),
        json!(["https://id.example"]),
        json!({}),
        json!(""),
        json!("not a url"),
        json!("http://id.example/x"),
    ] {
        let world = saying(json!({"token_endpoint": odd})).await;
        stock(&world).await.refused(502, "invalid_authority_response", "`token_endpoint`");
        let world = saying(json!({"authorization_endpoint": odd})).await;
        world.authorize_url("shop-web", "orders.read", json!({})).await.refused(
            502,
            "invalid_authority_response",
            "`authorization_endpoint`",
        );
        stock(&world).await.token();
        let world = saying(json!({"jwks_uri": odd})).await;
        let user = eva(&world).await;
        world.obo_as("shop", "stock.read", &user).await.refused(503, "keys_unavailable", "`jwks_uri`");
        stock(&world).await.token();
    }
    for odd in [json!(7), json!(null), json!(["https://id.example"])] {
        let world = saying(json!({"issuer": odd})).await;
        stock(&world).await.refused(502, "invalid_authority_response", "`issuer`");
        // Where endpoints are known without a document, an app needs none.
        world.graph().await.token();
    }
}

#[tokio::test]
async fn aut_6_another_issuers_document_shows_both() {
    let world = World::new().await;
    let own = format!("{}/oidc/shop", world.emulator.origin);
    for said in [format!("{own}/"), "https://id.example/realms/shop".to_owned(), own.replace("shop", "Shop")] {
        let world = saying(json!({"issuer": said})).await;
        let answer = stock(&world).await;
        answer.refused(502, "invalid_authority_response", &format!("`{said}`"));
        answer.refused(502, "invalid_authority_response", &format!("`{}/oidc/shop`", world.emulator.origin));
        assert_eq!(world.calls().await, 0, "the secret was sent to nobody");
    }
    let world = saying(json!({"issuer": format!("https://{}\u{7}`<x y>", "i".repeat(5000))})).await;
    let answer = stock(&world).await;
    answer.refused(502, "invalid_authority_response", "`https://iii");
    assert!(answer.text.len() < 1500 && !answer.text.contains("`<") && !answer.text.contains("\\u0007"), "{}", answer.text);
}

#[tokio::test]
async fn a_document_with_a_member_twice_and_every_2xx_is_read() {
    for (status, before) in [(200, r#"{"issuer":"https://id.example","token_endpoint":7,"#), (203, "{"), (201, "{"), (299, "{")] {
        let world = World::new().await;
        let document = world.emulator.client.get("/oidc/shop/.well-known/openid-configuration").await.text;
        let raw = json!({
            "status": status, "headers": {"content-type": "application/json"}, "body": document.replacen('{', before, 1),
        });
        world.emulator.script(json!({"on": {"endpoint": "discovery"}, "times": 0, "do": {"raw": raw}})).await;
        stock(&world).await.token();
    }
}
