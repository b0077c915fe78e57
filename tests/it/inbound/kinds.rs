//! Access tokens of users only, with the scopes that the app asks for; and what no token at all means.

use serde_json::{Value, json};

use super::{is_refused, obo_as, order};
use crate::support::World;

#[tokio::test]
async fn an_id_token_is_refused() {
    let world = World::new().await;
    let token = world.emulator.mint(order(json!({"kind": "id", "scopes": null}))).await;
    is_refused(&world.obo(&token).await, "no scp");
}

#[tokio::test]
async fn an_app_token_is_refused() {
    let world = World::new().await;
    let token = world.emulator.mint(json!({"app": "orders-api", "kind": "app", "client": "daemon"})).await;
    is_refused(&world.obo(&token).await, "");
    let marked = world.emulator.mint(order(json!({"claims": {"idtyp": "app"}}))).await;
    is_refused(&world.obo(&marked).await, "app's token");
}

#[tokio::test]
async fn a_token_without_scp_is_refused() {
    let world = World::new().await;
    for scp in [Value::Null, json!(""), json!("  ")] {
        let token = world.emulator.mint(order(json!({"claims": {"scp": scp, "roles": ["Orders.Process"]}}))).await;
        is_refused(&world.obo(&token).await, "scp");
    }
}

#[tokio::test]
async fn a_token_without_the_scope_of_inbound_scopes_is_403() {
    let world = World::new().await;
    for scp in ["orders.export", "ACCESS_AS_USER", "access_as_user2"] {
        let token = world.emulator.mint(order(json!({"claims": {"scp": scp}}))).await;
        let answer = world.obo(&token).await;
        answer.refused(403, "insufficient_scope", "inbound.scopes");
        assert!(!answer.text.contains(scp), "{}", answer.text);
    }
    let both = world.emulator.mint(order(json!({"claims": {"scp": "orders.export access_as_user"}}))).await;
    world.obo(&both).await.token();
}

fn shop(more: Value) -> Value {
    let mut order = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
    order.as_object_mut().expect("an object").extend(more.as_object().expect("members").clone());
    order
}

#[tokio::test]
async fn an_issuers_access_token_is_accepted() {
    let world = World::new().await;
    let token = world.emulator.mint(shop(json!({}))).await;
    obo_as(&world, "shop", &token).await.token();
    let several = shop(json!({"claims": {"aud": ["https://stock.shop.example", "https://orders.shop.example"], "typ": "Bearer"}}));
    let several = world.emulator.mint(several).await;
    obo_as(&world, "shop", &several).await.token();
}

#[tokio::test]
async fn what_an_issuer_signs_for_other_ends_is_refused() {
    let world = World::new().await;
    for claims in [
        json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}),
        json!({"c_hash": "77QmUPtjPfzWtF2AnpK9RQ"}),
        json!({"typ": "ID"}),
        json!({"typ": "Refresh"}),
        json!({"typ": "refresh"}),
        json!({"typ": "Logout"}),
    ] {
        let token = world.emulator.mint(shop(json!({"claims": claims}))).await;
        is_refused(&obo_as(&world, "shop", &token).await, "no access token");
    }
    assert!(world.emulator.asked("token").await.is_empty());
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_is_no_bearer_token() {
    let world = World::new().await;
    for cnf in [json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), json!({"x5t#S256": "x"}), json!({})] {
        for (app, order) in [("orders", order(json!({"claims": {"cnf": cnf}}))), ("shop", shop(json!({"claims": {"cnf": cnf}})))] {
            let token = world.emulator.mint(order).await;
            is_refused(&obo_as(&world, app, &token).await, "`cnf`");
        }
    }
    assert!(world.emulator.asked("token").await.is_empty());
    let unbound = world.emulator.mint(order(json!({"claims": {"cnf": null}}))).await;
    obo_as(&world, "orders", &unbound).await.token();
}

#[tokio::test]
async fn what_tells_of_an_event_or_says_that_it_is_an_id_token_is_refused() {
    let world = World::new().await;
    let logout = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    for claims in [json!({"events": logout}), json!({"token_use": "id"}), json!({"token_use": "ID"})] {
        for (app, order) in [("orders", order(json!({"claims": claims}))), ("shop", shop(json!({"claims": claims})))] {
            let token = world.emulator.mint(order).await;
            is_refused(&obo_as(&world, app, &token).await, "no access token");
        }
    }
    assert!(world.emulator.asked("token").await.is_empty());
    let access = world.emulator.mint(shop(json!({"claims": {"token_use": "access"}}))).await;
    obo_as(&world, "shop", &access).await.token();
}

#[tokio::test]
async fn a_token_that_says_of_nobody_whose_it_is_has_no_owner() {
    let world = World::new().await;
    for sub in [Value::Null, json!("")] {
        let token = world.emulator.mint(shop(json!({"claims": {"sub": sub}}))).await;
        is_refused(&obo_as(&world, "shop", &token).await, "`sub`");
        let token = world.emulator.mint(order(json!({"claims": {"sub": sub, "oid": sub}}))).await;
        is_refused(&obo_as(&world, "orders", &token).await, "`sub`");
    }
    assert!(world.emulator.asked("token").await.is_empty());
    let by_oid = world.emulator.mint(order(json!({"claims": {"sub": null}}))).await;
    obo_as(&world, "orders", &by_oid).await.token();
}

#[tokio::test]
async fn for_the_client_id_a_token_has_to_say_that_it_is_an_access_token() {
    let world = World::new().await;
    let yaml = crate::support::configuration(&world.emulator, &world.files);
    let yaml = yaml.replace(r#"audiences: ["https://orders.shop.example"]"#, "audiences: [shop-orders]");
    let listed = crate::support::Sidecar::start(&yaml, &world.clock).await;
    let ask = async |claims: Value, header: Value| {
        let order = shop(json!({"app": "shop-orders", "claims": claims, "header": header}));
        let token = world.emulator.mint(order).await;
        listed.client.post_as("/obo", &token, &json!({"app": "shop", "scopes": ["stock.read"]})).await
    };
    let silent = json!({"scope": null, "scp": null, "client_id": null});
    for (typ, accepted) in [("JWT", false), ("at+jwt", true), ("application/at+jwt", true), ("AT+JWT", true)] {
        let answer = ask(silent.clone(), json!({"typ": typ})).await;
        if accepted {
            answer.token();
        } else {
            is_refused(&answer, "client id");
        }
    }
    is_refused(&ask(silent.clone(), json!({"typ": null})).await, "client id");
    for claim in ["scope", "scp", "client_id"] {
        let mut claims = silent.clone();
        claims[claim] = json!("orders.read");
        ask(claims, json!({"typ": "JWT"})).await.token();
    }
    // An id token of this client, as issuers sign it that name the access token nowhere.
    let id = shop(json!({"kind": "id", "app": "shop-orders", "scopes": null, "claims": {"at_hash": null}}));
    let id = world.emulator.mint(id).await;
    is_refused(&listed.client.post_as("/obo", &id, &json!({"app": "shop", "scopes": ["stock.read"]})).await, "client id");
}

#[tokio::test]
async fn the_client_id_is_an_audience_at_an_issuer_only_if_it_is_listed() {
    let world = World::new().await;
    let token = world.emulator.mint(shop(json!({"app": "shop-orders"}))).await;
    is_refused(&obo_as(&world, "shop", &token).await, "audience");
    let yaml = crate::support::configuration(&world.emulator, &world.files);
    let yaml = yaml.replace(r#"audiences: ["https://orders.shop.example"]"#, "audiences: [shop-orders]");
    let listed = crate::support::Sidecar::start(&yaml, &world.clock).await;
    assert!(world.emulator.asked("token").await.is_empty());
    listed.client.post_as("/obo", &token, &json!({"app": "shop", "scopes": ["stock.read"]})).await;
    assert_eq!(world.emulator.asked("token").await.len(), 1, "it passed here, whatever the issuer says of it");
}

#[tokio::test]
async fn an_apps_token_at_an_issuer_is_refused() {
    let world = World::new().await;
    // The subject is the client (RFC 9068 §2.2).
    let own = shop(json!({"kind": "app", "client": "shop-web", "user": null}));
    let by = |claims: Value| shop(json!({"claims": claims}));
    for order in [
        own,
        by(json!({"idtyp": "app"})),
        by(json!({"sub": "shop-web", "azp": "shop-web"})),
        by(json!({"sub": "0oa1", "client_id": null, "azp": null, "cid": "0oa1"})),
        by(json!({"sub": "x@clients", "gty": "client-credentials"})),
        by(json!({"azp": "shop-web", "preferred_username": "service-account-shop-web"})),
    ] {
        let token = world.emulator.mint(order.clone()).await;
        is_refused(&obo_as(&world, "shop", &token).await, "app's token");
    }
    assert!(world.emulator.asked("token").await.is_empty());
    for claims in [json!({"gty": "password"}), json!({"preferred_username": "service-account-x"}), json!({"idtyp": "user"})] {
        let token = world.emulator.mint(by(claims)).await;
        obo_as(&world, "shop", &token).await.token();
    }
}

#[tokio::test]
async fn another_issuers_token_is_refused() {
    let world = World::new().await;
    let origin = &world.emulator.origin;
    for iss in [format!("{origin}/oidc/shop/"), format!("{origin}/oidc/other"), origin.clone()] {
        let token = world.emulator.mint(shop(json!({"claims": {"iss": iss}}))).await;
        is_refused(&obo_as(&world, "shop", &token).await, "issuer");
    }
    let entra = world.emulator.user_token("ana@contoso.example").await;
    is_refused(&obo_as(&world, "shop", &entra).await, "");
}

#[tokio::test]
async fn an_app_without_inbound_refuses_obo() {
    let world = World::new().await;
    let token = world.emulator.user_token("ana@contoso.example").await;
    obo_as(&world, "web", &token).await.refused(403, "flow_not_allowed", "`apps.*.inbound`");
    obo_as(&world, "daemon", "garbage").await.refused(403, "flow_not_allowed", "`apps.*.inbound`");
}

#[tokio::test]
async fn no_bearer_is_401_with_a_bare_challenge() {
    let world = World::new().await;
    let body = json!({"app": "orders", "scopes": [super::USER_READ]});
    let client = &world.sidecar.client;
    let basic = client.request("/obo", &body).header("authorization", "Basic YTpi");
    for answer in [client.post("/obo", &body).await, crate::support::Client::send(basic).await] {
        answer.refused(401, "token_missing", "`Authorization");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}
