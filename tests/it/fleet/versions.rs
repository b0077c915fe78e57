//! Releases beside each other: one reads what the other writes, up and down; what only a later one knows is left alone.

use serde_json::json;

use super::{MAIL_READ, Stage, USER_READ, level, sha256};
use crate::support::Client;

/// Where a value says its version.
const VERSION: usize = 16;

fn writing(version: u8) -> impl Fn(String) -> String {
    move |yaml| {
        let yaml = yaml.replace(", write_version: 2", "");
        if version == 1 { yaml } else { yaml.replace("timeout: 1s", &format!("timeout: 1s, write_version: {version}")) }
    }
}

/// The versions of all tokens in Redis.
async fn versions(stage: &Stage) -> Vec<u8> {
    let mut versions = Vec::new();
    for key in stage.tokens().await {
        versions.push(stage.value(&key).await[VERSION]);
    }
    versions.sort_unstable();
    versions
}

#[tokio::test]
async fn cch_20_two_releases_read_each_others_tokens() {
    let stage = Stage::changed(2, |index, yaml| writing(if index == 0 { 1 } else { 2 })(yaml)).await;
    let (ana, ben) = (stage.ana().await, stage.ben().await);
    let (older, newer) = (stage.obo(0, &ana).await, stage.obo(1, &ben).await);
    assert_eq!(versions(&stage).await, [1, 2]);
    for (index, bearer, first) in [(1, &ana, &older), (0, &ben, &newer)] {
        let found = stage.obo(index, bearer).await;
        assert_eq!((found.token(), level(&found)), (first.token(), "redis"));
    }
    assert_eq!(stage.calls().await, 2);
    // They renew for each other, too.
    let rejected = |token: &str| json!({"app": "orders", "scopes": [USER_READ], "access_token_sha256": sha256(token)});
    let post = async |client: &Client, bearer: &str, token: &str| client.post_as("/obo", bearer, &rejected(token)).await;
    let next = post(&stage.sidecar(1).client, &ana, older.token()).await;
    assert_eq!(level(&next), "identity_provider");
    assert_eq!(versions(&stage).await, [2, 2]);
    assert_eq!(post(&stage.sidecar(0).client, &ana, older.token()).await.token(), next.token());
    let last = post(&stage.sidecar(0).client, &ben, newer.token()).await;
    assert_eq!(level(&last), "identity_provider");
    assert_eq!(versions(&stage).await, [1, 2]);
    assert_eq!(post(&stage.sidecar(1).client, &ben, newer.token()).await.token(), last.token());
    assert_eq!(stage.calls().await, 4);
}

#[tokio::test]
async fn cch_20_at_the_same_time_two_releases_make_one_call() {
    let stage = Stage::changed(2, |index, yaml| writing(if index == 0 { 2 } else { 1 })(yaml)).await;
    let answers = stage.together(json!({}), async |index| stage.graph(index).await).await;
    assert_eq!((answers[0].token(), stage.calls().await), (answers[1].token(), 1));
    let failed = stage.together(json!({"aadsts": 500_011}), async |index| {
        stage.app_token(index, &json!({"app": "daemon", "scopes": "api://orders/.default"})).await
    });
    assert!(failed.await.iter().all(|answer| answer.member("error") == "invalid_resource"));
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
async fn cch_20_an_upgrade_and_a_rollback_lose_no_token() {
    let mut stage = Stage::new(2).await;
    let ana = stage.ana().await;
    let both = format!("{USER_READ} {MAIL_READ}");
    stage.answering_with(1, json!({"set": {"scope": both}})).await;
    let (user, app) = (stage.obo(0, &ana).await, stage.graph(0).await);
    let mut calls = 2;
    // One replica after the other, up and down again, and each step writes something of its own.
    for (step, (index, version)) in [(0, 2), (1, 2), (0, 1), (1, 1)].into_iter().enumerate() {
        stage.restart(index, writing(version)).await;
        let scope = ["api://orders/.default", "api://billing/.default"][step % 2];
        let own = json!({"app": "daemon", "scopes": scope, "client_claims": format!("{{\"step\":{step}}}")});
        let mine = stage.app_token(index, &own).await;
        assert_eq!(level(&mine), "identity_provider", "{}", mine.text);
        calls += 1;
        for other in 0..2 {
            assert_eq!((stage.obo(other, &ana).await.token(), stage.graph(other).await.token()), (user.token(), app.token()));
            // Also by the index, which has no version.
            assert_eq!(stage.obo_as(other, "orders", MAIL_READ, &ana).await.token(), user.token());
            assert_eq!(stage.app_token(other, &own).await.token(), mine.token());
        }
        assert_eq!(stage.calls().await, calls, "step {step}");
    }
    assert_eq!(versions(&stage).await, [1, 1, 1, 1, 2, 2]);
    for index in 0..2 {
        for reason in ["newer", "garbage", "unknown_key"] {
            assert_eq!(stage.unreadable(index, reason).await, 0.0, "{reason}");
        }
    }
}

#[tokio::test]
async fn cch_20_a_token_of_a_later_release_is_a_miss() {
    let stage = Stage::new(2).await;
    let (ana, ben) = (stage.ana().await, stage.ben().await);
    let (first, other) = (stage.obo(0, &ana).await, stage.obo(0, &ben).await);
    for key in stage.tokens().await {
        let mut value = stage.value(&key).await;
        value[VERSION] = 3;
        stage.replace(&key, &value).await;
    }
    let again = stage.obo(1, &ana).await;
    assert_eq!(level(&again), "identity_provider");
    assert_ne!(again.token(), first.token());
    assert!(stage.unreadable(1, "newer").await >= 1.0);
    // It was stored in its place, and the one that nobody asked for is left alone.
    assert_eq!(versions(&stage).await, [1, 3]);
    assert_eq!((stage.obo(0, &ben).await.token(), stage.calls().await), (other.token(), 3));
}
