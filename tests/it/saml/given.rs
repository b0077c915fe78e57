//! An assertion in place of the user's token: what is sent for it, what is kept, and for how long.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use serde_json::{Value, json};

use super::{ANA, SAML1, SAML2, USER_READ, encoded, exchange, kept, minted, obo, of_eva, of_user, with};
use crate::support::World;

#[tokio::test]
async fn req_8_at_entra_an_assertion_goes_by_the_grant_of_its_version() {
    let world = World::new().await;
    for (version, kind, grant) in [
        ("1.1", SAML1, "urn:ietf:params:oauth:grant-type:saml1_1-bearer"),
        ("2.0", SAML2, "urn:ietf:params:oauth:grant-type:saml2-bearer"),
    ] {
        let calls = world.calls().await;
        let xml = minted(&world.emulator, json!({"version": version, "app": "orders-api", "user": ANA})).await;
        let first = obo(&world, &xml, json!({"subject_token_type": kind})).await;
        assert_eq!(first.source(), "identity_provider", "{}", first.text);
        assert_eq!((first.member("token_type"), &first.json["account"]["username"]), ("Bearer", &json!(ANA)));
        let asked = world.emulator.asked("token").await;
        let form = &asked.last().expect("a call")["form"];
        assert_eq!((&form["grant_type"], &form["requested_token_use"]), (&json!(grant), &json!("on_behalf_of")));
        assert_eq!((&form["assertion"], &form["client_info"]), (&json!(encoded(&xml)), &json!("1")));
        let scope = form["scope"].as_str().expect("scopes");
        assert!([USER_READ, "openid", "profile", "offline_access"].iter().all(|one| scope.contains(one)), "{scope}");
        assert!(form["requested_token_type"].is_null() && form["subject_token_type"].is_null(), "{form}");
        // However it is spelt, it is the same bytes: they are sent once.
        for text in [encoded(&xml), STANDARD.encode(&xml), STANDARD_NO_PAD.encode(&xml), URL_SAFE.encode(&xml), xml] {
            let body = json!({"subject_token_type": null, "assertion_type": kind});
            let again = obo(&world, &text, body).await;
            assert_eq!((again.source(), again.token()), ("cache", first.token()));
        }
        assert_eq!(world.calls().await, calls + 1);
    }
}

#[tokio::test]
async fn req_8_at_an_issuer_an_assertion_is_exchanged() {
    let world = World::new().await;
    for (version, kind) in [("1.1", SAML1), ("2.0", SAML2)] {
        let xml = of_eva(&world.emulator, version).await;
        let first = exchange(&world, &xml, kind).await;
        assert_eq!(first.source(), "identity_provider", "{}", first.text);
        let asked = world.emulator.asked("token").await;
        let form = &asked.last().expect("a call")["form"];
        assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:token-exchange");
        assert_eq!((&form["subject_token"], &form["subject_token_type"]), (&json!(encoded(&xml)), &json!(kind)));
        assert_eq!(exchange(&world, &encoded(&xml), kind).await.source(), "cache");
    }
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_8_another_assertion_of_the_same_user_is_another_token() {
    let world = World::new().await;
    let (first, second) = (of_user(&world.emulator, ANA).await, of_user(&world.emulator, ANA).await);
    let tokens = [obo(&world, &first, json!({})).await, obo(&world, &second, json!({})).await];
    assert_ne!(tokens[0].token(), tokens[1].token());
    // Nor is it what her access token was exchanged for.
    let bearer = world.emulator.user_token(ANA).await;
    assert_eq!(world.obo(&bearer).await.source(), "identity_provider");
    for (xml, token) in [(&first, &tokens[0]), (&second, &tokens[1])] {
        assert_eq!(obo(&world, xml, json!({})).await.token(), token.token());
    }
    // A blank more is another assertion, which the authority judges anew.
    obo(&world, &format!("{first}\n"), json!({})).await;
    assert_eq!(world.calls().await, 4);
    let forced = obo(&world, &first, json!({"force_refresh": true})).await;
    assert_eq!((forced.source(), forced.member("refresh_reason")), ("identity_provider", "force_refresh_or_claims"));
}

#[tokio::test]
async fn an_assertion_that_has_ended_is_refused_also_where_its_token_is_there() {
    let world = World::new().await;
    let xml = minted(&world.emulator, json!({"app": "orders-api", "user": ANA, "lifetime": 600})).await;
    let token = obo(&world, &xml, json!({})).await;
    world.later(659);
    assert_eq!(obo(&world, &xml, json!({})).await.token(), token.token(), "clocks differ by a minute");
    world.later(1);
    for more in [json!({}), json!({"force_refresh": true})] {
        let ended = obo(&world, &xml, more).await;
        ended.refused(400, "invalid_assertion", "`assertion` has ended");
        assert_eq!(ended.json["retryable"], false);
    }
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn what_the_authority_says_of_an_assertion_is_handed_on() {
    let world = World::new().await;
    for (order, status, number) in [
        (json!({"app": "billing-api", "user": ANA}), 401, 500_131),
        (json!({"app": "orders-api", "user": ANA, "key": "unknown"}), 401, 50013),
        (json!({"app": "orders-api", "user": "mia@contoso.example"}), 401, 50076),
    ] {
        let xml = minted(&world.emulator, order).await;
        let answer = obo(&world, &xml, json!({})).await;
        assert_eq!((answer.status, &answer.json["error_codes"][0]), (status, &json!(number)), "{}", answer.text);
    }
    assert_eq!(kept(&world).await, 0);
}

#[tokio::test]
async fn an_app_that_may_not_send_assertions_may_send_tokens() {
    let world = World::new().await;
    let said = json!({"error": "unauthorized_client", "error_description": "not by this grant"});
    let on = json!({"endpoint": "token", "grant_type": "urn:ietf:params:oauth:grant-type:saml2-bearer"});
    world.emulator.script(json!({"on": on, "times": 0, "do": {"error": said}})).await;
    for user in [ANA, "ben@contoso.example"] {
        let answer = obo(&world, &of_user(&world.emulator, user).await, json!({})).await;
        answer.refused(502, "unauthorized_client", "");
    }
    assert_eq!(world.calls().await, 1, "the second is held");
    let bearer = world.emulator.user_token(ANA).await;
    assert_eq!(world.obo(&bearer).await.source(), "identity_provider");
}

#[tokio::test]
async fn the_app_has_to_take_users_tokens_and_the_tenant_has_to_be_known() {
    let world = World::new().await;
    let xml = of_user(&world.emulator, ANA).await;
    obo(&world, &xml, json!({"app": "web"})).await.refused(403, "flow_not_allowed", "`apps.*.inbound`");
    obo(&world, &xml, json!({"tenant": "canary.example"})).await.refused(403, "tenant_not_allowed", "`apps.*.tenants`");
    let xml = minted(&world.emulator, json!({"app": "partner", "user": ANA})).await;
    obo(&world, &xml, json!({"app": "partner"})).await.refused(400, "invalid_request", "`tenant` is missing");
    assert_eq!(world.calls().await, 0);
    let tenant = world.emulator.directory["tenants"][0]["id"].clone();
    let answer = obo(&world, &xml, json!({"app": "partner", "tenant": tenant})).await;
    assert_eq!((answer.source(), &answer.json["tenant_id"]), ("identity_provider", &tenant), "{}", answer.text);
}

#[tokio::test]
async fn a_caller_with_apis_may_show_an_assertion_and_not_choose_what_it_gets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clerk");
    std::fs::write(&file, "canary-clerk-0123456789-abcdef").expect("a file");
    let world =
        World::with(&format!("callers:\n  - {{name: clerk, apis: [graph-user], token: {{file: {}}}}}\n", file.display())).await;
    let clerk = world.sidecar.client.calling("canary-clerk-0123456789-abcdef");
    let xml = of_user(&world.emulator, ANA).await;
    let body = json!({"api": "graph-user", "assertion": xml});
    let ask = async |more: Value| clerk.post("/obo", &with(body.clone(), more)).await;
    let first = ask(json!({"subject_token_type": SAML2})).await;
    assert_eq!(first.source(), "identity_provider", "{}", first.text);
    assert_eq!(ask(json!({"assertion_type": SAML2})).await.token(), first.token());
    for (more, named) in [
        (json!({"subject_token_type": SAML2, "requested_token_type": SAML2}), "`requested_token_type`"),
        (json!({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}), "`subject_token_type`"),
        (json!({"subject_token_type": SAML2, "client_claims": "{}"}), "`client_claims`"),
    ] {
        ask(more).await.refused(403, "caller_not_allowed", named);
    }
    // More than the api was granted.
    world
        .emulator
        .script(json!({"on": {"endpoint": "token"}, "do": {"set": {"scope": "User.Read api://billing/invoices.read"}}}))
        .await;
    let other = of_user(&world.emulator, ANA).await;
    let beyond = clerk.post("/obo", &json!({"api": "graph-user", "assertion": other, "assertion_type": SAML2})).await;
    beyond.refused(403, "caller_not_allowed", "`callers.*.apis`");
}
