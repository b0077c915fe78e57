//! Signing out whom nobody knows: it is done, it leaves nothing behind, and it wins all the same over a call that is under way.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{ANA, PATIENCE, Stage, USER_READ, id};
use crate::support::{Answer, eventually};

const RECEIVED: &str = "tokend_cache_invalidations_total{direction=\"received\",kind=\"signed_out\"}";

#[tokio::test]
async fn it_is_done_and_leaves_nothing_behind() {
    for stage in Stage::both().await {
        for number in 0..50 {
            for replica in [0, stage.last()] {
                let gone = stage.sign_out(replica, "orders", &format!("some.body-{number}")).await;
                assert_eq!((gone.status, gone.text.as_str()), (204, ""));
            }
        }
        if stage.redis.is_some() {
            assert_eq!(stage.names().await, [""; 0]);
        }
        assert_eq!(stage.calls().await, 0);
        stage.sign_out(0, "nobody", "some.body").await.refused(404, "unknown_app", "`app`");
    }
}

/// Asks for a token of Ana, of whom nothing is known yet, and signs `account` out at another replica, or at the same, before the
/// authority answers; `info` is what that says of the user.
async fn overtaken(stage: &Stage, bearer: &str, account: &str, there: usize, info: Option<&str>) -> Answer {
    let calls = stage.calls().await;
    let mut effects = json!({"hold": true});
    if let Some(info) = info {
        effects["set"] = json!({"client_info": info});
    }
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": effects})).await;
    let (answer, ()) = tokio::join!(stage.obo(0, bearer), async {
        stage.emulator.asked_times("token", calls + 1).await;
        assert_eq!(stage.sign_out(there, "orders", account).await.status, 204);
        if there != 0 {
            eventually(PATIENCE, async || stage.metric(0, RECEIVED).await >= 1.0).await;
        }
        stage.emulator.release().await;
    });
    // Whoever was waiting may have it: it was asked for before.
    assert_eq!(answer.source(), "identity_provider");
    answer
}

async fn is_not_kept(stage: &Stage, bearer: &str, answer: &Answer) {
    if stage.redis.is_some() {
        assert_eq!(stage.tokens().await, [""; 0]);
        assert_eq!(stage.keys("}:e").await, [""; 0], "nothing stood there that an epoch could end");
    }
    let next = stage.obo(stage.last(), bearer).await;
    assert_eq!((next.source(), next.token() == answer.token()), ("identity_provider", false));
    // Which is as good as any.
    let again = stage.obo(0, bearer).await;
    assert_eq!((again.source(), again.token()), ("cache", next.token()));
}

#[tokio::test]
async fn a_call_that_is_under_way_brings_nobody_back() {
    for (stage, there) in [(Stage::memory().await, 0), (Stage::sharing(2).await, 0), (Stage::sharing(2).await, 1)] {
        let bearer = stage.emulator.user_token(ANA).await;
        // What the account will be called shows the same token of another app.
        let other = stage.client(0).post_as("/obo", &bearer, &json!({"app": "orders-secret", "scopes": USER_READ})).await;
        let account = id(&other).to_owned();
        assert_eq!(stage.sign_out(0, "orders-secret", &account).await.status, 204);
        if let Some(redis) = &stage.redis {
            redis.flush().await;
            // Nobody knows of it any more.
            stage.later(super::LONG_AGO);
            // The message about this one is not the one that is waited for.
            eventually(PATIENCE, async || stage.metric(1, RECEIVED).await >= 1.0).await;
        }
        let answer = overtaken(&stage, &bearer, &account, there, None).await;
        is_not_kept(&stage, &bearer, &answer).await;
    }
}

/// Only the answer says whose token it is.
#[tokio::test]
async fn a_guests_call_that_is_under_way_brings_nobody_back() {
    for (stage, there) in [(Stage::memory().await, 0), (Stage::sharing(2).await, 0), (Stage::sharing(2).await, 1)] {
        let bearer = stage.emulator.user_token(ANA).await;
        let info = URL_SAFE_NO_PAD.encode(json!({"uid": "home-oid", "utid": "home-tid"}).to_string());
        let answer = overtaken(&stage, &bearer, "home-oid.home-tid", there, Some(&info)).await;
        assert_eq!(id(&answer), "home-oid.home-tid");
        is_not_kept(&stage, &bearer, &answer).await;
    }
}

/// Redis has lost the account, so that the sign-out leaves no epoch there; the refresh under way elsewhere has heard of it.
#[tokio::test]
async fn a_refresh_that_is_under_way_brings_nobody_back() {
    let stage = Stage::sharing(2).await;
    let signed = stage.sign_in(0, "shop-offline", "orders.read orders.write", "eva").await;
    let calls = stage.calls().await;
    stage.on_refresh(1, json!({"hold": true})).await;
    let (_answer, ()) = tokio::join!(stage.silent(0, "shop-offline", id(&signed), "orders.read"), async {
        stage.emulator.asked_times("token", calls + 1).await;
        stage.redis().flush().await;
        assert_eq!(stage.sign_out(1, "shop-offline", id(&signed)).await.status, 204);
        eventually(PATIENCE, async || stage.metric(0, RECEIVED).await >= 1.0).await;
        stage.emulator.release().await;
    });
    for replica in [0, 1] {
        assert_eq!(stage.account(replica, "shop-offline", id(&signed)).await.status, 404);
        stage.silent(replica, "shop-offline", id(&signed), "orders.read").await.refused(401, "no_tokens_found", "");
    }
    assert_eq!(stage.calls().await, calls + 1);
}

#[tokio::test]
async fn what_a_replica_knows_is_no_unknown_account() {
    let stage = Stage::sharing(2).await;
    let bearer = stage.emulator.user_token(ANA).await;
    let known = stage.obo(0, &bearer).await;
    stage.redis().flush().await;
    // Redis has lost it, and this replica has not: whoever else has it must learn of it, also if a message is lost.
    assert_eq!(stage.sign_out(0, "orders", id(&known)).await.status, 204);
    assert_eq!(stage.keys("}:e").await.len(), 1);
    assert_ne!(stage.obo(0, &bearer).await.token(), known.token());
}
