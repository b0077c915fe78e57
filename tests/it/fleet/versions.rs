//! Releases beside each other over one Redis: this one, and the next, which is made up and calls everything otherwise. Each finds
//! what the other wrote, up and down, and a sign-out takes all of it.

use serde_json::{Value, json};
use tokend::store::{VERSIONS, Version, Versions};

use super::{MAIL_READ, Release, Stage, USER_READ, level, sha256};
use crate::support::{Answer, Client};

/// Where a value says its version.
const VERSION: usize = 16;

const USER: &str = "ana@contoso.example";

static KNOWN: [Version; 2] = [Version { number: 4, names: b"next" }, Version { number: 3, names: b"" }];
const NEXT: Versions = Versions::new(&KNOWN);
const THIS_ONE: Release = Release { knows: VERSIONS, writes: 3 };
/// The next one, as long as there are replicas of this one.
const NEXT_ONE: Release = Release { knows: NEXT, writes: 3 };
/// The next one, when there are none any more.
const ALONE: Release = Release { knows: NEXT, writes: 4 };

/// The versions of all tokens in Redis.
async fn versions(stage: &Stage) -> Vec<u8> {
    of_kind(stage, "}:t:").await
}

/// The versions of what has such names.
async fn of_kind(stage: &Stage, kind: &str) -> Vec<u8> {
    let mut versions = Vec::new();
    for key in stage.redis.keys().await.into_iter().filter(|key| key.contains(kind)) {
        versions.push(stage.value(&key).await[VERSION]);
    }
    versions.sort_unstable();
    versions
}

/// `POST /silent` at a replica, of somebody who signed in.
async fn silent(stage: &Stage, index: usize, account: &str, more: Value) -> Answer {
    let mut body = json!({"app": "web", "scopes": USER_READ, "account": account});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    stage.sidecar(index).client.post("/silent", &body).await
}

/// The refresh tokens that were sent.
async fn sent(stage: &Stage) -> Vec<String> {
    let asked = stage.emulator.asked("token").await;
    let tokens = asked.iter().filter(|call| call["grant_type"] == "refresh_token");
    tokens.map(|call| call["form"]["refresh_token"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn cch_20_two_releases_read_each_others_tokens() {
    let mut stage = Stage::new(2).await;
    for writes in [NEXT_ONE, ALONE] {
        stage.redis.flush().await;
        stage.replace_by(0, if writes.writes == 3 { THIS_ONE } else { NEXT_ONE }).await;
        stage.replace_by(1, writes).await;
        let before = stage.calls().await;
        let (ana, ben) = (stage.ana().await, stage.ben().await);
        let (older, newer) = (stage.obo(0, &ana).await, stage.obo(1, &ben).await);
        assert_eq!(versions(&stage).await, [3, writes.writes]);
        for (index, bearer, first) in [(1, &ana, &older), (0, &ben, &newer)] {
            let found = stage.obo(index, bearer).await;
            assert_eq!((found.token(), level(&found)), (first.token(), "redis"));
        }
        assert_eq!(stage.calls().await, before + 2);
        // They renew for each other, too, and what was replaced is gone wherever it stood.
        let rejected = |token: &str| json!({"app": "orders", "scopes": [USER_READ], "access_token_sha256": sha256(token)});
        let post = async |client: &Client, bearer: &str, token: &str| client.post_as("/obo", bearer, &rejected(token)).await;
        let next = post(&stage.sidecar(1).client, &ana, older.token()).await;
        assert_eq!(level(&next), "identity_provider");
        assert_eq!(versions(&stage).await, [writes.writes, writes.writes]);
        assert_eq!(post(&stage.sidecar(0).client, &ana, older.token()).await.token(), next.token());
        let last = post(&stage.sidecar(0).client, &ben, newer.token()).await;
        assert_eq!(level(&last), "identity_provider");
        assert_eq!(versions(&stage).await, [3, writes.writes]);
        assert_eq!(post(&stage.sidecar(1).client, &ben, newer.token()).await.token(), last.token());
        assert_eq!(stage.calls().await, before + 4);
    }
}

#[tokio::test]
async fn cch_20_at_the_same_time_two_releases_make_one_call() {
    let mut stage = Stage::new(2).await;
    stage.replace_by(1, NEXT_ONE).await;
    let answers = stage.together(json!({}), async |index| stage.graph(index).await).await;
    assert_eq!((answers[0].token(), stage.calls().await), (answers[1].token(), 1));
    let failed = stage.together(json!({"aadsts": 500_011}), async |index| {
        stage.app_token(index, &json!({"app": "daemon", "scopes": "api://orders/.default"})).await
    });
    assert!(failed.await.iter().all(|answer| answer.member("error") == "invalid_resource"));
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
async fn cch_20_an_upgrade_and_a_rollback_lose_no_token_and_no_sign_in() {
    let mut stage = Stage::new(2).await;
    let ana = stage.ana().await;
    let both = format!("{USER_READ} {MAIL_READ}");
    stage.answering_with(1, json!({"set": {"scope": both}})).await;
    let (user, app) = (stage.obo(0, &ana).await, stage.graph(0).await);
    let account = stage.signed_in(USER).await;
    let mut calls = 3;
    // One replica after the other, up and down again, and each step writes something of its own.
    let steps = [(0, NEXT_ONE), (1, NEXT_ONE), (0, ALONE), (1, ALONE), (0, NEXT_ONE), (1, NEXT_ONE)];
    for (step, (index, release)) in steps.into_iter().enumerate() {
        stage.replace_by(index, release).await;
        let own = json!({"app": "daemon", "scopes": "api://orders/.default", "client_claims": format!("{{\"step\":{step}}}")});
        let mine = stage.app_token(index, &own).await;
        assert_eq!(level(&mine), "identity_provider", "{}", mine.text);
        // What renews the sign-in moves with it.
        let renewed = silent(&stage, index, &account, json!({"force_refresh": true})).await;
        assert_eq!(renewed.source(), "identity_provider", "step {step}");
        assert_eq!(of_kind(&stage, "}:a").await, [release.writes], "step {step}");
        calls += 2;
        for other in 0..2 {
            assert_eq!((stage.obo(other, &ana).await.token(), stage.graph(other).await.token()), (user.token(), app.token()));
            // Also by the index, which has no version.
            assert_eq!(stage.obo_as(other, "orders", MAIL_READ, &ana).await.token(), user.token());
            assert_eq!(stage.app_token(other, &own).await.token(), mine.token());
            assert_eq!(silent(&stage, other, &account, json!({})).await.token(), renewed.token(), "step {step}");
            let listed = stage.sidecar(other).client.get("/accounts?app=web").await;
            assert_eq!(listed.json["accounts"].as_array().map(Vec::len), Some(1), "step {step}: {}", listed.text);
        }
        assert_eq!(stage.calls().await, calls, "step {step}");
    }
    // Back to this one: what was renewed meanwhile is there.
    stage.replace_by(0, THIS_ONE).await;
    assert_eq!(silent(&stage, 0, &account, json!({})).await.source(), "cache");
    let renewed = silent(&stage, 0, &account, json!({"force_refresh": true})).await;
    assert_eq!(renewed.source(), "identity_provider");
    assert_eq!(silent(&stage, 1, &account, json!({})).await.token(), renewed.token());
    for index in 0..2 {
        for reason in ["newer", "garbage", "unknown_key"] {
            assert_eq!(stage.unreadable(index, reason).await, 0.0, "{reason}");
        }
    }
    // Each refresh token was followed by its successor.
    let sent = sent(&stage).await;
    assert_eq!(sent.len(), steps.len() + 1);
    assert!(sent.windows(2).all(|two| two[0] != two[1]), "an old one was sent again");
}

#[tokio::test]
async fn cch_20_a_sign_out_takes_what_either_release_wrote() {
    for (older, newer) in [(THIS_ONE, NEXT_ONE), (NEXT_ONE, ALONE)] {
        for by in 0..2 {
            let mut stage = Stage::new(2).await;
            stage.replace_by(0, older).await;
            stage.replace_by(1, newer).await;
            let account = stage.signed_in(USER).await;
            // Of both something stands, under the names of both.
            silent(&stage, 1, &account, json!({"force_refresh": true})).await.token();
            let body = json!({"app": "web", "scopes": "api://orders/access_as_user", "account": account});
            stage.sidecar(0).client.post("/silent", &body).await.token();
            let client = &stage.sidecar(by).client;
            let gone = Client::send(client.http.delete(format!("{}/accounts/{account}?app=web", client.base))).await;
            assert_eq!(gone.status, 204, "{}", gone.text);
            assert_eq!((of_kind(&stage, "}:t:").await.len(), of_kind(&stage, "}:a").await.len()), (0, 0));
            // Memory may hear of it a moment later.
            for index in 0..2 {
                crate::support::eventually(super::SOON, async || silent(&stage, index, &account, json!({})).await.status == 401)
                    .await;
                let listed = stage.sidecar(index).client.get("/accounts?app=web").await;
                assert_eq!(listed.json["accounts"].as_array().map(Vec::len), Some(0), "{}", listed.text);
            }
            // And it is over: the next sign-in is one for both.
            assert_eq!(stage.signed_in(USER).await, account);
            for index in 0..2 {
                silent(&stage, index, &account, json!({})).await.token();
            }
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
        value[VERSION] = 4;
        stage.replace(&key, &value).await;
    }
    let again = stage.obo(1, &ana).await;
    assert_eq!(level(&again), "identity_provider");
    assert_ne!(again.token(), first.token());
    assert!(stage.unreadable(1, "newer").await >= 1.0);
    // It was stored in its place, and the one that nobody asked for is left alone.
    assert_eq!(versions(&stage).await, [3, 4]);
    assert_eq!((stage.obo(0, &ben).await.token(), stage.calls().await), (other.token(), 3));
}
