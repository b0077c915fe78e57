//! `POST /sign-out/url`: where the browser is sent to sign the user out at the authority, and what is signed out here with it.

use serde_json::{Value, json};

use crate::support::{Answer, Client, REDIRECT_URI, Stage, World, eventually, parameter};

const ORDERS: &str = "api://orders/access_as_user";
const ANA: &str = "ana@contoso.example";
/// As MSAL for Node asks for the claim.
const HINT: &str = r#"{"id_token":{"login_hint":{"essential":false}}}"#;

async fn ask(client: &Client, body: Value) -> Answer {
    client.post("/sign-out/url", &body).await
}

/// The URL of an answer that must have one.
#[track_caller]
fn url(answer: &Answer) -> url::Url {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let members: Vec<&str> = answer.json.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!((members, answer.header("cache-control")), (vec!["sign_out_url"], "no-store"));
    url::Url::parse(answer.member("sign_out_url")).expect("a URL")
}

fn has(url: &url::Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(mine, _)| mine == name).map(|(_, value)| value.into_owned())
}

/// Signs a user in at an app, with these `claims`; returns the answer.
async fn sign_in(world: &World, (app, scopes, user): (&str, &str, &str), claims: Option<&str>) -> Answer {
    let mut body = world.code(app, scopes, user).await;
    if let Some(claims) = claims {
        body["claims"] = json!(claims);
    }
    let answer = world.redeem(&body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

fn id(answer: &Answer) -> &str {
    answer.json["account"]["home_account_id"].as_str().expect("an account")
}

fn claim(id_token: &str, name: &str) -> Value {
    tokend::oauth::unverified(id_token).and_then(|claims| claims.login_hint.filter(|_| name == "login_hint")).into()
}

#[tokio::test]
async fn entras_url_brings_the_browser_back() {
    let world = World::new().await;
    let client = &world.sidecar.client;
    let app = world.emulator.app("web")["client_id"].as_str().expect("an id").to_owned();
    let tenant = world.emulator.directory["tenants"][0]["id"].as_str().expect("an id");
    let bare = url(&ask(client, json!({"app": "web"})).await);
    assert_eq!(bare.as_str(), format!("{}/{tenant}/oauth2/v2.0/logout?client_id={app}", world.emulator.origin));
    let body = json!({
        "app": "web", "post_logout_redirect_uri": REDIRECT_URI, "state": "a state&more", "logout_hint": ANA,
    });
    let url = url(&ask(client, body).await);
    for (name, value) in
        [("client_id", app.as_str()), ("post_logout_redirect_uri", REDIRECT_URI), ("state", "a state&more"), ("logout_hint", ANA)]
    {
        assert_eq!(has(&url, name).as_deref(), Some(value), "{url}");
    }
    let back = world.emulator.sign_in(url.as_str()).await;
    assert_eq!((back.as_str().starts_with(REDIRECT_URI), parameter(&back, "state").as_str()), (true, "a state&more"), "{back}");
    // No document was needed for it, and no token.
    assert_eq!((world.emulator.asked("discovery").await.len(), world.calls().await), (0, 0));
}

#[tokio::test]
async fn an_account_is_signed_out_and_its_own_hint_is_sent() {
    let world = World::new().await;
    let client = &world.sidecar.client;
    let signed = sign_in(&world, ("web", ORDERS, ANA), Some(HINT)).await;
    let hint = claim(signed.member("id_token"), "login_hint");
    assert!(hint.as_str().is_some_and(|hint| !hint.is_empty()), "{}", signed.text);
    let body = json!({"app": "web", "account": id(&signed), "post_logout_redirect_uri": REDIRECT_URI});
    let url_of = url(&ask(client, body.clone()).await);
    assert_eq!(json!(has(&url_of, "logout_hint")), hint);
    assert_eq!(world.emulator.sign_in(url_of.as_str()).await.as_str(), REDIRECT_URI);
    assert_eq!(client.get(&format!("/accounts/{}?app=web", id(&signed))).await.status, 404);
    let silent = json!({"app": "web", "account": id(&signed), "scopes": [ORDERS]});
    client.post("/silent", &silent).await.refused(401, "no_tokens_found", "");
    // One that nobody knows is signed out already.
    assert_eq!(has(&url(&ask(client, body).await), "logout_hint"), None);
}

#[tokio::test]
async fn a_refresh_brings_the_hint_and_a_sign_in_without_it_keeps_it() {
    let world = World::new().await;
    let signed = sign_in(&world, ("web", ORDERS, ANA), None).await;
    assert_eq!(claim(signed.member("id_token"), "login_hint"), Value::Null);
    let body = json!({"app": "web", "account": id(&signed), "scopes": [ORDERS], "claims": HINT});
    let renewed = world.sidecar.client.post("/silent", &body).await;
    assert_eq!(renewed.source(), "identity_provider", "{}", renewed.text);
    let hint = claim(renewed.member("id_token"), "login_hint");
    assert!(hint.is_string(), "{}", renewed.text);
    sign_in(&world, ("web", ORDERS, ANA), None).await;
    let url = url(&ask(&world.sidecar.client, json!({"app": "web", "account": id(&signed)})).await);
    assert_eq!(json!(has(&url, "logout_hint")), hint);
}

#[tokio::test]
async fn an_issuers_url_is_that_of_its_metadata_and_without_one_nothing_is_done() {
    let apps = "  shop-offline: {issuer: \"ORIGIN/oidc/shop\", ca_file: FILES/ca.pem, client_id: shop-web, offline_access: true, \
                credential: {secret: {file: FILES/shop-web.secret}}}";
    let world = World::staged(Stage { apps, ..Stage::default() }).await;
    let client = &world.sidecar.client;
    let signed = sign_in(&world, ("shop-offline", "orders.read", "eva"), None).await;
    let id_token = signed.member("id_token");
    let body = json!({"app": "shop-offline", "id_token_hint": id_token, "state": "s", "post_logout_redirect_uri": REDIRECT_URI});
    let url_of = url(&ask(client, body).await);
    assert!(url_of.as_str().starts_with(&format!("{}/oidc/shop/logout?", world.emulator.origin)), "{url_of}");
    assert_eq!(has(&url_of, "id_token_hint").as_deref(), Some(id_token));
    assert_eq!(has(&url_of, "client_id").as_deref(), Some("shop-web"));
    for (named, status, error, word) in [
        (Value::Null, 403, "flow_not_available", "`end_session_endpoint`"),
        (json!("http://id.example/logout"), 502, "invalid_authority_response", "end_session_endpoint"),
    ] {
        world.emulator.unscript().await;
        let set = json!({"set": {"end_session_endpoint": named}});
        world.emulator.script(json!({"on": {"endpoint": "discovery"}, "times": 0, "do": set})).await;
        world.later(7_200);
        let account = json!({"app": "shop-offline", "account": id(&signed)});
        // The old document is served until the new one is there.
        eventually(std::time::Duration::from_secs(20), async || {
            let answer = ask(client, json!({"app": "shop-offline"})).await;
            answer.status == status
        })
        .await;
        ask(client, account).await.refused(status, error, word);
        let known = client.get(&format!("/accounts/{}?app=shop-offline", id(&signed))).await;
        assert_eq!(known.status, 200, "nothing is signed out where there is no URL: {}", known.text);
    }
}

#[tokio::test]
async fn members_that_are_none_are_400_and_nothing_is_signed_out() {
    let world = World::new().await;
    let client = &world.sidecar.client;
    let signed = sign_in(&world, ("web", ORDERS, ANA), None).await;
    let long = "a".repeat(1025);
    for (more, word) in [
        (json!({"logout_hint": "canary"}), "`account` and `logout_hint`"),
        (json!({"state": "canary"}), "`state` comes back"),
        (json!({"state": "", "post_logout_redirect_uri": REDIRECT_URI}), "`state`"),
        (json!({"state": long, "post_logout_redirect_uri": REDIRECT_URI}), "`state`"),
        (json!({"post_logout_redirect_uri": "/canary"}), "`post_logout_redirect_uri`"),
        (json!({"post_logout_redirect_uri": "https://app.example/#canary"}), "`post_logout_redirect_uri`"),
        (json!({"post_logout_redirect_uri": ""}), "`post_logout_redirect_uri`"),
        (json!({"id_token_hint": "canary"}), "`id_token_hint` is no JWT"),
        (json!({"id_token_hint": format!("eyJ{}", "canary".repeat(2_000))}), "`id_token_hint` is longer"),
        (json!({"account": ""}), "`account`"),
        (json!({"account": ANA}), "`account` is a username"),
        (json!({"account": 7}), "`account` has to be a string"),
        (json!({"scopes": "canary"}), "does not take `scopes`"),
        (json!({"logout_uri": "canary"}), "`logout_uri` is no member"),
    ] {
        let mut body = json!({"app": "web", "account": id(&signed)});
        body.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
        let answer = ask(client, body).await;
        answer.refused(400, "invalid_request", word);
        assert!(!answer.text.contains("canary") && answer.text.len() < 2048, "{}", answer.text);
    }
    ask(client, json!({"app": "canary-app"})).await.refused(404, "unknown_app", "`app`");
    ask(client, json!({"account": id(&signed)})).await.refused(404, "unknown_app", "`app`");
    assert_eq!(client.get(&format!("/accounts/{}?app=web", id(&signed))).await.status, 200);
}

#[tokio::test]
async fn another_callers_account_gives_no_hint_and_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("canary-{name}-0123456789-abcdef")).expect("a file");
        path.display().to_string()
    };
    let callers = format!(
        "callers:\n  - {{name: one, token: {{file: {}}}}}\n  - {{name: two, flows: [client_credentials], token: {{file: {}}}}}\n  - \
         {{name: none, apps: [daemon], token: {{file: {}}}}}\n",
        file("one"),
        file("two"),
        file("none")
    );
    let mut world = World::with(&callers).await;
    let client = |name: &str, world: &World| world.sidecar.client.calling(&format!("canary-{name}-0123456789-abcdef"));
    let (one, two, none) = (client("one", &world), client("two", &world), client("none", &world));
    world.sidecar.client = one.clone();
    let signed = sign_in(&world, ("web", ORDERS, ANA), Some(HINT)).await;
    let body = json!({"app": "web", "account": id(&signed)});
    // No flow is needed for it, and no account of one's own.
    assert_eq!(has(&url(&ask(&two, body.clone()).await), "logout_hint"), None);
    ask(&none, body.clone()).await.refused(403, "caller_not_allowed", "`callers.*.apps`");
    assert_eq!(one.get(&format!("/accounts/{}?app=web", id(&signed))).await.status, 200);
    assert!(has(&url(&ask(&one, body).await), "logout_hint").is_some());
    assert_eq!(one.get(&format!("/accounts/{}?app=web", id(&signed))).await.status, 404);
}
