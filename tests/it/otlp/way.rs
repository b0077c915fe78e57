//! What hangs below what: the request below its caller, the flow below the request, Redis and the authority below the flow.

use std::time::Duration;

use futures_util::future::join_all;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Value, json};

use super::{PARENT, SAMPLED, Stage, TRACE, UNSAMPLED, shared};
use crate::support::redis::RedisServer;
use crate::support::{Collector, attribute, eventually, hex};

/// The `traceparent` that names a span.
fn traceparent(span: &Span) -> String {
    format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))
}

fn header<'a>(request: &'a Value, name: &str) -> &'a str {
    request["headers"][name].as_str().unwrap_or_default()
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miss_shows_its_whole_way_and_a_hit_one_span() {
    let redis = RedisServer::start().await;
    let mut stage = Stage::on(&redis).await;
    let headers = [("traceparent", SAMPLED), ("tracestate", "vendor=opaque,other=1")];
    assert_eq!(stage.graph(&headers).await.source(), "identity_provider");
    assert_eq!(stage.graph(&headers).await.source(), "cache");
    let asked = stage.emulator.asked("token").await;
    let spans = stage.spans().await;
    let [miss, hit] = spans.named("POST /client-credentials")[..] else { panic!("{}", spans.tree()) };
    for request in [miss, hit] {
        assert_eq!((hex(&request.trace_id), hex(&request.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
        assert_eq!((request.kind, request.trace_state.as_str()), (SpanKind::Server as i32, "vendor=opaque,other=1"));
        assert_eq!(attribute(request, "http.response.status_code"), "200");
        assert_eq!(
            (attribute(request, "tokend.app"), attribute(request, "http.route")),
            ("daemon".into(), "/client-credentials".into())
        );
    }
    assert_eq!(spans.names_below(hit), Vec::<&str>::new(), "{}", spans.tree());
    assert_eq!((attribute(hit, "tokend.token_source"), attribute(hit, "tokend.cache_level")), ("cache".into(), "memory".into()));
    let [flow] = spans.below(miss)[..] else { panic!("{}", spans.tree()) };
    assert_eq!((flow.name.as_str(), flow.kind), ("client_credentials", SpanKind::Internal as i32));
    assert_eq!(attribute(flow, "tokend.token_source"), "identity_provider");
    let below = spans.names_below(flow);
    let at = |name: &str| below.iter().position(|other| *other == name).unwrap_or_else(|| panic!("{name}: {}", spans.tree()));
    assert!(at("redis read") < at("redis claim") && at("redis claim") < at("client_credentials"), "{below:?}");
    assert!(at("client_credentials") < at("redis put"), "{below:?}");
    let read = spans.below(flow)[at("redis read")];
    assert_eq!((read.kind, attribute(read, "db.system.name")), (SpanKind::Client as i32, "redis".into()));
    let call = spans.below(flow)[at("client_credentials")];
    assert_eq!((call.kind, attribute(call, "tokend.grant")), (SpanKind::Client as i32, "client_credentials".into()));
    assert_eq!(attribute(call, "http.response.status_code"), "200");
    assert_eq!(asked.len(), 1);
    assert_eq!((header(&asked[0], "traceparent"), header(&asked[0], "tracestate")), (&*traceparent(call), "vendor=opaque,other=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_an_inbound_token_hang_below_the_request() {
    let mut stage = Stage::new("").await;
    let ana = stage.emulator.user_token("ana@contoso.example").await;
    stage.obo(&ana, &[("traceparent", SAMPLED)]).await.token();
    let asked = [stage.emulator.asked("keys").await, stage.emulator.asked("token").await];
    let spans = stage.spans().await;
    let request = spans.one("POST /obo");
    assert_eq!(spans.names_below(request), ["discovery", "keys", "on_behalf_of"], "{}", spans.tree());
    for (name, asked) in ["keys", "jwt-bearer"].into_iter().zip(&asked) {
        assert_eq!(header(&asked[0], "traceparent"), traceparent(spans.one(name)), "{name}");
    }
    assert_eq!(spans.names_below(spans.one("on_behalf_of")), ["jwt-bearer"], "{}", spans.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_another_request_is_told_so() {
    let mut stage = Stage::new("").await;
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true}})).await;
    let others = async {
        stage.emulator.asked_times("token", 1).await;
        let release = async {
            // From this look to the wait nothing comes between.
            let looked = "tokend_cache_lookups_total{level=\"memory\",outcome=\"miss\"}";
            eventually(Duration::from_secs(10), async || stage.fleet.metric(0, looked).await >= 5.0).await;
            stage.emulator.release().await;
        };
        let headers = [("traceparent", SAMPLED)];
        tokio::join!(join_all((0..4).map(|_| stage.graph(&headers))), release).0
    };
    let leader = "00-11111111111111111111111111111111-2222222222222222-01";
    let leading = [("traceparent", leader)];
    let (first, others) = tokio::join!(stage.graph(&leading), others);
    assert!(others.iter().all(|answer| answer.token() == first.token()));
    assert_eq!(stage.fleet.metric(0, "tokend_cache_flights_total{role=\"joined\"}").await, 4.0);
    assert_eq!(stage.fleet.metric(0, "tokend_cache_flights_total{role=\"led\"}").await, 1.0);
    let spans = stage.spans().await;
    let call =
        spans.named("client_credentials").into_iter().filter(|span| span.kind == SpanKind::Client as i32).collect::<Vec<_>>();
    assert_eq!(call.len(), 1, "{}", spans.tree());
    assert_eq!(hex(&call[0].trace_id), "1".repeat(32), "below the request that led");
    for request in spans.named("POST /client-credentials") {
        let waited = hex(&request.trace_id) == TRACE;
        assert_eq!(attribute(request, "tokend.flight"), if waited { "joined" } else { "" }, "{}", spans.tree());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_says_what_kind_of_failure_it_was() {
    let mut stage = Stage::new("").await;
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 2, "do": {"raw": {"status": 503, "body": "no"}}})).await;
    stage.graph(&[("traceparent", SAMPLED)]).await.refused(503, "authority_unavailable", "");
    let ana = stage.emulator.user_token("ana@contoso.example").await;
    let refusal = json!({"error": "invalid_grant", "suberror": "bad_token", "error_codes": [50173], "error_description": "no"});
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"error": refusal}})).await;
    stage.obo(&ana, &[("traceparent", SAMPLED)]).await.refused(401, "invalid_grant", "");
    let asked = stage.emulator.asked("token").await;
    let spans = stage.spans().await;
    let calls =
        spans.named("client_credentials").into_iter().filter(|span| span.kind == SpanKind::Client as i32).collect::<Vec<_>>();
    let [first, second] = calls[..] else { panic!("{}", spans.tree()) };
    for (call, resent, asked) in [(first, "", &asked[0]), (second, "1", &asked[1])] {
        assert_eq!(attribute(call, "http.request.resend_count"), resent);
        assert_eq!((attribute(call, "http.response.status_code"), attribute(call, "error.type")), ("503".into(), "none".into()));
        assert_eq!(header(asked, "traceparent"), traceparent(call));
        assert!(is_error(call));
    }
    let refused = spans.one("jwt-bearer");
    let said = ["error.type", "tokend.suberror", "tokend.error_codes"].map(|name| attribute(refused, name));
    assert_eq!(said, ["invalid_grant", "bad_token", "[50173]"]);
    assert!(uuid::Uuid::try_parse(&attribute(refused, "tokend.authority_trace_id")).is_ok(), "{}", spans.tree());
    let (unavailable, user) = (spans.one("POST /client-credentials"), spans.one("POST /obo"));
    assert_eq!((attribute(unavailable, "error.type"), is_error(unavailable)), ("authority_unavailable".into(), true));
    assert_eq!((attribute(user, "error.type"), is_error(user)), ("authority_refused".into(), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_in_redis_shows_the_look_alone() {
    let redis = RedisServer::start().await;
    let mut stage = Stage::of(2, Collector::start().await, |collector| format!("{}{}", collector.yaml("0"), shared(&redis))).await;
    let ask = async |replica: usize, scope: &str, parent: &str| {
        let body = json!({"app": "daemon", "scopes": [scope]});
        let request = stage.fleet.client(replica).request("/client-credentials", &body).header("traceparent", parent);
        crate::support::Client::send(request).await
    };
    let scopes = ["api://orders/.default", crate::support::GRAPH];
    for scope in scopes {
        ask(0, scope, UNSAMPLED).await.token();
    }
    // The first token of another process shows that their clocks agree, which is one more read.
    for (scope, parent) in [(scopes[0], UNSAMPLED), (scopes[1], SAMPLED)] {
        assert_eq!(ask(1, scope, parent).await.member("cache_level"), "redis");
    }
    let spans = stage.spans().await;
    let request = spans.one("POST /client-credentials");
    let flow = spans.below(request)[0];
    assert_eq!((spans.names_below(flow), attribute(flow, "tokend.cache_level")), (vec!["redis read"], "redis".into()));
    assert_eq!(attribute(request, "tokend.cache_level"), "redis");
}
