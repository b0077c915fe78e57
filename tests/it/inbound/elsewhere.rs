//! Tokens that are for somebody else, or not what a token looks like: the answer says for whom they are, what to ask for, and which
//! member is wrong.

use serde_json::{Value, json};

use super::{encoded, is_refused, obo_as, order, part};
use crate::support::World;

const ORDERS: &str = "`api://orders/access_as_user`";

/// A token as it comes for another API: nobody but that API can verify it.
fn unverifiable(token: &str, changes: Value) -> String {
    let (header, mut claims) = (part(token, 0), part(token, 1));
    claims.as_object_mut().expect("claims").extend(changes.as_object().expect("claims").clone());
    format!("{}.{}.{}", encoded(&header), encoded(&claims), token.rsplit('.').next().expect("a signature"))
}

#[tokio::test]
async fn a_token_for_another_api_says_for_whom_it_is_and_what_to_ask_for() {
    let world = World::new().await;
    let good = world.emulator.user_token("ana@contoso.example").await;
    for (aud, named) in [
        (json!("https://graph.microsoft.com"), "`https://graph.microsoft.com` (Microsoft Graph)"),
        (json!("00000003-0000-0000-c000-000000000000"), "`00000003-0000-0000-c000-000000000000` (Microsoft Graph)"),
        (json!("https://management.azure.com/"), "`https://management.azure.com/`"),
        (json!(["api://billing", "https://vault.azure.net"]), "`api://billing`, `https://vault.azure.net`"),
        (json!("a text with spaces"), "another API"),
    ] {
        let signed = world.emulator.mint(order(json!({"claims": {"aud": aud}}))).await;
        for token in [signed, unverifiable(&good, json!({"aud": aud}))] {
            let answer = world.obo(&token).await;
            is_refused(&answer, named);
            is_refused(&answer, ORDERS);
            assert!(!answer.text.contains("with spaces"), "{}", answer.text);
        }
    }
    assert!(world.emulator.asked("token").await.is_empty());
    // What is for this app and was forged says that it was.
    is_refused(&world.obo(&unverifiable(&good, json!({"name": "Ben"}))).await, "signature");
}

#[tokio::test]
async fn a_token_for_another_api_at_an_issuer_says_so_too() {
    let world = World::new().await;
    let mint = |aud: Value| {
        world.emulator.mint(json!({"realm": "shop", "app": "x", "user": "eva", "scopes": "orders.read", "claims": {"aud": aud}}))
    };
    for (aud, named) in [
        (json!("https://stock.shop.example"), "`https://stock.shop.example`"),
        (json!("account"), "`account`"),
        (json!([]), "no audience"),
    ] {
        let answer = obo_as(&world, "shop", &mint(aud).await).await;
        is_refused(&answer, named);
        is_refused(&answer, "a token whose audience is `https://orders.shop.example`");
    }
}

#[tokio::test]
async fn what_is_no_jwt_may_be_for_another_api() {
    let world = World::new().await;
    let opaque = ["EwB4A8l6BAAUO9chh8cJscQLmU-LSWpbnr0vmwwAAQ", "a.b.c.d.e", "eyJhbGciOiJSU0EtT0FFUCJ9.x.y.z.w"];
    for token in opaque {
        let answer = world.obo(token).await;
        is_refused(&answer, "no JWT");
        is_refused(&answer, ORDERS);
        assert!(!answer.text.contains(token), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_claim_of_another_shape_is_named() {
    let world = World::new().await;
    for (claims, named) in [
        (json!({"sub": 4711}), "`sub` is a number"),
        (json!({"sub": ["canary"]}), "`sub` is a list"),
        (json!({"oid": {"canary": 1}}), "`oid` is an object"),
        (json!({"tid": ["canary"]}), "`tid` is a list"),
        (json!({"iss": true}), "`iss` is true or false"),
        (json!({"aud": ["api://orders", 7]}), "`aud` is a list with something else in it"),
        (json!({"scp": {"canary": 1}}), "`scp` is an object"),
        (json!({"exp": "canary"}), "`exp` is a text, where a number of seconds belongs"),
        (json!({"nbf": [1]}), "`nbf` is a list"),
    ] {
        for (app, order) in [
            ("orders", order(json!({"claims": claims}))),
            ("shop", json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "claims": claims})),
        ] {
            let token = world.emulator.mint(order).await;
            let answer = obo_as(&world, app, &token).await;
            is_refused(&answer, named);
            assert!(!answer.text.contains("canary"), "{}", answer.text);
        }
    }
    for (header, named) in
        [(json!({"kid": 7}), "`kid` in its header is a number"), (json!({"typ": ["JWT"]}), "`typ` in its header is a list")]
    {
        let token = world.emulator.mint(order(json!({"header": header}))).await;
        is_refused(&world.obo(&token).await, named);
    }
    // What is only shown is no obstacle, whatever it is.
    let token = world.emulator.mint(order(json!({"claims": {"name": 7, "preferred_username": ["x"], "roles": {}}}))).await;
    world.obo(&token).await.token();
}
