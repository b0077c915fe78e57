//! The routes of accounts, which take no body: bad heads, queries and ids.

use reqwest::{Method, RequestBuilder};

use super::ACCESS;
use crate::support::{Answer, Client, World};

/// The routes, with an account that is there in their place of one.
fn routes(account: &str) -> [(Method, String); 3] {
    let one = format!("/accounts/{account}");
    [(Method::GET, "/accounts".to_owned()), (Method::GET, one.clone()), (Method::DELETE, one)]
}

fn request(world: &World, (method, path): &(Method, String), query: &str) -> RequestBuilder {
    let client = &world.sidecar.client;
    client.http.request(method.clone(), format!("{}{path}{query}", client.base))
}

#[track_caller]
fn is_refused(route: &(Method, String), what: &str, answer: &Answer, (status, error, word): (u16, &str, &str)) {
    assert_eq!(answer.status, status, "{route:?} {what}: {}", answer.text);
    answer.refused(status, error, word);
    assert!(!answer.text.contains("canary"), "{}", answer.text);
}

/// Runs `bad` in a world where somebody is signed in, and checks that this is so after it.
async fn leaving_no_trace(bad: impl AsyncFn(&World, &[(Method, String)])) {
    let world = World::new().await;
    let signed = world.redeem(&world.code("web", ACCESS, "ana@contoso.example").await).await;
    let id = signed.json["account"]["home_account_id"].as_str().expect("an account");
    let calls = world.calls().await;
    bad(&world, &routes(id)).await;
    assert_eq!(world.calls().await, calls, "the authority was asked");
    let still = world.sidecar.client.get(&format!("/accounts/{id}?app=web")).await;
    assert_eq!((still.status, &still.json), (200, &signed.json["account"]));
}

#[tokio::test]
async fn bad_heads_are_refused() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for (name, value, status, error, word) in [
                ("origin", "https://canary.example", 403, "origin_not_allowed", "web page"),
                ("origin", "null", 403, "origin_not_allowed", "web page"),
                ("sec-fetch-site", "same-origin", 403, "origin_not_allowed", "web page"),
                ("host", "canary.example", 403, "host_not_allowed", "`Host`"),
                ("host", "a@b", 400, "invalid_request", "`Host`"),
                ("x-forwarded-for", "192.0.2.1", 400, "forwarded_header", "Forwarded"),
                ("x-correlation-id", "canary", 400, "invalid_request", "`x-correlation-id`"),
            ] {
                let answer = Client::send(request(world, route, "?app=web").header(name, value)).await;
                is_refused(route, value, &answer, (status, error, word));
            }
            let large = request(world, route, "?app=web").bearer_auth("x".repeat(65 * 1024));
            is_refused(route, "65 KiB", &Client::send(large).await, (431, "header_too_large", "`limits.header`"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_is_400() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for body in ["{\"app\":\"web\"}", "canary"] {
                let answer = Client::send(request(world, route, "?app=web").body(body)).await;
                is_refused(route, body, &answer, (400, "invalid_request", "no body"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn bad_queries_are_refused() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for (query, status, error, word) in [
                ("", 404, "unknown_app", "`app`"),
                ("?app=canary", 404, "unknown_app", "`app`"),
                ("?app=", 404, "unknown_app", "`app`"),
                ("?app=web&app=web", 400, "invalid_request", "app"),
                ("?app=web&canary_parameter=1", 400, "invalid_request", "canary_parameter"),
                ("?app=%ff", 400, "invalid_request", ""),
            ] {
                let answer = Client::send(request(world, route, query)).await;
                assert_eq!(answer.status, status, "{route:?} {query}: {}", answer.text);
                answer.refused(status, error, word);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn another_method_is_405() {
    leaving_no_trace(async |world, routes| {
        for (index, route) in routes.iter().enumerate() {
            for method in ["POST", "PUT", "PATCH", "OPTIONS"] {
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                let answer = Client::send(request(world, &(method.clone(), route.1.clone()), "?app=web")).await;
                is_refused(route, method.as_str(), &answer, (405, "method_not_allowed", "method"));
                assert_eq!(answer.header("allow").contains("DELETE"), index > 0, "{:?}", answer.headers);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_id_that_is_none_is_400_and_one_that_nobody_has_404_or_is_signed_out() {
    leaving_no_trace(async |world, _| {
        let long = "x".repeat(513);
        for (id, status, error, word) in [
            ("canary%40contoso.example", 400, "invalid_request", "username"),
            (&*long, 400, "invalid_request", "too long"),
            ("canary%ff", 400, "invalid_request", ""),
        ] {
            for method in [Method::GET, Method::DELETE] {
                let route = (method, format!("/accounts/{id}"));
                let answer = Client::send(request(world, &route, "?app=web")).await;
                is_refused(&route, id, &answer, (status, error, word));
            }
        }
        let of_nobody = |method| (method, "/accounts/canary.nobody".to_owned());
        let route = of_nobody(Method::GET);
        let answer = Client::send(request(world, &route, "?app=web")).await;
        is_refused(&route, "canary.nobody", &answer, (404, "unknown_account", "account"));
        let answer = Client::send(request(world, &of_nobody(Method::DELETE), "?app=web")).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    })
    .await;
}
