//! An authority that mixes up two users: its answer is no answer, nothing of it is served or kept, and what was there stays.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{ANA, BEN, EXPIRED, ORDERS, PATIENCE, Stage, id};
use crate::support::{Answer, eventually};

/// Longer than a refusal is remembered.
const LATER: u64 = 6;

fn info(uid: &str, utid: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({"uid": uid, "utid": utid}).to_string())
}

/// Lets what is remembered of failures end: here by the clock, in Redis, which has a clock of its own, by hand.
async fn forgotten(stage: &Stage) {
    stage.later(LATER);
    let Some(redis) = &stage.redis else { return };
    for hold in redis.keys().await.iter().filter(|key| key.contains("}:h:")) {
        let _gone: i64 = redis.admin().ask(&["DEL", hold]).await.expect("an answer");
    }
}

/// The object id of a user and its tenant.
fn user(stage: &Stage, name: &str) -> (String, String) {
    let users = stage.emulator.directory["users"].as_array().expect("users");
    let user = users.iter().find(|user| user["username"] == name).expect("a user");
    let text = |member: &str| user[member].as_str().expect("a text").to_owned();
    let tenants = stage.emulator.directory["tenants"].as_array().expect("tenants");
    let tenant = tenants.iter().find(|tenant| tenant["name"] == user["tenant"] || tenant["id"] == user["tenant"]);
    (text("object_id"), tenant.expect("a tenant")["id"].as_str().expect("an id").to_owned())
}

async fn id_token(stage: &Stage, name: &str) -> String {
    stage.emulator.mint(json!({"kind": "id", "app": "web", "user": name})).await
}

/// Changes the members of the next answer to a grant.
async fn answering(stage: &Stage, grant: &str, times: u32, set: Value) {
    stage.emulator.script(json!({"on": {"grant_type": grant}, "times": times, "do": {"set": set}})).await;
}

const OBO: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

#[track_caller]
fn is_mixed_up(answer: &Answer) {
    answer.refused(502, "invalid_authority_response", "somebody else");
    assert!(!answer.text.contains("canary") && !answer.text.contains("ben@"), "{}", answer.text);
}

#[tokio::test]
async fn a_refresh_that_is_answered_for_another_user_changes_nothing() {
    for stage in Stage::both().await {
        let (ben, tenant) = user(&stage, BEN);
        let of_ben = id_token(&stage, BEN).await;
        let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
        stage.later(EXPIRED);
        for (number, about) in [json!({"client_info": info(&ben, &tenant)}), json!({"id_token": of_ben})].into_iter().enumerate() {
            let mut set = json!({"access_token": "canary", "refresh_token": "canary-of-ben"});
            set.as_object_mut().expect("an object").extend(about.as_object().expect("an object").clone());
            answering(&stage, "refresh_token", 1, set).await;
            is_mixed_up(&stage.silent(0, "web", id(&signed), ORDERS).await);
            // Whoever asks again at once is told the same without the authority, wherever.
            is_mixed_up(&stage.silent(stage.last(), "web", id(&signed), ORDERS).await);
            assert_eq!(stage.calls().await, 2 + number);
            forgotten(&stage).await;
        }
        let renewed = stage.silent(stage.last(), "web", id(&signed), ORDERS).await;
        assert_eq!((renewed.source(), &renewed.json["account"]), ("identity_provider", &signed.json["account"]));
        let sent = stage.sent().await;
        assert!(sent.len() == 3 && sent.iter().all(|token| *token == sent[0]), "the user's own, each time: {sent:?}");
        assert_eq!(stage.listed(0, "web").await, [id(&signed)]);
    }
}

#[tokio::test]
async fn a_renewal_that_is_answered_for_another_user_takes_nothing_away() {
    for stage in Stage::both().await {
        let (ben, tenant) = user(&stage, BEN);
        let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
        answering(&stage, "refresh_token", 0, json!({"access_token": "canary", "client_info": info(&ben, &tenant)})).await;
        stage.later(3000);
        let due = stage.silent(0, "web", id(&signed), ORDERS).await;
        assert_eq!((due.token(), due.member("refresh_reason")), (signed.token(), "proactively_refreshed"));
        eventually(PATIENCE, async || stage.calls().await == 2).await;
        eventually(PATIENCE, async || {
            let next = stage.silent(0, "web", id(&signed), ORDERS).await;
            assert_eq!(next.token(), signed.token());
            next.member("refresh_reason") == "not_applicable"
        })
        .await;
        assert_eq!(stage.silent(stage.last(), "web", id(&signed), ORDERS).await.token(), signed.token());
    }
}

#[tokio::test]
async fn what_a_refresh_does_not_say_or_says_of_a_guest_is_no_contradiction() {
    let stage = Stage::memory().await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    let (ana, tenant) = user(&stage, ANA);
    let elsewhere = id_token(&stage, "fay@fabrikam.example").await;
    for about in [
        json!({"client_info": null}),
        json!({"client_info": "%%%"}),
        json!({"id_token": null}),
        json!({"client_info": null, "id_token": null}),
        json!({"client_info": info(&ana.to_uppercase(), &tenant.to_uppercase())}),
        // Of another tenant, where the user is a guest: `client_info` says who it is.
        json!({"id_token": elsewhere}),
    ] {
        stage.later(EXPIRED);
        answering(&stage, "refresh_token", 1, about.clone()).await;
        let renewed = stage.silent(0, "web", id(&signed), ORDERS).await;
        assert_eq!((renewed.source(), id(&renewed)), ("identity_provider", id(&signed)), "{about}");
    }
}

#[tokio::test]
async fn an_issuers_refresh_has_the_accounts_issuer_and_subject() {
    let mint = async |stage: &Stage, user: &str, claims: Value| {
        let order = json!({"realm": "shop", "kind": "id", "app": "shop-web", "user": user, "claims": claims});
        stage.emulator.mint(order).await
    };
    for case in 0..4 {
        for stage in Stage::both().await {
            let signed = stage.sign_in(0, "shop-offline", "orders.read", "eva").await;
            let (token, word) = match case {
                0 => (mint(&stage, "sam", json!({})).await, "somebody else"),
                1 => (mint(&stage, "eva", json!({"iss": "https://elsewhere.example"})).await, "somebody else"),
                2 => (mint(&stage, "eva", json!({"aud": "shop-orders"})).await, "somebody else"),
                _ => ("canary.no.token".to_owned(), "id_token"),
            };
            let set = json!({"access_token": "canary", "refresh_token": "canary-of-sam", "id_token": token});
            answering(&stage, "refresh_token", 1, set).await;
            stage.later(EXPIRED);
            let answer = stage.silent(0, "shop-offline", id(&signed), "orders.read").await;
            answer.refused(502, "invalid_authority_response", word);
            assert!(!answer.text.contains("canary"), "{}", answer.text);
            // The one that was sent is used up, and its successor is not believed: the user signs in again.
            forgotten(&stage).await;
            let next = stage.silent(stage.last(), "shop-offline", id(&signed), "orders.read").await;
            assert_eq!(next.status, 401, "{}", next.text);
            assert!(!stage.sent().await.iter().any(|sent| sent.contains("canary")));
            let again = stage.sign_in(stage.last(), "shop-offline", "orders.read", "eva").await;
            assert_eq!(stage.silent(0, "shop-offline", id(&again), "orders.read").await.token(), again.token());
        }
    }
}

#[tokio::test]
async fn an_issuers_refresh_need_not_say_whom_it_is_about() {
    let stage = Stage::memory().await;
    let signed = stage.sign_in(0, "shop-offline", "orders.read", "eva").await;
    stage.later(EXPIRED);
    answering(&stage, "refresh_token", 1, json!({"id_token": null})).await;
    assert_eq!(stage.silent(0, "shop-offline", id(&signed), "orders.read").await.source(), "identity_provider");
}

#[tokio::test]
async fn an_exchange_for_a_user_that_is_answered_for_another_one_is_no_answer() {
    for stage in Stage::both().await {
        let (ben, tenant) = user(&stage, BEN);
        let bearer = stage.emulator.user_token(ANA).await;
        let of_ben = id_token(&stage, BEN).await;
        for about in [
            json!({"client_info": info(&ben, &tenant)}),
            json!({"client_info": info(&ben.to_uppercase(), &tenant.to_uppercase())}),
            json!({"id_token": of_ben}),
        ] {
            let calls = stage.calls().await;
            let mut set = json!({"access_token": "canary"});
            set.as_object_mut().expect("an object").extend(about.as_object().expect("an object").clone());
            answering(&stage, OBO, 1, set).await;
            is_mixed_up(&stage.obo(0, &bearer).await);
            is_mixed_up(&stage.obo(stage.last(), &bearer).await);
            assert_eq!(stage.calls().await, calls + 1);
            forgotten(&stage).await;
        }
        let own = stage.obo(stage.last(), &bearer).await;
        assert_eq!((own.source(), own.json["account"]["username"].as_str()), ("identity_provider", Some(ANA)));
        // At home elsewhere, under whichever id: a guest.
        stage.later(EXPIRED / 40);
        let bearer = stage.emulator.user_token(ANA).await;
        answering(&stage, OBO, 1, json!({"client_info": info(&ben, "another-tenant")})).await;
        assert_eq!(stage.obo(0, &bearer).await.source(), "identity_provider");
    }
}

#[tokio::test]
async fn whom_an_issuers_token_exchange_is_about_is_the_issuers_to_decide() {
    let stage = Stage::memory().await;
    let order = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
    let bearer = stage.emulator.mint(order).await;
    let of_sam = stage.emulator.mint(json!({"realm": "shop", "kind": "id", "app": "shop-orders", "user": "sam"})).await;
    answering(&stage, EXCHANGE, 1, json!({"id_token": of_sam})).await;
    let body = json!({"app": "shop", "scopes": "stock.read"});
    assert_eq!(stage.client(0).post_as("/obo", &bearer, &body).await.source(), "identity_provider");
}
