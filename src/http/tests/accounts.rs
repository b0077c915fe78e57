//! The routes as they are, over a service without any app: what is well-formed reaches it and finds none.

use std::time::Duration;

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::Value;

use super::super::{ClientDoor, DoorSettings, Settings, router};
use super::{Lines, ask, check, of, request};
use crate::cache::{self, Cache};
use crate::clock::Clock;
use crate::flow::{HandleSettings, Means, Service, WIRE};
use crate::listen::App;
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Sampler};

pub(super) fn app(metrics: &Metrics, sampler: Sampler) -> impl App + use<> {
    let (clock, tasks) = (Clock::manual(1000), Tasks::default());
    let cache = Cache::new(&cache::Settings::default(), None, WIRE, metrics, clock.clone(), tasks.clone());
    let patience = Duration::from_secs(15);
    let handles = HandleSettings::default();
    let means = Means { cache, clock: clock.clone(), tasks, jitter: || 0.5, patience, handles };
    let service = Service::new(Vec::new(), &[], None, means);
    let doors = DoorSettings { open: ClientDoor::ALL.to_vec(), ..DoorSettings::default() };
    router(service, &Settings { doors, ..Settings::default() }, None, &clock, metrics, sampler)
}

pub(super) fn plain() -> impl App + use<> {
    app(&Metrics::default(), Sampler::new(None))
}

/// A request without body and type.
pub(super) fn bare(method: Method, uri: &str) -> http::request::Builder {
    request("").method(method).uri(uri)
}

const ID: &str = "/accounts/canary-oid.canary-tid";

#[tokio::test]
async fn what_is_well_formed_reaches_the_service() {
    let app = plain();
    for (method, uri) in [
        (Method::GET, "/accounts"),
        (Method::GET, "/accounts?"),
        (Method::GET, "/accounts?app=web&cursor=canary&limit=10"),
        (Method::GET, ID),
        (Method::GET, "/accounts/a%2Fb%20%C3%A9?app=web"),
        (Method::DELETE, ID),
        (Method::DELETE, "/accounts/..?app=web"),
        (Method::DELETE, "/accounts/%2E%2E%2Fobo"),
    ] {
        for kind in ["", "application/json"] {
            let request = bare(method.clone(), uri);
            let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
            let (status, headers, body) = ask(&app, request, "").await;
            assert_eq!((status.as_u16(), &body["error"]), (404, &"unknown_app".into()), "{method} {uri}: {body}");
            check(status, &headers, &body);
        }
    }
    let (status, headers, body) =
        ask(&app, request("{}").uri("/silent"), r#"{"app":"web","account":"oid.tid","scopes":["a"]}"#).await;
    assert_eq!((status.as_u16(), &body["error"]), (404, &"unknown_app".into()), "{body}");
    check(status, &headers, &body);
}

#[tokio::test]
async fn every_bad_form_is_named() {
    let app = plain();
    for (method, uri, want) in [
        (Method::GET, "/accounts?app=canary&app=canary", "`app` stands twice"),
        (Method::GET, "/accounts?home_account_id=canary", "`home_account_id` is no parameter"),
        (Method::GET, "/accounts?limit=canary", "`limit` is no number"),
        (Method::GET, "/accounts?cursor=canary%zz", "`cursor` is no percent-encoded UTF-8"),
        (Method::GET, "/accounts/canary?limit=1", "`limit` is no parameter of this route; it takes app"),
        (Method::GET, "/accounts/canary%ff", "`home_account_id` is no percent-encoded UTF-8"),
        (Method::GET, "/accounts/canary%", "`home_account_id` is no percent-encoded UTF-8"),
        (Method::DELETE, "/accounts/canary%zz", "`home_account_id` is no percent-encoded UTF-8"),
        (Method::DELETE, "/accounts/canary?app=canary%", "`app` is no percent-encoded UTF-8"),
        (Method::DELETE, "/accounts/canary?account=canary", "`account` is no parameter"),
    ] {
        let (status, headers, body) = ask(&app, bare(method.clone(), uri), "").await;
        assert_eq!((status.as_u16(), &body["error"]), (400, &"invalid_request".into()), "{method} {uri}: {body}");
        check(status, &headers, &body);
        assert!(body["detail"].as_str().unwrap().contains(want), "{uri}: {body}");
        assert!(!body.to_string().contains("canary"), "{body}");
    }
    for (method, uri) in [(Method::GET, "/accounts"), (Method::GET, ID), (Method::DELETE, ID)] {
        let (status, headers, body) = ask(&app, request("{}").method(method).uri(uri), r#"{"app":"canary"}"#).await;
        assert_eq!((status.as_u16(), &body["error"]), (400, &"invalid_request".into()), "{body}");
        check(status, &headers, &body);
        assert!(body["detail"].as_str().unwrap().contains("takes no body"), "{body}");
    }
}

#[tokio::test]
async fn silent_takes_its_own_members() {
    let app = plain();
    for (uri, text, want) in [
        ("/silent", r#"{"account":7}"#, "`account` has to be a string"),
        ("/silent", r#"{"account":"canary","code":"canary"}"#, "this route does not take `code`"),
        ("/silent", r#"{"user":"canary"}"#, "`user` is no member"),
        ("/silent", r#"{"username":"canary"}"#, "this route does not take `username`"),
        ("/silent", "", "a JSON object is expected"),
        ("/silent?account=canary", "{}", "this route takes no query"),
    ] {
        let (status, headers, body) = ask(&app, request("{}").uri(uri), text).await;
        assert_eq!((status.as_u16(), &body["error"]), (400, &"invalid_request".into()), "{uri} {text}: {body}");
        check(status, &headers, &body);
        assert!(body["detail"].as_str().unwrap().contains(want), "{text}: {body}");
        assert!(!body.to_string().contains("canary"), "{body}");
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_told_so() {
    let app = plain();
    for (method, uri, allow) in [
        (Method::POST, "/accounts", &["GET", "HEAD"][..]),
        (Method::DELETE, "/accounts", &["GET", "HEAD"]),
        (Method::POST, ID, &["DELETE", "GET", "HEAD"]),
        (Method::PUT, "/accounts/a%2Fb%zz", &["DELETE", "GET", "HEAD"]),
        (Method::GET, "/silent", &["POST"]),
    ] {
        let (status, headers, body) = ask(&app, bare(method.clone(), uri), "").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {uri}");
        check(status, &headers, &body);
        let mut allowed: Vec<_> = of(&headers, "allow").split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!(allowed, allow, "{method} {uri}");
    }
    for uri in ["/accounts/", "/accounts//", "/accounts/canary/", "/accounts/canary/more", "//accounts/canary"] {
        let (status, headers, body) = ask(&app, bare(Method::GET, uri), "").await;
        assert_eq!((status.as_u16(), &body["error"]), (404, &"not_found".into()), "{uri}");
        check(status, &headers, &body);
    }
    let (status, _, body) = ask(&app, bare(Method::HEAD, "/accounts"), "").await;
    assert_eq!((status.as_u16(), body), (404, Value::Null), "as GET, without its body");
}

/// The log names the route by the template, for every path that the router takes to it and for none beside.
#[tokio::test]
async fn no_id_leaves_the_path() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let metrics = Metrics::default();
    let app = app(&metrics, Sampler::new(Some(1.0)));
    // Another test's thread may be the first that comes by a line, and nobody listens there: after the lines have been passed, it
    // is asked again in this one.
    super::send(&app, bare(Method::GET, "/accounts/%").body(Body::empty()).unwrap()).await;
    tracing::callsite::rebuild_interest_cache();
    lines.0.lock().unwrap().clear();
    let paths = ["canary", "canary%2Fmore", "canary%ff", "canary%", "(canary)=é{x}", "canary?app=canary", "canary?canary=canary"];
    for path in paths {
        for method in [Method::GET, Method::DELETE, Method::PUT] {
            let request = bare(method, &format!("/accounts/{path}")).body(Body::empty()).unwrap();
            let (_, headers, body) = super::send(&app, request).await;
            assert!(!body.to_string().replace("`canary` is no parameter", "").contains("canary"), "{body}");
            assert!(!format!("{headers:?}").contains("canary"), "{headers:?}");
        }
    }
    drop(guard);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let failed: Vec<&str> = text.lines().filter(|line| line.contains("request failed")).collect();
    assert_eq!(failed.len(), 3 * paths.len(), "{text}");
    for line in failed {
        assert!(line.contains(r#""route":"/accounts/{home_account_id}""#), "{line}");
    }
    assert!(text.contains("\"http.route\":\"/accounts/{home_account_id}\""), "{text}");
    assert!(!text.contains("canary"), "{text}");
    assert!(!String::from_utf8(metrics.render()).unwrap().contains("canary"));
}
