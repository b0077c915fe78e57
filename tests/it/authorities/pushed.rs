//! Authorization requests that are pushed (RFC 9126): the URL names them and says nothing else.

use serde_json::{Value, json};

use crate::support::{Client, REDIRECT_URI, Stage, World, parameter};

const APPS: &str = r#"
  vault: {issuer: "ORIGIN/oidc/vault", ca_file: FILES/ca.pem, client_id: vault-web,
    credential: {secret: {inline: vault-web-secret-for-tests-only}}}
  pushes: {issuer: "ORIGIN/oidc/shop", ca_file: FILES/ca.pem, client_id: shop-web, par: true,
    credential: {secret: {inline: shop-web-secret-for-tests-only}}}
  jwt: {issuer: "ORIGIN/oidc/shop", ca_file: FILES/ca.pem, client_id: shop-jwt, par: true,
    credential: {certificate: {file: FILES/shop-cert.pem}}}"#;

async fn stage() -> World {
    World::staged(Stage { apps: APPS, ..Stage::default() }).await
}

async fn signed_in(world: &World, app: &str, scope: &str) {
    let more = json!({"prompt": "none", "login_hint": "eva", "response_mode": "query"});
    let url = world.authorize_url(app, scope, more).await;
    assert_eq!(url.status, 200, "{}", url.text);
    let address: url::Url = url.member("authorization_url").parse().expect("a URL");
    let names: Vec<String> = address.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["client_id", "request_uri"], "{address}");
    let pushed = world.emulator.asked("pushed").await.pop().expect("a push");
    assert_eq!((&pushed["form"]["redirect_uri"], &pushed["form"]["code_challenge_method"]), (&json!(REDIRECT_URI), &json!("S256")));
    assert_eq!((&pushed["form"]["state"], &pushed["form"]["nonce"]), (&url.json["state"], &url.json["nonce"]));
    let answer = Client::send(world.emulator.client.http.get(address)).await;
    let back: url::Url = answer.header("location").parse().unwrap_or_else(|_| panic!("{}", answer.text));
    assert_eq!(parameter(&back, "state"), url.member("state"));
    let redeem = json!({
        "app": app, "scopes": scope, "redirect_uri": REDIRECT_URI, "code": parameter(&back, "code"),
        "code_verifier": url.member("code_verifier"), "nonce": url.member("nonce"), "iss": parameter(&back, "iss"),
    });
    world.redeem(&redeem).await.token();
}

#[tokio::test]
async fn req_17_requests_are_pushed_where_metadata_asks_for_it_and_where_the_app_does() {
    let world = stage().await;
    signed_in(&world, "vault", "vault.open").await;
    signed_in(&world, "pushes", "stock.read").await;
    // The client proves itself there as at the token endpoint.
    signed_in(&world, "jwt", "stock.read").await;
    let pushed = world.emulator.asked("pushed").await.pop().expect("a push");
    assert!(pushed["form"]["client_assertion"].is_string(), "{pushed}");
}

#[tokio::test]
async fn req_17_a_push_that_is_refused_is_answered_as_the_authority_says_and_one_that_cannot_be_is_said() {
    let world = stage().await;
    world.emulator.script(json!({"on": {"endpoint": "pushed"}, "do": {"error": {"error": "invalid_request"}}})).await;
    let url = world.authorize_url("pushes", "stock.read", json!({})).await;
    assert_eq!((url.status, url.member("error")), (400, "invalid_request"), "{}", url.text);
    let directory = {
        let mut directory = crate::support::Emulator::built_in();
        directory["realms"][0]["without"] = json!(["pushed"]);
        directory
    };
    let without = World::staged(Stage { apps: APPS, directory: Some(directory), ..Stage::default() }).await;
    let url = without.authorize_url("pushes", "stock.read", json!({})).await;
    url.refused(502, "invalid_authority_response", "`par: true`");
    assert_eq!(without.emulator.asked("pushed").await, Vec::<Value>::new());
}
