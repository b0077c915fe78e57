//! What one caller asks for takes its own room in the cache, and nobody else's.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::Stage;
use crate::support::{Answer, Client, GRAPH};

/// As many as one partition holds, and some more.
const MANY: usize = 260;

async fn app_token(client: &Client, more: Value) -> Answer {
    let mut body = json!({"app": "daemon", "scopes": [GRAPH]});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    client.post("/client-credentials", &body).await
}

/// Asks for the app's token with claims that nobody has asked for before.
async fn flood(client: &Client, size: usize) {
    for batch in 0..MANY / 20 {
        let asked = (0..20).map(|index| {
            let claims = json!({"access_token": {"acrs": {"value": format!("{batch}-{index}-{}", "x".repeat(size))}}});
            app_token(client, json!({"client_claims": claims.to_string()}))
        });
        for answer in join_all(asked).await {
            assert_eq!(answer.source(), "identity_provider");
        }
    }
}

#[tokio::test]
async fn claims_of_one_caller_push_out_no_token_of_another() {
    for callers in [&[("alpha", ""), ("beta", "")][..], &[]] {
        let stage = Stage::memory(callers).await;
        let (one, other) = match callers {
            [] => (stage.nobody(0).clone(), stage.nobody(0).clone()),
            _ => (stage.client(0, "alpha"), stage.client(0, "beta")),
        };
        let usual = app_token(&other, json!({})).await;
        let own = json!({"client_claims": json!({"access_token": {"acrs": {"value": "mine"}}}).to_string()});
        let unusual = app_token(&other, own.clone()).await;
        // Longer ones fill the partition's bytes before its places.
        for size in [0, 1000] {
            flood(&one, size).await;
            let again = app_token(&other, json!({})).await;
            assert_eq!((again.token(), again.source()), (usual.token(), "cache"));
            if !callers.is_empty() {
                let again = app_token(&other, own.clone()).await;
                assert_eq!((again.token(), again.source()), (unusual.token(), "cache"));
            }
        }
    }
}

#[tokio::test]
async fn what_two_callers_use_is_pushed_out_by_neither() {
    let stage = Stage::memory(&[("alpha", ""), ("beta", "")]).await;
    let (one, other) = (stage.client(0, "alpha"), stage.client(0, "beta"));
    let claims = json!({"client_claims": json!({"access_token": {"acrs": {"value": "both"}}}).to_string()});
    // The one who will ask for many was the first.
    let first = app_token(&one, claims.clone()).await;
    assert_eq!(app_token(&other, claims.clone()).await.token(), first.token());
    flood(&one, 0).await;
    for client in [&one, &other] {
        let again = app_token(client, claims.clone()).await;
        assert_eq!((again.token(), again.source()), (first.token(), "cache"));
    }
}
