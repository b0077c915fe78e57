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

const HOME: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
const ELSEWHERE: &str = "3f1c7a52-6d0b-4c8e-9a47-51e2d8b6f0c3";

/// What a refresh is answered from now on: a token of that tenant, where the user has that id and is called so.
async fn refreshed(stage: &Stage, account: &str, claims: serde_json::Value) {
    let (uid, utid) = account.split_once('.').expect("a home account id");
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let id_token = format!("{}.{}.", part(json!({"alg": "none"})), part(claims));
    let body = json!({
        "access_token": format!("token-{}", id_token.len()), "token_type": "Bearer", "expires_in": 3600, "scope": USER_READ,
        "id_token": id_token, "client_info": part(json!({"uid": uid, "utid": utid})),
    });
    stage.emulator.unscript().await;
    stage.emulator.script(json!({"on": {"grant_type": "refresh_token"}, "times": 0, "do": {"raw": {"body": body}}})).await;
}

#[tokio::test]
async fn a_guests_account_is_that_of_the_tokens_own_tenant_and_is_listed_once() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "partner", USER_READ, ANA).await;
        let (account, oid) = (id(&signed), signed.json["account"]["local_account_id"].clone());
        let listed = async |replica: usize| {
            let page = stage.client(replica).get("/accounts?app=partner").await;
            assert_eq!(page.json["accounts"].as_array().map(Vec::len), Some(1), "{}", page.text);
            let one = stage.account(replica, "partner", account).await;
            assert_eq!(one.json, page.json["accounts"][0]);
            one.json
        };
        let before = listed(0).await;
        assert_eq!((before.get("tenants"), &before["tenant_id"], &before["local_account_id"]), (None, &json!(HOME), &oid));
        // Elsewhere: by the id token's word, and at home by what the account is called.
        let elsewhere = json!({"tid": ELSEWHERE, "oid": "guest-oid", "sub": "s", "preferred_username": "ana@contoso.example"});
        refreshed(&stage, account, elsewhere).await;
        let more = json!({"tenant": ELSEWHERE});
        let guest = stage.silent_with(stage.last(), "partner", account, USER_READ, more.clone()).await;
        let shown = &guest.json["account"];
        assert_eq!((&shown["local_account_id"], &shown["tenant_id"]), (&json!("guest-oid"), &json!(ELSEWHERE)));
        assert_eq!((&shown["home_account_id"], &guest.json["tenant_id"]), (&json!(account), &json!(ELSEWHERE)));
        assert_eq!(stage.silent_with(0, "partner", account, USER_READ, more).await.json["account"], *shown);
        // The record is the one of before, and says both tenants.
        for replica in [0, stage.last()] {
            let after = listed(replica).await;
            assert_eq!(after["tenants"], json!([HOME, ELSEWHERE]), "{after}");
            for member in ["home_account_id", "local_account_id", "tenant_id", "username", "environment"] {
                assert_eq!(after[member], before[member], "{member}");
            }
        }
        // Whoever signs in once more is the same account still.
        stage.emulator.unscript().await;
        stage.sign_in(0, "partner", USER_READ, ANA).await;
        assert_eq!(listed(stage.last()).await["tenants"], json!([HOME, ELSEWHERE]));
    }
}

#[tokio::test]
async fn a_renamed_user_shows_the_new_name() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "partner", USER_READ, ANA).await;
        let (account, oid) = (id(&signed), signed.json["account"]["local_account_id"].clone());
        let called = |name: &str| json!({"tid": HOME, "oid": oid, "sub": "s", "preferred_username": name});
        for name in ["ana.moreira@contoso.example", "a.silva@contoso.example"] {
            refreshed(&stage, account, called(name)).await;
            let more = json!({"force_refresh": true});
            let answer = stage.silent_with(stage.last(), "partner", account, USER_READ, more).await;
            assert_eq!(answer.json["account"]["username"], name, "{}", answer.text);
            for replica in [0, stage.last()] {
                assert_eq!(stage.account(replica, "partner", account).await.json["username"], name);
            }
        }
        // An answer that says no name takes none away.
        refreshed(&stage, account, json!({"tid": HOME, "oid": oid, "sub": "s"})).await;
        stage.silent_with(0, "partner", account, USER_READ, json!({"force_refresh": true})).await.token();
        assert_eq!(stage.account(0, "partner", account).await.json["username"], "a.silva@contoso.example");
    }
}
