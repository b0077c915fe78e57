//! The frame around a route that stands in for a flow: which answer each bad request gets, and what a failed one leaves in the log.

mod accounts;
mod table;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;
use http::header::HeaderMap;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::doors::FlowReply;
use super::fault::RequestError;
use super::frame::Frame;
use super::routes::ROUTES;
use super::{Settings, framed};
use crate::clock::Clock;
use crate::flow::{Answer, RefreshReason, Refusal, RefusalKind, TokenSource};
use crate::listen::{App, Meters, Peer, bind, serve};
use crate::oauth::ErrorBody;
use crate::secret::Secret;
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Sampler};
use crate::token::{IssuedToken, Retry, Times, Turn};

/// Answers `/obo` with what `outcome` makes, after the members are read.
fn app<F: Fn() -> Result<Answer, Refusal> + Clone + Send + Sync + 'static>(
    settings: &Settings,
    clock: &Clock,
    metrics: &Metrics,
    outcome: F,
) -> impl App + use<F> {
    let frame = Arc::new(Frame::new(settings, clock.clone(), metrics, Sampler::new(None)));
    let inner = Arc::clone(&frame);
    let route = move |mut request: Request| async move {
        let asked = inner.asked(&mut request);
        let slow = request.headers().contains_key("x-slow");
        let obo = ROUTES.iter().find(|route| route.path.template == "/obo").unwrap();
        let answered = async {
            inner.open(obo, &asked, request).await?.given(&inner.doors)?;
            if slow {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            outcome().map(FlowReply::Token).map_err(|refusal| RequestError::Refused(Arc::new(refusal)))
        };
        let answered = answered.await;
        inner.respond(&asked, answered)
    };
    framed(Router::new().route("/obo", post(route)), settings, frame)
}

fn plain(settings: &Settings) -> impl App + use<> {
    app(settings, &Clock::manual(1000), &Metrics::default(), || Ok(answer()))
}

fn refusing(refusal: Refusal, clock: &Clock) -> impl App + use<> {
    app(&Settings::default(), clock, &Metrics::default(), move || Err(refusal.clone()))
}

fn answer() -> Answer {
    let grant = IssuedToken {
        access_token: Secret::new("canary-token"),
        token_type: "Bearer".to_owned(),
        scope: "a".to_owned(),
        times: Times { received_on: 0, expires_on: Some(4600), ext_expires_on: None, refresh_on: None },
        tenant_id: None,
        account: None,
        id_token: None,
        issued_token_type: None,
    };
    Answer { head: grant.write(), source: TokenSource::Memory, reason: RefreshReason::NotApplicable, handle: None, session: None }
}

fn request(body: &str) -> http::request::Builder {
    let peer = Peer::Tcp { address: "127.0.0.1:5000".parse().unwrap(), listener: "127.0.0.1:8650".parse().unwrap(), tls: false };
    let request = Request::builder()
        .method(Method::POST)
        .uri("/obo")
        .header("host", "localhost:8650")
        .extension(crate::listen::Connection::from(peer));
    if body.is_empty() { request } else { request.header("content-type", "application/json") }
}

async fn send(app: &impl App, request: Request) -> (StatusCode, HeaderMap, Value) {
    let response: Response = app.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn ask(app: &impl App, request: http::request::Builder, body: &'static str) -> (StatusCode, HeaderMap, Value) {
    send(app, request.body(Body::from(body)).unwrap()).await
}

fn of<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// What every problem has in common.
fn check(status: StatusCode, headers: &HeaderMap, body: &Value) {
    assert_eq!(body["status"], status.as_u16(), "{body}");
    assert_eq!(of(headers, "content-type"), "application/problem+json");
    assert_eq!(of(headers, "cache-control"), "no-store");
    assert_eq!(body["correlation_id"], of(headers, "x-correlation-id"));
    assert!(body["type"].as_str().is_some_and(|kind| kind.starts_with("urn:tokend:error:")), "{body}");
    assert!(body.as_object().unwrap().values().all(|value| !value.is_null()), "{body}");
}

#[tokio::test]
async fn answers_with_the_token() {
    let id = "6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f";
    let app = plain(&Settings::default());
    let (status, headers, body) = ask(&app, request("{}").header("x-correlation-id", id), r#"{"scopes":"a"}"#).await;
    assert_eq!(
        (status, &body["expires_in"], &body["access_token"]),
        (StatusCode::OK, &Value::from(3600), &Value::from("canary-token"))
    );
    assert_eq!((of(&headers, "x-correlation-id"), &body["correlation_id"]), (id, &Value::from(id)));
    assert_eq!((of(&headers, "cache-control"), of(&headers, "content-type")), ("no-store", "application/json"));
    assert_eq!(of(&headers, "content-length"), body.to_string().len().to_string());
}

#[tokio::test]
async fn every_bad_form_has_its_answer() {
    let app = plain(&Settings { body: 64, hosts: vec!["tokend.internal".to_owned()], ..Settings::default() });
    let long = "x".repeat(70_000);
    let cases = [
        (request("{}").header("origin", "null"), 403, "origin_not_allowed"),
        (request("{}").header("sec-fetch-site", "same-origin"), 403, "origin_not_allowed"),
        (request("{}").header("x-forwarded-for", "1.2.3.4"), 400, "forwarded_header"),
        (request("{}").header("host", "localhost"), 400, "invalid_request"),
        (request("{}").header("x-long", long), 431, "header_too_large"),
        (request("{}").header("x-correlation-id", "7"), 400, "invalid_request"),
        (request("{}").uri("/obo?app=x"), 400, "invalid_request"),
        (request("{}").uri("/nowhere"), 404, "not_found"),
        (request("{}").method(Method::GET), 405, "method_not_allowed"),
        (request("{}").header("content-type", "application/json"), 415, "unsupported_media_type"),
        (request(""), 415, "unsupported_media_type"),
    ];
    for (request, status, error) in cases {
        let (got, headers, body) = ask(&app, request, "{}").await;
        assert_eq!((got.as_u16(), &body["error"]), (status, &Value::from(error)), "{body}");
        check(got, &headers, &body);
        assert_eq!(headers.get("allow").is_some(), status == 405);
    }
    let (status, _, body) =
        ask(&app, request("{}"), r#"{"app":"0123456789012345678901234567890123456789012345678901234567890"}"#).await;
    assert_eq!((status, &body["error"]), (StatusCode::PAYLOAD_TOO_LARGE, &Value::from("payload_too_large")));
    let (status, _, body) = ask(&app, request(""), "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["detail"].as_str().unwrap().contains("a JSON object is expected"), "{body}");
}

#[tokio::test]
async fn hosts_are_judged() {
    let app = plain(&Settings { hosts: vec!["tokend.internal".to_owned()], ..Settings::default() });
    for (host, status) in [("tokend.internal:1", 200), ("evil.example", 403), ("127.0.0.1", 200)] {
        let mut request = request("{}").body(Body::from(r#"{"scopes":"a"}"#)).unwrap();
        request.headers_mut().insert("host", host.parse().unwrap());
        let (got, headers, body) = send(&app, request).await;
        assert_eq!(got.as_u16(), status, "{host}");
        if status == 403 {
            assert_eq!(body["error"], "host_not_allowed");
            check(got, &headers, &body);
        }
    }
}

#[tokio::test]
async fn slow_and_surplus_requests_are_told_so() {
    let settings = Settings { concurrency: 1, request_timeout: Duration::from_millis(300), ..Settings::default() };
    let metrics = Metrics::default();
    let app = app(&settings, &Clock::manual(0), &metrics, || Ok(answer()));
    let slow = ask(&app, request("{}").header("x-slow", "1"), "{}");
    let surplus = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let text = String::from_utf8(metrics.render()).unwrap();
        assert!(text.contains("tokend_http_requests_in_flight 1"), "{text}");
        // Another route's: the limit is one for all.
        ask(&app, request("{}").uri("/nowhere"), "{}").await
    };
    let (slow, surplus) = tokio::join!(slow, surplus);
    assert_eq!((slow.0.as_u16(), &slow.2["error"], &slow.2["retryable"]), (504, &"request_timeout".into(), &true.into()));
    assert_eq!((surplus.0.as_u16(), &surplus.2["error"], of(&surplus.1, "retry-after")), (503, &"overloaded".into(), "1"));
    assert_eq!(ask(&app, request("{}"), "{}").await.0, StatusCode::OK);
    let text = String::from_utf8(metrics.render()).unwrap();
    assert!(text.contains("tokend_http_refusals_total{error=\"overloaded\"} 1"), "{text}");
    assert!(text.contains("tokend_http_requests_in_flight 0"), "{text}");
}

#[tokio::test]
async fn the_turn_is_the_status() {
    let clock = Clock::manual(1000);
    for (turn, status) in [
        (Turn::Caller, 400),
        (Turn::User, 401),
        (Turn::Rights, 403),
        (Turn::Configuration, 404),
        (Turn::Throttled, 429),
        (Turn::Operator, 502),
        (Turn::Unavailable, 503),
        (Turn::OutOfTime, 504),
    ] {
        for kind in RefusalKind::ALL {
            let (got, headers, body) = ask(&refusing(Refusal::new(turn, kind, "why"), &clock), request("{}"), "{}").await;
            assert_eq!((got.as_u16(), &body["error"], &body["detail"]), (status, &kind.as_str().into(), &"why".into()));
            let scope = status == 403 && kind == RefusalKind::InsufficientScope;
            assert_eq!(headers.contains_key("www-authenticate"), status == 401 || scope, "{kind:?}");
            check(got, &headers, &body);
        }
    }
}

#[tokio::test]
async fn retry_after_is_rounded_up() {
    let clock = Clock::manual(1000);
    for (retry, after, retryable) in [
        (Retry::At(clock.moment().after(Duration::from_millis(4001))), "5", true),
        (Retry::At(clock.moment()), "1", true),
        (Retry::Backoff, "", true),
        (Retry::Never, "", false),
    ] {
        let refusal = Refusal::new(Turn::Throttled, RefusalKind::Throttled, "why").retrying(retry);
        let (_, headers, body) = ask(&refusing(refusal, &clock), request("{}"), "{}").await;
        assert_eq!((of(&headers, "retry-after"), &body["retryable"]), (after, &retryable.into()));
    }
}

fn authoritys() -> Refusal {
    let mut refusal = Refusal::new(Turn::User, RefusalKind::Refused, "the user has to sign in again");
    refusal.answer = Some(Box::new(ErrorBody {
        error: "invalid_grant".to_owned(),
        error_description: Some("canary-description of ana@contoso.com".to_owned()),
        suberror: Some("basic_action".to_owned()),
        error_codes: vec![50076],
        classification: Some("basic_action".to_owned()),
        claims: Some(r#"{"access_token":{"x":null}}"#.to_owned()),
        trace_id: Some("0f7c".to_owned()),
        correlation_id: Some("theirs".to_owned()),
    }));
    refusal.authorization_uri = Some("https://login.example/authorize".to_owned());
    refusal
}

#[tokio::test]
async fn passes_on_what_the_authority_said() {
    let (status, headers, body) = ask(&refusing(authoritys(), &Clock::manual(0)), request("{}"), "{}").await;
    check(status, &headers, &body);
    assert_eq!(
        (&body["error"], &body["error_codes"], &body["trace_id"]),
        (&"invalid_grant".into(), &Value::from(vec![50076]), &"0f7c".into())
    );
    assert_eq!(body["claims"], r#"{"access_token":{"x":null}}"#);
    assert_eq!(body["type"], "urn:tokend:error:authority_refused");
    assert!(of(&headers, "www-authenticate").starts_with("Bearer error=\"insufficient_claims\", claims=\"eyJ"));
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_failed_request_is_one_line_without_secrets() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let app = refusing(authoritys(), &Clock::manual(0));
    ask(&app, request("{}").header("authorization", "Bearer canary-bearer"), r#"{"claims":"canary-claims"}"#).await;
    ask(&app, request("{}").uri("/canary-path"), r#"{"canary-member-0123456789":1}"#).await;
    ask(&plain(&Settings::default()), request("{}"), "{}").await;
    drop(guard);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(!text.contains("canary") && !text.contains("contoso"), "{text}");
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let fields = &line["fields"];
    assert_eq!(
        (&fields["error"], &fields["suberror"], &fields["error_codes"]),
        (&"invalid_grant".into(), &"basic_action".into(), &"[50076]".into())
    );
    assert_eq!((&fields["route"], &fields["status"], &fields["authority_trace_id"]), (&"/obo".into(), &401.into(), &"0f7c".into()));
    assert!(text.lines().nth(1).unwrap().contains("\"route\":\"unmatched\""), "{text}");
}

#[tokio::test]
async fn over_a_socket_even_the_heads_that_are_refused_get_a_problem() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listen = crate::listen::Settings {
        addresses: crate::listen::Address::parse("127.0.0.1:0").unwrap(),
        mode: 0o600,
        header: 8192,
        connections: 8,
        keep_alive: Some(Duration::from_secs(1)),
        reserve: 0,
        spares: 0,
        per_address: None,
        heads: 1 << 20,
        header_timeout: Duration::from_millis(500),
        tls: None,
    };
    let (tasks, metrics) = (Tasks::default(), Metrics::default());
    let bound = bind(&listen).await.unwrap();
    let address = bound[0].tcp().unwrap();
    let app = plain(&Settings { header: 8192, ..Settings::default() });
    serve(bound, app, &listen, &tasks, tasks.soft(), &Meters::new(&metrics), "token");
    let host = format!("host: {address}\r\n");
    for (head, status, error) in [
        (host.clone(), 200, ""),
        (String::new(), 400, "invalid_request"),
        ("host: evil.example\r\n".to_owned(), 403, "host_not_allowed"),
        (format!("{host}x-long: {}\r\n", "x".repeat(9000)), 431, "header_too_large"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let text = format!(
            "POST /obo HTTP/1.1\r\n{head}content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("content-length: ") && answer.contains(error), "{answer}");
    }
    assert!(tasks.stop(Duration::from_secs(2)).await);
}
