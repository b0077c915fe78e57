//! Answers that are no OAuth answer: who gave them and what they look like is told, and whether asking again can help.

use serde_json::{Value, json};

use super::cause::{ID, cause, logged};
use crate::support::{Answer, Client, GRAPH, World};

/// What a server may answer in place of the token endpoint, the status line of what is told of it, and a word of the remedy.
fn answers() -> [(Value, &'static str, bool, &'static str); 9] {
    let html = json!({"content-type": "text/html; charset=utf-8"});
    [
        (
            json!({"status": 302, "headers": {"location": "https://user:canary@sso.corp.example/canary?code=canary"}, "body": ""}),
            "status 302, no content type",
            false,
            "sso.corp.example",
        ),
        (json!({"status": 307, "headers": {"location": "/canary"}, "body": ""}), "status 307", false, "redirects are not followed"),
        (json!({"status": 404, "headers": html, "body": "<html>canary"}), "status 404, text/html", false, "no such endpoint"),
        (json!({"status": 407, "headers": html, "body": "<html>canary"}), "status 407, text/html", false, "outbound.proxy"),
        (json!({"status": 200, "headers": html, "body": "<html>canary"}), "status 200, text/html", true, "firewall"),
        (json!({"status": 204, "body": ""}), "status 204", true, "firewall"),
        (json!({"status": 403, "body": ""}), "status 403, no content type", true, "have this machine allowed"),
        (json!({"status": 401, "headers": html, "body": "<html>canary"}), "status 401, text/html", true, "firewall"),
        (
            json!({"status": 200, "headers": {"content-type": "application/json"}, "body": {"canary": 1}}),
            "status 200, application/json",
            true,
            "what the authority has to say",
        ),
    ]
}

async fn asked(world: &World) -> Answer {
    let body = json!({"app": "daemon", "scopes": [GRAPH]});
    Client::send(world.sidecar.client.request("/client-credentials", &body).header("x-correlation-id", ID)).await
}

#[test]
fn an_answer_that_is_none_is_told_by_what_it_looks_like_and_where_it_came_from() {
    for (raw, look, retryable, remedy) in answers() {
        let mut said = Value::Null;
        let lines = logged(async {
            let world = World::new().await;
            let host = world.emulator.origin.trim_start_matches("https://").to_owned();
            world.failing(json!({"raw": raw})).await;
            let answer = asked(&world).await;
            answer.refused(502, "invalid_authority_response", look);
            let detail = answer.member("detail");
            assert!(detail.contains(&format!("from {host} to client_credentials")) && detail.contains(remedy), "{detail}");
            assert_eq!(answer.json["retryable"], retryable, "{}", answer.text);
            assert_eq!(world.calls().await, 1, "it is no answer that another attempt mends");
            said = Value::String(host);
        });
        assert!(cause(&lines).contains(look), "{lines:?}");
        let calls: Vec<&Value> = lines.iter().filter(|line| line["message"] == "a call to an authority failed").collect();
        let [call] = calls[..] else { panic!("once per call: {lines:?}") };
        assert_eq!(
            (&call["host"], &call["app"], &call["purpose"]),
            (&said, &"daemon".into(), &"client_credentials".into()),
            "{call}"
        );
        assert!(call["causes"].as_str().is_some_and(|causes| causes.contains(look)), "{call}");
        assert!(!format!("{lines:?}").contains("canary"), "{lines:?}");
    }
}

#[tokio::test]
async fn an_empty_401_of_a_token_endpoint_is_a_refused_credential() {
    for body in ["", " \r\n"] {
        let world = World::new().await;
        world.failing(json!({"raw": {"status": 401, "headers": {"www-authenticate": "Basic"}, "body": body}})).await;
        let answer = world.graph().await;
        answer.refused(502, "invalid_client", "credential");
        assert_eq!(answer.json["retryable"], false);
        // It is the app's, whatever is asked for, and for a minute.
        world.later(59);
        world.app_token(json!({"app": "daemon", "scopes": "api://orders/.default"})).await.refused(
            502,
            "invalid_client",
            "remembered",
        );
        assert_eq!(world.calls().await, 1);
    }
}

#[tokio::test]
async fn a_document_that_is_none_is_told_so_too() {
    for (endpoint, flow) in [("discovery", "app"), ("keys", "user")] {
        for (status, retryable) in [(302, false), (404, false), (403, true)] {
            let world = World::new().await;
            let user = world
                .emulator
                .mint(json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"}))
                .await;
            let raw = json!({"status": status, "headers": {"location": "https://sso.example/canary"}, "body": "canary"});
            world.emulator.script(json!({"on": {"endpoint": endpoint}, "times": 0, "do": {"raw": raw}})).await;
            let answer = match flow {
                "app" => world.app_token(json!({"app": "shop", "scopes": "stock.read"})).await,
                _ => world.obo_as("shop", "stock.read", &user).await,
            };
            let detail = answer.member("detail");
            assert!(detail.contains(&format!("status {status}")) && detail.contains(&format!(" to {endpoint}")), "{}", answer.text);
            // Of a user's token nothing can be said until there are keys, wherever they come from then.
            let expected = if flow == "app" { (502, retryable) } else { (503, true) };
            assert_eq!((answer.status, answer.json["retryable"] == true), expected, "{}", answer.text);
            assert!(!answer.text.contains("canary"), "{}", answer.text);
        }
    }
}
