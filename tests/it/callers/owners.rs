//! Accounts belong to the caller that made them: two callers and one user, in everything that is kept of the user.

use futures_util::future::join_all;
use serde_json::json;

use super::{ANA, BEN, EXPIRED, PATIENCE, Stage, THREE, id};
use crate::support::{GRAPH, code, eventually};

#[tokio::test]
async fn one_callers_sign_in_is_nobodys_elses() {
    for stage in Stage::both(&THREE).await {
        let ana = id(&stage.sign_in(0, "alpha", ANA).await);
        for replica in [0, stage.last()] {
            stage.silent(replica, "beta", &ana).await.refused(401, "no_tokens_found", "sign in");
            stage.account(replica, "beta", "web", &ana).await.refused(404, "unknown_account", "account");
            assert_eq!(stage.sign_out(replica, "beta", "web", &ana).await.status, 204);
            assert_eq!(stage.listed(replica, "beta").await, [""; 0]);
            assert_eq!(stage.silent(replica, "alpha", &ana).await.source(), "cache");
            assert_eq!(stage.account(replica, "alpha", "web", &ana).await.status, 200);
            assert_eq!(stage.listed(replica, "alpha").await, [&*ana]);
        }
        assert_eq!(stage.calls().await, 1);
    }
}

#[tokio::test]
async fn one_user_of_two_callers_is_two_accounts() {
    for stage in Stage::both(&THREE).await {
        let (first, second) = (stage.sign_in(0, "alpha", ANA).await, stage.sign_in(0, "beta", ANA).await);
        let ana = id(&first);
        assert_eq!(ana, id(&second));
        assert_ne!(first.token(), second.token());
        for replica in [0, stage.last()] {
            assert_eq!(stage.silent(replica, "alpha", &ana).await.token(), first.token());
            assert_eq!(stage.silent(replica, "beta", &ana).await.token(), second.token());
        }
        // Each renews with the refresh token that its own sign-in brought.
        stage.clock.advance(std::time::Duration::from_secs(EXPIRED));
        let renewed = stage.silent(0, "alpha", &ana).await;
        assert_eq!(renewed.source(), "identity_provider");
        let other = stage.silent(stage.last(), "beta", &ana).await;
        assert_eq!(other.source(), "identity_provider");
        assert_ne!(renewed.token(), other.token());
        // Signed out by one, the other's goes on, its refresh token included.
        assert_eq!(stage.sign_out(0, "alpha", "web", &ana).await.status, 204);
        for replica in [0, stage.last()] {
            eventually(PATIENCE, async || stage.silent(replica, "alpha", &ana).await.status == 401).await;
            assert_eq!(stage.silent(replica, "beta", &ana).await.token(), other.token());
            assert_eq!(stage.listed(replica, "beta").await, [&*ana]);
            assert_eq!(stage.listed(replica, "alpha").await, [""; 0]);
        }
        stage.clock.advance(std::time::Duration::from_secs(EXPIRED));
        assert_eq!(stage.silent(stage.last(), "beta", &ana).await.source(), "identity_provider");
    }
}

#[tokio::test]
async fn tokens_on_behalf_of_a_user_are_the_callers_own() {
    for stage in Stage::both(&THREE).await {
        let (ana, ben) = (stage.user_token(ANA).await, stage.user_token(BEN).await);
        let first = stage.obo(0, "alpha", &ana).await;
        let second = stage.obo(0, "beta", &ana).await;
        assert_eq!((first.source(), second.source()), ("identity_provider", "identity_provider"));
        assert_ne!(first.token(), second.token());
        stage.obo(0, "alpha", &ben).await.token();
        let calls = stage.calls().await;
        for replica in [0, stage.last()] {
            assert_eq!(stage.obo(replica, "alpha", &ana).await.token(), first.token());
            assert_eq!(stage.obo(replica, "beta", &ana).await.token(), second.token());
        }
        assert_eq!(stage.calls().await, calls);
        let account = id(&first);
        assert_eq!(stage.sign_out(0, "alpha", "orders", &account).await.status, 204);
        assert_eq!(stage.obo(0, "beta", &ana).await.token(), second.token());
        assert_ne!(stage.obo(0, "alpha", &ana).await.token(), first.token());
        assert_eq!(stage.calls().await, calls + 1);
    }
}

#[tokio::test]
async fn at_the_same_time_two_callers_do_not_share_a_call_for_a_user() {
    for stage in Stage::both(&THREE).await {
        let ana = stage.user_token(ANA).await;
        stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hold": true}})).await;
        let asked = join_all(["alpha", "beta", "alpha", "beta"].map(|caller| stage.obo(0, caller, &ana)));
        let (answers, ()) = tokio::join!(asked, async {
            stage.emulator.asked_times("token", 2).await;
            stage.emulator.release().await;
        });
        assert_eq!(stage.calls().await, 2);
        let tokens: Vec<&str> = answers.iter().map(|answer| answer.token()).collect();
        assert!(tokens[0] == tokens[2] && tokens[1] == tokens[3] && tokens[0] != tokens[1], "{tokens:?}");
    }
}

#[tokio::test]
async fn a_code_is_redeemed_for_the_caller_that_sends_it() {
    for stage in Stage::both(&THREE).await {
        let body = code(&stage.emulator, &stage.client(0, "alpha"), "web", super::ORDERS, ANA).await;
        stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hold": true}})).await;
        let (alpha, beta) = (stage.client(0, "alpha"), stage.client(0, "beta"));
        let (first, second, ()) = tokio::join!(alpha.post("/auth-code", &body), beta.post("/auth-code", &body), async {
            stage.emulator.asked_times("token", 2).await;
            stage.emulator.release().await;
        });
        // The authority takes it once, and the account is the one's whose request that was.
        let (signed, caller, other) = if first.status == 200 { (first, "alpha", "beta") } else { (second, "beta", "alpha") };
        let ana = id(&signed);
        assert_eq!(stage.listed(0, caller).await, [&*ana]);
        assert_eq!(stage.listed(0, other).await, [""; 0]);
    }
}

#[tokio::test]
async fn an_apps_own_tokens_are_everybodys() {
    for stage in Stage::both(&THREE).await {
        let body = json!({"app": "daemon", "scopes": [GRAPH]});
        let mut tokens = Vec::new();
        for (replica, caller) in [(0, "alpha"), (0, "beta"), (stage.last(), "desk")] {
            let answer = stage.client(replica, caller).post("/client-credentials", &body).await;
            tokens.push(answer.token().to_owned());
        }
        tokens.dedup();
        assert_eq!((tokens.len(), stage.calls().await), (1, 1));
    }
}

#[tokio::test]
async fn what_concerns_the_app_concerns_all_and_what_concerns_a_user_its_own() {
    let stage = Stage::memory(&THREE).await;
    let ana = stage.user_token(ANA).await;
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"error": {"error": "invalid_grant"}}})).await;
    stage.obo(0, "alpha", &ana).await.refused(401, "invalid_grant", "sign in");
    // What is remembered of one caller's user does not stop another's.
    stage.obo(0, "beta", &ana).await.token();
    stage.obo(0, "alpha", &ana).await.refused(401, "invalid_grant", "sign in");
    assert_eq!(stage.calls().await, 2);
    stage.clock.advance(std::time::Duration::from_secs(10));
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"throttle": {"retry_after": "30"}}})).await;
    let ben = stage.user_token(BEN).await;
    for caller in ["alpha", "beta"] {
        assert_eq!(stage.obo(0, caller, &ben).await.status, 429, "{caller}");
    }
    assert_eq!(stage.calls().await, 3);
}
