//! Who is told what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::{AppReport, Report, openapi, router};
use crate::listen::Peer;
use crate::telemetry::Metrics;

const HERE: &str = "127.0.0.1:5000";
const AWAY: &str = "10.1.2.3:5000";

fn app(ready: &Arc<AtomicBool>) -> Router {
    let metrics = Metrics::default();
    metrics.counters("things_total", "Things.", &[]).with_label_values::<&str>(&[]).inc();
    let ready = Arc::clone(ready);
    let report = || Report {
        version: "1".to_owned(),
        apps: vec![AppReport { name: "orders".to_owned(), ..AppReport::default() }],
        ..Report::default()
    };
    router(metrics, Arc::new(move || ready.load(Ordering::SeqCst)), Arc::new(report), &["tokend.internal".to_owned()])
}

async fn get(app: &Router, from: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let peer = Peer::Tcp { address: from.parse().unwrap(), listener: "0.0.0.0:8651".parse().unwrap(), tls: false };
    let mut request = Request::builder().uri(path).extension(crate::listen::Connection::from(peer));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn probes_and_metrics_are_told_to_all_by_any_name() {
    let ready = Arc::new(AtomicBool::new(false));
    let app = app(&ready);
    for from in [HERE, AWAY] {
        let host = [("host", "any.example")];
        assert_eq!(get(&app, from, "/livez", &host).await, (200, "ok\n".to_owned()));
        ready.store(false, Ordering::SeqCst);
        assert_eq!(get(&app, from, "/readyz", &host).await.0, 503);
        ready.store(true, Ordering::SeqCst);
        assert_eq!(get(&app, from, "/readyz", &host).await.0, 200);
        assert!(get(&app, from, "/metrics", &host).await.1.contains("tokend_things_total 1"));
        assert_eq!(get(&app, from, "/nowhere", &host).await.0, 404);
    }
}

#[tokio::test]
async fn status_is_told_to_programs_of_this_machine() {
    let app = app(&Arc::default());
    let host = ("host", "localhost:8651");
    let (code, body) = get(&app, HERE, "/status", &[host]).await;
    assert_eq!(code, 200);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["version"], &body["apps"][0]["name"], &body["ready"]), (&"1".into(), &"orders".into(), &false.into()));
    assert_eq!(get(&app, HERE, "/status", &[("host", "tokend.internal")]).await.0, 200);
    for (from, headers) in [
        (AWAY, &[host][..]),
        (AWAY, &[("host", "127.0.0.1")]),
        (HERE, &[("host", "evil.example")]),
        (HERE, &[host, ("origin", "null")]),
        (HERE, &[host, ("sec-fetch-site", "cross-site")]),
    ] {
        let (code, body) = get(&app, from, "/status", headers).await;
        assert_eq!(code, 403, "{headers:?}");
        assert!(!body.contains("orders"), "{body}");
    }
    assert_eq!(get(&app, HERE, "/status", &[]).await.0, 400);
}

#[tokio::test]
async fn status_is_not_told_to_strangers_that_a_local_proxy_passes_on() {
    let app = app(&Arc::default());
    let named = |host| [("host", host)];
    assert_eq!(get(&app, HERE, "/status", &named("127.0.0.1:8651")).await.0, 200);
    assert_eq!(get(&app, HERE, "/status", &named("10.9.9.9:8651")).await.0, 403);
    let passed_on = [("host", "127.0.0.1:8651"), ("x-forwarded-for", "10.1.2.3")];
    assert_eq!(get(&app, HERE, "/status", &passed_on).await.0, 400);
}

#[tokio::test]
async fn status_is_not_told_to_who_comes_from_nowhere() {
    let request = Request::builder().uri("/status").header("host", "localhost").body(Body::empty()).unwrap();
    assert_eq!(app(&Arc::default()).oneshot(request).await.unwrap().status(), 403);
}

#[tokio::test]
async fn other_methods_are_refused() {
    let request = Request::builder().method("POST").uri("/metrics").body(Body::empty()).unwrap();
    let response = app(&Arc::default()).oneshot(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["allow"].to_str().unwrap()), (405, "GET,HEAD"));
}

#[test]
fn documents_its_routes_on_its_own_server() {
    let document = serde_json::to_value(openapi()).unwrap();
    assert_eq!(document["paths"].as_object().unwrap().len(), 4);
    assert_eq!(document["paths"]["/status"]["servers"][0]["url"], "http://127.0.0.1:8651");
    assert!(document["components"]["schemas"]["CredentialReport"].is_object());
}
