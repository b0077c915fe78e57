//! Signing a user in: the URL that starts it, and the redemption of the code, which happens once and is never lost.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Client, REDIRECT_URI, Stage, World, parameter};

const ORDERS: &str = "api://orders/access_as_user";
const ANA: &str = "ana@contoso.example";

async fn url(world: &World, more: Value) -> url::Url {
    let answer = world.authorize_url("web", ORDERS, more).await;
    url::Url::parse(answer.member("authorization_url")).unwrap_or_else(|_| panic!("{}", answer.text))
}

#[tokio::test]
async fn the_url_asks_for_a_code_with_pkce_state_and_nonce() {
    let world = World::new().await;
    let answer = world.authorize_url("web", ORDERS, json!({})).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{}", answer.text);
    let url = url::Url::parse(answer.member("authorization_url")).expect("a URL");
    let tenant = world.emulator.directory["tenants"][0]["id"].as_str().expect("a tenant");
    assert!(url.as_str().starts_with(&format!("{}/{tenant}/oauth2/v2.0/authorize?", world.emulator.origin)), "{url}");
    let verifier = answer.member("code_verifier");
    let challenge = URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes()));
    let client_id = world.emulator.app("web")["client_id"].as_str().expect("a client id");
    for (name, value) in [
        ("client_id", client_id),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT_URI),
        ("scope", answer.member("scope")),
        ("state", answer.member("state")),
        ("nonce", answer.member("nonce")),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(parameter(&url, name), value, "{name}");
    }
    assert_eq!(url.query_pairs().count(), 8, "{url}");
    for random in ["state", "nonce", "code_verifier"] {
        assert_eq!(answer.member(random).len(), 43, "256 bits: {}", answer.text);
    }
    assert_eq!(answer.member("redirect_uri"), REDIRECT_URI);
    assert!(!url.as_str().contains(verifier), "{url}");
}

#[tokio::test]
async fn nothing_random_comes_twice() {
    let world = World::new().await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let answer = world.authorize_url("web", ORDERS, json!({})).await;
        for random in ["state", "nonce", "code_verifier"] {
            assert!(seen.insert(answer.member(random).to_owned()), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn state_and_nonce_may_be_the_callers() {
    let world = World::new().await;
    let answer = world.authorize_url("web", ORDERS, json!({"state": "s &=", "nonce": "n"})).await;
    assert_eq!((answer.member("state"), answer.member("nonce")), ("s &=", "n"));
    let url = url::Url::parse(answer.member("authorization_url")).expect("a URL");
    assert_eq!((parameter(&url, "state"), parameter(&url, "nonce")), ("s &=".to_owned(), "n".to_owned()));
}

#[tokio::test]
async fn hints_are_passed_on() {
    let world = World::new().await;
    let more =
        json!({"prompt": "select_account", "login_hint": ANA, "domain_hint": "contoso.example", "response_mode": "form_post"});
    let url = url(&world, more.clone()).await;
    for (name, value) in more.as_object().expect("an object") {
        assert_eq!(parameter(&url, name), value.as_str().unwrap_or_default(), "{name}");
    }
}

#[tokio::test]
async fn further_consent_is_asked_for_and_not_redeemed() {
    let world = World::new().await;
    let more = json!({"extra_scopes_to_consent": ["https://graph.microsoft.com/Mail.Read"]});
    let answer = world.authorize_url("web", ORDERS, more).await;
    let url = url::Url::parse(answer.member("authorization_url")).expect("a URL");
    assert!(parameter(&url, "scope").split(' ').any(|scope| scope == "https://graph.microsoft.com/Mail.Read"), "{url}");
    assert!(!answer.member("scope").contains("Mail.Read"), "{}", answer.text);
}

#[tokio::test]
async fn a_challenge_is_merged_with_the_apps_capabilities() {
    let apps = "  cae: {authority: \"ORIGIN/TENANT\", ca_file: FILES/ca.pem, client_id: 5b0c2e7a-9d41-4f36-8a1c-7e02b94d6f15, \
                client_capabilities: [cp1], credential: {secret: {file: FILES/web.secret}}}";
    let world = World::staged(Stage { apps, ..Stage::default() }).await;
    let challenge = json!({"access_token": {"nbf": {"essential": true, "value": "1"}}});
    let answer = world.authorize_url("cae", ORDERS, json!({"claims": challenge.to_string()})).await;
    let url = url::Url::parse(answer.member("authorization_url")).expect("a URL");
    let claims: Value = serde_json::from_str(&parameter(&url, "claims")).expect("JSON");
    let expected = json!({"access_token": {"nbf": {"essential": true, "value": "1"}, "xms_cc": {"values": ["cp1"]}}});
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn a_fragment_never_reaches_a_server() {
    let world = World::new().await;
    let answer = world.authorize_url("web", ORDERS, json!({"response_mode": "fragment"})).await;
    answer.refused(400, "invalid_request", "fragment");
    let answer = world.authorize_url("web", ORDERS, json!({"response_mode": "web_message"})).await;
    answer.refused(400, "invalid_request", "response_mode");
}

#[tokio::test]
async fn members_that_do_not_fit_are_named() {
    let world = World::new().await;
    let post = |path: &'static str, body: Value| {
        let client = world.sidecar.client.clone();
        async move { client.post(path, &body).await }
    };
    let whole = json!({"app": "web", "scopes": ORDERS, "redirect_uri": REDIRECT_URI, "code": "c", "code_verifier": "v".repeat(43)});
    let without = |member: &str| {
        let mut body = whole.clone();
        body.as_object_mut().and_then(|body| body.remove(member));
        body
    };
    for member in ["redirect_uri", "code", "scopes"] {
        post("/auth-code", without(member)).await.refused(400, "invalid_request", member);
    }
    let mut short = whole.clone();
    short["code_verifier"] = json!("short");
    post("/auth-code", short).await.refused(400, "invalid_request", "code_verifier");
    let mut url = json!({"app": "web", "scopes": ORDERS});
    post("/auth-code/url", url.clone()).await.refused(400, "invalid_request", "redirect_uri");
    url["redirect_uri"] = json!("/callback");
    post("/auth-code/url", url).await.refused(400, "invalid_request", "redirect_uri");
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn a_code_becomes_a_token_and_an_account() {
    for (app, scopes, user) in [("web", ORDERS, ANA), ("web-cert", ORDERS, ANA), ("shop-web", "orders.read", "eva")] {
        let world = World::new().await;
        let code = world.code(app, scopes, user).await;
        let answer = world.redeem(&code).await;
        answer.token();
        assert_eq!((answer.member("token_source"), answer.member("refresh_reason")), ("identity_provider", "not_applicable"));
        assert_eq!(answer.json["account"]["username"], user, "{}", answer.text);
        assert!(
            answer.member("id_token").split('.').count() == 3 && answer.json["expires_in"].as_i64() > Some(0),
            "{}",
            answer.text
        );
        assert!(answer.json.get("refresh_token").is_none(), "{}", answer.text);
    }
}

#[tokio::test]
async fn at_a_multi_tenant_authority_the_user_says_which_tenant() {
    let world = World::new().await;
    let code = world.code("partner", "api://partner/access_as_user", "fay@fabrikam.example").await;
    let answer = world.redeem(&code).await;
    answer.token();
    let fabrikam = &world.emulator.directory["tenants"][1]["id"];
    assert_eq!((&answer.json["tenant_id"], &answer.json["account"]["tenant_id"]), (fabrikam, fabrikam));
}

#[tokio::test]
async fn a_tenant_that_is_named_is_asked_and_its_users_only() {
    let world = World::new().await;
    let tenants = &world.emulator.directory["tenants"];
    let (contoso, fabrikam) = (&tenants[0]["id"], &tenants[1]["id"]);
    let scopes = "api://partner/access_as_user";
    let answer = world.authorize_url("partner", scopes, json!({"tenant": fabrikam})).await;
    let url = answer.member("authorization_url");
    assert!(url.contains(&format!("/{}/oauth2/v2.0/authorize?", fabrikam.as_str().unwrap_or_default())), "{url}");
    let mut code = world.code("partner", scopes, "fay@fabrikam.example").await;
    code["tenant"] = fabrikam.clone();
    world.redeem(&code).await.token();
    // Should an authority ever redeem it elsewhere than where the user is.
    let mut code = world.code("partner", scopes, "ana@contoso.example").await;
    code["tenant"] = contoso.clone();
    let order = json!({"kind": "id", "app": "partner", "user": "fay@fabrikam.example", "claims": {"nonce": code["nonce"]}});
    let id_token = world.emulator.mint(order).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": {"id_token": id_token}}})).await;
    world.redeem(&code).await.refused(400, "invalid_id_token", "tenant");
}

#[tokio::test]
async fn a_repeated_code_is_the_authoritys_to_refuse() {
    for (app, scopes, user) in [("web", ORDERS, ANA), ("shop-web", "orders.read", "eva")] {
        let world = World::new().await;
        let code = world.code(app, scopes, user).await;
        world.redeem(&code).await.token();
        world.redeem(&code).await.refused(400, "invalid_grant", "");
        assert_eq!(world.calls().await, 2);
    }
}

#[tokio::test]
async fn a_wrong_verifier_is_the_callers_mistake() {
    let world = World::new().await;
    let mut code = world.code("web", ORDERS, ANA).await;
    code["code_verifier"] = json!("x".repeat(43));
    world.redeem(&code).await.refused(400, "invalid_grant", "");
}

/// Waits until the sidecar is busy with exactly this many requests.
async fn in_flight(world: &World, count: f64) {
    for _ in 0..500 {
        if world.sidecar.metric("tokend_http_requests_in_flight").await.total_cmp(&count).is_eq() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never {count} requests at a time");
}

#[tokio::test]
async fn two_redemptions_of_one_code_at_the_same_time_are_one_call() {
    let world = World::new().await;
    let code = world.code("web", ORDERS, ANA).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hold": true}})).await;
    let release = async {
        world.emulator.asked_times("token", 1).await;
        in_flight(&world, 2.0).await;
        world.emulator.release().await;
    };
    let (first, second, ()) = tokio::join!(world.redeem(&code), world.redeem(&code), release);
    assert_eq!(first.token(), second.token());
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_lose_the_code() {
    let world = World::new().await;
    let code = world.code("web", ORDERS, ANA).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true}})).await;
    let leaver = world.leaver().await;
    let leaving = leaver.client.request("/auth-code", &code);
    tokio::select! {
        answer = Client::send(leaving) => panic!("it was held: {}", answer.text),
        _ = world.emulator.asked_times("token", 1) => {}
    }
    // It is gone, and its request with it; whoever comes back finds the redemption under way.
    in_flight(&world, 0.0).await;
    let (again, ()) = tokio::join!(world.redeem(&code), async {
        in_flight(&world, 1.0).await;
        world.emulator.release().await;
    });
    again.token();
    let asked = world.emulator.asked("token").await;
    assert_eq!((asked.len(), asked[0]["status"].as_u64()), (1, Some(200)));
}

#[tokio::test]
async fn a_code_is_sent_once_whatever_happens() {
    for trouble in [
        json!({"close": true}),
        json!({"error": {"status": 500, "error": "server_error"}}),
        json!({"throttle": {"status": 503, "retry_after": null}}),
    ] {
        let world = World::new().await;
        let code = world.code("web", ORDERS, ANA).await;
        world.emulator.script(json!({"on": {"endpoint": "token"}, "do": trouble})).await;
        let answer = world.redeem(&code).await;
        assert_eq!(answer.status, 503, "{trouble}: {}", answer.text);
        assert_eq!(world.calls().await, 1, "{trouble}");
    }
}
