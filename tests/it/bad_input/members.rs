//! Members that are unknown, foreign, of the wrong type, or lists that are none.

use serde_json::{Value, json};

use super::{is_refused, leaving_no_trace};
use crate::support::Client;

#[tokio::test]
async fn an_unknown_member_is_400_and_named_unless_it_may_be_a_secret() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for name in ["scope", "grant_type", "client_secret", "App", "x", "__proto__"] {
                let answer = route.send(world, &json!({name: "canary"})).await;
                is_refused(route, name, &answer, (400, "invalid_request", &format!("`{name}`")));
                assert!(!answer.text.contains("canary"), "{}", answer.text);
            }
            for name in ["eyJhbGciOiJSUzI1NiJ9.canary", "canary key", &"canary".repeat(20), "canary\u{0}", "Zx9Qw8Er7Tycanary"] {
                let answer = route.send(world, &json!({name: 1})).await;
                is_refused(route, name, &answer, (400, "invalid_request", "a member is unknown"));
                assert!(!answer.text.contains("canary"), "{}", answer.text);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_member_of_another_route_is_400() {
    let foreign = |path: &str| -> &[(&str, bool)] {
        match path {
            "/client-credentials" => &[("code", false), ("redirect_uri", false), ("subject_token_type", false), ("nonce", false)],
            "/obo" => &[("code", false), ("state", false), ("code_verifier", false), ("prompt", false)],
            "/auth-code/url" => &[("code", false), ("force_refresh", true), ("access_token_sha256", false), ("iss", false)],
            "/silent" => &[("code", false), ("redirect_uri", false), ("subject_token_type", false), ("nonce", false)],
            _ => &[("prompt", false), ("force_refresh", true), ("requested_token_type", false), ("state", false)],
        }
    };
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for (name, flag) in foreign(route.path) {
                let value = if *flag { json!(true) } else { json!("canary") };
                let answer = route.send(world, &json!({*name: value})).await;
                is_refused(route, name, &answer, (400, "invalid_request", &format!("does not take `{name}`")));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_member_of_the_wrong_type_is_400() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            let mut texts = vec!["app", "api", "tenant", "claims", "client_claims", "audience", "resource"];
            texts.extend(match route.path {
                "/client-credentials" => &["access_token_sha256"][..],
                "/obo" => &["access_token_sha256", "subject_token_type", "requested_token_type", "session"],
                "/auth-code/url" => &["redirect_uri", "prompt", "login_hint", "domain_hint", "response_mode", "state", "nonce"],
                "/silent" => &["access_token_sha256", "account"],
                "/device-code" => &[],
                "/refresh-token" => &["refresh_token"],
                "/username-password" => &["username", "password"],
                _ => &["code", "redirect_uri", "code_verifier", "nonce", "iss"],
            });
            for name in texts {
                for value in [json!(7), json!(true), json!(["canary"]), json!({"canary": 1})] {
                    let answer = route.send(world, &json!({name: value})).await;
                    is_refused(route, name, &answer, (400, "invalid_request", &format!("`{name}` has to be a string")));
                    assert!(!answer.text.contains("canary"), "{}", answer.text);
                }
            }
            if ["/client-credentials", "/obo", "/silent"].contains(&route.path) {
                for value in [json!("true"), json!(1), json!([true])] {
                    let answer = route.send(world, &json!({"force_refresh": value})).await;
                    is_refused(
                        route,
                        "force_refresh",
                        &answer,
                        (400, "invalid_request", "`force_refresh` has to be true or false"),
                    );
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn scopes_that_are_none_are_400() {
    let many: Vec<String> = (0..300).map(|number| format!("s{number}")).collect();
    let cases: [(Value, &str); 10] = [
        (json!([]), "empty"),
        (json!(""), "empty"),
        (json!("  "), "empty"),
        (json!(["canary", ""]), "empty"),
        (json!(["canary b"]), "character"),
        (json!("caf\u{e9}"), "character"),
        (json!(["a\"b"]), "character"),
        (json!(["canary", 7]), "has to be"),
        (json!({"canary": 1}), "has to be"),
        (json!(many), "256"),
    ];
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for (scopes, word) in &cases {
                let answer = route.send(world, &json!({"scopes": scopes})).await;
                is_refused(route, &scopes.to_string(), &answer, (400, "invalid_request", word));
                assert!(answer.member("detail").contains("`scopes`") && !answer.text.contains("canary"), "{}", answer.text);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_member_that_stands_twice_is_400() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            let good = route.with(&json!({})).to_string();
            let twice = format!("{{\"app\":\"canary\",{}", &good[1..]);
            let answer = Client::send(route.request(world, twice)).await;
            is_refused(route, "app", &answer, (400, "invalid_request", "`app` stands twice"));
        }
    })
    .await;
}

#[tokio::test]
async fn null_is_as_good_as_absent() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            let mut body = route.with(&json!({}));
            body["scopes"] = Value::Null;
            let answer = Client::send(route.request(world, body.to_string())).await;
            is_refused(route, "scopes", &answer, (400, "invalid_request", "`scopes` is missing"));
        }
    })
    .await;
}
