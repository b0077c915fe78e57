//! When a poll comes: too early, together with others, and after its caller has left.

use std::time::Duration;

use serde_json::json;

use super::{ANA, EVA, ORDERS, STOCK, approve, poll, polled, start, world};
use crate::support::eventually;

#[tokio::test]
async fn req_6_a_poll_that_comes_too_early_is_slow_down_without_a_call_and_adds_five_seconds() {
    let world = world().await;
    let client = &world.sidecar.client;
    for (app, scopes, user) in [("web", ORDERS, ANA), ("shop-device", STOCK, EVA)] {
        let before = polled(&world.emulator).await.len();
        let started = start(client, app, scopes).await;
        let pending = poll(client, &started).await;
        pending.refused(400, "authorization_pending", "");
        assert_eq!((pending.header("retry-after"), &pending.json["retryable"]), ("5", &json!(true)), "{}", pending.text);
        world.later(3);
        let early = poll(client, &started).await;
        early.refused(400, "slow_down", "five seconds");
        assert_eq!(early.header("retry-after"), "7", "ten since the call");
        assert_eq!(polled(&world.emulator).await.len(), before + 1, "nobody was asked");
        approve(&world.emulator, &started, user).await;
        world.later(5);
        poll(client, &started).await.refused(400, "slow_down", "");
        assert_eq!(polled(&world.emulator).await.len(), before + 1);
        // Fifteen seconds by now, less one.
        world.later(6);
        poll(client, &started).await.token();
        assert_eq!(polled(&world.emulator).await.len(), before + 2);
    }
}

#[tokio::test]
async fn req_6_an_authority_that_says_slow_down_is_heeded() {
    let world = world().await;
    let client = &world.sidecar.client;
    // As the RFC has it, and as some servers say it.
    for status in [400, 429] {
        let started = start(client, "web", ORDERS).await;
        let error = json!({"status": status, "error": "slow_down"});
        world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"error": error}})).await;
        poll(client, &started).await.refused(400, "slow_down", "");
        let calls = world.calls().await;
        world.later(8);
        poll(client, &started).await.refused(400, "slow_down", "");
        assert_eq!(world.calls().await, calls, "ten seconds have to pass");
        world.later(6);
        poll(client, &started).await.refused(400, "authorization_pending", "");
        assert_eq!(world.calls().await, calls + 1);
    }
    // And the emulator's own realm, which keeps time itself.
    let started = start(client, "shop-device", STOCK).await;
    poll(client, &started).await.refused(400, "authorization_pending", "");
    world.later(4);
    poll(client, &started).await.refused(400, "slow_down", "");
}

#[tokio::test]
async fn two_who_poll_at_once_share_one_call_and_its_answer() {
    let world = world().await;
    let client = &world.sidecar.client;
    let started = start(client, "web", ORDERS).await;
    for expected in [400, 200] {
        world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true}})).await;
        let calls = world.calls().await;
        let both = async { tokio::join!(poll(client, &started), poll(client, &started)) };
        let release = async {
            world.emulator.asked_times("token", calls + 1).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            world.emulator.release().await;
        };
        let ((first, second), ()) = tokio::join!(both, release);
        assert_eq!((first.status, second.status), (expected, expected), "{} {}", first.text, second.text);
        assert_eq!(first.member("access_token"), second.member("access_token"));
        assert_eq!(first.member("error"), second.member("error"));
        assert_eq!(world.calls().await, calls + 1);
        world.emulator.unscript().await;
        if expected == 400 {
            approve(&world.emulator, &started, ANA).await;
            world.later(5);
        }
    }
}

#[tokio::test]
async fn a_caller_that_leaves_in_mid_call_loses_nothing() {
    let world = world().await;
    let client = &world.sidecar.client;
    let started = start(client, "web", ORDERS).await;
    approve(&world.emulator, &started, ANA).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true}})).await;
    let leaver = world.leaver().await;
    let body = json!({"device_code": started.member("device_code")});
    {
        let mut leaving = Box::pin(leaver.client.post("/device-code/poll", &body));
        tokio::select! {
            answer = &mut leaving => panic!("{}", answer.text),
            _ = world.emulator.asked_times("token", 1) => {}
        }
    }
    world.emulator.release().await;
    let mut answer = None;
    eventually(Duration::from_secs(10), async || {
        let got = poll(client, &started).await;
        let is_there = got.status == 200;
        answer = Some(got);
        is_there
    })
    .await;
    answer.expect("an answer").token();
    assert_eq!(world.calls().await, 1, "the code was sent once");
}

#[tokio::test]
async fn a_call_of_which_nobody_knows_the_end_is_503_and_the_next_poll_asks_again() {
    let world = world().await;
    let client = &world.sidecar.client;
    let started = start(client, "web", ORDERS).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"close": true}})).await;
    let lost = poll(client, &started).await;
    lost.refused(503, "authority_unavailable", "whether the device code was redeemed is not known");
    assert_eq!(lost.json["retryable"], true, "{}", lost.text);
    assert_eq!(world.calls().await, 1, "never repeated by itself");
    approve(&world.emulator, &started, ANA).await;
    world.later(5);
    poll(client, &started).await.token();
}
