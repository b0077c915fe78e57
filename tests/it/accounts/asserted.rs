//! Tokens for assertions, whose account the answer alone names: signing that out reaches them at every replica, and the
//! `/sign-out/url` that goes with it gives no URL where it cannot be done.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{ANA, BEN, ORDERS, PATIENCE, Plan, Stage, USER_READ, id};
use crate::saml::{SAML2, of_user};
use crate::support::redis::RedisServer;
use crate::support::{Answer, Fault, eventually};

// === impl Stage ===

impl Stage {
    /// `POST /obo` as the app `orders` with an assertion.
    async fn asserted(&self, replica: usize, assertion: &str) -> Answer {
        let body = json!({"app": "orders", "scopes": USER_READ, "assertion": assertion, "assertion_type": SAML2});
        self.client(replica).post("/obo", &body).await
    }
}

#[tokio::test]
async fn req_8_signing_out_the_account_that_the_answer_names_reaches_the_token_of_an_assertion() {
    for stage in Stage::both().await {
        let last = stage.last();
        let [first, second, bens] = [ANA, ANA, BEN].map(|user| of_user(&stage.emulator, user));
        let (first, second, bens) = (first.await, second.await, bens.await);
        let tokens = [stage.asserted(last, &first).await, stage.asserted(0, &second).await, stage.asserted(0, &bens).await];
        assert_eq!(tokens[0].json["account"]["username"], ANA, "{}", tokens[0].text);
        // What one replica brought the others have.
        for (xml, token) in [(&first, &tokens[0]), (&second, &tokens[1]), (&bens, &tokens[2])] {
            for replica in [0, last] {
                assert_eq!(stage.asserted(replica, xml).await.token(), token.token());
            }
        }
        assert_eq!(stage.calls().await, 3);
        assert_eq!(stage.sign_out(0, "orders", id(&tokens[0])).await.status, 204);
        for (xml, token) in [(&first, &tokens[0]), (&second, &tokens[1])] {
            for replica in [0, last] {
                eventually(PATIENCE, async || stage.asserted(replica, xml).await.token() != token.token()).await;
            }
        }
        assert_eq!(stage.asserted(last, &bens).await.token(), tokens[2].token());
    }
}

#[tokio::test]
async fn a_sign_out_while_the_authority_is_asked_keeps_nothing_of_it() {
    for stage in Stage::both().await {
        let xml = of_user(&stage.emulator, ANA).await;
        let known = stage.asserted(0, &of_user(&stage.emulator, ANA).await).await;
        stage.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true}})).await;
        let asking = stage.asserted(0, &xml);
        let ending = async {
            stage.emulator.asked_times("token", 2).await;
            assert_eq!(stage.sign_out(stage.last(), "orders", id(&known)).await.status, 204);
            stage.emulator.release().await;
        };
        let (answer, ()) = tokio::join!(asking, ending);
        assert_eq!(answer.source(), "identity_provider");
        assert_ne!(stage.asserted(0, &xml).await.token(), answer.token());
    }
}

#[tokio::test]
async fn an_answer_about_two_users_is_502_and_nothing_of_it_is_kept() {
    let stage = Stage::memory().await;
    let xml = of_user(&stage.emulator, ANA).await;
    let tenant = stage.emulator.directory["tenants"][0]["id"].clone();
    let other = URL_SAFE_NO_PAD.encode(json!({"uid": "another-oid", "utid": tenant}).to_string());
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": {"client_info": other}}})).await;
    stage.asserted(0, &xml).await.refused(502, "invalid_authority_response", "somebody else");
    stage.later(10);
    assert_eq!(stage.asserted(0, &xml).await.source(), "identity_provider");
}

/// An assertion that nobody signed, and an answer that names this account: the authority's judgement is the script's.
async fn judged(stage: &Stage, info: Value) {
    let info = URL_SAFE_NO_PAD.encode(info.to_string());
    let body = json!({"access_token": "canary-asserted", "token_type": "Bearer", "expires_in": 3600, "client_info": info});
    stage.emulator.unscript().await;
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"raw": {"body": body}}})).await;
}

fn numbered(number: usize) -> String {
    format!(
        "<Assertion xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\" Version=\"2.0\" ID=\"_{number}\"><Conditions \
         NotOnOrAfter=\"2030-01-01T00:00:00Z\"/></Assertion>"
    )
}

#[tokio::test]
async fn a_sign_out_takes_all_that_an_accounts_assertions_have_brought() {
    let stage = Stage::sharing(1).await;
    judged(&stage, json!({"uid": "home-oid", "utid": "home-tid"})).await;
    for source in ["identity_provider", "cache"] {
        for number in 0..24 {
            assert_eq!(stage.asserted(0, &numbered(number)).await.source(), source);
        }
    }
    assert_eq!(stage.sign_out(0, "orders", "home-oid.home-tid").await.status, 204);
    for source in ["identity_provider", "cache"] {
        for number in [0, 11, 23] {
            assert_eq!(stage.asserted(0, &numbered(number)).await.source(), source);
        }
    }
}

#[tokio::test]
async fn an_answer_that_names_nobody_is_kept_for_its_assertion_alone() {
    for stage in Stage::both().await {
        judged(&stage, json!({})).await;
        let first = stage.asserted(0, &numbered(1)).await;
        assert_eq!((first.source(), &first.json["account"]), ("identity_provider", &Value::Null), "{}", first.text);
        assert_eq!(stage.asserted(stage.last(), &numbered(1)).await.source(), "cache");
        assert_eq!(stage.asserted(stage.last(), &numbered(2)).await.source(), "identity_provider");
        assert!(stage.listed(0, "orders").await.is_empty());
    }
}

#[tokio::test]
async fn without_redis_there_is_no_sign_out_and_no_url() {
    let redis = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", redis.port())).await;
    let urls = vec![format!("redis://{}", fault.address()), redis.url()];
    let stage = Stage::made(Plan { redis: Some(redis), urls, ..Plan::default() }).await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    let body = json!({"app": "web", "account": id(&signed)});
    fault.cut();
    let refused = stage.client(0).post("/sign-out/url", &body).await;
    refused.refused(503, "cache_unavailable", "");
    assert!(!refused.text.contains("logout"), "{}", refused.text);
    // Whoever names no account needs no cache.
    assert_eq!(stage.client(0).post("/sign-out/url", &json!({"app": "web"})).await.status, 200);
    assert_eq!(stage.client(1).post("/sign-out/url", &body).await.status, 200);
    assert_eq!(stage.account(1, "web", id(&signed)).await.status, 404);
}
