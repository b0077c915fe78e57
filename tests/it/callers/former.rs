//! A caller that was renamed: what it kept under its former names is still its own, and nobody else's.

use std::time::Duration;

use serde_json::json;

use super::{ANA, BEN, EXPIRED, PATIENCE, Stage, THREE, id};
use crate::support::eventually;
use crate::support::redis::RedisServer;

const RENAMED: [(&str, &str); 3] = [("omega", ", former_names: [alpha, older]"), ("beta", ""), ("desk", ", accounts: all")];

/// A replica before the renaming, and one after it, which share a Redis.
async fn renamed() -> Stage {
    let mut stage = Stage::empty(Some(RedisServer::start().await)).await;
    stage.add(&THREE).await;
    stage.add(&RENAMED).await;
    stage
}

#[tokio::test]
async fn what_was_kept_under_a_former_name_is_reached_under_the_present_one() {
    let stage = renamed().await;
    let signed = stage.sign_in(0, "alpha", ANA).await;
    let (ana, ben) = (id(&signed), id(&stage.sign_in(0, "beta", BEN).await));
    // From Redis, and from memory.
    for _ in 0..2 {
        let silent = stage.silent(1, "omega", &ana).await;
        assert_eq!((silent.token(), silent.source()), (signed.token(), "cache"));
    }
    assert_eq!(stage.account(1, "omega", "web", &ana).await.json, signed.json["account"]);
    assert_eq!(stage.listed(1, "omega").await, [&*ana]);
    assert_eq!(stage.calls().await, 2);
    // What is not its own is as far away as ever.
    stage.silent(1, "omega", &ben).await.refused(401, "no_tokens_found", "sign in");
    stage.silent(1, "beta", &ana).await.refused(401, "no_tokens_found", "sign in");
    assert_eq!(stage.listed(1, "beta").await, [&*ben]);
    // The name that it had is nobody's any more.
    assert_eq!(stage.silent(1, "alpha", &ana).await.member("error"), "caller_not_authenticated");
    // A renewal stays where the account is: replicas that know the caller by its former name have it too.
    stage.clock.advance(Duration::from_secs(EXPIRED));
    let renewed = stage.silent(1, "omega", &ana).await;
    assert_eq!(renewed.source(), "identity_provider");
    assert_eq!(stage.silent(0, "alpha", &ana).await.token(), renewed.token());
    let both = stage.listed(1, "desk").await;
    assert!(both.contains(&ana) && both.contains(&ben), "{both:?}");
}

#[tokio::test]
async fn what_is_new_is_kept_under_the_present_name() {
    let stage = renamed().await;
    stage.sign_in(0, "alpha", ANA).await;
    let ben = id(&stage.sign_in(1, "omega", BEN).await);
    stage.silent(0, "alpha", &ben).await.refused(401, "no_tokens_found", "sign in");
    stage.silent(1, "omega", &ben).await.token();
    // A user who signs in again is there twice until the former name ends, and listed once; the present one counts.
    let again = stage.sign_in(1, "omega", ANA).await;
    let ana = id(&again);
    assert_eq!(stage.silent(1, "omega", &ana).await.token(), again.token());
    let mut both = [ana, ben];
    both.sort();
    assert_eq!(stage.listed(1, "omega").await, both);
    for limit in [1, 2] {
        let mut paged = stage.pages(1, "omega", limit).await.concat();
        paged.sort();
        paged.dedup();
        assert_eq!(paged, both, "by {limit}");
    }
}

#[tokio::test]
async fn signing_out_reaches_what_was_kept_under_every_name() {
    let stage = renamed().await;
    stage.sign_in(0, "alpha", ANA).await;
    let ana = id(&stage.sign_in(1, "omega", ANA).await);
    stage.sign_in(0, "beta", ANA).await;
    assert_eq!(stage.sign_out(1, "omega", "web", &ana).await.status, 204);
    stage.silent(1, "omega", &ana).await.refused(401, "no_tokens_found", "sign in");
    stage.account(1, "omega", "web", &ana).await.refused(404, "unknown_account", "account");
    eventually(PATIENCE, async || stage.silent(0, "alpha", &ana).await.status == 401).await;
    // Another caller's account of the user is its own affair.
    stage.silent(0, "beta", &ana).await.token();
    stage.silent(1, "beta", &ana).await.token();
}

#[tokio::test]
async fn with_memory_alone_former_names_change_nothing() {
    let stage = Stage::memory(&RENAMED).await;
    let signed = stage.sign_in(0, "omega", ANA).await;
    let ana = id(&signed);
    assert_eq!(stage.silent(0, "omega", &ana).await.token(), signed.token());
    let forced = stage.silent_with(0, "omega", &ana, json!({"force_refresh": true})).await;
    assert_eq!(forced.source(), "identity_provider");
    assert_eq!(stage.listed(0, "omega").await, [&*ana]);
    stage.silent(0, "beta", &ana).await.refused(401, "no_tokens_found", "sign in");
    assert_eq!(stage.sign_out(0, "omega", "web", &ana).await.status, 204);
    stage.silent(0, "omega", &ana).await.refused(401, "no_tokens_found", "sign in");
}
