//! What replicas got while Redis was away is in Redis when it is back, and never over what is newer.

use std::time::Duration;

use serde_json::json;

use super::{PATIENCE, Replicas, Wanted, at, now, say};
use crate::support::eventually;
use crate::support::redis::RedisServer;

/// How much waits to be brought, as `/status` and the metrics say.
async fn waiting(replicas: &Replicas, replica: usize) -> u64 {
    let status = replicas.all[replica].admin.get("/status").await;
    let gauge = replicas.all[replica].metric("tokend_cache_push_back_waiting").await;
    let waiting = status.json["cache"]["redis"]["waiting"].as_u64().expect("a number");
    if gauge == 0.0 { waiting.min(1) } else { waiting }
}

async fn brought(replicas: &Replicas, replica: usize, outcome: &str) -> f64 {
    replicas.all[replica].metric(&format!("tokend_cache_pushed_back_total{{outcome=\"{outcome}\"}}")).await
}

/// Waits until so many were brought, well or ill, and nothing is left.
async fn until_brought(replicas: &Replicas, count: f64) {
    eventually(PATIENCE, async || {
        let mut all = 0.0;
        for outcome in ["stored", "stale", "gone", "signed_out"] {
            all += brought(replicas, 0, outcome).await;
        }
        all >= count && waiting(replicas, 0).await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_got_meanwhile_is_there_afterwards() {
    const COUNT: usize = 60;
    let mut server = RedisServer::start().await;
    let mut replicas = Replicas::patient(1, &at(&server)).await;
    replicas.ask(0, replicas.fresh()).await.token();
    server.kill().await;
    let wanted: Vec<Wanted> = (0..COUNT).map(|_| replicas.fresh()).collect();
    let mut got = Vec::new();
    for wanted in &wanted {
        let answer = replicas.ask(0, *wanted).await;
        assert_eq!(answer.source(), "identity_provider");
        got.push(answer.token().to_owned());
    }
    assert!(waiting(&replicas, 0).await >= 59);
    server.restart().await;
    let back = now();
    until_brought(&replicas, 60.0).await;
    let stored = brought(&replicas, 0, "stored").await;
    say(&format!("{stored} brought, the last {:?} after Redis was back", back.elapsed()));
    assert!(stored >= 60.0, "{stored}");
    // Each of them, and without a call.
    let calls = replicas.calls().await;
    let second = replicas.join().await;
    for (wanted, token) in wanted.iter().zip(&got) {
        let answer = replicas.ask(second, *wanted).await;
        assert_eq!((answer.level(), answer.token()), ("redis", token.as_str()));
    }
    assert_eq!(replicas.calls().await, calls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_newer_stays() {
    let server = RedisServer::start().await;
    let fault = crate::support::Fault::to(format!("127.0.0.1:{}", server.port())).await;
    let mut replicas = Replicas::patient(1, &format!("url: \"redis://{}\"", fault.address())).await;
    // The other one always reaches Redis.
    let direct = replicas.yaml.replace(&format!("redis://{}", fault.address()), &server.url());
    replicas.join_with(&direct).await;
    let (absent, replaced, fresh) = (replicas.fresh(), replicas.fresh(), replicas.fresh());
    let old = replicas.ask(0, replaced).await.token().to_owned();
    fault.cut();
    // In the order in which they come back: one that nobody else has, two that somebody else has by then.
    let mine = replicas.ask(0, absent).await.token().to_owned();
    let refreshed = replicas.ask_with(0, replaced, json!({"force_refresh": true})).await.token().to_owned();
    replicas.ask(0, fresh).await.token();
    assert_ne!(refreshed, old);
    let theirs = replicas.ask_with(1, replaced, json!({"force_refresh": true})).await.token().to_owned();
    let theirs_too = replicas.ask(1, fresh).await.token().to_owned();
    fault.pass();
    until_brought(&replicas, 3.0).await;
    assert_eq!((brought(&replicas, 0, "stored").await, brought(&replicas, 0, "stale").await), (1.0, 2.0));
    let newcomer = replicas.join_with(&direct).await;
    for (wanted, token) in [(absent, mine), (replaced, theirs), (fresh, theirs_too)] {
        let answer = replicas.ask(newcomer, wanted).await;
        assert_eq!((answer.level(), answer.token()), ("redis", token.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_by_then_is_not_brought() {
    let mut server = RedisServer::start().await;
    let replicas = Replicas::patient(1, &at(&server)).await;
    server.kill().await;
    replicas.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"expires_in": 2}})).await;
    let (short, long) = (replicas.fresh(), replicas.fresh());
    replicas.ask(0, short).await.token();
    let got = now();
    replicas.ask(0, long).await.token();
    // It ends by the machine's clock.
    eventually(PATIENCE, async || got.elapsed() > Duration::from_secs(3)).await;
    server.restart().await;
    until_brought(&replicas, 2.0).await;
    assert_eq!((brought(&replicas, 0, "stored").await, brought(&replicas, 0, "gone").await), (1.0, 1.0));
    assert_eq!(server.keys().await.iter().filter(|key| key.contains("}:t:")).count(), 1);
}

/// Nothing can be stored beside an epoch that is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_redis_refuses_is_in_nobodys_way() {
    let server = RedisServer::start().await;
    let fault = crate::support::Fault::to(format!("127.0.0.1:{}", server.port())).await;
    let replicas = Replicas::patient(1, &format!("url: \"redis://{}\"", fault.address())).await;
    let (refused, others) = (replicas.fresh(), [replicas.fresh(), replicas.fresh(), replicas.fresh()]);
    replicas.ask(0, refused).await.token();
    let token = server.keys().await.into_iter().find(|key| key.contains("}:t:")).expect("a token");
    let epoch = format!("{}}}:e", token.split_once('}').expect("a tag").0);
    fault.cut();
    // The first in the line.
    replicas.ask_with(0, refused, json!({"force_refresh": true})).await.token();
    for wanted in others {
        replicas.ask(0, wanted).await.token();
    }
    redis::cmd("LPUSH").arg(&epoch).arg("x").exec_async(&mut server.client().await).await.expect("an answer");
    fault.pass();
    eventually(PATIENCE, async || brought(&replicas, 0, "stored").await >= 3.0).await;
    assert_eq!(waiting(&replicas, 0).await, 1);
    // It is brought as soon as that can be.
    redis::cmd("DEL").arg(&epoch).exec_async(&mut server.client().await).await.expect("an answer");
    until_brought(&replicas, 4.0).await;
}
