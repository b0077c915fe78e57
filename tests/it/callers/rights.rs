//! What a caller may ask for: every right on every route, judged before anything is looked up,
//! and without a word about what it may not see.

use serde_json::{Value, json};

use super::{ANA, ORDERS, Stage, USER_READ, requests};
use crate::support::{Answer, Client, GRAPH, REDIRECT_URI};

const FLOWS: [&str; 7] =
    ["client_credentials", "on_behalf_of", "auth_code", "silent", "refresh_token", "username_password", "device_code"];

/// All of them: some are had by name only.
const EVERY: &str = ", flows: [client_credentials, on_behalf_of, auth_code, silent, refresh_token, username_password, device_code]";

/// `POST` with an inbound token that is none: what looks at it says so.
async fn post(client: &Client, path: &str, body: &Value) -> Answer {
    client.post_as(path, "no-token", body).await
}

/// A request's members for each route that takes a body, but for `app`, `api` and `scopes`.
fn bodies() -> [(&'static str, Value); 8] {
    [
        ("/client-credentials", json!({})),
        ("/obo", json!({})),
        ("/auth-code/url", json!({"redirect_uri": REDIRECT_URI})),
        ("/auth-code", json!({"redirect_uri": REDIRECT_URI, "code": "any"})),
        ("/silent", json!({"account": "some.body"})),
        ("/refresh-token", json!({"refresh_token": "any"})),
        ("/username-password", json!({"username": "any", "password": "any"})),
        ("/device-code", json!({})),
    ]
}

fn with(body: &Value, more: &Value) -> Value {
    let mut body = body.clone();
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

#[track_caller]
fn is_allowed(what: &str, answer: &Answer) {
    assert!(!answer.member("error").starts_with("caller_"), "{what}: {}", answer.text);
}

#[tokio::test]
async fn only_the_flows_that_are_listed() {
    let callers: Vec<(&str, String)> = ["cc", "obo", "code", "again", "moved", "typed", "shown"]
        .into_iter()
        .zip(FLOWS.map(|flow| format!(", flows: [{flow}]")))
        .collect();
    let callers: Vec<(&str, &str)> = callers.iter().map(|(name, rights)| (*name, rights.as_str())).collect();
    let stage = Stage::memory(&callers).await;
    for ((caller, _), own) in callers.iter().zip(FLOWS) {
        for (flow, request) in requests(&stage.client(0, caller)) {
            let answer = Client::send(request).await;
            if flow == own || flow.is_empty() {
                is_allowed(flow, &answer);
            } else {
                answer.refused(403, "caller_not_allowed", "`callers.*.flows`");
            }
        }
    }
}

#[tokio::test]
async fn of_an_app_that_it_may_not_use_a_caller_learns_nothing() {
    let stage = Stage::memory(&[("some", &format!(", apps: [web, daemon]{EVERY}")), ("any", EVERY)]).await;
    let (some, any) = (stage.client(0, "some"), stage.client(0, "any"));
    for (path, body) in bodies() {
        let mut texts = Vec::new();
        for more in [
            json!({"app": "orders", "scopes": [USER_READ]}),
            json!({"app": "nobody", "scopes": [USER_READ]}),
            json!({"scopes": [USER_READ]}),
            json!({"api": "graph-user"}),
            json!({"api": "nothing"}),
            json!({"app": "web", "api": "graph-user"}),
            json!({"app": "web", "api": "nothing"}),
            json!({"app": "nobody", "api": "graph"}),
        ] {
            let answer = post(&some, path, &with(&body, &more)).await;
            answer.refused(403, "caller_not_allowed", "`callers.*.apps`");
            assert!(!answer.text.contains("orders") && !answer.text.contains("nobody"), "{}", answer.text);
            texts.push(answer.text.replace(answer.header("x-correlation-id"), "ID"));
        }
        texts.dedup();
        assert_eq!(texts.len(), 1, "they differ: {texts:#?}");
        is_allowed(path, &post(&some, path, &with(&body, &json!({"app": "web", "scopes": [ORDERS]}))).await);
        is_allowed(path, &post(&some, path, &with(&body, &json!({"api": "graph"}))).await);
        // Who may use all of them is told what there is.
        post(&any, path, &with(&body, &json!({"app": "nobody"}))).await.refused(404, "unknown_app", "`app`");
        post(&any, path, &with(&body, &json!({"api": "nothing"}))).await.refused(404, "unknown_api", "`api`");
    }
    for path in ["/accounts", "/accounts/some.body"] {
        for query in ["?app=orders", "?app=nobody", ""] {
            some.get(&format!("{path}{query}")).await.refused(403, "caller_not_allowed", "`callers.*.apps`");
        }
        is_allowed(path, &some.get(&format!("{path}?app=web")).await);
        any.get(&format!("{path}?app=nobody")).await.refused(404, "unknown_app", "`app`");
    }
    for app in ["orders", "nobody"] {
        let answer = some.post("/sign-out/url", &json!({"app": app, "account": "some.body"})).await;
        answer.refused(403, "caller_not_allowed", "`callers.*.apps`");
    }
    stage.sign_out(0, "some", "orders", "some.body").await.refused(403, "caller_not_allowed", "`callers.*.apps`");
    stage.sign_out(0, "some", "nobody", "some.body").await.refused(403, "caller_not_allowed", "`callers.*.apps`");
    // The allowed app token alone was asked for.
    assert!(
        stage.emulator.asked("token").await.iter().all(|call| call["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer")
    );
}

#[tokio::test]
async fn a_listed_api_is_all_that_a_token_is_good_for() {
    let stage = Stage::memory(&[("some", &format!(", apis: [graph]{EVERY}")), ("any", EVERY)]).await;
    let some = stage.client(0, "some");
    for (path, body) in bodies() {
        for more in [
            json!({"app": "daemon", "scopes": [GRAPH]}),
            json!({"app": "web", "scopes": [ORDERS]}),
            json!({"app": "daemon"}),
            json!({"api": "graph-user"}),
            json!({"api": "nothing"}),
            json!({"api": "graph", "scopes": [USER_READ]}),
            json!({"api": "graph", "audience": "https://other.example"}),
            json!({"api": "graph", "resource": "https://other.example"}),
        ] {
            post(&some, path, &with(&body, &more)).await.refused(403, "caller_not_allowed", "`callers.*.apis`");
        }
        is_allowed(path, &post(&some, path, &with(&body, &json!({"api": "graph"}))).await);
    }
    some.post("/client-credentials", &json!({"api": "graph"})).await.token();
    // Accounts are no api.
    is_allowed("accounts", &some.get("/accounts?app=web").await);
}

#[tokio::test]
async fn rights_are_judged_before_the_users_token_and_the_cache() {
    let stage = Stage::memory(&[("any", ""), ("some", ", flows: [client_credentials]"), ("less", ", apps: [web]")]).await;
    let ana = stage.user_token(ANA).await;
    stage.obo(0, "any", &ana).await.token();
    let asked = stage.emulator.requests().await.len();
    for (caller, right) in [("some", "flows"), ("less", "apps")] {
        for bearer in [ana.as_str(), "canary-no-token"] {
            let answer = stage.obo(0, caller, bearer).await;
            answer.refused(403, "caller_not_allowed", right);
            assert_eq!(answer.json["retryable"], false);
        }
    }
    let body = json!({"app": "daemon", "scopes": [GRAPH]});
    stage.client(0, "any").post("/client-credentials", &body).await.token();
    stage.client(0, "less").post("/client-credentials", &body).await.refused(403, "caller_not_allowed", "apps");
    let requests = stage.emulator.requests().await;
    assert_eq!(requests[asked..].iter().filter(|request| request["endpoint"] == "token").count(), 1, "{requests:#?}");
}
