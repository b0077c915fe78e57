//! A sign-out while something is under way: what the authority was asked for before it is stored nowhere.

use super::{ANA, ORDERS, Stage, USER_READ, id, is_unknown};
use serde_json::json;

use crate::support::Answer;

/// Every way for two requests to meet: in memory alone, and over a Redis on one and on two replicas.
async fn meetings() -> Vec<(Stage, usize, usize)> {
    vec![(Stage::memory().await, 0, 0), (Stage::sharing(2).await, 0, 0), (Stage::sharing(2).await, 0, 1)]
}

/// Does `work` while the authority holds back its answer until the user has signed out at `there`.
async fn overtaken(stage: &Stage, there: usize, app: &str, id: &str, work: impl Future<Output = Answer>) -> Answer {
    let calls = stage.calls().await;
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"hold": true}})).await;
    let (answer, ()) = tokio::join!(work, async {
        stage.emulator.asked_times("token", calls + 1).await;
        assert_eq!(stage.sign_out(there, app, id).await.status, 204);
        stage.emulator.release().await;
    });
    answer
}

#[tokio::test]
async fn a_token_for_an_inbound_token_is_not_stored() {
    for (stage, here, there) in meetings().await {
        let signed = stage.sign_in(0, "orders", USER_READ, ANA).await;
        let bearer = stage.emulator.user_token(ANA).await;
        let answer = overtaken(&stage, there, "orders", id(&signed), stage.obo(here, &bearer)).await;
        // Whoever was waiting may have it: it was asked for before.
        assert_eq!(answer.source(), "identity_provider");
        if stage.redis.is_some() {
            assert!(stage.tokens().await.is_empty(), "{:?}", stage.tokens().await);
        }
        for replica in [there, here] {
            let silent = stage.silent(replica, "orders", id(&signed), USER_READ).await;
            is_unknown(&silent, &stage.account(replica, "orders", id(&signed)).await);
        }
        // The next one is as good as any.
        let next = stage.obo(here, &bearer).await;
        assert_eq!((next.source(), next.token() == answer.token()), ("identity_provider", false));
        assert_eq!(stage.obo(there, &bearer).await.token(), next.token());
        assert_eq!(stage.obo(here, &bearer).await.source(), "cache");
    }
}

#[tokio::test]
async fn what_a_refresh_token_brings_is_not_stored() {
    for (stage, here, there) in meetings().await {
        for (app, scopes, user) in [("web", ORDERS, ANA), ("shop-offline", "orders.read", "eva")] {
            let signed = stage.sign_in(here, app, scopes, user).await;
            stage.later(super::EXPIRED);
            let work = stage.silent(here, app, id(&signed), scopes);
            let answer = overtaken(&stage, there, app, id(&signed), work).await;
            answer.refused(401, "no_tokens_found", "sign in");
            for replica in [there, here] {
                is_unknown(&stage.silent(replica, app, id(&signed), scopes).await, &stage.account(replica, app, id(&signed)).await);
                assert!(stage.listed(replica, app).await.is_empty());
            }
            if stage.redis.is_some() {
                assert!(stage.tokens().await.is_empty() && stage.keys("}:a").await.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn a_renewal_in_the_background_brings_nothing_back() {
    for (stage, here, there) in meetings().await {
        let rule = json!({"on": {"grant_type": "authorization_code"}, "do": {"expires_in": 10_000, "set": {"refresh_in": 1000}}});
        stage.emulator.script(rule).await;
        let signed = stage.sign_in(here, "web", ORDERS, ANA).await;
        stage.later(1000);
        stage.on_refresh(1, json!({"hold": true})).await;
        assert_eq!(stage.silent(here, "web", id(&signed), ORDERS).await.token(), signed.token());
        stage.emulator.asked_times("token", 2).await;
        assert_eq!(stage.sign_out(there, "web", id(&signed)).await.status, 204);
        stage.emulator.release().await;
        let ended = "tokend_refreshes_total{app=\"web\",flow=\"silent\",outcome=";
        let over = async || stage.replicas[here].admin.get("/metrics").await.text.contains(ended);
        crate::support::eventually(super::PATIENCE, over).await;
        for replica in [there, here] {
            let silent = stage.silent(replica, "web", id(&signed), ORDERS).await;
            is_unknown(&silent, &stage.account(replica, "web", id(&signed)).await);
        }
        assert_eq!(stage.calls().await, 2);
    }
}

#[tokio::test]
async fn a_new_sign_in_that_a_sign_out_overtakes_stands() {
    // It is a new session: whoever signs out an old one does not mean it, and it must not be half there.
    for (stage, here, there) in meetings().await {
        for (app, scopes, user) in [("web", ORDERS, ANA), ("shop-offline", "orders.read", "eva")] {
            let old = stage.sign_in(here, app, scopes, user).await;
            let code = stage.code(here, app, scopes, user).await;
            let redeemed = stage.client(here).post("/auth-code", &code);
            let signed = overtaken(&stage, there, app, id(&old), redeemed).await;
            assert_ne!(signed.token(), old.token());
            for replica in [here, there] {
                assert_eq!(stage.silent(replica, app, id(&signed), scopes).await.token(), signed.token());
                assert_eq!(stage.account(replica, app, id(&signed)).await.status, 200);
            }
            stage.later(super::EXPIRED);
            assert_eq!(stage.silent(there, app, id(&signed), scopes).await.source(), "identity_provider");
        }
    }
}
