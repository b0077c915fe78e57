//! How far a failure reaches over replicas: as far as it says, no further on its way through Redis, and no longer.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::{Stage, USER_READ, sha256};
use crate::failures::reach::{LOST, with_lost_tenants};
use crate::support::{Answer, GRAPH, REDIRECT_URI};

/// The tenants that the emulator knows, by place.
fn tenant(stage: &Stage, index: usize) -> String {
    stage.emulator.directory["tenants"][index]["id"].as_str().expect("an id").to_owned()
}

/// A token at a replica for the app `partner` in a tenant.
async fn partner(stage: &Stage, index: usize, tenant: &str, scopes: &str) -> Answer {
    stage.app_token(index, &json!({"app": "partner", "tenant": tenant, "scopes": scopes})).await
}

/// Replicas whose app `partner` is used in more tenants, which refuse it.
async fn partners(count: usize) -> Stage {
    let stage = Stage::changed(count, |_, yaml| with_lost_tenants(&yaml)).await;
    for lost in LOST {
        let refused = json!({"error": {"status": 401, "error": "invalid_client"}});
        stage.emulator.script(json!({"on": {"endpoint": "token", "tenant": lost}, "times": 0, "do": refused})).await;
    }
    stage
}

#[tokio::test]
async fn cch_18_one_tenants_refusal_is_the_fleets_in_that_tenant_alone() {
    let stage = partners(2).await;
    assert_eq!(partner(&stage, 0, LOST[0], GRAPH).await.status, 502);
    partner(&stage, 1, LOST[0], "api://orders/.default").await.refused(502, "invalid_client", "remembered");
    assert_eq!(stage.calls().await, 1);
    assert_eq!(partner(&stage, 1, &tenant(&stage, 0), GRAPH).await.source(), "identity_provider");
    stage.elapse(60).await;
    assert_eq!(partner(&stage, 1, LOST[0], GRAPH).await.status, 502);
    assert_eq!(stage.calls().await, 3);
}

#[tokio::test]
async fn cch_18_two_tenants_refusals_at_two_replicas_are_one_proof() {
    let stage = partners(3).await;
    // It worked at one of them, which is enough.
    assert_eq!(partner(&stage, 0, &tenant(&stage, 0), GRAPH).await.source(), "identity_provider");
    assert_eq!(partner(&stage, 0, LOST[0], GRAPH).await.status, 502);
    assert_eq!(partner(&stage, 1, LOST[1], GRAPH).await.status, 502);
    let calls = stage.calls().await;
    for index in 0..3 {
        partner(&stage, index, &tenant(&stage, 1), GRAPH).await.refused(502, "invalid_client", "remembered");
    }
    assert_eq!(stage.calls().await, calls);
    stage.elapse(60).await;
    assert_eq!(partner(&stage, 2, &tenant(&stage, 1), GRAPH).await.source(), "identity_provider");
    // That disproves both, at whichever replica they say so again.
    assert_eq!(partner(&stage, 1, LOST[0], GRAPH).await.status, 502);
    assert_eq!(partner(&stage, 0, LOST[1], GRAPH).await.status, 502);
    assert_eq!(partner(&stage, 0, &tenant(&stage, 1), "api://partner/.default").await.source(), "identity_provider");
}

#[tokio::test]
async fn cch_18_a_success_at_one_replica_is_one_for_all() {
    let stage = partners(2).await;
    assert_eq!(partner(&stage, 0, &tenant(&stage, 0), GRAPH).await.source(), "identity_provider");
    assert_eq!(partner(&stage, 0, LOST[0], GRAPH).await.status, 502);
    assert_eq!(partner(&stage, 1, &tenant(&stage, 1), GRAPH).await.source(), "identity_provider");
    assert_eq!(partner(&stage, 0, LOST[1], GRAPH).await.status, 502);
    assert_eq!(partner(&stage, 0, &tenant(&stage, 1), "api://partner/.default").await.source(), "identity_provider");
}

#[tokio::test]
async fn cch_18_one_tenants_pause_is_no_other_tenants() {
    let stage = Stage::new(2).await;
    let (contoso, fabrikam) = (tenant(&stage, 0), tenant(&stage, 1));
    let on = json!({"endpoint": "token", "tenant": fabrikam});
    stage.emulator.script(json!({"on": on, "times": 0, "do": {"throttle": {"retry_after": "100"}}})).await;
    assert_eq!(partner(&stage, 0, &fabrikam, GRAPH).await.status, 429);
    let told = partner(&stage, 1, &fabrikam, GRAPH).await;
    told.refused(429, "throttled", "remembered from an earlier call; asked again after");
    assert_eq!(stage.calls().await, 1);
    assert_eq!(partner(&stage, 1, &contoso, GRAPH).await.source(), "identity_provider");
    assert_eq!(partner(&stage, 0, &contoso, "api://orders/.default").await.source(), "identity_provider");
}

#[tokio::test]
async fn cch_18_a_pause_holds_the_sign_ins_at_other_replicas() {
    let stage = Stage::new(2).await;
    stage.answering_with(1, json!({"throttle": {"retry_after": "100"}})).await;
    let code =
        json!({"app": "web", "scopes": USER_READ, "redirect_uri": REDIRECT_URI, "code": "c", "code_verifier": "v".repeat(43)});
    for index in [0, 1] {
        assert_eq!(stage.sidecar(index).client.post("/auth-code", &code).await.status, 429, "{index}");
    }
    assert_eq!(stage.calls().await, 1);
}

#[tokio::test]
async fn cch_18_one_apis_failures_are_no_other_apis() {
    let stage = Stage::new(2).await;
    let on = json!({"endpoint": "token", "scope": "graph"});
    stage.emulator.script(json!({"on": on, "times": 0, "do": {"raw": {"status": 500}}})).await;
    assert_eq!(stage.graph(0).await.status, 503);
    for index in [0, 1] {
        let body = json!({"app": "daemon", "scopes": "api://orders/.default"});
        assert_eq!(stage.app_token(index, &body).await.status, 200, "{index}");
    }
    assert_eq!(stage.graph(1).await.status, 503);
    assert_eq!(stage.calls().await, 3);
}

/// Makes everything that Redis remembers of failures stay for an hour.
async fn lasting(stage: &Stage) {
    let held: Vec<String> = stage.redis.keys().await.into_iter().filter(|key| key.contains("}:h:")).collect();
    assert!(!held.is_empty());
    for key in held {
        stage.redis.admin().ask::<()>(&["PEXPIRE", &key, "3600000"]).await.expect("there for longer");
    }
}

#[tokio::test]
async fn cch_18_a_record_that_stays_for_too_long_holds_no_longer_than_its_kind_may() {
    let said = |status: u16, error: &str| json!({"error": {"status": status, "error": error, "headers": {"retry-after": "3600"}}});
    for (effect, seconds) in [
        (said(400, "invalid_grant"), 5),
        (said(401, "unauthorized_client"), 60),
        (said(401, "invalid_client"), 60),
        (json!({"raw": {"status": 500}}), 36),
    ] {
        let stage = Stage::new(2).await;
        let ana = stage.ana().await;
        stage.answering_with(2, effect.clone()).await;
        let first = stage.obo(0, &ana).await;
        lasting(&stage).await;
        let calls = stage.calls().await;
        stage.emulator.unscript().await;
        let told = stage.obo(1, &ana).await;
        assert_eq!((told.status, stage.calls().await), (first.status, calls), "{effect}: {}", told.text);
        // The clock alone: what is in Redis stays.
        stage.clock.advance(Duration::from_secs(seconds));
        assert_eq!(stage.obo(1, &ana).await.source(), "identity_provider", "{effect}");
    }
}

#[tokio::test]
async fn cch_11_a_rejected_token_that_comes_again_is_one_call_for_the_fleet() {
    let stage = Stage::new(2).await;
    stage.answering_with(0, json!({"set": {"access_token": "the-same-token-again"}})).await;
    let rejected = json!({"access_token_sha256": sha256(stage.graph(0).await.token())});
    stage.graph(1).await.token();
    stage.emulator.unscript().await;
    stage.answering_with(0, json!({"hold": true, "set": {"access_token": "the-same-token-again"}})).await;
    // Slow enough for all of them to come.
    let all = join_all((0..20).map(|index| stage.graph_with(index % 2, &rejected)));
    let (answers, ()) = tokio::join!(all, async {
        stage.emulator.asked_times("token", 2).await;
        stage.sidecar(0).answering(10).await;
        stage.sidecar(1).answering(10).await;
        stage.emulator.release().await;
    });
    assert!(answers.iter().all(|answer| answer.token() == "the-same-token-again"));
    assert_eq!(stage.calls().await, 2);
    // Those who come a little later do not ask again, wherever they come.
    for index in [1, 0, 1, 0] {
        assert_eq!(stage.graph_with(index, &rejected).await.source(), "cache");
    }
    assert_eq!(stage.calls().await, 2);
    stage.elapse(6).await;
    assert_eq!(stage.graph_with(1, &rejected).await.source(), "identity_provider");
    assert_eq!(stage.calls().await, 3);
}

#[tokio::test]
async fn cch_11_a_replica_that_did_not_wait_is_not_told_to_call_again_either() {
    let stage = Stage::new(2).await;
    stage.answering_with(0, json!({"set": {"access_token": "the-same-token-again"}})).await;
    let rejected = json!({"access_token_sha256": sha256(stage.graph(0).await.token())});
    stage.graph(1).await.token();
    assert_eq!(stage.graph_with(0, &rejected).await.source(), "identity_provider");
    for _ in 0..3 {
        assert_eq!(stage.graph_with(1, &rejected).await.source(), "cache");
    }
    assert_eq!(stage.calls().await, 2);
}
