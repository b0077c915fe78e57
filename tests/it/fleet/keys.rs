//! What stands in Redis for how long, and what a look at it costs however much there is.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{SOON, Stage, USER_READ, level};
use crate::support::redis::RedisServer;
use crate::support::{Client, eventually};

/// What each key has left, in milliseconds; negative: no end.
async fn lives(stage: &Stage) -> BTreeMap<String, i64> {
    let mut lives = BTreeMap::new();
    for key in stage.redis.keys().await {
        let left: i64 = stage.redis.admin().ask(&["PTTL", &key]).await.expect("a time");
        // Gone since.
        if left != -2 {
            lives.insert(key, left);
        }
    }
    lives
}

async fn all_end(stage: &Stage) -> BTreeMap<String, i64> {
    let lives = lives(stage).await;
    assert!(lives.values().all(|left| *left > 0), "{lives:#?}");
    lives
}

/// The kinds of keys, each with how many there are.
fn kinds(lives: &BTreeMap<String, i64>) -> BTreeMap<&str, usize> {
    let mut kinds = BTreeMap::new();
    for key in lives.keys().filter(|key| *key != "tokend:m") {
        let kind = key.split("}:").nth(1).unwrap_or_default();
        *kinds.entry(kind.split(':').next().unwrap_or_default()).or_default() += 1;
    }
    kinds
}

#[tokio::test]
async fn cch_16_every_key_ends() {
    let stage = Stage::new(2).await;
    let (ana, ben) = (stage.ana().await, stage.ben().await);
    stage.graph(0).await.token();
    stage.graph_with(1, &json!({"force_refresh": true})).await.token();
    stage.obo(0, &ana).await.token();
    let signed = stage.signed_in("ana@contoso.example").await;
    all_end(&stage).await;
    // A call under way: its lease.
    stage.answering_with(0, json!({"hold": true})).await;
    let (_, lease) = tokio::join!(stage.obo(1, &ben), async {
        stage.emulator.asked_times("token", 5).await;
        let lives = all_end(&stage).await;
        stage.emulator.release().await;
        lives.into_iter().find(|(key, _)| key.contains("}:l:"))
    });
    let (_, left) = lease.expect("a lease");
    assert!((86_000_000..=86_400_000).contains(&left), "{left}");
    // What followers are told, and what is remembered of failures.
    stage.emulator.unscript().await;
    stage
        .together(json!({"throttle": {"retry_after": "100"}}), async |index| {
            stage.app_token(index, &json!({"app": "orders", "scopes": crate::support::GRAPH})).await
        })
        .await;
    let lives = all_end(&stage).await;
    let held = lives.iter().find(|(key, _)| key.contains("}:h:")).expect("a pause");
    assert!((95_000..=100_000).contains(held.1), "{held:?}");
    let told = lives.iter().filter(|(key, _)| key.contains("}:o:")).map(|(_, left)| *left).max();
    assert!(told.expect("an outcome") <= 5000, "{told:?}");
    // A sign-out leaves an epoch, which ends too.
    let gone = stage.sign_out("web", &signed).await;
    assert_eq!(gone, 204);
    let lives = all_end(&stage).await;
    assert!(lives.keys().any(|key| key.ends_with("}:e")) && lives.keys().all(|key| !key.ends_with("}:a")), "{lives:#?}");
}

#[tokio::test]
async fn cch_5_a_token_stays_in_redis_until_it_ends() {
    let stage = Stage::new(1).await;
    stage.answering_with(1, json!({"expires_in": 1234})).await;
    stage.graph(0).await.token();
    let lives = all_end(&stage).await;
    let token = lives.iter().find(|(key, _)| key.contains("}:t:")).expect("a token");
    assert!((1_200_000..=1_234_000).contains(token.1), "{token:?}");
    // The index of a partition lives as long as the longest of its tokens.
    stage.answering_with(1, json!({"expires_in": 5000})).await;
    stage.app_token(0, &json!({"app": "daemon", "scopes": "api://orders/.default"})).await.token();
    let lives = all_end(&stage).await;
    let index = lives.iter().find(|(key, _)| key.ends_with("}:i")).expect("an index");
    assert!((4_960_000..=5_000_000).contains(index.1), "{index:?}");
    // Renewed: for longer again.
    stage.emulator.unscript().await;
    stage.graph_with(0, &json!({"force_refresh": true})).await.token();
    assert!(all_end(&stage).await[token.0] > 3_000_000);
}

#[tokio::test]
async fn cch_16_a_user_costs_a_few_keys_however_often_tokens_are_renewed() {
    let stage = Stage::new(2).await;
    let ana = stage.ana().await;
    let force = json!({"app": "orders", "scopes": [USER_READ], "force_refresh": true});
    for index in 0..2 {
        for _ in 0..3 {
            stage.obo(index, &ana).await.token();
            stage.sidecar(index).client.post_as("/obo", &ana, &force).await.token();
        }
    }
    // What leaders leave is gone after seconds.
    stage.elapse(6).await;
    let lives = all_end(&stage).await;
    assert_eq!(kinds(&lives), BTreeMap::from([("t", 1), ("i", 1)]), "{lives:#?}");
    // One user more: the same again, and nothing else grows.
    stage.obo(0, &stage.ben().await).await.token();
    stage.elapse(6).await;
    let two = all_end(&stage).await;
    assert_eq!(kinds(&two), BTreeMap::from([("t", 2), ("i", 2)]));
    // Everything of one user stands in one slot.
    let tags = |lives: &BTreeMap<String, i64>| {
        lives.keys().filter_map(|key| Some(key[..=key.find('}')?].to_owned())).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!((tags(&lives).len(), tags(&two).len()), (1, 2));
    // Somebody who signs in: the sign-in, and a place in the list of accounts. Other apps' tokens of the user are other partitions.
    let signed = stage.signed_in("ana@contoso.example").await;
    stage.elapse(6).await;
    assert_eq!(kinds(&all_end(&stage).await), BTreeMap::from([("t", 3), ("i", 3), ("a", 1), ("s", 1)]));
    // Signed out: an epoch in their place.
    assert_eq!(stage.sign_out("web", &signed).await, 204);
    assert_eq!(kinds(&all_end(&stage).await), BTreeMap::from([("t", 2), ("i", 2), ("e", 1)]));
}

/// What Redis was asked since it was told to count anew, by command.
pub(super) async fn asked(redis: &RedisServer) -> BTreeMap<String, u64> {
    let text: String = redis.admin().ask(&["INFO", "commandstats"]).await.expect("counts");
    let counts = text.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        Some((name.to_owned(), rest.strip_prefix("calls=")?.split(',').next()?.parse().ok()?))
    });
    // The support's own, the question whether a subscription is still there, and the look at the marker.
    let beside = ["client|setname", "info", "config|resetstat", "ping", "hello", "get"];
    counts.filter(|(name, _)| !beside.contains(&name.as_str())).collect()
}

/// What a replica that has nothing in memory asks Redis for one token that is there.
async fn cost_of_a_hit(stage: &mut Stage, bearer: &str) -> BTreeMap<String, u64> {
    stage.restart(0, |yaml| yaml).await;
    // The connections are made, and the keys of the authority are there.
    stage.graph(0).await.token();
    stage.redis.admin().ask::<()>(&["CONFIG", "RESETSTAT"]).await.expect("zeros");
    assert_eq!(level(&stage.obo(0, bearer).await), "redis");
    let mut asked = asked(&stage.redis).await;
    // Whether the clocks agree is found out now and then, and by the clock of this test those of Redis run.
    asked.remove("pttl");
    asked
}

/// What signing out asks Redis.
async fn cost_of_a_sign_out(stage: &Stage) -> BTreeMap<String, u64> {
    let account = stage.signed_in("ben@contoso.example").await;
    stage.redis.admin().ask::<()>(&["CONFIG", "RESETSTAT"]).await.expect("zeros");
    assert_eq!(stage.sign_out("web", &account).await, 204);
    asked(&stage.redis).await
}

#[tokio::test]
async fn cch_16_a_hit_and_a_sign_out_cost_the_same_with_one_user_and_with_a_thousand() {
    let mut stage = Stage::new(1).await;
    let ana = stage.ana().await;
    stage.graph(0).await.token();
    stage.obo(0, &ana).await.token();
    let alone = cost_of_a_hit(&mut stage, &ana).await;
    // The token with its account's epoch, in one.
    assert_eq!(alone, BTreeMap::from([("mget".to_owned(), 1)]));
    // The first one of all teaches the server a script.
    cost_of_a_sign_out(&stage).await;
    let leaving_alone = cost_of_a_sign_out(&stage).await;
    let others = async |claims: Value| {
        let order = json!({"app": "orders-api", "scopes": "access_as_user", "claims": claims});
        stage.obo(0, &stage.emulator.mint(order).await).await.token().len()
    };
    for batch in 0..20 {
        join_all((0..50).map(|index| others(json!({"oid": format!("u-{batch}-{index}")})))).await;
    }
    // And many tokens of the same user.
    let same = json!({"oid": stage.emulator.directory["users"][0]["object_id"]});
    join_all((0..50).map(|_| others(same.clone()))).await;
    assert_eq!(stage.tokens().await.len(), 1052);
    assert_eq!(cost_of_a_hit(&mut stage, &ana).await, alone);
    assert_eq!(cost_of_a_sign_out(&stage).await, leaving_alone);
}

impl Stage {
    /// Signs a user in at the app `web`; returns the account.
    pub(super) async fn signed_in(&self, user: &str) -> String {
        let client = &self.sidecar(0).client;
        let redirect_uri = crate::support::REDIRECT_URI;
        let body = json!({"app": "web", "scopes": USER_READ, "redirect_uri": redirect_uri, "prompt": "none", "login_hint": user});
        let url = client.post("/auth-code/url", &body).await;
        let back = self.emulator.sign_in(url.member("authorization_url")).await;
        let body = json!({"app": "web", "scopes": USER_READ, "redirect_uri": redirect_uri,
            "code": crate::support::parameter(&back, "code"), "code_verifier": url.member("code_verifier")});
        let answer = client.post("/auth-code", &body).await;
        answer.token();
        answer.json["account"]["home_account_id"].as_str().expect("an account").to_owned()
    }

    pub(super) async fn sign_out(&self, app: &str, account: &str) -> u16 {
        let others = self.replicas.len() - 1;
        let client = &self.sidecar(others).client;
        let gone = client.http.delete(format!("{}/accounts/{account}?app={app}", client.base));
        let status = Client::send(gone).await.status;
        // The first replica has heard of it, if it is another one.
        let heard = "tokend_cache_invalidations_total{direction=\"received\",kind=\"signed_out\"}";
        eventually(SOON, async || others == 0 || self.sidecar(0).metric(heard).await >= 1.0).await;
        status
    }
}
