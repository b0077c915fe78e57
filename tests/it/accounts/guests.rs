//! Guests: the inbound token names the user as the tenant knows them, and the answer says that they are at home elsewhere. Signing
//! out the account that is shown reaches those tokens too.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{ANA, BEN, PATIENCE, Stage, USER_READ, id};
use crate::support::{Answer, eventually};

/// A token for an inbound token of Ana's, whom the authority says to be at home elsewhere.
async fn guest(stage: &Stage, replica: usize, bearer: &str) -> Answer {
    let info = URL_SAFE_NO_PAD.encode(json!({"uid": "home-oid", "utid": "home-tid"}).to_string());
    stage
        .emulator
        .script(json!({"on": {"endpoint": "token", "user": ANA}, "times": 1, "do": {"set": {"client_info": info}}}))
        .await;
    let answer = stage.obo(replica, bearer).await;
    assert_eq!((answer.source(), id(&answer)), ("identity_provider", "home-oid.home-tid"));
    answer
}

#[tokio::test]
async fn signing_out_a_guest_reaches_the_tokens_given_where_they_are_a_guest() {
    for stage in Stage::both().await {
        let last = stage.last();
        let bearers = [stage.emulator.user_token(ANA).await, stage.emulator.user_token(BEN).await];
        let first = guest(&stage, last, &bearers[0]).await;
        let other = stage.obo(last, &bearers[1]).await;
        assert_eq!(stage.obo(0, &bearers[0]).await.token(), first.token());
        assert_eq!(stage.sign_out(0, "orders", id(&first)).await.status, 204);
        for replica in [0, last] {
            eventually(PATIENCE, async || stage.obo(replica, &bearers[0]).await.token() != first.token()).await;
        }
        assert_eq!(stage.obo(last, &bearers[1]).await.token(), other.token());
    }
}

#[tokio::test]
async fn a_guest_of_one_app_is_not_signed_out_of_another() {
    for stage in Stage::both().await {
        let bearer = stage.emulator.user_token(ANA).await;
        let first = guest(&stage, 0, &bearer).await;
        let elsewhere = stage.sign_in(0, "web", super::ORDERS, ANA).await;
        assert_eq!(stage.sign_out(0, "web", id(&first)).await.status, 204);
        assert_eq!(stage.obo(0, &bearer).await.token(), first.token());
        // Who signs in at home and here is one account.
        assert_eq!(stage.sign_out(0, "orders", id(&first)).await.status, 204);
        assert_ne!(stage.obo(0, &bearer).await.token(), first.token());
        assert_eq!(stage.silent(0, "web", id(&elsewhere), super::ORDERS).await.token(), elsewhere.token());
        assert_eq!(stage.silent(0, "web", id(&elsewhere), USER_READ).await.source(), "identity_provider");
    }
}
