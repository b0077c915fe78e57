//! What seals a handle: the key ring and its rotation, a key that lies in Redis, and one of the process.

use std::time::Duration;

use super::{DAY, FIRST, PATIENCE, PLAINTEXT, RING, SECOND, Seen, Stage, decoded, is_invalid, is_not_known_now};
use crate::support::{Fault, eventually};

/// The id of its key, which stands in clear.
fn kid(handle: &str) -> String {
    let sealed = decoded(handle);
    let length = usize::from(sealed[17]);
    String::from_utf8(sealed[18..18 + length].to_vec()).expect("an id")
}

#[tokio::test]
async fn a_rotation_of_the_ring_ends_no_handle_before_the_old_key_is_gone() {
    let mut stage = Stage::sharing().await;
    let url = stage.redis().url();
    let signed = stage.ana(0).await;
    assert_eq!(kid(signed.handle()), "first");
    // The second key seals, and the first still opens.
    stage.write_ring(&[SECOND, FIRST]);
    let second = stage.join(&url, RING).await;
    let next = Seen::of(stage.redeem(second, "web", signed.handle()).await);
    assert_eq!(kid(next.handle()), "second");
    // A replica that has not read the file yet reads it when it meets the key.
    stage.later(2);
    let there = Seen::of(stage.redeem(0, "web", next.handle()).await);
    assert_eq!(kid(there.handle()), "second", "and seals by it from then on");
    Seen::of(stage.redeem(0, "web", signed.handle()).await);
    let reads = "tokend_key_ring_reads_total{kid=\"first\"}";
    assert!(stage.replicas[0].metric(reads) > 0.0);
    // The old key is gone: its handles are, and those that were sealed after it are not. The sign-in is sealed anew by signing in.
    stage.ana(second).await;
    stage.write_ring(&[SECOND]);
    let third = stage.join(&url, RING).await;
    Seen::of(stage.redeem(third, "web", next.handle()).await);
    is_not_known_now(&stage.redeem(third, "web", signed.handle()).await);
    let revoked = stage.revoke(third, signed.handle()).await;
    assert!(revoked.is_err(), "whose it is cannot be said");
    // Within 15 minutes a new file may be on its way.
    stage.later(15 * 60 + 57);
    is_not_known_now(&stage.redeem(third, "web", signed.handle()).await);
    stage.later(2);
    is_invalid(&stage.redeem(third, "web", signed.handle()).await);
    stage.revoke(third, signed.handle()).await.expect("nothing to revoke");
    Seen::of(stage.redeem(third, "web", next.handle()).await);
}

#[tokio::test]
async fn a_key_that_is_on_its_way_is_waited_for() {
    let mut stage = Stage::sharing().await;
    let url = stage.redis().url();
    stage.write_ring(&[SECOND, FIRST]);
    let second = stage.join(&url, RING).await;
    let signed = stage.ana(second).await;
    // The first replica's file has not arrived.
    stage.write_ring(&[FIRST]);
    stage.later(2);
    is_not_known_now(&stage.redeem(0, "web", signed.handle()).await);
    stage.write_ring(&[FIRST, SECOND]);
    is_not_known_now(&stage.redeem(0, "web", signed.handle()).await);
    stage.later(1);
    Seen::of(stage.redeem(0, "web", signed.handle()).await);
    // What is sent in place of handles is no trouble of the shared cache.
    let garbage = "tokend_cache_undecipherable_total{reason=\"garbage\"}";
    is_invalid(&stage.redeem(1, "web", "tkd1.AAAA").await);
    assert!(stage.replicas[1].metric(garbage) < 1.0);
}

#[tokio::test]
async fn without_a_ring_the_key_lies_in_redis() {
    let mut stage = Stage::sharing_with(PLAINTEXT, "").await;
    let (signed, other) = (stage.ana(0).await, stage.ana(1).await);
    assert_eq!(kid(signed.handle()), kid(other.handle()));
    for (replica, handle) in [(0, other.handle()), (1, signed.handle())] {
        Seen::of(stage.redeem(replica, "web", handle).await);
    }
    let left: i64 = stage.redis().admin().ask(&["TTL", "tokend:k"]).await.expect("a time");
    assert!(left > i64::try_from(91 * DAY).expect("a number"), "{left}");
    // One that comes later finds it, and one that is near its end is kept for longer.
    stage.redis().admin().ask::<()>(&["EXPIRE", "tokend:k", "1000"]).await.expect("set");
    let url = stage.redis().url();
    let newcomer = stage.join(&url, PLAINTEXT).await;
    let next = Seen::of(stage.redeem(newcomer, "web", signed.handle()).await);
    assert_eq!(kid(next.handle()), kid(signed.handle()));
    let left: i64 = stage.redis().admin().ask(&["TTL", "tokend:k"]).await.expect("a time");
    assert!(left > i64::try_from(91 * DAY).expect("a number"), "{left}");
}

#[tokio::test]
async fn a_key_that_redis_has_lost_is_put_back() {
    let mut stage = Stage::sharing_with(PLAINTEXT, "").await;
    let signed = stage.ana(0).await;
    for garbage in [false, true] {
        let ask: &[&str] = if garbage { &["SET", "tokend:k", "garbage"] } else { &["DEL", "tokend:k"] };
        stage.redis().admin().ask::<()>(ask).await.expect("lost");
        // Looked at when a handle is sealed, once a minute.
        stage.later(61);
        let next = stage.ana(0).await;
        assert_eq!(kid(next.handle()), kid(signed.handle()));
        let url = stage.redis().url();
        let newcomer = stage.join(&url, PLAINTEXT).await;
        Seen::of(stage.redeem(newcomer, "web", signed.handle()).await);
        assert_eq!(kid(stage.ana(newcomer).await.handle()), kid(signed.handle()));
    }
    // Another one was faster: what it has put there seals from now on, and the older one still opens what it sealed.
    stage.redis().admin().ask::<()>(&["DEL", "tokend:k"]).await.expect("lost");
    let url = stage.redis().url();
    let newcomer = stage.join(&url, PLAINTEXT).await;
    let theirs = stage.ana(newcomer).await;
    assert_ne!(kid(theirs.handle()), kid(signed.handle()));
    stage.later(61);
    let next = Seen::of(stage.redeem(0, "web", theirs.handle()).await);
    assert_eq!(kid(next.handle()), kid(theirs.handle()));
    Seen::of(stage.redeem(0, "web", signed.handle()).await);
    is_not_known_now(&stage.redeem(newcomer, "web", signed.handle()).await);
}

#[tokio::test]
async fn without_a_key_no_code_is_spent() {
    let redis = crate::support::redis::RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", redis.port())).await;
    let url = format!("redis://{}", fault.address());
    let mut stage = Stage::empty(Some(redis), "").await;
    stage.join(&url, PLAINTEXT).await;
    fault.cut();
    let calls = stage.calls().await;
    let user = (tokend::caller::Caller::ANYONE, "web", super::ORDERS, super::ANA);
    is_not_known_now(&stage.sign_in_with(0, user, |_| {}).await);
    assert_eq!(stage.calls().await, calls, "nothing was sent");
    Seen::of(stage.sign_in_with(0, user, |common| common.wants_handle = false).await);
    // Nor can one be opened.
    let mut sealed = b"000000006b02d5a0\x01\x0812345678".to_vec();
    sealed.extend_from_slice(&[0; 60]);
    is_not_known_now(&stage.redeem(0, "web", &super::encoded(&sealed)).await);
    fault.pass();
    eventually(PATIENCE, async || {
        stage.clock.advance(Duration::from_secs(1));
        stage.sign_in_with(0, user, |_| {}).await.is_ok_and(|answer| answer.handle.is_some())
    })
    .await;
    // With it in memory, Redis may go.
    fault.cut();
    assert!(stage.ana(0).await.handle.is_some());
}

#[tokio::test]
async fn in_memory_alone_handles_end_with_the_process() {
    let mut stage = Stage::memory().await;
    let signed = stage.ana(0).await;
    stage.restart("");
    is_invalid(&stage.redeem(1, "web", signed.handle()).await);
    stage.ana(1).await;
    is_invalid(&stage.redeem(1, "web", signed.handle()).await);
    Seen::of(stage.redeem(0, "web", signed.handle()).await);
}
