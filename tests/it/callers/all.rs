//! `accounts: all`: the own accounts first, then those of every other caller, and those that were there before there were callers.

use std::collections::BTreeSet;

use serde_json::json;

use super::{ANA, BEN, EXPIRED, PATIENCE, Stage, THREE, id};
use crate::support::{code, eventually};

/// What a replica signs in that knows no callers yet.
async fn sign_in_before(stage: &Stage, replica: usize, user: &str) -> String {
    let client = stage.nobody(replica);
    let body = code(&stage.emulator, client, "web", super::ORDERS, user).await;
    id(&client.post("/auth-code", &body).await)
}

#[tokio::test]
async fn another_callers_account_is_served_as_if_it_were_its_own() {
    for stage in Stage::both(&THREE).await {
        let signed = stage.sign_in(0, "beta", ANA).await;
        let ana = id(&signed);
        for replica in [0, stage.last()] {
            assert_eq!(stage.silent(replica, "desk", &ana).await.token(), signed.token());
            assert_eq!(stage.account(replica, "desk", "web", &ana).await.json, signed.json["account"]);
            assert_eq!(stage.listed(replica, "desk").await, [&*ana]);
        }
        assert_eq!(stage.calls().await, 1);
        // What it renews is the other's, too.
        stage.clock.advance(std::time::Duration::from_secs(EXPIRED));
        let renewed = stage.silent(0, "desk", &ana).await;
        assert_eq!(renewed.source(), "identity_provider");
        assert_eq!(stage.silent(stage.last(), "beta", &ana).await.token(), renewed.token());
        let forced = stage.silent_with(0, "desk", &ana, json!({"force_refresh": true})).await;
        assert_eq!((forced.source(), forced.member("refresh_reason")), ("identity_provider", "force_refresh_or_claims"));
        assert_eq!(stage.silent(0, "beta", &ana).await.token(), forced.token());
        stage.silent(0, "alpha", &ana).await.refused(401, "no_tokens_found", "sign in");
    }
}

#[tokio::test]
async fn its_own_account_comes_first() {
    for stage in Stage::both(&THREE).await {
        let (other, own) = (stage.sign_in(0, "alpha", ANA).await, stage.sign_in(0, "desk", ANA).await);
        let ana = id(&own);
        for replica in [0, stage.last()] {
            assert_eq!(stage.silent(replica, "desk", &ana).await.token(), own.token());
            assert_eq!(stage.silent(replica, "alpha", &ana).await.token(), other.token());
            // One user is shown once on a page.
            assert_eq!(stage.listed(replica, "desk").await, [&*ana]);
        }
    }
}

#[tokio::test]
async fn nobodys_account_is_no_account() {
    for stage in Stage::both(&THREE).await {
        stage.silent(0, "desk", "some.body").await.refused(401, "no_tokens_found", "sign in");
        stage.account(0, "desk", "web", "some.body").await.refused(404, "unknown_account", "account");
        assert_eq!(stage.sign_out(0, "desk", "web", "some.body").await.status, 204);
        assert_eq!(stage.listed(0, "desk").await, [""; 0]);
    }
}

#[tokio::test]
async fn signing_out_reaches_every_owner() {
    for stage in Stage::both(&THREE).await {
        let ana = id(&stage.sign_in(0, "alpha", ANA).await);
        stage.sign_in(stage.last(), "beta", ANA).await;
        let ben = id(&stage.sign_in(0, "beta", BEN).await);
        stage.silent(stage.last(), "desk", &ana).await.token();
        assert_eq!(stage.sign_out(0, "desk", "web", &ana).await.status, 204);
        for replica in [0, stage.last()] {
            for caller in ["alpha", "beta", "desk"] {
                eventually(PATIENCE, async || stage.silent(replica, caller, &ana).await.status == 401).await;
                stage.account(replica, caller, "web", &ana).await.refused(404, "unknown_account", "account");
            }
            stage.silent(replica, "beta", &ben).await.token();
        }
        assert_eq!(stage.sign_out(0, "desk", "web", &ana).await.status, 204);
    }
}

#[tokio::test]
async fn page_by_page_everybodys_accounts_are_listed() {
    for stage in Stage::both(&THREE).await {
        let mut expected = BTreeSet::new();
        for (caller, user) in [("alpha", ANA), ("beta", BEN), ("beta", ANA), ("desk", BEN)] {
            expected.insert(id(&stage.sign_in(0, caller, user).await));
        }
        for limit in [1, 2, 3, 1000] {
            let pages = stage.pages(stage.last(), "desk", limit).await;
            assert!(limit > 1 || pages.len() >= 4, "{pages:?}");
            for page in &pages {
                assert_eq!(page.iter().collect::<BTreeSet<_>>().len(), page.len(), "a user twice on one page: {pages:?}");
            }
            assert_eq!(pages.concat().into_iter().collect::<BTreeSet<_>>(), expected, "by {limit}");
        }
        // What continues in the accounts of others is no cursor for those who may not see them.
        let mut foreign = 0;
        let mut cursor = String::new();
        while let Some(next) = stage.client(0, "desk").get(&format!("/accounts?app=web&limit=1{cursor}")).await.json.get("next") {
            cursor = format!("&cursor={}", next.as_str().expect("a text"));
            let theirs = stage.client(0, "alpha").get(&format!("/accounts?app=web{cursor}")).await;
            if theirs.status != 200 {
                theirs.refused(400, "invalid_request", "`cursor`");
                foreign += 1;
            } else {
                assert!(!theirs.text.contains("ben"), "{}", theirs.text);
            }
        }
        // The one between the two accounts of `beta` at least. Whether one more ends where the accounts of a caller do depends on
        // the order of names, which are random.
        assert!(foreign >= 1, "{foreign}");
    }
}

#[tokio::test]
async fn what_was_there_before_callers_is_for_those_who_see_all() {
    let mut stage = Stage::empty(Some(crate::support::redis::RedisServer::start().await)).await;
    stage.add(&[]).await;
    let (ana, ben) = (sign_in_before(&stage, 0, ANA).await, sign_in_before(&stage, 0, BEN).await);
    let names = stage.redis.as_ref().expect("a Redis").keys().await.into_iter().collect::<BTreeSet<_>>();
    stage.add(&THREE).await;
    stage.silent(1, "alpha", &ana).await.refused(401, "no_tokens_found", "sign in");
    stage.account(1, "alpha", "web", &ana).await.refused(404, "unknown_account", "account");
    assert_eq!(stage.listed(1, "alpha").await, [""; 0]);
    assert_eq!(stage.silent(1, "desk", &ana).await.source(), "cache");
    assert_eq!(stage.account(1, "desk", "web", &ana).await.status, 200);
    let mut both = [ana.clone(), ben.clone()];
    both.sort();
    assert_eq!(stage.listed(1, "desk").await, both);
    // What a caller makes stands beside it.
    let own = stage.sign_in(1, "alpha", ANA).await;
    assert_eq!(stage.silent(1, "alpha", &ana).await.token(), own.token());
    let now = stage.redis.as_ref().expect("a Redis").keys().await.into_iter().collect::<BTreeSet<_>>();
    assert!(now.is_superset(&names) && now.difference(&names).filter(|name| name.ends_with("}:a")).count() == 1, "{now:?}");
    assert_eq!(stage.sign_out(1, "desk", "web", &ana).await.status, 204);
    eventually(PATIENCE, async || {
        stage.nobody(0).get(&format!("/accounts/{ana}?app=web")).await.status == 404
            && stage.nobody(0).post("/silent", &json!({"app": "web", "account": ana, "scopes": super::ORDERS})).await.status == 401
    })
    .await;
    assert_eq!(stage.silent(1, "desk", &ben).await.source(), "cache");
}

#[tokio::test]
async fn while_redis_is_away_a_sign_out_is_no_success_and_memory_forgets_all_the_same() {
    let mut stage = Stage::sharing(&THREE).await;
    let ana = id(&stage.sign_in(0, "alpha", ANA).await);
    stage.sign_in(0, "beta", ANA).await;
    stage.silent(0, "alpha", &ana).await.token();
    stage.redis = None;
    let answer = stage.sign_out(0, "desk", "web", &ana).await;
    answer.refused(503, "cache_unavailable", "cache");
    assert_eq!(answer.json["retryable"], true);
    for caller in ["alpha", "beta", "desk"] {
        assert_eq!(stage.silent(0, caller, &ana).await.status, 503, "{caller}");
    }
}

#[tokio::test]
async fn while_redis_is_away_another_callers_account_is_still_served() {
    let mut stage = Stage::sharing(&THREE).await;
    let ana = id(&stage.sign_in(0, "alpha", ANA).await);
    stage.redis = None;
    // Its own accounts cannot be looked up now, and the access token has ended: what memory has of the other does.
    stage.clock.advance(std::time::Duration::from_secs(EXPIRED));
    assert_eq!(stage.silent(0, "desk", &ana).await.source(), "identity_provider");
    // Of a user whom nobody here knows nothing can be said.
    stage.silent(0, "desk", "some.body").await.refused(503, "cache_unavailable", "cache");
}

/// How often a replica has asked Redis for anything.
async fn asked(stage: &Stage, replica: usize) -> f64 {
    let text = stage.replicas[replica].admin.get("/metrics").await.text;
    let samples = text.lines().filter(|line| line.starts_with("tokend_redis_requests_total{"));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn redis_is_asked_of_all_owners_at_once() {
    let names: Vec<String> = (0..120).map(|number| format!("caller-{number}")).collect();
    let mut callers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    callers.push(("desk", ", accounts: all"));
    let stage = Stage::sharing(&callers).await;
    let signed = stage.sign_in(0, "caller-100", ANA).await;
    let ana = id(&signed);
    // Replica 1 has nothing in memory.
    let before = asked(&stage, 1).await;
    stage.account(1, "desk", "web", "some.body").await.refused(404, "unknown_account", "account");
    stage.silent(1, "desk", "some.body").await.refused(401, "no_tokens_found", "sign in");
    let unknown = asked(&stage, 1).await;
    assert!(unknown - before <= 4.0, "{}", unknown - before);
    assert_eq!(stage.account(1, "desk", "web", &ana).await.json, signed.json["account"]);
    assert_eq!(stage.silent(1, "desk", &ana).await.token(), signed.token());
    let known = asked(&stage, 1).await;
    assert!(known - unknown <= 8.0, "{}", known - unknown);
    assert_eq!(stage.listed(1, "desk").await, [&*ana]);
    // Nor does it take long, or leave anything, to sign out whom none of them knows.
    let redis = stage.redis.as_ref().expect("a Redis");
    let (keys, before) = (redis.keys().await, asked(&stage, 1).await);
    assert_eq!(stage.sign_out(1, "desk", "web", "some.body").await.status, 204);
    assert_eq!(redis.keys().await, keys);
    // A message for each owner, and a look at all before and afterwards.
    let signed_out = asked(&stage, 1).await - before;
    assert!(signed_out <= 122.0 + 2.0 * 2.0, "{signed_out}");
    assert_eq!(stage.sign_out(1, "desk", "web", &ana).await.status, 204);
    stage.account(0, "caller-100", "web", &ana).await.refused(404, "unknown_account", "account");
    assert_eq!(stage.listed(1, "desk").await, [""; 0]);
}
