//! What the line of a request that failed says: who asked for what, and which check failed.

use serde_json::{Value, json};

use super::cause::{ID, logged};
use crate::support::{Client, World};

/// The line of the request that was sent with [`ID`].
async fn send(request: reqwest::RequestBuilder) -> u16 {
    Client::send(request.header("x-correlation-id", ID)).await.status
}

fn line(lines: &[Value]) -> &Value {
    let failed: Vec<&Value> = lines.iter().filter(|line| line["message"] == "request failed").collect();
    let [line] = failed[..] else { panic!("one line: {lines:?}") };
    line
}

#[test]
fn a_token_that_is_refused_is_told_with_the_check_that_it_failed() {
    for (order, status, reason) in [
        (json!({"claims": {"exp": 1}}), 401, "it has expired"),
        (json!({"claims": {"aud": "api://canary"}}), 401, "its audience is not one of the app's `inbound.audiences`"),
        (json!({"claims": {"idtyp": "app"}}), 401, "it is an app's token: there is no user to act for"),
        (json!({"scopes": "canary.read"}), 403, "it has none of the scopes in `inbound.scopes`"),
    ] {
        let lines = logged(async {
            let world = World::new().await;
            let mut wanted = json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user"});
            wanted.as_object_mut().expect("an object").extend(order.as_object().expect("members").clone());
            let bearer = world.emulator.mint(wanted).await;
            let body = json!({"app": "orders", "scopes": "https://graph.microsoft.com/User.Read"});
            assert_eq!(send(world.sidecar.client.request("/obo", &body).bearer_auth(bearer)).await, status);
        });
        let line = line(&lines);
        assert_eq!((&line["reason"], &line["app"]), (&reason.into(), &"orders".into()), "{line}");
        assert_eq!(
            (&line["flow"], &line["door"], &line["status"]),
            (&"on_behalf_of".into(), &"rest".into(), &status.into()),
            "{line}"
        );
        assert!(!format!("{lines:?}").contains("canary") && !format!("{lines:?}").contains("ana@"), "{lines:?}");
    }
}

#[test]
fn every_route_says_its_flow_and_the_app_that_is_meant() {
    for (path, body, app, flow) in [
        ("/client-credentials", json!({"app": "daemon"}), json!("daemon"), json!("client_credentials")),
        ("/client-credentials", json!({"api": "graph", "scopes": "x"}), json!("daemon"), json!("client_credentials")),
        ("/client-credentials", json!({"app": "canary"}), Value::Null, json!("client_credentials")),
        ("/silent", json!({"app": "web", "scopes": "x"}), json!("web"), json!("silent")),
        ("/auth-code", json!({"app": "web"}), json!("web"), json!("auth_code")),
        ("/auth-code/url", json!({"app": "shop"}), json!("shop"), json!("auth_code")),
        ("/obo", json!({"canary": 1}), Value::Null, json!("on_behalf_of")),
        ("/nowhere", json!({}), Value::Null, Value::Null),
    ] {
        let lines = logged(async {
            let world = World::new().await;
            assert!(send(world.sidecar.client.request(path, &body)).await >= 400);
        });
        let line = line(&lines);
        assert_eq!((&line["app"], &line["flow"], &line["door"]), (&app, &flow, &"rest".into()), "{path}: {line}");
        assert!(!format!("{lines:?}").contains("canary"), "{lines:?}");
    }
}
