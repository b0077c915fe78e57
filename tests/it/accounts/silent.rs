//! `/silent`: from the cache, then by the refresh token, of which no answer ever tells.

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::join_all;
use serde_json::json;

use super::{ANA, EXPIRED, ORDERS, PATIENCE, Stage, USER_READ, id};
use crate::support::eventually;

fn sha256(token: &str) -> String {
    digest(&SHA256, token.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn what_a_sign_in_brought_is_served_again() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
        let again = stage.silent(0, "web", id(&signed), ORDERS).await;
        assert_eq!((again.token(), again.source()), (signed.token(), "cache"));
        assert_eq!((again.member("cache_level"), again.member("refresh_reason")), ("memory", "not_applicable"));
        assert_eq!(again.json["account"], signed.json["account"]);
        assert_eq!(stage.calls().await, 1);
    }
}

#[tokio::test]
async fn another_replica_finds_it_in_redis_and_then_in_its_own_memory() {
    let stage = Stage::sharing(2).await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    for level in ["redis", "memory"] {
        let answer = stage.silent(1, "web", id(&signed), ORDERS).await;
        assert_eq!((answer.token(), answer.source(), answer.member("cache_level")), (signed.token(), "cache", level));
        assert_eq!(answer.member("refresh_reason"), "not_applicable");
    }
    assert_eq!(stage.calls().await, 1);
}

#[tokio::test]
async fn after_its_end_the_refresh_token_brings_a_new_one() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
        stage.later(EXPIRED);
        let renewed = stage.silent(0, "web", id(&signed), ORDERS).await;
        assert_eq!((renewed.source(), renewed.member("refresh_reason")), ("identity_provider", "expired"));
        assert_ne!(renewed.token(), signed.token());
        assert_eq!(renewed.json["account"]["home_account_id"], id(&signed));
        assert!(renewed.json["cache_level"].is_null(), "{}", renewed.text);
        let asked = &stage.emulator.asked("token").await[1];
        assert_eq!(asked["form"]["grant_type"], "refresh_token");
        assert_eq!(asked["form"]["client_info"], "1");
        let next = stage.silent(stage.last(), "web", id(&signed), ORDERS).await;
        assert_eq!((next.token(), next.source()), (renewed.token(), "cache"));
        assert_eq!(stage.calls().await, 2);
    }
}

#[tokio::test]
async fn entras_refresh_token_is_good_for_other_scopes_too() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
        let other = stage.silent(stage.last(), "web", id(&signed), USER_READ).await;
        assert_eq!((other.source(), other.member("refresh_reason")), ("identity_provider", "no_cached_access_token"));
        assert_ne!(other.token(), signed.token());
        let scope = stage.emulator.asked("token").await[1]["form"]["scope"].as_str().unwrap_or_default().to_owned();
        let mut scopes: Vec<_> = scope.split(' ').collect();
        scopes.sort_unstable();
        assert_eq!(scopes, [USER_READ, "offline_access", "openid", "profile"]);
        // Both are kept beside each other.
        for (scopes, first) in [(ORDERS, &signed), (USER_READ, &other)] {
            let again = stage.silent(0, "web", id(&signed), scopes).await;
            assert_eq!((again.token(), again.source()), (first.token(), "cache"));
        }
        assert_eq!(stage.calls().await, 2);
    }
}

#[tokio::test]
async fn at_an_issuer_the_scopes_may_be_fewer() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "shop-offline", "orders.read stock.read", "eva").await;
        let fewer = stage.silent(stage.last(), "shop-offline", id(&signed), "stock.read").await;
        assert_eq!((fewer.source(), fewer.member("refresh_reason")), ("identity_provider", "no_cached_access_token"));
        let form = &stage.emulator.asked("token").await[1]["form"];
        assert_eq!((&form["scope"], form.get("client_info")), (&json!("stock.read openid offline_access"), None));
        assert_eq!(stage.silent(0, "shop-offline", id(&signed), "stock.read").await.token(), fewer.token());
        // More than the user agreed to is the caller's mistake, and is asked of nobody.
        let calls = stage.calls().await;
        let more = stage.silent(0, "shop-offline", id(&signed), "orders.write").await;
        more.refused(400, "invalid_scope", "authority");
        assert_eq!(stage.calls().await, calls);
    }
}

/// The scopes that the last refresh asked for.
async fn asked_for(stage: &Stage) -> Option<String> {
    let asked = stage.emulator.asked("token").await;
    let last = asked.iter().rfind(|call| call["grant_type"] == "refresh_token").expect("a refresh");
    last["form"]["scope"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn req_15_a_refresh_asks_for_no_more_than_was_granted() {
    for stage in Stage::both().await {
        // The user agreed to less than was asked for.
        let granted = json!({"scope": "openid offline_access orders.read"});
        stage.emulator.script(json!({"on": {"endpoint": "token", "user": "eva"}, "times": 0, "do": {"set": granted}})).await;
        let signed = stage.sign_in(0, "shop-offline", "orders.read stock.read", "eva").await;
        let ask = async |scopes: &str| {
            stage.later(EXPIRED);
            let answer = stage.silent(stage.last(), "shop-offline", id(&signed), scopes).await;
            answer.token();
            asked_for(&stage).await
        };
        // What the sign-in was for, in any order: it goes without saying. So does all that was granted.
        for own in ["orders.read stock.read", "stock.read orders.read", "orders.read"] {
            assert_eq!(ask(own).await, None, "{own}");
        }
        // Of what goes beyond it the rest is left, and the wish for refresh tokens stays.
        stage.emulator.unscript().await;
        let signed = stage.sign_in(0, "shop-offline", "orders.read orders.write stock.read", "sam").await;
        for (scopes, sent) in [
            ("stock.read", "stock.read openid offline_access"),
            ("stock.read nothing.of.this", "stock.read openid offline_access"),
            ("orders.write openid stock.read", "orders.write openid stock.read offline_access"),
        ] {
            stage.later(EXPIRED);
            stage.silent(0, "shop-offline", id(&signed), scopes).await.token();
            assert_eq!(asked_for(&stage).await.as_deref(), Some(sent), "{scopes}");
        }
    }
}

#[tokio::test]
async fn reserved_scopes_alone_are_answered_by_any_token_of_the_user() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
        for scopes in ["openid", "profile offline_access", "OpenID profile", "offline_access openid profile openid"] {
            for replica in [0, stage.last()] {
                let answer = stage.silent(replica, "web", id(&signed), scopes).await;
                assert_eq!((answer.token(), answer.source()), (signed.token(), "cache"), "{scopes}");
            }
        }
        assert_eq!(stage.calls().await, 1);
        // With nothing at hand it is one call, and its answer serves them all.
        stage.later(EXPIRED);
        let renewed = stage.silent(0, "web", id(&signed), "openid").await;
        assert_eq!(renewed.source(), "identity_provider");
        assert_eq!(stage.silent(stage.last(), "web", id(&signed), "profile").await.token(), renewed.token());
        assert_eq!(stage.calls().await, 2);
    }
}

#[tokio::test]
async fn no_answer_ever_has_a_refresh_token() {
    for stage in Stage::both().await {
        for (app, scopes, user) in [("web", ORDERS, ANA), ("shop-offline", "orders.read", "eva")] {
            let mut answers = vec![stage.sign_in(0, app, scopes, user).await];
            let account = id(&answers[0]).to_owned();
            for force in [false, true] {
                for replica in [0, stage.last()] {
                    answers.push(stage.silent_with(replica, app, &account, scopes, json!({"force_refresh": force})).await);
                }
            }
            answers.push(stage.account(0, app, &account).await);
            answers.push(stage.client(0).get(&format!("/accounts?app={app}")).await);
            let sent = stage.sent().await;
            assert!(!sent.is_empty());
            for answer in answers {
                assert_eq!(answer.status, 200, "{}", answer.text);
                assert!(!answer.text.contains("refresh_token"), "{}", answer.text);
                assert!(sent.iter().all(|token| !answer.text.contains(token)), "{}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn force_refresh_and_claims_bypass_and_their_answers_replace() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
        let mut before = stage.silent(stage.last(), "web", id(&signed), ORDERS).await;
        let challenge = json!({"access_token": {"nbf": {"essential": true, "value": "1"}}}).to_string();
        for more in [json!({"force_refresh": true}), json!({"claims": challenge})] {
            let forced = stage.silent_with(0, "web", id(&signed), ORDERS, more).await;
            assert_eq!((forced.source(), forced.member("refresh_reason")), ("identity_provider", "force_refresh_or_claims"));
            assert_ne!(forced.token(), before.token());
            // Here at once, and elsewhere soon, though that replica has the old one in memory and the clock stands still.
            assert_eq!(stage.silent(0, "web", id(&signed), ORDERS).await.token(), forced.token());
            let last = stage.last();
            eventually(PATIENCE, async || stage.silent(last, "web", id(&signed), ORDERS).await.token() == forced.token()).await;
            before = forced;
        }
        let asked = stage.emulator.asked("token").await;
        assert_eq!((asked.len(), asked[1]["form"].get("claims")), (3, None));
        assert!(asked[2]["form"]["claims"].as_str().unwrap_or_default().contains("nbf"), "{asked:?}");
    }
}

#[tokio::test]
async fn only_the_token_that_was_rejected_is_bypassed() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
        let other = json!({"access_token_sha256": sha256("another")});
        assert_eq!(stage.silent_with(0, "web", id(&signed), ORDERS, other).await.source(), "cache");
        let rejected = json!({"access_token_sha256": sha256(signed.token())});
        let next = stage.silent_with(0, "web", id(&signed), ORDERS, rejected.clone()).await;
        assert_eq!(next.source(), "identity_provider");
        assert_ne!(next.token(), signed.token());
        // Who comes with the old one later is served the new one, wherever.
        for replica in [0, stage.last()] {
            let later = stage.silent_with(replica, "web", id(&signed), ORDERS, rejected.clone()).await;
            assert_eq!((later.source(), later.token()), ("cache", next.token()));
        }
        assert_eq!(stage.calls().await, 2);
    }
}

#[tokio::test]
async fn req_5_the_refresh_token_stays_until_there_is_another() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
        stage.on_refresh(1, json!({"set": {"refresh_token": null}})).await;
        for replica in [0, stage.last(), 0, stage.last()] {
            let forced = stage.silent_with(replica, "web", id(&signed), ORDERS, json!({"force_refresh": true})).await;
            assert_eq!(forced.source(), "identity_provider");
        }
        let sent = stage.sent().await;
        assert_eq!(sent.len(), 4);
        assert!(!sent[0].is_empty());
        assert_eq!(sent[0], sent[1], "none came back: the old one stays");
        assert!(sent[1] != sent[2] && sent[2] != sent[3] && sent[1] != sent[3], "what came back replaces it");
    }
}

#[tokio::test]
async fn many_requests_for_one_account_are_one_refresh() {
    let stage = Stage::memory().await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    stage.on_refresh(0, json!({"hold": true})).await;
    let requests = join_all((0..30).map(|_| stage.silent(0, "web", id(&signed), USER_READ)));
    let (answers, ()) = tokio::join!(requests, async {
        stage.replicas[0].answering(30).await;
        stage.emulator.release().await;
    });
    for answer in &answers {
        assert_eq!((answer.source(), answer.token()), ("identity_provider", answers[0].token()));
    }
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
async fn many_requests_on_all_replicas_are_one_refresh() {
    let stage = Stage::sharing(3).await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    stage.on_refresh(0, json!({"hold": true})).await;
    let requests = join_all((0..30).map(|index| stage.silent(index % 3, "web", id(&signed), USER_READ)));
    let (answers, ()) = tokio::join!(requests, async {
        for replica in &stage.replicas {
            replica.answering(10).await;
        }
        stage.emulator.release().await;
    });
    for answer in &answers {
        assert_eq!(answer.token(), answers[0].token());
    }
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
async fn of_whom_nothing_is_known_the_user_has_to_sign_in() {
    for stage in Stage::both().await {
        for (app, scopes) in [("web", ORDERS), ("shop-offline", "orders.read")] {
            let answer = stage.silent(0, app, "some.body", scopes).await;
            answer.refused(401, "no_tokens_found", "sign in");
            assert_eq!(answer.header("www-authenticate"), "Bearer error=\"interaction_required\"");
            assert_eq!(answer.json["retryable"], false);
        }
        assert_eq!(stage.calls().await, 0);
    }
}

#[tokio::test]
async fn without_a_refresh_token_an_account_lasts_as_long_as_its_token() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "shop-web", "orders.read", "eva").await;
        assert_eq!(stage.silent(stage.last(), "shop-web", id(&signed), "orders.read").await.token(), signed.token());
        assert_eq!(stage.account(stage.last(), "shop-web", id(&signed)).await.status, 200);
        let other = stage.silent(0, "shop-web", id(&signed), "stock.read").await;
        other.refused(401, "no_tokens_found", "sign in");
        stage.later(EXPIRED);
        let late = stage.silent(0, "shop-web", id(&signed), "orders.read").await;
        assert_eq!(late.header("www-authenticate"), "Bearer error=\"interaction_required\"");
        super::is_unknown(&late, &stage.account(0, "shop-web", id(&signed)).await);
        assert_eq!(stage.calls().await, 1);
    }
}

#[tokio::test]
async fn a_username_is_no_account() {
    let stage = Stage::memory().await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    stage.silent(0, "web", ANA, ORDERS).await.refused(400, "invalid_request", "account");
    stage.account(0, "web", "ana%40contoso.example").await.refused(400, "invalid_request", "home_account_id");
    stage.sign_out(0, "web", "ana%40contoso.example").await.refused(400, "invalid_request", "home_account_id");
    stage.silent(0, "web", "", ORDERS).await.refused(400, "invalid_request", "account");
    stage.silent(0, "web", &"x".repeat(513), ORDERS).await.refused(400, "invalid_request", "account");
    let body = json!({"app": "web", "scopes": ORDERS});
    stage.client(0).post("/silent", &body).await.refused(400, "invalid_request", "account");
    stage.client(0).post("/silent", &json!({"app": "web", "account": id(&signed)})).await.refused(400, "invalid_request", "scopes");
    assert_eq!(stage.silent(0, "web", id(&signed), ORDERS).await.source(), "cache");
}

#[tokio::test]
async fn two_apps_never_meet_and_two_names_of_one_do() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
        let (account, last) = (id(&signed).to_owned(), stage.last());
        super::is_unknown(&stage.silent(last, "orders", &account, USER_READ).await, &stage.account(last, "orders", &account).await);
        assert!(stage.listed(last, "orders").await.is_empty());
        assert_eq!(stage.sign_out(last, "orders", &account).await.status, 204);
        assert_eq!(stage.silent(last, "web", &account, ORDERS).await.token(), signed.token(), "it was not theirs to sign out");
        // One registration under two names is one client to the authority.
        assert_eq!(stage.silent(0, "web-cert", &account, ORDERS).await.token(), signed.token());
        assert_eq!(stage.account(0, "web-cert", &account).await.status, 200);
        assert_eq!(stage.calls().await, 1);
    }
}
