//! Replicas whose clocks differ: what another one stored ends when it ends, and not when that one's clock says so.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokend::clock::Clock;

use super::keys::asked;
use super::{MAIL_READ, Replica, Stage, USER_READ, level};
use crate::support::redis::RedisServer;
use crate::support::{Answer, Emulator, Fault, Fleet, GRAPH, NOW, Sidecar, configuration, eventually};

/// How far the first replica's clock is ahead, in seconds.
const AHEAD: i64 = 600;
/// Some time of a token's hour, in seconds.
const LATER: u64 = 1200;

/// Two replicas; the clock is the second one's.
async fn replicas(ahead: i64) -> (Stage, Clock) {
    let mut stage = Stage::empty(RedisServer::start().await).await;
    let [_, clock] = started(&mut stage, ahead, |_, yaml| yaml).await;
    (stage, clock)
}

/// Starts the two, each by the configuration that is made of the usual one; their clocks.
async fn started(stage: &mut Stage, ahead: i64, configured: impl Fn(usize, String) -> String) -> [Clock; 2] {
    let clocks = [Clock::manual(NOW + ahead), Clock::manual(NOW)];
    for (index, clock) in clocks.iter().enumerate() {
        let yaml = configured(index, stage.yaml(index));
        let sidecar = Sidecar::start(&yaml, clock).await;
        stage.replicas.push(Replica { sidecar, yaml });
    }
    stage.hearing(2).await;
    clocks
}

/// What a token for an hour says that is half an hour from its renewal, some seconds after it came;
/// by the clock of whoever answers.
#[track_caller]
fn lasts_an_hour(answer: &Answer, now: i64) {
    let member = |name: &str| answer.json[name].as_i64().unwrap_or_else(|| panic!("no {name}: {}", answer.text));
    let (left, ends, renewed) = (member("expires_in"), member("expires_on"), member("refresh_on"));
    assert!((3540..=3600).contains(&left), "{left}");
    assert_eq!((ends, ends - renewed), (now + left, 1800), "{}", answer.text);
}

#[tokio::test]
async fn a_token_from_a_clock_that_is_ahead_lasts_no_longer() {
    let (stage, _) = replicas(AHEAD).await;
    stage.answering_with(0, json!({"expires_in": 3600, "set": {"refresh_in": 1800}})).await;
    let ana = stage.ana().await;
    let both = async |replica| [stage.graph(replica).await, stage.obo_as(replica, "orders-secret", USER_READ, &ana).await];
    for answer in both(0).await {
        lasts_an_hour(&answer, NOW + AHEAD);
    }
    for found in ["redis", "memory"] {
        for answer in both(1).await {
            assert_eq!(level(&answer), found);
            lasts_an_hour(&answer, NOW);
        }
    }
    assert_eq!(stage.calls().await, 2);
}

/// One that was asked for more scopes, and one that was waited for.
#[tokio::test]
async fn nor_does_one_that_is_found_on_another_way() {
    let (stage, _) = replicas(AHEAD).await;
    let effect = json!({"expires_in": 3600, "set": {"refresh_in": 1800}});
    let mut for_more = effect.clone();
    for_more["set"]["scope"] = json!(format!("{USER_READ} {MAIL_READ}"));
    stage.answering_with(1, for_more).await;
    let ana = stage.ana().await;
    stage.obo_as(0, "orders-secret", USER_READ, &ana).await.token();
    let covered = stage.obo_as(1, "orders-secret", MAIL_READ, &ana).await;
    assert_eq!(level(&covered), "redis");
    lasts_an_hour(&covered, NOW);
    let told = stage.together(effect, async |replica| stage.graph(replica).await).await;
    lasts_an_hour(&told[0], NOW + AHEAD);
    assert_eq!(level(&told[1]), "redis");
    lasts_an_hour(&told[1], NOW);
}

/// Whoever stored it has a clock that is ahead, and Redis does not say how long its key has: it may have ended.
#[tokio::test]
async fn what_nobody_can_date_is_not_served() {
    let (stage, _) = replicas(AHEAD).await;
    stage.answering_with(0, json!({"expires_in": 3600})).await;
    let first = stage.graph(0).await;
    let may_ask = async |rule: &str| stage.redis.admin().ask::<()>(&["ACL", "SETUSER", "default", rule]).await.expect("an answer");
    may_ask("-pttl").await;
    let second = stage.graph(1).await;
    assert_eq!((second.source(), second.token() == first.token()), ("identity_provider", false));
    may_ask("+pttl").await;
}

/// A call takes its time, and when its token is to be stored, another replica's stands there, which is kept instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_one_that_came_while_another_was_asked_for() {
    let (stage, clock) = replicas(AHEAD).await;
    stage.answering_with(1, json!({"hold": true, "expires_in": 3600})).await;
    let (held, between) = tokio::join!(stage.graph(1), async {
        stage.emulator.asked_times("token", 1).await;
        stage.answering_with(1, json!({"expires_in": 3600})).await;
        let between = stage.graph_with(0, &json!({"force_refresh": true})).await;
        clock.advance(Duration::from_secs(LATER));
        stage.elapse(LATER).await;
        stage.emulator.release().await;
        between
    });
    assert_eq!((held.source(), between.source()), ("identity_provider", "identity_provider"));
    let kept = stage.graph(1).await;
    assert_eq!((level(&kept), kept.token()), ("memory", between.token()));
    let left = kept.json["expires_in"].as_u64().expect("a number");
    assert!((3500 - LATER..=3600 - LATER).contains(&left), "{left} seconds are left of it by its answer");
}

/// Between a look and the question how long its key has, another replica replaces the token. What the new one has is not what is
/// left of the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_its_successor_is_not_a_tokens_own() {
    let mut stage = Stage::empty(RedisServer::start().await).await;
    let way = Fault::to(format!("127.0.0.1:{}", stage.redis.port())).await;
    let urls = [stage.redis.url(), format!("redis://{}", way.address())];
    let configured = |index: usize, yaml: String| yaml.replace(&urls[0], &urls[index]).replace("timeout: 1s", "timeout: 10s");
    let clocks = started(&mut stage, AHEAD, configured).await;
    stage.answering_with(0, json!({"expires_in": 3600})).await;
    let first = stage.graph(0).await;
    clocks.iter().for_each(|clock| clock.advance(Duration::from_secs(LATER)));
    stage.elapse(LATER).await;
    let gets = async || stage.redis.admin().ask::<String>(&["INFO", "commandstats"]).await.expect("an answer");
    let calls = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_get:calls=")).unwrap_or("0");
        line.split(',').next().and_then(|calls| calls.parse::<u64>().ok()).expect("a number")
    };
    let before = calls(&gets().await);
    // Long enough for the other replica to come between two commands.
    way.delay(Duration::from_millis(500));
    let (second, third) = tokio::join!(stage.graph(1), async {
        eventually(Duration::from_secs(30), async || calls(&gets().await) > before).await;
        stage.graph_with(0, &json!({"force_refresh": true})).await
    });
    assert_ne!(third.token(), first.token());
    let left = second.json["expires_in"].as_u64().expect("a number");
    assert!(second.token() != first.token() || left <= 3600 - LATER, "the answer says {left} of the old token");
}

#[tokio::test]
async fn a_short_token_is_not_served_past_its_end() {
    let (stage, clock) = replicas(AHEAD).await;
    stage.answering_with(0, json!({"expires_in": 8})).await;
    let first = stage.graph(0).await;
    let second = stage.graph(1).await;
    assert_eq!((level(&second), second.token()), ("redis", first.token()));
    assert!(second.json["expires_in"].as_i64().is_some_and(|left| left <= 8), "{}", second.text);
    clock.advance(Duration::from_secs(8));
    stage.elapse(8).await;
    assert_eq!(stage.graph(1).await.source(), "identity_provider");
}

#[tokio::test]
async fn a_clock_that_is_behind_lengthens_nothing_either() {
    let (stage, clock) = replicas(-AHEAD).await;
    stage.answering_with(0, json!({"expires_in": 3600})).await;
    stage.graph(0).await.token();
    let second = stage.graph(1).await;
    assert_eq!(level(&second), "redis");
    assert!(second.json["expires_in"].as_i64().is_some_and(|left| left <= 3600), "{}", second.text);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(stage.graph(1).await.source(), "identity_provider");
}

/// Two processes, the first one with a clock of its own.
async fn processes(emulator: &Emulator, files: &TempDir, redis: &RedisServer, ahead: i64) -> Fleet {
    assert!(Fleet::faketime().is_some(), "no libfaketime: run tests/setup/base");
    let cache = format!("cache: {{redis: {{url: \"{}\", timeout: 2s, encryption: {{plaintext: true}}}}}}\n", redis.url());
    let yaml = format!("{}{cache}", configuration(emulator, files));
    Fleet::start_at(2, |_| yaml.clone(), |index| (index == 0 && ahead != 0).then(|| format!("{ahead:+}s"))).await
}

async fn ask(fleet: &Fleet, index: usize, scope: &str) -> Answer {
    fleet.client(index).post("/client-credentials", &json!({"app": "daemon", "scopes": [scope]})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_agrees_is_asked_about_once_and_another_one_each_time() {
    let (emulator, files) = (Emulator::start(&Clock::system()).await, tempfile::tempdir().expect("a folder"));
    for (ahead, looks) in [(0, 1), (AHEAD, 2), (-AHEAD, 2)] {
        let redis = RedisServer::start().await;
        let fleet = processes(&emulator, &files, &redis, ahead).await;
        let scopes = [GRAPH, "api://orders/.default"];
        for scope in scopes {
            ask(&fleet, 0, scope).await.token();
        }
        redis.admin().ask::<()>(&["CONFIG", "RESETSTAT"]).await.expect("zeros");
        for scope in scopes {
            assert_eq!(level(&ask(&fleet, 1, scope).await), "redis", "{ahead}");
        }
        assert_eq!(asked(&redis).await, BTreeMap::from([("pttl".to_owned(), looks)]), "beside what a hit costs; {ahead}");
    }
}

/// The binary itself; `tests/setup/base` installs what gives it another clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_by_a_clock_that_is_ahead() {
    let emulator = Emulator::start(&Clock::system()).await;
    let (files, redis) = (tempfile::tempdir().expect("a folder"), RedisServer::start().await);
    let fleet = processes(&emulator, &files, &redis, AHEAD).await;
    emulator
        .script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"expires_in": 3600, "set": {"refresh_in": 1800}}}))
        .await;
    let now = || Clock::system().unix();
    let (first, before, second) = (ask(&fleet, 0, GRAPH).await, now(), ask(&fleet, 1, GRAPH).await);
    let ends = |answer: &Answer| answer.json["expires_on"].as_i64().expect("a time");
    assert!(ends(&first) > now() + 3600 + 500, "its clock is ahead: {}", first.text);
    assert_eq!((level(&second), second.token()), ("redis", first.token()));
    assert!(second.json["expires_in"].as_i64().is_some_and(|left| (3540..=3600).contains(&left)), "{}", second.text);
    assert!((before + 3540..=now() + 3600).contains(&ends(&second)), "{}", second.text);
}
