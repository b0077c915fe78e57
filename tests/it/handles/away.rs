//! Handles while Redis is away, and after it has lost what it had.

use tokend::flow::TokenSource;

use super::{EVA, EXPIRED, PATIENCE, RING, Seen, Stage, is_invalid, is_not_known_now};
use crate::support::redis::RedisServer;
use crate::support::{Fault, eventually};

/// Two replicas, the first of which reaches Redis through a relay.
async fn stage() -> (Stage, Fault) {
    let redis = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", redis.port())).await;
    let urls = [format!("redis://{}", fault.address()), redis.url()];
    let mut stage = Stage::empty(Some(redis), "").await;
    for url in urls {
        stage.join(&url, RING).await;
    }
    (stage, fault)
}

#[tokio::test]
async fn a_handle_is_redeemed_where_memory_knows_its_sign_in_and_else_it_is_503() {
    let (stage, fault) = stage().await;
    let (known, unknown) = (stage.ana(0).await, stage.sign_in(1, "shop-offline", "orders.read", EVA).await);
    fault.cut();
    let again = Seen::of(stage.redeem(0, "web", known.handle()).await);
    assert_eq!(again.token, known.token);
    // Entra's refresh tokens may be used again.
    stage.later(EXPIRED);
    let renewed = Seen::of(stage.redeem(0, "web", again.handle()).await);
    assert_eq!(renewed.source, TokenSource::IdentityProvider);
    is_not_known_now(&stage.redeem(0, "shop-offline", unknown.handle()).await);
    assert!(stage.revoke(0, unknown.handle()).await.is_err());
    // What is no handle is none now, too.
    is_invalid(&stage.redeem(0, "web", &unknown.handle().replace("tkd1", "tkd2")).await);
    // Signed out here at once, and nowhere else.
    assert!(stage.revoke(0, known.handle()).await.is_err());
    is_not_known_now(&stage.redeem(0, "web", known.handle()).await);
    Seen::of(stage.redeem(1, "web", known.handle()).await);
    fault.pass();
    eventually(PATIENCE, async || {
        stage.later(1);
        stage.revoke(0, known.handle()).await.is_ok()
    })
    .await;
    for replica in [0, 1] {
        is_invalid(&stage.redeem(replica, "web", known.handle()).await);
    }
    Seen::of(stage.redeem(1, "shop-offline", unknown.handle()).await);
}

#[tokio::test]
async fn a_sign_in_without_redis_keeps_its_handle_when_it_joins_an_older_one() {
    let (stage, fault) = stage().await;
    // The first replica does not know of it.
    let older = stage.ana(1).await;
    fault.cut();
    let newer = stage.ana(0).await;
    let next = Seen::of(stage.redeem(0, "web", newer.handle()).await);
    // It waits there, and here nobody can know that it does.
    is_not_known_now(&stage.redeem(1, "web", newer.handle()).await);
    assert!(stage.revoke(1, newer.handle()).await.is_err());
    fault.pass();
    let handles = [older.handle(), newer.handle(), next.handle()];
    eventually(PATIENCE, async || {
        stage.later(1);
        stage.redeem(1, "web", newer.handle()).await.is_ok()
    })
    .await;
    stage.later(EXPIRED);
    for replica in [0, 1] {
        for handle in handles {
            Seen::of(stage.redeem(replica, "web", handle).await);
        }
    }
    // A later sign-in knows all of them.
    stage.ana(1).await;
    for handle in handles {
        Seen::of(stage.redeem(0, "web", handle).await);
    }
    // And one sign-out ends them.
    stage.sign_out(1, "web", &older.account).await;
    stage.ana(1).await;
    for replica in [0, 1] {
        for handle in handles {
            is_invalid(&stage.redeem(replica, "web", handle).await);
        }
    }
}

#[tokio::test]
async fn what_redis_has_lost_comes_back_with_its_lineage() {
    for app in ["web", "shop-offline"] {
        let stage = Stage::sharing().await;
        let (scopes, user) = if app == "web" { (super::ORDERS, super::ANA) } else { ("orders.read", EVA) };
        let signed = stage.sign_in(0, app, scopes, user).await;
        Seen::of(stage.redeem(1, app, signed.handle()).await);
        stage.redis().flush().await;
        // Whoever brought it there brings it back; until then nobody says that it is void.
        eventually(PATIENCE, async || {
            stage.later(1);
            let redeemed = stage.redeem(1, app, signed.handle()).await;
            if redeemed.is_err() {
                is_not_known_now(&redeemed);
            }
            redeemed.is_ok()
        })
        .await;
        let again = stage.sign_in(1, app, scopes, user).await;
        for handle in [signed.handle(), again.handle()] {
            Seen::of(stage.redeem(0, app, handle).await);
        }
        // A sign-out that Redis loses stays one.
        stage.sign_out(0, app, &signed.account).await;
        stage.redis().flush().await;
        for replica in [0, 1] {
            let redeemed = stage.redeem(replica, app, signed.handle()).await;
            assert!(redeemed.is_err());
        }
    }
}

#[tokio::test]
async fn a_sign_in_that_is_gone_for_good_is_no_handles_any_more() {
    let mut stage = Stage::sharing().await;
    let signed = stage.ana(0).await;
    stage.redis().flush().await;
    let url = stage.redis().url();
    stage.replicas.clear();
    let newcomer = stage.join(&url, RING).await;
    // It may be on its way for a while.
    is_not_known_now(&stage.redeem(newcomer, "web", signed.handle()).await);
    stage.later(16 * 60 + 1);
    is_invalid(&stage.redeem(newcomer, "web", signed.handle()).await);
}
