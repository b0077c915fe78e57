//! What one replica stored serves another one that asks for the same, or for less; and one that has forgotten it.

use futures_util::future::join_all;
use serde_json::json;

use super::{MAIL_READ, Stage, USER_READ, level};
use crate::support::GRAPH;

#[tokio::test]
async fn cch_1_what_one_replica_has_another_finds_in_redis_and_then_in_memory() {
    let stage = Stage::new(2).await;
    let (ana, eva) = (stage.ana().await, stage.eva().await);
    let code = json!({"app": "daemon-cert", "scopes": [GRAPH]});
    let mut tokens = Vec::new();
    for (index, expected) in [(0, "identity_provider"), (0, "memory"), (1, "redis"), (1, "memory")] {
        // The last one is another name of the first one's client.
        let answers = [
            stage.graph(index).await,
            stage.obo(index, &ana).await,
            stage.app_token(index, &json!({"app": "shop", "scopes": "stock.read"})).await,
            stage.obo_as(index, "shop", "stock.read", &eva).await,
        ];
        let seen = answers.each_ref().map(|answer| answer.token().to_owned());
        assert_eq!(answers.each_ref().map(|answer| level(answer)), [expected; 4]);
        assert!(tokens.is_empty() || tokens == seen);
        tokens = seen.to_vec();
        let mut told = answers[1].json.clone();
        assert_eq!(told["account"]["username"], "ana@contoso.example");
        assert_eq!(
            (told["expires_in"].take(), told["expires_on"].as_i64().is_some()),
            (answers[1].json["expires_in"].clone(), true)
        );
    }
    assert_eq!(stage.app_token(1, &code).await.token(), tokens[0]);
    assert_eq!(stage.calls().await, 4);
}

#[tokio::test]
async fn cch_1_an_answer_from_redis_says_what_the_first_one_said() {
    let stage = Stage::new(2).await;
    let ana = stage.ana().await;
    let (mut first, mut other) = (stage.obo(0, &ana).await.json, stage.obo(1, &ana).await.json);
    for own in ["correlation_id", "token_source", "cache_level", "refresh_reason"] {
        for answer in [&mut first, &mut other] {
            assert!(!answer[own].is_null() || own == "cache_level", "{own}: {answer}");
            answer.as_object_mut().expect("an object").remove(own);
        }
    }
    assert_eq!(first, other);
    assert!(first["access_token"].is_string() && first["account"].is_object() && first["refresh_on"].is_i64(), "{first}");
}

#[tokio::test]
async fn cch_2_a_token_of_more_scopes_serves_another_replica_that_asks_for_fewer() {
    let stage = Stage::new(3).await;
    let ana = stage.ana().await;
    let both = format!("{USER_READ} {MAIL_READ}");
    stage.answering_with(1, json!({"set": {"scope": both}})).await;
    let first = stage.obo_as(0, "orders", USER_READ, &ana).await;
    for (index, asked) in [(1, MAIL_READ), (2, both.to_lowercase().as_str()), (1, &both), (2, USER_READ)] {
        let found = stage.obo_as(index, "orders", asked, &ana).await;
        assert_eq!((found.token(), found.source()), (first.token(), "cache"), "{asked}");
    }
    assert_eq!(stage.calls().await, 1);
    // The first look of each was into Redis, and by then the token was at hand.
    let hits = "tokend_cache_lookups_total{level=\"redis\",outcome=\"hit\"}";
    assert_eq!((stage.sidecar(1).metric(hits).await, stage.sidecar(2).metric(hits).await), (1.0, 1.0));
    // Neither another user, nor another assertion, nor another app has it.
    assert_eq!(stage.obo_as(1, "orders", MAIL_READ, &stage.ben().await).await.status, 401);
    assert_eq!(stage.obo_as(1, "orders", USER_READ, &stage.ana().await).await.source(), "identity_provider");
}

#[tokio::test]
async fn cch_2_the_longest_lived_of_several_that_cover_is_found() {
    let stage = Stage::new(2).await;
    let ana = stage.ana().await;
    let (other, both) = ("https://graph.microsoft.com/Files.Read", format!("{USER_READ} {MAIL_READ}"));
    for (asked, lives) in [(USER_READ, 600), (other, 3600)] {
        stage.emulator.unscript().await;
        let body = json!({"access_token": format!("lives {lives}"), "token_type": "Bearer", "expires_in": lives, "scope": both});
        stage.answering_with(1, json!({"raw": {"body": body}})).await;
        stage.obo_as(0, "orders", asked, &ana).await.token();
    }
    assert_eq!(stage.obo_as(1, "orders", MAIL_READ, &ana).await.token(), "lives 3600");
}

#[tokio::test]
async fn cch_2_what_was_declined_is_served_alone_by_no_replica() {
    let stage = Stage::new(2).await;
    let ana = stage.ana().await;
    let both = format!("{USER_READ} {MAIL_READ}");
    let less = json!({"access_token": "less", "token_type": "Bearer", "expires_in": 3600, "scope": USER_READ});
    stage.answering_with(1, json!({"raw": {"body": less}})).await;
    assert_eq!(stage.obo_as(0, "orders", &both, &ana).await.token(), "less");
    // The identical request, in any order, and what was granted.
    for asked in [&both, &format!("{MAIL_READ} {USER_READ}"), USER_READ] {
        let found = stage.obo_as(1, "orders", asked, &ana).await;
        assert_eq!((found.token(), found.source()), ("less", "cache"), "{asked}");
    }
    assert_eq!(stage.calls().await, 1);
    assert_eq!(stage.obo_as(1, "orders", MAIL_READ, &ana).await.status, 401);
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
async fn cch_2_at_an_issuer_another_replica_serves_the_identical_set_alone() {
    let stage = Stage::new(2).await;
    let eva = stage.eva().await;
    let both = stage.obo_as(0, "shop", "orders.read stock.read", &eva).await;
    let app = stage.app_token(0, &json!({"app": "shop", "scopes": "orders.read stock.read"})).await;
    let other = stage.obo_as(1, "shop", "stock.read orders.read", &eva).await;
    assert_eq!((other.token(), level(&other)), (both.token(), "redis"));
    let other = stage.app_token(1, &json!({"app": "shop", "scopes": "stock.read orders.read"})).await;
    assert_eq!((other.token(), level(&other)), (app.token(), "redis"));
    assert_eq!(stage.calls().await, 2);
    assert_eq!(level(&stage.obo_as(1, "shop", "stock.read", &eva).await), "identity_provider");
    assert_eq!(level(&stage.app_token(1, &json!({"app": "shop", "scopes": "stock.read"})).await), "identity_provider");
    assert_eq!(stage.calls().await, 4);
}

#[tokio::test]
async fn cch_1_a_restart_costs_no_call() {
    let mut stage = Stage::new(1).await;
    let ana = stage.ana().await;
    let first = [stage.graph(0).await, stage.obo(0, &ana).await];
    stage.restart(0, |yaml| yaml).await;
    for expected in ["redis", "memory"] {
        for (answer, first) in [stage.graph(0).await, stage.obo(0, &ana).await].iter().zip(&first) {
            assert_eq!((answer.token(), level(answer)), (first.token(), expected));
        }
    }
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
async fn cch_1_what_memory_has_no_room_for_is_found_in_redis() {
    let stage = Stage::changed(1, |_, yaml| yaml.replace("cache: {", "cache: {memory: {max_bytes: 1MiB}, ")).await;
    let users = join_all((0..400).map(async |index| {
        let claims = json!({"oid": format!("u-{index}"), "preferred_username": format!("u{index}@contoso.example")});
        stage.emulator.mint(json!({"app": "orders-api", "scopes": "access_as_user", "claims": claims})).await
    }))
    .await;
    let mut tokens = Vec::new();
    for batch in users.chunks(50) {
        tokens.extend(join_all(batch.iter().map(|user| stage.obo(0, user))).await.iter().map(|answer| answer.token().to_owned()));
    }
    let mut levels = std::collections::BTreeMap::<String, usize>::new();
    for (batch, tokens) in users.chunks(50).zip(tokens.chunks(50)) {
        for (answer, token) in join_all(batch.iter().map(|user| stage.obo(0, user))).await.iter().zip(tokens) {
            assert_eq!(answer.token(), token);
            *levels.entry(level(answer).to_owned()).or_default() += 1;
        }
    }
    assert!(levels["redis"] > 0 && levels.values().sum::<usize>() == 400, "{levels:?}");
    assert_eq!(stage.calls().await, 400);
}

/// In Redis: what stands under the exact name has come too close to its end, and one for more scopes has not.
#[tokio::test]
async fn a_token_that_has_ended_hides_none_that_lasts() {
    let stage = Stage::new(2).await;
    let ana = stage.ana().await;
    let both = format!("{USER_READ} {MAIL_READ}");
    stage.answering_with(1, json!({"set": {"scope": both}})).await;
    let lasting = stage.obo_as(0, "orders", "https://graph.microsoft.com/.default", &ana).await;
    stage.answering_with(1, json!({"expires_in": 100})).await;
    let forced = json!({"app": "orders", "scopes": USER_READ, "force_refresh": true});
    let short = stage.sidecar(0).client.post_as("/obo", &ana, &forced).await;
    assert_ne!(short.token(), lasting.token());
    stage.elapse(80).await;
    let found = stage.obo(1, &ana).await;
    assert_eq!((found.token(), level(&found)), (lasting.token(), "redis"));
    assert_eq!(stage.calls().await, 2);
}
