//! `/refresh-token`: a user who signed in through another library is signed in here from then on (RFC 6749 §6).

use serde_json::{Value, json};

use crate::support::redis::RedisServer;
use crate::support::{Answer, Client, Emulator, GRAPH, Stage, World};

const ORDERS: &str = "api://orders/access_as_user";
const ANA: &str = "ana@contoso.example";

/// Apps that take foreign refresh tokens: at Entra, and at an issuer.
const APPS: &str = "  moved: {authority: \"ORIGIN/TENANT\", ca_file: FILES/ca.pem, client_id: 5b0c2e7a-9d41-4f36-8a1c-7e02b94d6f15, \
                    refresh_token: true, credential: {secret: {file: FILES/web.secret}}}
  shop-moved: {issuer: \"ORIGIN/oidc/shop\", ca_file: FILES/ca.pem, client_id: shop-web, refresh_token: true, offline_access: true, \
                    credential: {secret: {file: FILES/shop-web.secret}}}";

async fn world() -> World {
    World::staged(Stage { apps: APPS, ..Stage::default() }).await
}

/// A refresh token that a library of the app got.
async fn foreign(world: &World, order: Value) -> String {
    world.emulator.client.post("/_emulator/refresh-token", &order).await.member("refresh_token").to_owned()
}

/// One of ana's.
async fn of_ana(world: &World) -> String {
    foreign(world, json!({"client": "web", "user": ANA, "scope": format!("openid offline_access {ORDERS}")})).await
}

async fn ask(world: &World, app: &str, scopes: &str, token: &str) -> Answer {
    world.sidecar.client.post("/refresh-token", &json!({"app": app, "scopes": scopes, "refresh_token": token})).await
}

/// The forms of the refreshes that the authority was sent.
async fn sent(world: &World) -> Vec<Value> {
    let asked = world.emulator.asked("token").await;
    asked.into_iter().map(|call| call["form"].clone()).filter(|form| form["grant_type"] == "refresh_token").collect()
}

#[tokio::test]
async fn a_foreign_refresh_token_signs_its_user_in_and_is_not_kept() {
    let world = world().await;
    let token = of_ana(&world).await;
    let answer = ask(&world, "moved", ORDERS, &token).await;
    answer.token();
    assert!(!answer.text.contains(&token) && !answer.text.contains("refresh_token"), "{}", answer.text);
    assert_eq!(answer.json["account"]["username"], ANA, "{}", answer.text);
    let silent = json!({"app": "moved", "scopes": ORDERS, "account": answer.json["account"]["home_account_id"]});
    assert_eq!(world.sidecar.client.post("/silent", &silent).await.token(), answer.token());
    world.later(4000);
    world.sidecar.client.post("/silent", &silent).await.token();
    let forms = sent(&world).await;
    let [import, renewal] = forms.as_slice() else { panic!("{forms:?}") };
    assert_eq!(import["refresh_token"], json!(token));
    assert_ne!(renewal["refresh_token"], json!(token), "what it brought is sent from now on");
}

#[tokio::test]
async fn one_that_the_authority_gives_no_successor_for_is_not_kept_either() {
    let world = world().await;
    let token = of_ana(&world).await;
    let without = json!({"on": {"endpoint": "token"}, "times": 1, "do": {"set": {"refresh_token": null}}});
    world.emulator.script(without).await;
    let answer = ask(&world, "moved", ORDERS, &token).await;
    let silent = json!({"app": "moved", "scopes": ORDERS, "account": answer.json["account"]["home_account_id"]});
    assert_eq!(world.sidecar.client.post("/silent", &silent).await.token(), answer.token());
    world.later(4000);
    world.sidecar.client.post("/silent", &silent).await.refused(401, "no_tokens_found", "sign in again");
    assert_eq!(sent(&world).await.len(), 1);
}

#[tokio::test]
async fn one_that_is_used_up_is_the_users_turn_and_is_sent_once() {
    let world = world().await;
    let answer = ask(&world, "moved", ORDERS, "0.no-such-token").await;
    answer.refused(401, "invalid_grant", "");
    assert_eq!(sent(&world).await.len(), 1);
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"close": true}})).await;
    let lost = ask(&world, "moved", ORDERS, &of_ana(&world).await).await;
    assert_eq!((lost.status, lost.json["retryable"].as_bool()), (503, Some(false)), "{}", lost.text);
    assert!(lost.member("detail").contains("whether the refresh token was redeemed is not known"), "{}", lost.text);
    assert_eq!(sent(&world).await.len(), 2);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_nothing_is_sent() {
    let world = world().await;
    let whole = json!({"app": "moved", "scopes": ORDERS, "refresh_token": "0.token"});
    for (member, value, status, error, detail) in [
        ("refresh_token", Value::Null, 400, "invalid_request", "`refresh_token` is missing"),
        ("refresh_token", json!(""), 400, "invalid_request", "`refresh_token` is missing"),
        ("refresh_token", json!("t".repeat(33 * 1024)), 400, "invalid_request", "`refresh_token` is over"),
        ("refresh_token", json!("a\nb"), 400, "invalid_request", "characters"),
        ("refresh_token", json!("tkd1.AAAA"), 400, "invalid_request", "handle"),
        ("scopes", Value::Null, 400, "invalid_request", "`scopes`"),
        ("force_refresh", json!(true), 400, "invalid_request", "`force_refresh`"),
        ("app", json!("orders"), 403, "flow_not_allowed", "`apps.*.refresh_token: true`"),
        ("tenant", json!("fabrikam.example"), 403, "tenant_not_allowed", "`tenant`"),
    ] {
        let mut body = whole.clone();
        body[member] = value;
        world.sidecar.client.post("/refresh-token", &body).await.refused(status, error, detail);
    }
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn at_an_issuer_the_successor_is_kept_and_a_second_use_is_refused_there() {
    let world = world().await;
    let token = foreign(
        &world,
        json!({"realm": "shop", "client": "shop-web", "user": "eva", "scope": "openid offline_access orders.read"}),
    );
    let token = token.await;
    let answer = world.sidecar.client.post("/refresh-token", &json!({"app": "shop-moved", "refresh_token": token})).await;
    answer.token();
    assert_eq!(sent(&world).await[0]["scope"], Value::Null, "nothing is asked for but what was granted");
    assert_eq!(answer.json["account"]["home_account_id"], "f2a6-eva", "{}", answer.text);
    let again = world.sidecar.client.post("/refresh-token", &json!({"app": "shop-moved", "refresh_token": token})).await;
    again.refused(400, "invalid_request", "within the last 15 minutes");
    world.later(2000);
    let silent = json!({"app": "shop-moved", "account": "f2a6-eva"});
    world.sidecar.client.post("/silent", &silent).await.token();
    let asked = sent(&world).await.len();
    let again = world.sidecar.client.post("/refresh-token", &json!({"app": "shop-moved", "refresh_token": token})).await;
    again.refused(401, "invalid_grant", "");
    assert_eq!(sent(&world).await.len(), asked + 1);
}

/// The second use of such a token would end the sign-in that the first one began.
#[tokio::test]
async fn one_that_is_good_for_one_use_is_sent_once_by_all_replicas() {
    let redis = RedisServer::start().await;
    let (world, other) = World::of_two(APPS, &redis).await;
    let order = json!({"realm": "shop", "client": "shop-web", "user": "eva", "scope": "openid offline_access orders.read"});
    let token = foreign(&world, order).await;
    let body = |scopes: &str| json!({"app": "shop-moved", "scopes": scopes, "refresh_token": token});
    world.emulator.script(json!({"on": {"grant_type": "refresh_token"}, "times": 1, "do": {"hold": true}})).await;
    let (first, wide) = (body("orders.read"), body("orders.read openid"));
    let (first, ()) = tokio::join!(world.sidecar.client.post("/refresh-token", &first), async {
        world.emulator.asked_times("token", 1).await;
        for (client, body) in [(&world.sidecar.client, &wide), (&other.client, &first), (&other.client, &wide)] {
            client.post("/refresh-token", body).await.refused(400, "invalid_request", "ask `/silent`");
        }
        world.emulator.release().await;
    });
    first.token();
    assert_eq!(sent(&world).await.len(), 1);
    world.later(2000);
    let silent = json!({"app": "shop-moved", "scopes": "orders.read", "account": "f2a6-eva"});
    other.client.post("/silent", &silent).await.token();
}

/// It may have been issued to another client, which says nothing of the app.
#[tokio::test]
async fn what_is_said_of_the_client_of_a_foreign_token_stops_nobody_else() {
    let world = world().await;
    for error in [
        json!({"status": 401, "error": "invalid_client", "error_codes": [700_025]}),
        json!({"status": 400, "error": "unauthorized_client", "error_codes": [700_016]}),
    ] {
        world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"error": error}})).await;
        let answer = ask(&world, "moved", ORDERS, &of_ana(&world).await).await;
        answer.refused(502, error["error"].as_str().expect("a code"), "");
        ask(&world, "moved", ORDERS, &of_ana(&world).await).await.token();
        world.app_token(json!({"app": "moved", "scopes": GRAPH, "force_refresh": true})).await.token();
    }
}

#[tokio::test]
async fn an_answer_that_is_what_was_sent_is_no_token() {
    let world = world().await;
    let token = of_ana(&world).await;
    let echo = json!({"on": {"endpoint": "token"}, "times": 1, "do": {"set": {"access_token": token}}});
    world.emulator.script(echo).await;
    let answer = ask(&world, "moved", ORDERS, &token).await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    assert!(!answer.text.contains(&token) && answer.member("detail").contains("what was sent"), "{}", answer.text);
}

#[tokio::test]
async fn an_issuer_is_asked_whose_an_answer_is_that_names_nobody() {
    let world = world().await;
    let order =
        json!({"realm": "shop", "client": "shop-web", "user": "eva", "scope": "openid offline_access orders.read", "bare": true});
    let token = foreign(&world, order).await;
    let answer = ask(&world, "shop-moved", "orders.read", &token).await;
    answer.token();
    assert_eq!(answer.json["account"]["home_account_id"], "f2a6-eva", "{}", answer.text);
    assert_eq!(world.emulator.asked("userinfo").await.len(), 1);
    world.later(2000);
    let silent = json!({"app": "shop-moved", "scopes": "orders.read", "account": "f2a6-eva"});
    world.sidecar.client.post("/silent", &silent).await.token();
}

/// A session that an import began goes on, past its tokens' ends, until it is ended.
async fn goes_on(world: &World, app: &str, scopes: &str, answer: &Answer) {
    answer.token();
    assert!(answer.json["account"].is_null(), "{}", answer.text);
    let body = json!({"app": app, "scopes": scopes, "session": answer.member("session")});
    for _ in 0..2 {
        let again = world.sidecar.client.post("/obo", &body).await;
        assert_eq!(again.source(), "identity_provider", "{}", again.text);
        assert_eq!(world.sidecar.client.post("/obo", &body).await.token(), again.token());
        world.later(4000);
    }
    let accounts = world.sidecar.client.get(&format!("/accounts?app={app}")).await;
    assert_eq!(accounts.json["accounts"], json!([]));
    let ends = world.sidecar.client.http.delete(format!("{}/obo", world.sidecar.client.base));
    let ended = json!({"app": app, "session": answer.member("session")});
    let ended = Client::send(ends.header("content-type", "application/json").body(ended.to_string())).await;
    assert_eq!(ended.status, 204, "{}", ended.text);
    world.sidecar.client.post("/obo", &body).await.refused(401, "session_not_found", "");
}

#[tokio::test]
async fn what_renews_a_token_that_nobody_names_becomes_a_session() {
    let world = world().await;
    let order = json!({"client": "web", "user": ANA, "scope": format!("openid offline_access {ORDERS}"), "bare": true});
    let answer = ask(&world, "moved", ORDERS, &foreign(&world, order).await).await;
    goes_on(&world, "moved", ORDERS, &answer).await;
}

#[tokio::test]
async fn so_it_does_at_an_issuer_that_says_nowhere_whose_a_token_is() {
    let mut directory = Emulator::built_in();
    directory["realms"][0]["without"] = json!(["userinfo"]);
    let world = World::staged(Stage { apps: APPS, directory: Some(directory), ..Stage::default() }).await;
    let order =
        json!({"realm": "shop", "client": "shop-web", "user": "eva", "scope": "openid offline_access orders.read", "bare": true});
    let answer = ask(&world, "shop-moved", "orders.read", &foreign(&world, order).await).await;
    goes_on(&world, "shop-moved", "orders.read", &answer).await;
}
