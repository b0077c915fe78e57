//! Which cached token answers which request (CCH-2, and the identical set at issuers).

use serde_json::json;

use super::{MAIL_READ, USER_READ};
use crate::support::World;

#[tokio::test]
async fn cch_2_a_token_of_more_scopes_answers_a_request_for_fewer() {
    let world = World::new().await;
    let ana = world.emulator.user_token("ana@contoso.example").await;
    let both = format!("{USER_READ} {MAIL_READ}");
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": {"scope": both}}})).await;
    let first = world.obo_as("orders", USER_READ, &ana).await;
    for asked in [MAIL_READ, &both, &format!("{MAIL_READ} {USER_READ}")] {
        let again = world.obo_as("orders", asked, &ana).await;
        assert_eq!((again.source(), again.token()), ("cache", first.token()), "{asked}");
    }
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn cch_2_case_and_reserved_scopes_make_no_difference() {
    let world = World::new().await;
    let ana = world.emulator.user_token("ana@contoso.example").await;
    let first = world.obo_as("orders", USER_READ, &ana).await;
    for asked in ["HTTPS://graph.microsoft.com/user.READ", "openid https://graph.microsoft.com/User.Read Offline_Access profile"] {
        let again = world.obo_as("orders", asked, &ana).await;
        assert_eq!((again.source(), again.token()), ("cache", first.token()), "{asked}");
    }
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn cch_2_the_default_scope_that_was_asked_for_is_found_by_it() {
    let world = World::new().await;
    let ana = world.emulator.user_token("ana@contoso.example").await;
    let default = "https://graph.microsoft.com/.default";
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": {"scope": USER_READ}}})).await;
    world.obo_as("orders", default, &ana).await.token();
    assert_eq!(world.obo_as("orders", default, &ana).await.source(), "cache");
    assert_eq!(world.obo_as("orders", USER_READ, &ana).await.source(), "cache");
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn cch_2_what_was_declined_is_not_served_alone() {
    let world = World::new().await;
    let ana = world.emulator.user_token("ana@contoso.example").await;
    let both = format!("{USER_READ} {MAIL_READ}");
    world
        .emulator
        .script(json!({"on": {"endpoint": "token", "scope": "User.Read"}, "do": {"raw": {"body": {
        "access_token": "less", "token_type": "Bearer", "expires_in": 3600, "scope": USER_READ}}}}))
        .await;
    let first = world.obo_as("orders", &both, &ana).await;
    assert_eq!((first.token(), first.member("scope")), ("less", USER_READ));
    // The identical request, in any order and case, and what was granted: served again.
    for asked in [&both, &format!("{MAIL_READ} {USER_READ}"), &both.to_lowercase(), &USER_READ.to_owned()] {
        assert_eq!(world.obo_as("orders", asked, &ana).await.source(), "cache", "{asked}");
    }
    assert_eq!(world.calls().await, 1);
    // What was declined, alone: asked of the authority, which has no consent for it.
    assert_eq!(world.obo_as("orders", MAIL_READ, &ana).await.status, 401);
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_2_two_resources_are_two_tokens() {
    let world = World::new().await;
    let graph = world.graph().await;
    let orders = world.app_token(json!({"app": "daemon", "scopes": ["api://orders/.default"]})).await;
    assert_ne!(graph.token(), orders.token());
    assert_eq!(world.graph().await.token(), graph.token());
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_2_an_issuers_scopes_are_the_identical_set_and_case_counts() {
    let world = World::new().await;
    let ask = |scopes: &str| world.app_token(json!({"app": "shop", "scopes": scopes}));
    let both = ask("orders.read stock.read").await;
    // Another order is the same set; a part of it, or the same in other letters, is not.
    assert_eq!(ask("stock.read orders.read").await.token(), both.token());
    assert_eq!(world.calls().await, 1);
    assert_eq!(ask("stock.read").await.source(), "identity_provider");
    assert_eq!(world.calls().await, 2);
    assert_eq!(ask("Stock.Read").await.status, 400);
    assert_eq!(world.calls().await, 3);
}

#[tokio::test]
async fn cch_2_what_an_issuer_granted_of_a_request_answers_that_request_alone() {
    let world = World::new().await;
    let ask = |scopes: &str| world.app_token(json!({"app": "shop", "scopes": scopes}));
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": {"scope": "stock.read"}}})).await;
    let less = ask("orders.read stock.read").await;
    assert_eq!((less.source(), less.member("scope")), ("identity_provider", "stock.read"));
    assert_eq!(ask("orders.read stock.read").await.token(), less.token());
    assert_eq!(world.calls().await, 1);
    for alone in ["stock.read", "orders.read"] {
        assert_eq!(ask(alone).await.source(), "identity_provider");
    }
    assert_eq!(world.calls().await, 3);
}

#[tokio::test]
async fn cch_2_token_exchange_serves_the_identical_set_only() {
    let world = World::new().await;
    let eva = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
    let eva = world.emulator.mint(eva).await;
    let first = world.obo_as("shop", "stock.read orders.read", &eva).await;
    assert_eq!(world.obo_as("shop", "orders.read stock.read", &eva).await.token(), first.token());
    assert_eq!(world.obo_as("shop", "stock.read", &eva).await.source(), "identity_provider");
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_2_audience_and_resource_are_parts_of_the_key() {
    let world = World::new().await;
    let ask = |member: &str, target: &str| world.app_token(json!({"app": "shop", "scopes": "stock.read", member: target}));
    let stock = ask("audience", "https://stock.shop.example").await;
    let orders = ask("audience", "https://orders.shop.example").await;
    let resource = ask("resource", "https://stock.shop.example").await;
    let none = world.app_token(json!({"app": "shop", "scopes": "stock.read"})).await;
    assert_eq!(world.calls().await, 4);
    assert!(stock.token() != orders.token() && resource.token() != stock.token() && none.token() != orders.token());
    assert_eq!(ask("audience", "https://stock.shop.example").await.token(), stock.token());
    assert_eq!(world.calls().await, 4);
}

/// The newest token answers the request, and has come too close to its end; an older one for more scopes has not.
#[tokio::test]
async fn cch_2_a_token_that_has_ended_hides_none_that_lasts() {
    let world = World::new().await;
    let ana = world.emulator.user_token("ana@contoso.example").await;
    let both = format!("{USER_READ} {MAIL_READ}");
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"set": {"scope": both}}})).await;
    let lasting = world.obo_as("orders", "https://graph.microsoft.com/.default", &ana).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"expires_in": 100}})).await;
    let forced = json!({"app": "orders", "scopes": USER_READ, "force_refresh": true});
    let short = world.sidecar.client.post_as("/obo", &ana, &forced).await;
    assert_eq!(world.obo_as("orders", USER_READ, &ana).await.token(), short.token());
    world.later(80);
    let found = world.obo_as("orders", USER_READ, &ana).await;
    assert_eq!((found.token(), found.source()), (lasting.token(), "cache"));
    assert_eq!(world.calls().await, 2);
}
