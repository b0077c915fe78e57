//! A miss is one call, however many ask and whoever leaves (CCH-14).

use std::time::Duration;

use futures_util::future::{join_all, select};
use serde_json::json;

use crate::support::{GRAPH, World};

#[tokio::test]
async fn cch_14_two_hundred_cold_requests_are_one_call() {
    let world = World::new().await;
    world.hold().await;
    let (answers, ()) = tokio::join!(join_all((0..200).map(|_| world.graph())), async {
        world.sidecar.answering(200).await;
        world.emulator.release().await;
    });
    assert_eq!(world.calls().await, 1);
    for answer in &answers {
        assert_eq!((answer.source(), answer.token()), ("identity_provider", answers[0].token()));
        assert_eq!(answer.member("refresh_reason"), "no_cached_access_token");
    }
}

#[tokio::test]
async fn cch_14_requests_of_many_users_are_one_call_each() {
    let world = World::new().await;
    let users = ["ana@contoso.example", "ben@contoso.example"];
    let tokens = join_all(users.map(|user| world.emulator.user_token(user))).await;
    world.hold().await;
    let requests = join_all((0..60).map(|index| world.obo(&tokens[index % 2])));
    let (answers, ()) = tokio::join!(requests, async {
        world.sidecar.answering(60).await;
        world.emulator.release().await;
    });
    assert_eq!(world.calls().await, 2);
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer.json["account"]["username"], users[index % 2], "{}", answer.text);
    }
}

#[tokio::test]
async fn cch_14_an_error_is_shared_as_well() {
    let world = World::new().await;
    let rule = json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hold": true, "aadsts": 500_011}});
    world.emulator.script(rule).await;
    let (answers, ()) = tokio::join!(join_all((0..50).map(|_| world.graph())), async {
        world.sidecar.answering(50).await;
        world.emulator.release().await;
    });
    assert_eq!(world.calls().await, 1);
    for answer in answers {
        answer.refused(400, "invalid_resource", "authority");
    }
}

#[tokio::test]
async fn cch_14_other_scopes_do_not_wait() {
    let world = World::new().await;
    let rule = json!({"on": {"endpoint": "token", "scope": "graph"}, "do": {"hold": true}});
    world.emulator.script(rule).await;
    let held = Box::pin(world.graph());
    let free = Box::pin(async {
        world.emulator.asked_times("token", 1).await;
        world.app_token(json!({"app": "daemon", "scopes": "api://orders/.default"})).await
    });
    match select(held, free).await {
        futures_util::future::Either::Left((answer, _)) => panic!("held, and answered: {}", answer.text),
        futures_util::future::Either::Right((answer, held)) => {
            answer.token();
            world.emulator.release().await;
            held.await.token();
        }
    }
}

#[tokio::test]
async fn cch_14_a_caller_who_leaves_does_not_cancel_the_call_for_the_others() {
    let world = World::new().await;
    let graph = json!({"app": "daemon", "scopes": [GRAPH]});
    world.hold().await;
    let leaver = world.leaver().await;
    let leaving = tokio::time::timeout(Duration::from_secs(5), async {
        let first = Box::pin(leaver.client.post("/client-credentials", &graph));
        let asked = Box::pin(world.emulator.asked_times("token", 1));
        // Dropped here: its connection closes.
        drop(select(first, asked).await);
    });
    leaving.await.expect("a call");
    world.sidecar.idle().await;
    let (answer, ()) = tokio::join!(world.graph(), async {
        world.sidecar.answering(1).await;
        world.emulator.release().await;
    });
    assert_eq!(answer.source(), "identity_provider");
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn cch_14_a_call_that_nobody_waits_for_any_more_is_finished_and_kept() {
    let world = World::new().await;
    world.hold().await;
    let (leaver, graph) = (world.leaver().await, json!({"app": "daemon", "scopes": [GRAPH]}));
    let leaving = Box::pin(leaver.client.post("/client-credentials", &graph));
    drop(select(leaving, Box::pin(world.emulator.asked_times("token", 1))).await);
    world.sidecar.idle().await;
    world.emulator.release().await;
    for _ in 0..500 {
        if world.sidecar.admin.get("/status").await.json["cache"]["entries"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.graph().await.source(), "cache");
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn more_calls_than_the_authority_is_given_at_once_wait_their_turn() {
    let world = World::changed(|yaml, _| yaml.replace("authority: {retry", "authority: {concurrency: 2, retry")).await;
    let users = join_all((0..6).map(|_| world.emulator.user_token("ana@contoso.example"))).await;
    world.hold().await;
    let (answers, ()) = tokio::join!(join_all(users.iter().map(|user| world.obo(user))), async {
        world.sidecar.answering(6).await;
        assert_eq!(world.emulator.asked_times("token", 2).await.len(), 2);
        world.emulator.release().await;
    });
    for answer in answers {
        assert_eq!(answer.source(), "identity_provider");
    }
    assert_eq!(world.calls().await, 6);
}
