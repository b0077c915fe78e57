//! Sign-ins in Redis that cannot be read: what a newer release or another key ring wrote is left alone, garbage is nothing.

use redis::AsyncCommands as _;
use serde_json::json;

use super::{ANA, EXPIRED, ORDERS, Stage, USER_READ, id, is_unknown};

/// Where the version stands in a record, before it the generation, behind it the length of the key's id and the id.
const VERSION: usize = 16;
const KID: usize = 18;

/// The one sign-in in Redis.
async fn record(stage: &Stage) -> (String, Vec<u8>) {
    let keys = stage.keys("}:a").await;
    assert_eq!(keys.len(), 1, "{keys:?}");
    let value = stage.redis().client().await.get(&keys[0]).await.expect("a value");
    (keys[0].clone(), value)
}

async fn write(stage: &Stage, key: &str, value: &[u8]) {
    redis::cmd("SET").arg(key).arg(value).arg("KEEPTTL").exec_async(&mut stage.redis().client().await).await.expect("a write");
}

/// What is there after `change` is kept from everybody, and kept.
async fn is_left_alone(change: fn(&mut Vec<u8>)) {
    let stage = Stage::sharing(2).await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    let (key, mut value) = record(&stage).await;
    change(&mut value);
    write(&stage, &key, &value).await;
    for replica in [0, 1] {
        // What has no need of it goes on.
        assert_eq!(stage.silent(replica, "web", id(&signed), ORDERS).await.token(), signed.token());
        for answer in [stage.silent(replica, "web", id(&signed), USER_READ).await, stage.account(replica, "web", id(&signed)).await]
        {
            answer.refused(503, "cache_unavailable", "newer release");
            assert_eq!(answer.json["retryable"], true);
        }
        let listed = stage.client(replica).get("/accounts?app=web").await;
        assert_eq!((listed.status, listed.json), (200, json!({"accounts": [], "complete": false})));
    }
    stage.sign_out(1, "web", id(&signed)).await.refused(503, "cache_unavailable", "newer release");
    assert_eq!(stage.sent().await, [""; 0], "nothing was asked of the authority");
    // A new sign-in is served, and does not write over it.
    let again = stage.sign_in(0, "web", ORDERS, ANA).await;
    assert_eq!(stage.silent(0, "web", id(&again), ORDERS).await.token(), again.token());
    stage.later(EXPIRED);
    stage.silent(0, "web", id(&signed), ORDERS).await.refused(503, "cache_unavailable", "newer release");
    assert_eq!(record(&stage).await, (key, value));
}

#[tokio::test]
async fn what_a_newer_release_wrote_is_left_alone() {
    is_left_alone(|value| value[VERSION] = 99).await;
}

#[tokio::test]
async fn what_was_sealed_under_a_key_that_is_not_in_the_ring_is_left_alone() {
    is_left_alone(|value| value[KID..KID + 5].copy_from_slice(b"other")).await;
}

#[tokio::test]
async fn garbage_is_nothing_and_is_written_over() {
    let stage = Stage::sharing(2).await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    let (key, good) = record(&stage).await;
    let mut changed = good.clone();
    *changed.last_mut().expect("a byte") ^= 1;
    let mut headless = good.clone();
    headless[0] = b'x';
    for bad in [b"garbage".to_vec(), good[..20].to_vec(), changed, headless] {
        // Else the replica that brought it would bring it again.
        stage.later(super::LONG_AGO);
        write(&stage, &key, &bad).await;
        for replica in [0, 1] {
            let silent = stage.silent(replica, "web", id(&signed), USER_READ).await;
            is_unknown(&silent, &stage.account(replica, "web", id(&signed)).await);
            assert!(stage.listed(replica, "web").await.is_empty());
        }
        stage.sign_in(1, "web", ORDERS, ANA).await;
        assert_eq!(stage.account(0, "web", id(&signed)).await.status, 200);
        assert_eq!(stage.listed(0, "web").await, [id(&signed)]);
    }
    assert_eq!(stage.silent(0, "web", id(&signed), USER_READ).await.source(), "identity_provider");
}

#[tokio::test]
async fn a_sign_in_under_anothers_name_is_nothing() {
    let stage = Stage::sharing(1).await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    let (key, value) = record(&stage).await;
    let ben = stage.sign_in(0, "web", ORDERS, super::BEN).await;
    let other = stage.keys("}:a").await.into_iter().find(|name| *name != key).expect("two");
    stage.later(super::LONG_AGO);
    write(&stage, &other, &value).await;
    is_unknown(&stage.silent(0, "web", id(&ben), USER_READ).await, &stage.account(0, "web", id(&ben)).await);
    assert_eq!(stage.listed(0, "web").await, [id(&signed)]);
}
