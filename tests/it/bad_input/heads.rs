//! Heads: who a request says it is from, how it is addressed, and how large it may be.

use serde_json::json;

use super::{is_refused, leaving_no_trace};
use crate::support::Client;

#[tokio::test]
async fn a_web_page_is_403() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for (name, value) in [
                ("origin", "https://evil.example"),
                ("origin", "null"),
                ("origin", "http://localhost:8650"),
                ("origin", ""),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-site", "same-site"),
                ("sec-fetch-site", ""),
            ] {
                let request = route.request(world, route.with(&json!({})).to_string()).header(name, value);
                is_refused(route, value, &Client::send(request).await, (403, "origin_not_allowed", "web page"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_foreign_host_is_403() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for host in
                ["evil.example", "evil.example:8650", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "0.0.0.0"]
            {
                let request = route.request(world, route.with(&json!({})).to_string()).header("host", host);
                is_refused(route, host, &Client::send(request).await, (403, "host_not_allowed", "`Host`"));
            }
            for host in ["a@b", "a/b", "localhost:x", ""] {
                let request = route.request(world, route.with(&json!({})).to_string()).header("host", host);
                is_refused(route, host, &Client::send(request).await, (400, "invalid_request", "`Host`"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_proxys_headers_are_400() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"] {
                let request = route.request(world, route.with(&json!({})).to_string()).header(name, "for=192.0.2.1");
                is_refused(route, name, &Client::send(request).await, (400, "forwarded_header", "Forwarded"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_bearer_over_the_limit_of_headers_is_431() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            let request = |size: usize| {
                let request = world.sidecar.client.request(route.path, &route.with(&json!({})));
                Client::send(request.bearer_auth("x".repeat(size)))
            };
            is_refused(route, "65 KiB", &request(65 * 1024).await, (431, "header_too_large", "`limits.header`"));
            // What is over twice the bound is not even kept.
            assert_eq!(request(300 * 1024).await.status, 431);
        }
    })
    .await;
}

#[tokio::test]
async fn a_megabyte_of_bearer_is_431() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            // The answer may come before the head was read; then the connection ends while it is still being written.
            let request = world.sidecar.client.request(route.path, &route.with(&json!({}))).bearer_auth("x".repeat(1024 * 1024));
            #[expect(clippy::disallowed_methods, reason = "the one request that may break off")]
            if let Ok(response) = request.send().await {
                assert_eq!(response.status().as_u16(), 431);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_authorization_that_is_no_bearer_token_is_told_so() {
    leaving_no_trace(async |world, routes| {
        let route = routes.iter().find(|route| route.path == "/obo").expect("obo");
        let body = route.with(&json!({}));
        for value in ["Bearer", "Bearer ", "Bearer a b", "Bearer \"a\"", "Bearer a,b"] {
            let request = world.sidecar.client.request(route.path, &body).header("authorization", value);
            is_refused(route, value, &Client::send(request).await, (400, "invalid_request", "Bearer"));
        }
        let twice = world.sidecar.client.request(route.path, &body).bearer_auth("a").bearer_auth("b");
        is_refused(route, "twice", &Client::send(twice).await, (400, "invalid_request", "two `Authorization`"));
    })
    .await;
}

#[tokio::test]
async fn another_method_is_405_and_another_path_is_404() {
    leaving_no_trace(async |world, routes| {
        let client = &world.sidecar.client;
        for route in routes {
            let url = format!("{}{}", client.base, route.path);
            // A session is ended where it began.
            let allowed = if route.path == "/obo" { "POST,DELETE" } else { "POST" };
            for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"].into_iter().filter(|method| !allowed.contains(method)) {
                let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
                let answer = Client::send(client.http.request(method.clone(), &url)).await;
                is_refused(route, method.as_str(), &answer, (405, "method_not_allowed", "method"));
                assert_eq!(answer.header("allow"), allowed);
            }
            for path in [format!("{}/", route.path), format!("{}/canary", route.path), "/".to_owned(), format!("/v1{}", route.path)]
            {
                let answer = client.post(&path, &route.with(&json!({}))).await;
                is_refused(route, &path, &answer, (404, "not_found", "route"));
                assert!(!answer.text.contains("canary"), "{}", answer.text);
            }
        }
        let answer = client.get("/status").await;
        answer.refused(404, "not_found", "route");
    })
    .await;
}
