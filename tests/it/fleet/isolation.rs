//! On one Redis: two apps, tenants, clouds and kinds of authority never meet, and what stands under a wrong name is nothing.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Stage, USER_READ, level};
use crate::support::redis::RedisServer;
use crate::support::{Answer, Emulator, GRAPH, configuration};

/// Replicas of which each knows two clouds that differ in nothing but their host: `daemon` and `daemon-there`, …
async fn two_clouds(count: usize) -> (Stage, Emulator) {
    let mut stage = Stage::empty(RedisServer::start().await).await;
    let there = Emulator::start(&stage.clock).await;
    let files = stage.files.path().join("there");
    std::fs::create_dir(&files).expect("a folder");
    let other = tempfile::tempdir_in(&files).expect("a folder");
    let text = configuration(&there, &other);
    // Its files stay for as long as the stage's.
    let _kept = other.keep();
    let apps: String = text
        .lines()
        .filter(|line| ["  daemon:", "  orders:", "  partner:", "  shop:"].iter().any(|app| line.starts_with(app)))
        .map(|line| line.replacen(':', "-there:", 1) + "\n")
        .collect();
    for index in 0..count {
        let yaml = stage.yaml(index).replacen("apis:\n", &format!("{apps}apis:\n"), 1);
        stage.add(yaml).await;
    }
    (stage, there)
}

/// Everything that differs in whose token it is, and in nothing else that a key might forget.
async fn all(stage: &Stage, index: usize, users: &[(String, String)]) -> Vec<(String, Answer)> {
    let tenants = &stage.emulator.directory["tenants"];
    let mut asked: Vec<(String, Option<String>, Value)> = Vec::new();
    for cloud in ["", "-there"] {
        for tenant in [&tenants[0]["id"], &tenants[1]["id"]] {
            let body = json!({"app": format!("partner{cloud}"), "scopes": GRAPH, "tenant": tenant});
            asked.push((format!("partner{cloud} in {tenant}"), None, body));
        }
        for app in ["daemon", "orders"] {
            let body = json!({"app": format!("{app}{cloud}"), "scopes": GRAPH});
            asked.push((format!("{app}{cloud}"), None, body));
        }
        asked.push((format!("shop{cloud}"), None, json!({"app": format!("shop{cloud}"), "scopes": "stock.read"})));
    }
    for (app, bearer) in users {
        let scopes = if app.starts_with("shop") { "stock.read" } else { USER_READ };
        asked.push((format!("{app} for a user"), Some(bearer.clone()), json!({"app": app, "scopes": scopes})));
    }
    join_all(asked.into_iter().map(async |(name, bearer, body)| {
        let client = &stage.sidecar(index).client;
        let answer = match &bearer {
            Some(bearer) => client.post_as("/obo", bearer, &body).await,
            None => client.post("/client-credentials", &body).await,
        };
        (name, answer)
    }))
    .await
}

async fn users(stage: &Stage, there: &Emulator) -> Vec<(String, String)> {
    let mut users = Vec::new();
    for (cloud, emulator) in [("", &stage.emulator), ("-there", there)] {
        for user in ["ana@contoso.example", "ben@contoso.example"] {
            users.push((format!("orders{cloud}"), emulator.user_token(user).await));
        }
        for user in ["ana@contoso.example", "fay@fabrikam.example"] {
            let order = json!({"app": "partner", "user": user, "scopes": "access_as_user"});
            users.push((format!("partner{cloud}"), emulator.mint(order).await));
        }
        for user in ["eva", "sam"] {
            let order = json!({"realm": "shop", "app": "https://orders.shop.example", "user": user, "scopes": "orders.read"});
            users.push((format!("shop{cloud}"), emulator.mint(order).await));
        }
    }
    users
}

#[tokio::test]
async fn cch_4_apps_tenants_clouds_and_users_never_meet_on_one_redis() {
    let (stage, there) = two_clouds(2).await;
    let users = users(&stage, &there).await;
    let first = all(&stage, 0, &users).await;
    let mut tokens: Vec<&str> = first.iter().map(|(_, answer)| answer.token()).collect();
    for (name, answer) in &first {
        assert_eq!(level(answer), "identity_provider", "{name}");
    }
    let count = tokens.len();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), count);
    assert_eq!(stage.tokens().await.len(), count);
    for ((name, first), (_, other)) in first.iter().zip(all(&stage, 1, &users).await) {
        assert_eq!((other.token(), level(&other)), (first.token(), "redis"), "{name}");
    }
    assert_eq!(stage.calls().await + there.asked("token").await.len(), count);
}

#[tokio::test]
async fn two_prefixes_share_nothing() {
    let other = |index: usize, yaml: String| {
        if index == 2 { yaml.replace("timeout: 1s", "timeout: 1s, key_prefix: other") } else { yaml }
    };
    let mut stage = Stage::changed(2, other).await;
    stage.add_deaf(other(2, stage.yaml(2))).await;
    let first = stage.graph(0).await;
    assert_eq!(level(&stage.graph(1).await), "redis");
    let apart = stage.graph(2).await;
    assert_eq!(level(&apart), "identity_provider");
    assert_ne!(apart.token(), first.token());
    stage.graph_with(2, &json!({"force_refresh": true})).await.token();
    assert_eq!((stage.graph(0).await.token(), stage.graph(1).await.token()), (first.token(), first.token()));
    let keys = stage.redis.keys().await;
    assert!(keys.iter().all(|key| key.starts_with("tokend:") || key.starts_with("other:")), "{keys:?}");
    assert_eq!(stage.tokens().await.len(), 2);
}

/// Moves every value in Redis to another token's key, and asks a replica that has nothing in memory.
async fn swapped(change: impl Fn(String) -> String) -> (Stage, usize) {
    let (mut stage, there) = two_clouds(0).await;
    drop(there);
    let yaml = change(stage.yaml(0));
    stage.add(yaml.clone()).await;
    let (ana, ben, eva) = (stage.ana().await, stage.ben().await, stage.eva().await);
    let ask = async |stage: &Stage, index| {
        [
            stage.graph(index).await,
            stage.app_token(index, &json!({"app": "orders", "scopes": GRAPH})).await,
            stage.obo(index, &ana).await,
            stage.obo(index, &ben).await,
            stage.obo_as(index, "shop", "stock.read", &eva).await,
        ]
    };
    let before = ask(&stage, 0).await;
    let keys = stage.tokens().await;
    assert_eq!(keys.len(), before.len());
    let values = join_all(keys.iter().map(|key| stage.value(key))).await;
    for (index, key) in keys.iter().enumerate() {
        stage.replace(key, &values[(index + 1) % values.len()]).await;
    }
    stage.add(yaml).await;
    let after = ask(&stage, 1).await;
    for (index, answer) in after.iter().enumerate() {
        assert_eq!(level(answer), "identity_provider", "the answer to request {index} is another's");
        assert!(before.iter().all(|before| before.token() != answer.token()));
        assert_eq!(answer.json["account"], before[index].json["account"]);
    }
    // What was got anew stands there again.
    for (answer, after) in ask(&stage, 1).await.iter().zip(&after) {
        assert_eq!((answer.token(), level(answer)), (after.token(), "memory"));
    }
    stage.restart(1, |yaml| yaml).await;
    for (answer, after) in ask(&stage, 1).await.iter().zip(&after) {
        assert_eq!((answer.token(), level(answer)), (after.token(), "redis"));
    }
    (stage, keys.len())
}

#[tokio::test]
async fn cch_17_a_value_under_anothers_name_is_a_miss_and_is_counted() {
    let (mut stage, count) = swapped(|yaml| yaml).await;
    assert_eq!(stage.unreadable(1, "garbage").await, 0.0, "nothing more since it was restarted");
    // Once more, to see what is counted.
    let keys = stage.tokens().await;
    let values = join_all(keys.iter().map(|key| stage.value(key))).await;
    for (index, key) in keys.iter().enumerate() {
        stage.replace(key, &values[(index + 1) % values.len()]).await;
    }
    stage.restart(1, |yaml| yaml).await;
    stage.graph(1).await.token();
    assert!(stage.unreadable(1, "garbage").await >= 1.0);
    assert_eq!(count, 5);
}

#[tokio::test]
async fn cch_17_a_value_under_anothers_name_is_a_miss_in_plaintext_as_well() {
    let plain = |yaml: String| {
        let at = yaml.find("encryption: {").expect("encryption");
        format!("{}encryption: {{plaintext: true}}}}}}\n", &yaml[..at])
    };
    let (_stage, count) = swapped(plain).await;
    assert_eq!(count, 5);
}

#[tokio::test]
async fn cch_17_a_changed_byte_anywhere_is_a_miss() {
    let mut stage = Stage::new(2).await;
    let mut token = stage.graph(0).await.token().to_owned();
    let key = stage.tokens().await.remove(0);
    let length = stage.value(&key).await.len();
    // In the generation, the version, the key's id, the nonce, the record, and its tag; and cut.
    for at in [3, 16, 18, 25, length / 2, length - 1, length] {
        let mut value = stage.value(&key).await;
        match value.get_mut(at) {
            Some(byte) => *byte ^= 1,
            None => value.truncate(length / 3),
        }
        stage.replace(&key, &value).await;
        stage.restart(1, |yaml| yaml).await;
        let answer = stage.graph(1).await;
        assert_eq!(level(&answer), "identity_provider", "byte {at}");
        assert_ne!(answer.token(), token);
        token = answer.token().to_owned();
        stage.restart(1, |yaml| yaml).await;
        assert_eq!((stage.graph(1).await.token(), stage.tokens().await.len()), (token.as_str(), 1), "byte {at}");
    }
    assert_eq!(stage.calls().await, 8);
}
