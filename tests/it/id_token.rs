//! Whose id token a sign-in may bring: signature, issuer, audience, party, time and nonce are checked, and nothing is kept of one
//! that does not fit.

use serde_json::{Value, json};

use crate::support::World;

const ORDERS: &str = "api://orders/access_as_user";
const ANA: &str = "ana@contoso.example";
const FABRIKAM: &str = "3f1c7a52-6d0b-4c8e-9a47-51e2d8b6f0c3";

/// Redeems a code whose answer has an id token that differs from the right one by `change`: further members of the order.
async fn redeem_with(world: &World, change: Value) -> crate::support::Answer {
    let code = world.code("web", ORDERS, ANA).await;
    let mut order = json!({"kind": "id", "app": "web", "user": ANA, "claims": {"nonce": code["nonce"]}});
    for (name, value) in change.as_object().expect("an object") {
        match (order[name].as_object_mut(), value.as_object()) {
            (Some(claims), Some(more)) => claims.extend(more.clone()),
            _ => order[name] = value.clone(),
        }
    }
    let id_token = world.emulator.mint(order).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": {"id_token": id_token}}})).await;
    let answer = world.redeem(&code).await;
    assert!(!answer.text.contains(&id_token) || answer.status == 200, "{}", answer.text);
    answer
}

/// How many apps, accounts and assertions have tokens in memory.
async fn kept(world: &World) -> f64 {
    world.sidecar.metric("tokend_cache_partitions{level=\"memory\"}").await
}

async fn refused(change: Value, word: &str) {
    let world = World::new().await;
    redeem_with(&world, change).await.refused(400, "invalid_id_token", word);
    assert!(kept(&world).await == 0.0, "nothing is kept");
    // The measure shows something where something is kept.
    redeem_with(&world, json!({})).await.token();
    assert!(kept(&world).await > 0.0);
}

#[tokio::test]
async fn an_id_token_for_another_app_is_refused() {
    refused(json!({"claims": {"aud": "2c5f3a0e-6f0a-4f0e-9d5b-0a4f5f3f9b11"}}), "audience").await;
}

#[tokio::test]
async fn an_id_token_for_another_party_is_refused() {
    refused(json!({"claims": {"azp": "2c5f3a0e-6f0a-4f0e-9d5b-0a4f5f3f9b11"}}), "azp").await;
}

#[tokio::test]
async fn an_id_token_for_several_apps_has_to_name_its_party() {
    let several = json!(["5b0c2e7a-9d41-4f36-8a1c-7e02b94d6f15", "2c5f3a0e-6f0a-4f0e-9d5b-0a4f5f3f9b11"]);
    refused(json!({"claims": {"aud": several}}), "azp").await;
    let world = World::new().await;
    let named = json!({"claims": {"aud": several, "azp": "5b0c2e7a-9d41-4f36-8a1c-7e02b94d6f15"}});
    redeem_with(&world, named).await.token();
}

#[tokio::test]
async fn an_expired_id_token_is_refused() {
    refused(json!({"lifetime": -60}), "expired").await;
    let world = World::new().await;
    redeem_with(&world, json!({"lifetime": -59})).await.token();
}

#[tokio::test]
async fn an_id_token_of_a_foreign_key_is_refused() {
    refused(json!({"key": "unknown"}), "key").await;
}

#[tokio::test]
async fn an_id_token_that_was_changed_is_refused() {
    let world = World::new().await;
    let code = world.code("web", ORDERS, ANA).await;
    let id_token = world.emulator.mint(json!({"kind": "id", "app": "web", "user": ANA, "claims": {"nonce": code["nonce"]}})).await;
    let (signed, signature) = id_token.rsplit_once('.').expect("a JWS");
    let other = world.emulator.mint(json!({"kind": "id", "app": "web", "user": "ben@contoso.example"})).await;
    let (claims, _) = other.rsplit_once('.').expect("a JWS");
    assert_ne!(signed, claims);
    let forged = format!("{claims}.{signature}");
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": {"id_token": forged}}})).await;
    world.redeem(&code).await.refused(400, "invalid_id_token", "signature");
}

#[tokio::test]
async fn an_id_token_of_another_tenant_is_refused() {
    refused(json!({"user": "fay@fabrikam.example", "tenant": FABRIKAM}), "tenant").await;
}

#[tokio::test]
async fn an_id_token_of_another_issuer_is_refused() {
    refused(json!({"claims": {"iss": "https://elsewhere.example/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0"}}), "").await;
}

#[tokio::test]
async fn an_id_token_without_the_nonce_is_refused() {
    refused(json!({"claims": {"nonce": "another"}}), "nonce").await;
    refused(json!({"claims": {"nonce": null}}), "nonce").await;
}

#[tokio::test]
async fn a_nonce_that_the_caller_does_not_give_is_not_asked_for() {
    let world = World::new().await;
    let mut code = world.code("web", ORDERS, ANA).await;
    code.as_object_mut().and_then(|code| code.remove("nonce"));
    world.redeem(&code).await.token();
}

#[tokio::test]
async fn an_answer_of_another_issuer_reaches_no_token_endpoint() {
    for (app, scopes, user) in [("web", ORDERS, ANA), ("shop-web", "orders.read", "eva")] {
        let world = World::new().await;
        let mut code = world.code(app, scopes, user).await;
        if app == "web" {
            // Entra does not say it; a caller that knows may.
            assert_eq!(code["iss"], json!(null));
            let tenant = world.emulator.directory["tenants"][0]["id"].as_str().expect("a tenant");
            code["iss"] = json!(format!("{}/{tenant}/v2.0", world.emulator.origin));
        }
        assert!(code["iss"].as_str().is_some_and(|iss| !iss.is_empty()), "{code}");
        for wrong in ["https://elsewhere.example", "", &format!("{}/", code["iss"].as_str().unwrap_or_default())] {
            let mut stolen = code.clone();
            stolen["iss"] = json!(wrong);
            world.redeem(&stolen).await.refused(400, "invalid_id_token", "`iss`");
        }
        assert_eq!(world.calls().await, 0);
        world.redeem(&code).await.token();
    }
}

#[tokio::test]
async fn an_id_token_at_an_issuer_is_held_to_the_same() {
    for (change, word) in [
        (json!({"aud": "shop-orders", "azp": null}), "audience"),
        (json!({"azp": "shop-orders"}), "azp"),
        (json!({"iss": "https://elsewhere.example"}), "issuer"),
        (json!({"nonce": "another"}), "nonce"),
        (json!({"sub": null}), "`sub`"),
        (json!({"sub": ""}), "`sub`"),
        (json!({"sub": 7}), "`sub` is a number"),
        (json!({"sub": ["eva"]}), "`sub` is a list"),
        (json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}), "event"),
    ] {
        let world = World::new().await;
        let code = world.code("shop-web", "orders.read", "eva").await;
        let mut claims = json!({"nonce": code["nonce"], "azp": "shop-web"});
        claims.as_object_mut().expect("claims").extend(change.as_object().expect("claims").clone());
        let order = json!({"realm": "shop", "kind": "id", "app": "shop-web", "user": "eva", "claims": claims});
        let id_token = world.emulator.mint(order).await;
        world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": {"id_token": id_token}}})).await;
        world.redeem(&code).await.refused(400, "invalid_id_token", word);
    }
}

#[tokio::test]
async fn an_access_token_is_no_id_token() {
    for typ in ["at+jwt", "application/at+jwt", "AT+JWT"] {
        refused(json!({"header": {"typ": typ}}), "`typ`").await;
    }
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_nobodys_mistake() {
    let world = World::new().await;
    let code = world.code("web", ORDERS, ANA).await;
    world
        .emulator
        .script(json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"error": {"status": 503, "error": "server_error"}}}))
        .await;
    world.redeem(&code).await.refused(503, "keys_unavailable", "keys");
    assert!(kept(&world).await == 0.0, "nothing is kept");
}
