//! `DELETE /accounts/{home_account_id}`: every token of the account is gone, and nobody else's.

use super::{ANA, BEN, ORDERS, Stage, USER_READ, id, is_unknown};

#[tokio::test]
async fn every_token_of_the_account_is_gone_and_nobody_elses() {
    for stage in Stage::both().await {
        let last = stage.last();
        let ana = stage.sign_in(0, "orders", USER_READ, ANA).await;
        let ben = stage.sign_in(0, "orders", USER_READ, BEN).await;
        let elsewhere = stage.sign_in(0, "web", ORDERS, ANA).await;
        let bearers = [stage.emulator.user_token(ANA).await, stage.emulator.user_token(BEN).await];
        let (of_ana, of_ben) = (stage.obo(last, &bearers[0]).await, stage.obo(last, &bearers[1]).await);
        assert_eq!((of_ana.source(), of_ben.source()), ("identity_provider", "identity_provider"));
        assert_eq!(stage.obo(0, &bearers[0]).await.token(), of_ana.token());
        let calls = stage.calls().await;

        let gone = stage.sign_out(0, "orders", id(&ana)).await;
        assert_eq!((gone.status, gone.text.as_str(), gone.header("cache-control")), (204, "", "no-store"));
        assert_eq!(stage.sign_out(0, "orders", id(&ana)).await.status, 204);
        is_unknown(&stage.silent(0, "orders", id(&ana), USER_READ).await, &stage.account(0, "orders", id(&ana)).await);
        assert_eq!(stage.listed(0, "orders").await, [id(&ben)]);
        // What was given for an inbound token of hers is gone too: as long as that is good, the authority is asked again.
        let again = stage.obo(0, &bearers[0]).await;
        assert_eq!(again.source(), "identity_provider");
        assert_ne!(again.token(), of_ana.token());
        assert_eq!(stage.calls().await, calls + 1);

        assert_eq!(stage.silent(0, "orders", id(&ben), USER_READ).await.token(), ben.token());
        assert_eq!(stage.obo(0, &bearers[1]).await.token(), of_ben.token());
        assert_eq!(stage.silent(0, "web", id(&elsewhere), ORDERS).await.token(), elsewhere.token(), "another app's");
        assert_eq!(stage.account(last, "web", id(&elsewhere)).await.status, 200);
        assert_eq!(stage.listed(last, "web").await, [id(&ana)]);
        assert_eq!(stage.calls().await, calls + 1);
    }
}

#[tokio::test]
async fn who_never_signed_in_but_has_tokens_can_be_signed_out() {
    for stage in Stage::both().await {
        let bearer = stage.emulator.user_token(ANA).await;
        let first = stage.obo(stage.last(), &bearer).await;
        assert_eq!(stage.sign_out(0, "orders", id(&first)).await.status, 204);
        let again = stage.obo(0, &bearer).await;
        assert_eq!((again.source(), again.token() == first.token()), ("identity_provider", false));
    }
}

#[tokio::test]
async fn who_signs_in_again_is_signed_in() {
    for stage in Stage::both().await {
        let last = stage.last();
        for (app, scopes, user) in [("web", ORDERS, ANA), ("shop-offline", "orders.read", "eva")] {
            for _ in 0..2 {
                let signed = stage.sign_in(0, app, scopes, user).await;
                for replica in [0, last] {
                    assert_eq!(stage.silent(replica, app, id(&signed), scopes).await.token(), signed.token());
                }
                stage.later(super::EXPIRED);
                let renewed = stage.silent(last, app, id(&signed), scopes).await;
                assert_eq!(renewed.source(), "identity_provider");
                assert_eq!(stage.silent(0, app, id(&signed), scopes).await.token(), renewed.token());
                assert_eq!(stage.listed(last, app).await, [id(&signed)]);
                assert_eq!(stage.sign_out(last, app, id(&signed)).await.status, 204);
                assert!(stage.listed(last, app).await.is_empty());
                is_unknown(&stage.silent(last, app, id(&signed), scopes).await, &stage.account(0, app, id(&signed)).await);
            }
        }
    }
}

#[tokio::test]
async fn nothing_of_the_account_stays_in_redis_but_its_epoch() {
    let stage = Stage::sharing(2).await;
    let signed = stage.sign_in(0, "orders", USER_READ, ANA).await;
    stage.obo(1, &stage.emulator.user_token(ANA).await).await.token();
    assert_eq!((stage.keys("}:a").await.len(), stage.tokens().await.len(), stage.keys("}:e").await.len()), (1, 2, 0));
    assert_eq!(stage.sign_out(1, "orders", id(&signed)).await.status, 204);
    let left = stage.names().await;
    let short = |key: &String| ["}:l:", "}:o:"].iter().any(|part| key.contains(part));
    let lasting: Vec<_> = left.iter().filter(|key| !short(key)).collect();
    assert!(lasting.len() == 1 && lasting[0].ends_with("}:e"), "{left:?}");
    for key in &left {
        let left: i64 = stage.redis().admin().ask(&["PTTL", key]).await.expect("a time");
        // What was short may have ended meanwhile.
        assert!(left > 0 || left == -2, "{key} has no end");
    }
}

#[tokio::test]
async fn what_redis_has_lost_is_no_sign_out() {
    let stage = Stage::sharing(2).await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    assert_eq!(stage.silent(1, "web", id(&signed), ORDERS).await.token(), signed.token());
    stage.redis().flush().await;
    stage.later(61);
    for replica in [0, 1] {
        let answer = stage.silent(replica, "web", id(&signed), ORDERS).await;
        assert_eq!((answer.token(), answer.member("cache_level")), (signed.token(), "memory"));
    }
    assert_eq!(stage.calls().await, 1);
}

#[tokio::test]
async fn an_entra_account_is_the_same_in_capitals_and_an_issuers_is_not() {
    for stage in Stage::both().await {
        let last = stage.last();
        let signed = stage.sign_in(0, "orders", USER_READ, ANA).await;
        let (oid, tid) = id(&signed).split_once('.').expect("two ids");
        for other in [id(&signed).to_uppercase(), format!("{}.{tid}", oid.to_uppercase()), format!("{oid}.{}", tid.to_uppercase())]
        {
            assert_ne!(other, id(&signed));
            for replica in [0, last] {
                assert_eq!(stage.silent(replica, "orders", &other, USER_READ).await.token(), signed.token(), "{other}");
                assert_eq!(stage.account(replica, "orders", &other).await.member("home_account_id"), id(&signed), "{other}");
            }
        }
        assert_eq!(stage.sign_out(last, "orders", &id(&signed).to_uppercase()).await.status, 204);
        assert_eq!(stage.account(0, "orders", id(&signed)).await.status, 404);
        let eva = stage.sign_in(0, "shop-offline", "orders.read", "eva").await;
        let capitals = id(&eva).to_uppercase();
        is_unknown(
            &stage.silent(0, "shop-offline", &capitals, "orders.read").await,
            &stage.account(0, "shop-offline", &capitals).await,
        );
        assert_eq!(stage.silent(0, "shop-offline", id(&eva), "orders.read").await.token(), eva.token());
    }
}
