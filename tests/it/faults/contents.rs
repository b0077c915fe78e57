//! A server that works and has lost what it kept, or holds what nobody can read.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::json;

use super::load::Load;
use super::topologies::sign_in;
use super::{PATIENCE, Replicas, WARM, Wanted, at, cache, now, ring, say};
use crate::support::eventually;
use crate::support::redis::RedisServer;

async fn do_as(connection: &mut MultiplexedConnection, command: &str, args: &[&[u8]]) {
    redis::cmd(command).arg(args).exec_async(connection).await.expect("an answer");
}

/// The keys of all tokens.
async fn tokens(server: &RedisServer) -> Vec<String> {
    server.keys().await.into_iter().filter(|key| key.contains("}:t:")).collect()
}

/// What could not be opened.
async fn undecipherable(replicas: &Replicas, replica: usize) -> f64 {
    let text = replicas.all[replica].admin.get("/metrics").await.text;
    let samples = text.lines().filter(|line| line.starts_with("tokend_cache_undecipherable_total{"));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_emptied_again_and_again() {
    let server = RedisServer::start().await;
    let replicas = Replicas::start(2, &at(&server)).await;
    let load = Load::on(&replicas).await;
    load.enter("emptied");
    let started = now();
    while started.elapsed() < Duration::from_secs(1) {
        server.flush().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    load.runs().await;
    load.until_healed().await;
    load.end().await;
    // What is in memory is not asked for again because Redis forgot it.
    let stored = replicas.ask(0, Wanted { user: 0, form: 0 }).await;
    assert_eq!(stored.level(), "memory");
}

/// Puts something else in the place of a token, which a replica that has nothing in memory then wants.
async fn spoiled(name: &str, spoil: impl AsyncFn(&mut MultiplexedConnection, &[u8])) {
    let server = RedisServer::start().await;
    let mut replicas = Replicas::patient(3, &at(&server)).await;
    let mut admin = server.client().await;
    // A user's token is read together with the user's epoch, an app's alone.
    for user in [Some(replicas.fresh()), None] {
        server.flush().await;
        let first = replicas.ask_for(0, user).await;
        let keys = tokens(&server).await;
        assert_eq!(keys.len(), 1, "{keys:?}");
        spoil(&mut admin, keys[0].as_bytes()).await;
        let second = replicas.ask_for(1, user).await;
        assert_eq!(second.source(), "identity_provider", "{name}");
        assert_ne!(second.token(), first.token());
        // A good one stands there now.
        let third = replicas.ask_for(2, user).await;
        assert_eq!((third.level(), third.token()), ("redis", second.token()), "{name}, {user:?}");
    }
    for replica in 0..replicas.all.len() {
        for breaker in ["reads", "writes", "events"] {
            assert_eq!(replicas.breaker(replica, breaker).await, "closed", "{name}");
        }
        assert_eq!(replicas.all[replica].metric("tokend_cache_push_back_waiting").await, 0.0);
    }
    let newcomer = replicas.join().await;
    assert_eq!(replicas.ask_for(newcomer, None).await.level(), "redis");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_are_a_miss() {
    spoiled("random", async |admin, key| {
        let bytes: [u8; 200] = rand::random();
        do_as(admin, "SET", &[key, &bytes]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_at_all_is_a_miss() {
    spoiled("empty", async |admin, key| do_as(admin, "SET", &[key, b""]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_was_cut_short_is_a_miss() {
    for keep in ["-2", "40", "16", "3"] {
        spoiled(&format!("first {keep}"), async |admin, key| {
            let range = redis::cmd("GETRANGE").arg(key).arg(0).arg(keep).query_async::<Vec<u8>>(admin).await;
            do_as(admin, "SET", &[key, &range.expect("a value")]).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_with_one_bit_changed_is_a_miss() {
    spoiled("a bit", async |admin, key| {
        let length: i64 = redis::cmd("STRLEN").arg(key).query_async(admin).await.expect("a length");
        let bit = (length * 8 - 100).to_string();
        let was: i64 = redis::cmd("GETBIT").arg(key).arg(&bit).query_async(admin).await.expect("a bit");
        do_as(admin, "SETBIT", &[key, bit.as_bytes(), (1 - was).to_string().as_bytes()]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_the_place_of_a_token_is_a_miss() {
    spoiled("a list", async |admin, key| {
        do_as(admin, "DEL", &[key]).await;
        do_as(admin, "RPUSH", &[key, b"one", b"two"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_everywhere_under_load() {
    let server = RedisServer::start().await;
    let replicas = Replicas::start(2, &at(&server)).await;
    let load = Load::on(&replicas).await;
    load.enter("garbage");
    let mut admin = server.client().await;
    // Until both have come across it: what memory has is looked up in Redis again after a second.
    eventually(Duration::from_secs(60), async || {
        for key in server.keys().await {
            // All of them: tokens, indexes, leases, outcomes.
            let bytes: [u8; 64] = rand::random();
            do_as(&mut admin, "SET", &[key.as_bytes(), &bytes, b"EX", b"120"]).await;
        }
        undecipherable(&replicas, 0).await > 0.0 && undecipherable(&replicas, 1).await > 0.0
    })
    .await;
    load.runs().await;
    load.until_healed().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_garbage_holds_nobody() {
    let server = RedisServer::start().await;
    let replicas = Replicas::patient(2, &at(&server)).await;
    let mut admin = server.client().await;
    let wanted = replicas.fresh();
    replicas.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"hold": true}})).await;
    let (first, ()) = tokio::join!(replicas.ask(0, wanted), async {
        let mut lease = None;
        eventually(PATIENCE, async || {
            lease = server.keys().await.into_iter().find(|key| key.contains("}:l:"));
            lease.is_some()
        })
        .await;
        let lease = lease.expect("a lease");
        do_as(&mut admin, "SET", &[lease.as_bytes(), b"garbage", b"EX", b"120"]).await;
        replicas.emulator.release().await;
    });
    assert_eq!(first.source(), "identity_provider");
    for key in tokens(&server).await {
        do_as(&mut admin, "DEL", &[key.as_bytes()]).await;
    }
    let started = now();
    assert_eq!(replicas.ask(1, wanted).await.source(), "identity_provider");
    say(&format!("a garbage lease: answered after {:?}", started.elapsed()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_garbage_begins_anew() {
    let server = RedisServer::start().await;
    let replicas = Replicas::patient(2, &at(&server)).await;
    let mut admin = server.client().await;
    let (first, second) = (Wanted { user: WARM, form: 1 }, Wanted { user: WARM, form: 2 });
    replicas.ask(0, first).await.token();
    let index = server.keys().await.into_iter().find(|key| key.ends_with("}:i")).expect("an index");
    do_as(&mut admin, "SET", &[index.as_bytes(), b"garbage", b"EX", b"120"]).await;
    assert_eq!(replicas.ask(0, second).await.source(), "identity_provider");
    let kind: String = redis::cmd("TYPE").arg(&index).query_async(&mut admin).await.expect("an answer");
    assert_eq!(kind, "zset");
    assert_eq!(replicas.all[0].metric("tokend_cache_push_back_waiting").await, 0.0, "it was stored at once");
    assert_eq!(replicas.ask(1, second).await.level(), "redis");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_is_garbage_begins_anew() {
    let server = RedisServer::start().await;
    let replicas = Replicas::patient(2, &at(&server)).await;
    let mut admin = server.client().await;
    let user = "ana@contoso.example";
    let listed = async |account: &str| {
        let answer = replicas.all[1].client.get("/accounts?app=web").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text.contains(account)
    };
    let account = sign_in(&replicas, user).await;
    assert!(listed(&account).await);
    for key in server.keys().await.into_iter().filter(|key| key.ends_with("}:s")) {
        do_as(&mut admin, "SET", &[key.as_bytes(), b"garbage", b"EX", b"120"]).await;
    }
    assert!(!listed(&account).await, "nobody knows");
    assert_eq!(sign_in(&replicas, user).await, account);
    assert!(listed(&account).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_with_another_key_ring_is_on_its_own() {
    let server = RedisServer::start().await;
    let mut replicas = Replicas::patient(1, &at(&server)).await;
    let files = replicas.files.path().to_owned();
    // Unchanged names over another key, and then other names.
    for (number, text) in [(1, ring(1, 3)), (2, ring(9, 2))] {
        let file = format!("other-{number}");
        std::fs::write(files.join(&file), text).expect("a file");
        let (own, other) = (cache(&files, "key-ring", "", ""), cache(&files, &file, "", ""));
        let path = |text: &str| text.split('"').nth(1).expect("a path").to_owned();
        let yaml = replicas.yaml.replace(&path(&own), &path(&other));
        replicas.join_with(&yaml).await;
    }
    for wanted in [replicas.fresh(), replicas.fresh()] {
        let answers = [replicas.ask(0, wanted).await, replicas.ask(1, wanted).await, replicas.ask(2, wanted).await];
        assert!(answers.iter().all(|answer| answer.source() == "identity_provider"), "nobody reads the others'");
    }
    assert!(undecipherable(&replicas, 1).await >= 2.0, "a key that it has not");
    assert_eq!(undecipherable(&replicas, 2).await, 0.0, "under its names there is nothing");
    for replica in 0..3 {
        assert_eq!(replicas.breaker(replica, "reads").await, "closed");
        assert_eq!(replicas.ask(replica, Wanted { user: 0, form: 7 }).await.source(), "identity_provider");
        assert_eq!(replicas.ask(replica, Wanted { user: 0, form: 7 }).await.level(), "memory");
    }
}
