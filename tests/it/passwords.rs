//! `/username-password`: a user signs in by name and password, and nobody guesses (RFC 6749 §4.3).

use std::time::Duration;

use serde_json::{Value, json};

use crate::doors::formed;
use crate::support::redis::RedisServer;
use crate::support::{Answer, Client, Stage, World};

const ORDERS: &str = "api://orders/access_as_user";
const ANA: &str = "ana@contoso.example";

/// Apps that take passwords: of one tenant, and of all.
const APPS: &str =
    "  desk: {authority: \"ORIGIN/TENANT\", ca_file: FILES/ca.pem, client_id: 5b0c2e7a-9d41-4f36-8a1c-7e02b94d6f15, \
                    username_password: true, credential: {secret: {file: FILES/web.secret}}}
  many: {authority: \"ORIGIN/common\", ca_file: FILES/ca.pem, client_id: 5b0c2e7a-9d41-4f36-8a1c-7e02b94d6f15, \
                    username_password: true, tenants: [TENANT], credential: {secret: {file: FILES/web.secret}}}";

/// And at an issuer.
const SHOP: &str = "  shop-desk: {issuer: \"ORIGIN/oidc/shop\", ca_file: FILES/ca.pem, client_id: shop-web, username_password: true, offline_access: true, \
                    credential: {secret: {file: FILES/shop-web.secret}}}";

async fn world() -> World {
    World::staged(Stage { apps: APPS, ..Stage::default() }).await
}

fn body(app: &str, scopes: &str, username: &str, password: &str) -> Value {
    json!({"app": app, "scopes": scopes, "username": username, "password": password})
}

async fn ask(client: &Client, username: &str, password: &str) -> Answer {
    client.post("/username-password", &body("desk", ORDERS, username, password)).await
}

/// The forms of the password grants that the authority was sent.
async fn sent(world: &World) -> Vec<Value> {
    let asked = world.emulator.asked("token").await;
    asked.into_iter().map(|call| call["form"].clone()).filter(|form| form["grant_type"] == "password").collect()
}

#[tokio::test]
async fn req_7_the_client_proves_itself_and_the_user_is_signed_in() {
    let world = world().await;
    let answer = ask(&world.sidecar.client, ANA, "ana-password").await;
    let token = answer.token().to_owned();
    assert_eq!(answer.json["account"]["username"], ANA, "{}", answer.text);
    assert!(!answer.text.contains("refresh_token") && !answer.text.contains("ana-password"), "{}", answer.text);
    let forms = sent(&world).await;
    let [form] = forms.as_slice() else { panic!("{forms:?}") };
    assert_eq!((form["username"].as_str(), form["client_info"].as_str()), (Some(ANA), Some("1")), "{form}");
    assert!(form["client_secret"].is_string(), "the client's own proof: {form}");
    let scope = form["scope"].as_str().unwrap_or_default();
    assert!(["openid", "profile", "offline_access", ORDERS].iter().all(|one| scope.split(' ').any(|had| had == *one)), "{scope}");
    let silent = json!({"app": "desk", "scopes": ORDERS, "account": answer.json["account"]["home_account_id"]});
    let cached = world.sidecar.client.post("/silent", &silent).await;
    assert_eq!((cached.token(), cached.member("cache_level")), (&*token, "memory"), "{}", cached.text);
    world.later(4000);
    let renewed = world.sidecar.client.post("/silent", &silent).await;
    assert_eq!(renewed.member("token_source"), "identity_provider", "{}", renewed.text);
    assert_ne!(renewed.token(), token);
}

#[tokio::test]
async fn it_always_asks_the_authority_and_two_at_a_time_are_one_call() {
    let world = world().await;
    let (first, second) =
        tokio::join!(ask(&world.sidecar.client, ANA, "ana-password"), ask(&world.sidecar.client, ANA, "ana-password"));
    assert_eq!(first.token(), second.token());
    let together = sent(&world).await.len();
    assert!(together <= 2, "{together}");
    ask(&world.sidecar.client, ANA, "ana-password").await.token();
    assert_eq!(sent(&world).await.len(), together + 1);
}

#[tokio::test]
async fn a_wrong_password_is_401_once_and_five_of_them_stop_everybody_who_tries_that_user() {
    let world = world().await;
    let client = &world.sidecar.client;
    for count in 1..=5 {
        let name = if count % 2 == 0 { "ANA@contoso.example" } else { ANA };
        let answer = ask(client, name, "wrong-password").await;
        answer.refused(401, "invalid_grant", "");
        assert!(!answer.text.contains("wrong-password"), "{}", answer.text);
        assert_eq!(sent(&world).await.len(), count, "never repeated by itself");
    }
    let stopped = ask(client, ANA, "ana-password").await;
    stopped.refused(429, "throttled", "five passwords of this user");
    let pause: u64 = stopped.header("retry-after").parse().expect("seconds");
    assert!((1..=300).contains(&pause), "{pause}");
    assert_eq!(sent(&world).await.len(), 5, "nothing is sent");
    ask(client, "ben@contoso.example", "ben-password").await.token();
    world.later(pause);
    ask(client, ANA, "ana-password").await.token();
}

#[tokio::test]
async fn what_a_server_says_in_its_own_words_counts_too() {
    let world = world().await;
    let client = &world.sidecar.client;
    let own = [
        json!({"error": "invalid_grant", "suberror": "bad_token"}),
        json!({"error": "access_denied"}),
        json!({"error": "invalid_credentials"}),
        json!({"error": "invalid_grant", "error_codes": [50126]}),
        json!({"error": "user_not_found"}),
    ];
    for error in own {
        world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"error": error}})).await;
        assert_ne!(ask(client, ANA, "wrong-password").await.status, 200);
    }
    ask(client, ANA, "ana-password").await.refused(429, "throttled", "five passwords of this user");
    assert_eq!(sent(&world).await.len(), 5);
}

#[tokio::test]
async fn passwords_that_are_being_tried_count_for_a_moment_only() {
    let world = world().await;
    let client = &world.sidecar.client;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 5, "do": {"hold": true}})).await;
    // Other scopes make another request of each.
    let scopes = ["", " openid", " profile", " email", " offline_access"].map(|more| format!("{ORDERS}{more}"));
    let bodies = scopes.map(|scopes| body("desk", &scopes, ANA, "ana-password"));
    let tried = futures_util::future::join_all(bodies.iter().map(|body| client.post("/username-password", body)));
    let (answers, ()) = tokio::join!(tried, async {
        world.emulator.asked_times("token", 5).await;
        let sixth = ask(client, ANA, "another-password").await;
        sixth.refused(429, "throttled", "or are being tried now");
        assert_eq!(sixth.header("retry-after"), "1");
        world.emulator.release().await;
    });
    for answer in answers {
        answer.token();
    }
    ask(client, ANA, "ana-password").await.token();
}

#[tokio::test]
async fn what_is_no_wrong_password_does_not_count() {
    let world = world().await;
    let client = &world.sidecar.client;
    for error in [
        json!({"error": "invalid_grant", "suberror": "consent_required", "error_codes": [65001]}),
        json!({"error": "interaction_required", "error_codes": [50076], "claims": "{\"access_token\":{}}"}),
        json!({"error": "temporarily_unavailable"}),
        json!({"error": "invalid_scope"}),
    ] {
        for _ in 0..6 {
            world.emulator.unscript().await;
            world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"error": error}})).await;
            let answer = ask(client, ANA, "ana-password").await;
            assert_ne!(answer.status, 200, "{error}");
            assert!(!answer.text.contains("five passwords"), "{error}: {}", answer.text);
            world.clock.advance(Duration::from_secs(61));
        }
    }
    world.emulator.unscript().await;
    for _ in 0..6 {
        ask(client, ANA, "ana-password").await.token();
    }
}

#[tokio::test]
async fn a_challenge_for_the_user_comes_with_what_the_user_has_to_satisfy() {
    let world = world().await;
    let error = json!({"error": "interaction_required", "suberror": "basic_action", "error_codes": [50076],
        "claims": "{\"access_token\":{\"polids\":{\"essential\":true}}}"});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"error": error}})).await;
    let answer = ask(&world.sidecar.client, ANA, "ana-password").await;
    answer.refused(401, "interaction_required", "");
    assert!(answer.member("claims").contains("polids"), "{}", answer.text);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_nothing_is_sent() {
    let world = world().await;
    let post = |body: Value| {
        let client = world.sidecar.client.clone();
        async move { client.post("/username-password", &body).await }
    };
    let whole = body("desk", ORDERS, ANA, "ana-password");
    for (member, value, status, error, detail) in [
        ("username", Value::Null, 400, "invalid_request", "`username`"),
        ("username", json!(""), 400, "invalid_request", "`username`"),
        ("username", json!("u".repeat(1025)), 400, "invalid_request", "`username` is over 1024 bytes"),
        ("password", Value::Null, 400, "invalid_request", "`password`"),
        ("password", json!(""), 400, "invalid_request", "`password`"),
        ("password", json!("p".repeat(4097)), 400, "invalid_request", "`password` is over 4096 bytes"),
        ("password", json!(7), 400, "invalid_request", "`password` has to be a string"),
        ("scopes", Value::Null, 400, "invalid_request", "`scopes`"),
        ("account", json!("x"), 400, "invalid_request", "`account`"),
        ("force_refresh", json!(true), 400, "invalid_request", "`force_refresh`"),
        ("tenant", json!("fabrikam.example"), 403, "tenant_not_allowed", "`tenant`"),
        ("audience", json!("x"), 400, "invalid_request", "`audience`"),
        ("app", json!("orders"), 403, "flow_not_allowed", "`apps.*.username_password: true`"),
        ("app", json!("many"), 400, "invalid_request", "`organizations`"),
    ] {
        let mut body = whole.clone();
        body[member] = value;
        post(body).await.refused(status, error, detail);
    }
    assert_eq!(world.calls().await, 0);
    let mut named = body("many", ORDERS, ANA, "ana-password");
    named["tenant"] = world.emulator.directory["tenants"][0]["id"].clone();
    post(named).await.token();
}

#[tokio::test]
async fn the_wrong_ones_of_all_replicas_count_together_and_each_counts_for_itself_without_redis() {
    let redis = RedisServer::start().await;
    let (world, other) = World::of_two(APPS, &redis).await;
    let one = &world.sidecar;
    for replica in [one, &other, one, &other, one] {
        ask(&replica.client, ANA, "wrong-password").await.refused(401, "invalid_grant", "");
    }
    for replica in [one, &other] {
        ask(&replica.client, ANA, "ana-password").await.refused(429, "throttled", "five passwords of this user");
    }
    let hidden = |bytes: &[u8]| !bytes.windows(7).any(|part| part == b"contoso");
    assert!(redis.dump().await.iter().all(|(key, value)| hidden(key) && hidden(value)), "no user's name lies in Redis");
    drop(redis);
    let ben = "ben@contoso.example";
    for count in 1..=5 {
        let answer = ask(&one.client, ben, "wrong-password").await;
        assert_eq!(answer.status, 401, "{count}: {}", answer.text);
    }
    ask(&one.client, ben, "ben-password").await.refused(429, "throttled", "five passwords of this user");
}

#[tokio::test]
async fn at_an_issuer_it_asks_for_what_a_sign_in_does() {
    let world = World::staged(Stage { apps: SHOP, ..Stage::default() }).await;
    let answer = world.sidecar.client.post("/username-password", &body("shop-desk", "orders.read", "eva", "eva-password")).await;
    answer.token();
    let forms = sent(&world).await;
    let scope = forms[0]["scope"].as_str().unwrap_or_default();
    assert_eq!(scope, "orders.read openid offline_access");
    assert_eq!(answer.json["account"]["home_account_id"], "f2a6-eva", "{}", answer.text);
    let wrong = world.sidecar.client.post("/username-password", &body("shop-desk", "orders.read", "eva", "x")).await;
    wrong.refused(401, "invalid_grant", "");
}

#[tokio::test]
async fn the_token_endpoint_serves_it_and_hands_out_a_handle() {
    let world = World::staged(Stage { apps: APPS, more: "doors: [rest, oauth2]", ..Stage::default() }).await;
    let form = [
        ("grant_type", "password"),
        ("client_id", "desk"),
        ("scope", "openid api://orders/access_as_user"),
        ("username", ANA),
        ("password", "ana-password"),
    ];
    let answer = Client::send(formed(&world.sidecar.client, "/oauth2/token", &form)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let handle = answer.member("refresh_token").to_owned();
    assert!(handle.starts_with("tkd1.") && answer.json["id_token"].is_string(), "{}", answer.text);
    let refresh = [("grant_type", "refresh_token"), ("client_id", "desk"), ("refresh_token", &*handle)];
    let again = Client::send(formed(&world.sidecar.client, "/oauth2/token", &refresh)).await;
    assert_eq!(again.token(), answer.token());
    let wrong = form.map(|(name, value)| (name, if name == "password" { "wrong-password" } else { value }));
    let answer = Client::send(formed(&world.sidecar.client, "/oauth2/token", &wrong)).await;
    assert_eq!((answer.status, answer.member("error")), (400, "invalid_grant"), "{}", answer.text);
}
