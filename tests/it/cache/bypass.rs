//! What goes past a cached token, what does not, and what that costs (CCH-11).

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, GRAPH, World};

/// A client credentials request of the app `daemon` with more members.
async fn ask(world: &World, more: Value) -> Answer {
    let mut body = json!({"app": "daemon", "scopes": [GRAPH]});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    world.app_token(body).await
}

fn challenge(value: &str) -> Value {
    json!({"claims": json!({"access_token": {"nbf": {"essential": true, "value": value}}}).to_string()})
}

fn sha256(token: &str) -> String {
    digest(&SHA256, token.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn cch_11_force_refresh_bypasses_and_its_answer_replaces() {
    let world = World::new().await;
    let first = world.graph().await;
    let forced = ask(&world, json!({"force_refresh": true})).await;
    assert_eq!((forced.source(), forced.member("refresh_reason")), ("identity_provider", "force_refresh_or_claims"));
    assert_ne!(forced.token(), first.token());
    let after = world.graph().await;
    assert_eq!((after.source(), after.token()), ("cache", forced.token()));
    // It bypasses always.
    assert_ne!(ask(&world, json!({"force_refresh": true})).await.token(), forced.token());
    assert_eq!(world.calls().await, 3);
}

#[tokio::test]
async fn cch_11_claims_bypass_and_their_answer_replaces() {
    let world = World::new().await;
    let first = world.graph().await;
    let challenged = ask(&world, challenge("1")).await;
    assert_eq!((challenged.source(), challenged.member("refresh_reason")), ("identity_provider", "force_refresh_or_claims"));
    assert_ne!(challenged.token(), first.token());
    assert_eq!(world.graph().await.token(), challenged.token());
    let asked = world.emulator.asked("token").await;
    assert_eq!((asked.len(), asked[0]["form"].get("claims")), (2, None));
    assert!(asked[1]["form"]["claims"].as_str().unwrap_or_default().contains("nbf"), "{asked:?}");
}

#[tokio::test]
async fn cch_11_only_the_token_that_was_rejected_is_bypassed() {
    let world = World::new().await;
    let first = world.graph().await;
    let rejected = json!({"access_token_sha256": sha256(first.token())});
    let next = ask(&world, rejected.clone()).await;
    assert_eq!(next.source(), "identity_provider");
    assert_ne!(next.token(), first.token());
    // Who comes with the old one later is served the new one.
    let later = ask(&world, rejected).await;
    assert_eq!((later.source(), later.token()), ("cache", next.token()));
    assert_eq!(ask(&world, json!({"access_token_sha256": sha256("another")})).await.source(), "cache");
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_11_force_refresh_and_a_rejected_token_exclude_each_other() {
    let world = World::new().await;
    let both = json!({"force_refresh": true, "access_token_sha256": sha256("x")});
    ask(&world, both).await.refused(400, "invalid_request", "force_refresh");
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn cch_11_capabilities_alone_bypass_nothing() {
    let own = "daemon: {authority";
    let world = World::changed(|yaml, _| yaml.replace(own, "daemon: {client_capabilities: [cp1], authority")).await;
    let first = world.graph().await;
    assert_eq!((world.graph().await.token(), world.graph().await.source()), (first.token(), "cache"));
    let asked = world.emulator.asked("token").await;
    assert_eq!(asked.len(), 1);
    assert!(asked[0]["form"]["claims"].as_str().unwrap_or_default().contains("xms_cc"), "{asked:?}");
}

#[tokio::test]
async fn cch_11_client_claims_key_the_cache() {
    let world = World::new().await;
    let with = |value: &str| json!({"client_claims": json!({"access_token": {"acrs": {"value": value}}}).to_string()});
    let plain = world.graph().await;
    let one = ask(&world, with("c1")).await;
    let two = ask(&world, with("c2")).await;
    assert!(plain.token() != one.token() && one.token() != two.token());
    for (more, first) in [(json!({}), &plain), (with("c1"), &one), (with("c2"), &two)] {
        let again = ask(&world, more).await;
        assert_eq!((again.source(), again.token()), ("cache", first.token()));
    }
    assert_eq!(world.calls().await, 3);
}

#[tokio::test]
async fn cch_11_bypassing_requests_at_the_same_time_share_one_call() {
    let world = World::new().await;
    let first = world.graph().await;
    world.hold().await;
    let forced = join_all((0..20).map(|_| ask(&world, json!({"force_refresh": true}))));
    let (answers, ()) = tokio::join!(forced, async {
        world.sidecar.answering(20).await;
        world.emulator.release().await;
    });
    assert_eq!(world.calls().await, 2);
    for answer in &answers {
        assert_eq!((answer.source(), answer.token()), ("identity_provider", answers[0].token()));
    }
    assert_ne!(answers[0].token(), first.token());
}

#[tokio::test]
async fn cch_11_one_call_for_each_challenge_and_none_of_them_answers_another() {
    let world = World::new().await;
    world.graph().await.token();
    world.hold().await;
    let challenged = join_all((0..20).map(|index| ask(&world, challenge(if index % 2 == 0 { "1" } else { "2" }))));
    let (answers, ()) = tokio::join!(challenged, async {
        world.sidecar.answering(20).await;
        world.emulator.release().await;
    });
    assert_eq!(world.calls().await, 3);
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer.token(), answers[index % 2].token());
    }
    assert_ne!(answers[0].token(), answers[1].token());
}

#[tokio::test]
async fn cch_11_one_revocation_is_one_call_and_not_one_per_caller() {
    let world = World::new().await;
    let rejected = json!({"access_token_sha256": sha256(world.graph().await.token())});
    world.hold().await;
    let all = join_all((0..20).map(|_| ask(&world, rejected.clone())));
    let (answers, ()) = tokio::join!(all, async {
        world.sidecar.answering(20).await;
        world.emulator.release().await;
    });
    for answer in &answers {
        assert_eq!(answer.token(), answers[0].token());
    }
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_11_a_forced_request_does_not_take_the_answer_of_one_that_is_not() {
    let world = World::new().await;
    world.hold().await;
    let requests = async { tokio::join!(world.graph(), ask(&world, json!({"force_refresh": true}))) };
    let ((plain, forced), ()) = tokio::join!(requests, async {
        world.emulator.asked_times("token", 2).await;
        world.emulator.release().await;
    });
    assert_ne!(plain.token(), forced.token());
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_11_users_tokens_are_bypassed_alike() {
    let world = World::new().await;
    let ana = world.emulator.user_token("ana@contoso.example").await;
    let first = world.obo(&ana).await;
    let mut body = json!({"app": "orders", "scopes": super::USER_READ, "force_refresh": true});
    let forced = world.sidecar.client.post_as("/obo", &ana, &body).await;
    assert_eq!((forced.source(), forced.token() == first.token()), ("identity_provider", false));
    body["force_refresh"] = json!(false);
    assert_eq!(world.sidecar.client.post_as("/obo", &ana, &body).await.token(), forced.token());
}

/// The authority gives the same token from now on.
async fn stubborn(world: &World) -> Value {
    let same = json!({"set": {"access_token": "the-same-token-again"}});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": same})).await;
    json!({"access_token_sha256": sha256(world.graph().await.token())})
}

#[tokio::test]
async fn cch_11_an_authority_that_gives_the_rejected_token_again_is_asked_once() {
    let world = World::new().await;
    let rejected = stubborn(&world).await;
    let again = ask(&world, rejected.clone()).await;
    assert_eq!((again.token(), again.source()), ("the-same-token-again", "identity_provider"));
    // Nor again by those who come a little later.
    for _ in 0..5 {
        let later = ask(&world, rejected.clone()).await;
        assert_eq!((later.token(), later.source()), ("the-same-token-again", "cache"));
    }
    world.later(4);
    assert_eq!(ask(&world, rejected.clone()).await.source(), "cache");
    assert_eq!(world.calls().await, 2);
    // It may have thought better of it by then.
    world.later(1);
    assert_eq!(ask(&world, rejected).await.source(), "identity_provider");
    assert_eq!(world.calls().await, 3);
}

#[tokio::test]
async fn cch_11_a_rejected_token_that_comes_again_is_one_call_for_all_who_wait() {
    let world = World::new().await;
    let rejected = stubborn(&world).await;
    world.emulator.unscript().await;
    let slow = json!({"hold": true, "set": {"access_token": "the-same-token-again"}});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": slow})).await;
    let all = join_all((0..20).map(|_| ask(&world, rejected.clone())));
    let (answers, ()) = tokio::join!(all, async {
        world.sidecar.answering(20).await;
        world.emulator.release().await;
    });
    for answer in &answers {
        assert_eq!((answer.token(), answer.source()), ("the-same-token-again", "identity_provider"));
    }
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_11_a_token_that_came_again_is_still_bypassed_by_force() {
    let world = World::new().await;
    let rejected = stubborn(&world).await;
    assert_eq!(ask(&world, rejected).await.source(), "identity_provider");
    assert_eq!(ask(&world, json!({"force_refresh": true})).await.source(), "identity_provider");
    assert_eq!(ask(&world, challenge("1")).await.source(), "identity_provider");
    assert_eq!(world.calls().await, 4);
}
