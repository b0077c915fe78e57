//! The table of routes, the router and the API document are one.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;

use super::super::dialect::Dialect;
use super::super::openapi;
use super::super::routes::{BodyKind, ROUTES, Route, RouteMethod};
use super::accounts::{bare, plain};
use super::{ask, check, of, request};

fn method(route: &Route) -> Method {
    match route.method {
        RouteMethod::Get | RouteMethod::Any => Method::GET,
        RouteMethod::Post => Method::POST,
        RouteMethod::Delete => Method::DELETE,
    }
}

#[tokio::test]
async fn every_row_is_routed_and_reaches_the_service() {
    let app = plain();
    for route in &ROUTES {
        let path = route.path.template.replace(['{', '}'], "");
        let (request, body) = match route.body {
            BodyKind::Json(..) => (request("{}").method(method(route)).uri(&path), "{}"),
            BodyKind::Form(..) => {
                let form = request("").uri(&path).header("content-type", "application/x-www-form-urlencoded");
                (form, "grant_type=client_credentials&scope=a&token=a")
            }
            BodyKind::Empty | BodyKind::Sidecar | BodyKind::Unread => (bare(method(route), &path), ""),
            BodyKind::Query => {
                let version = if path.starts_with("/metadata") { "2018-02-01" } else { "2019-08-01" };
                let request = bare(method(route), &format!("{path}?api-version={version}&resource=a"));
                (request.header("x-identity-header", "x").header("metadata", "true"), "")
            }
        };
        let (status, headers, body) = ask(&app, request, body).await;
        let text = body.to_string();
        match (route.path.dialect, route.operation.id) {
            // The code says which app is meant.
            (Dialect::Problem, "device_code_poll") => {
                assert!(status.as_u16() == 400 && text.contains("`device_code` is missing"), "{path}: {text}");
            }
            (Dialect::Problem, _) => {
                assert_eq!((status.as_u16(), &body["error"]), (404, &"unknown_app".into()), "{path}: {body}");
                check(status, &headers, &body);
            }
            (Dialect::OAuth, "oauth2_revoke") => assert_eq!(status.as_u16(), 200, "{path}: it is no handle"),
            (Dialect::OAuth, "oauth2_metadata") => assert!(status.as_u16() == 404 && text.contains("public_url"), "{path}: {text}"),
            (Dialect::OAuth, _) => {
                assert_eq!((status.as_u16(), &body["error"]), (400, &"unauthorized_client".into()), "{path}: {text}")
            }
            (Dialect::AppService, _) => assert_eq!((status.as_u16(), &body["statusCode"]), (401, &401.into()), "{path}: {text}"),
            (Dialect::AuthRequest, _) => {
                assert_eq!((status.as_u16(), &body["error"]), (503, &"unknown_api".into()), "{path}: {text}");
                assert_eq!(body.as_object().unwrap().len(), 2, "{text}");
            }
            (Dialect::MsSidecar, "ms_healthz") => assert_eq!(status.as_u16(), 200, "{path}"),
            (Dialect::MsSidecar, "ms_validate") => {
                assert_eq!((status.as_u16(), &body["error"]), (404, &"unknown_app".into()), "{path}: {text}");
            }
            (Dialect::MsSidecar, _) => {
                assert_eq!((status.as_u16(), &body["error"]), (400, &"unknown_api".into()), "{path}: {text}");
                assert_eq!(body["title"], body["detail"], "it is all that such clients show");
            }
            (Dialect::Imds, _) => assert!(status.as_u16() == 400 && text.contains("msi.imds"), "{path}: {text}"),
        }
    }
}

#[tokio::test]
async fn a_path_takes_the_methods_of_its_rows_and_no_other() {
    let app = plain();
    for route in &ROUTES {
        let path = route.path.template.replace(['{', '}'], "");
        let rows = ROUTES.iter().filter(|row| row.path.template == route.path.template);
        let mut methods: BTreeSet<String> = rows.map(|row| method(row).to_string()).collect();
        if methods.contains("GET") {
            methods.insert("HEAD".to_owned());
        }
        for other in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            let (status, headers, _) = ask(&app, bare(other.clone(), &path), "").await;
            if matches!(route.path.dialect, Dialect::AppService | Dialect::Imds) {
                // Such clients repeat a 405.
                assert!(status.is_client_error() && status.as_u16() != 405, "{other} {path}");
                continue;
            }
            if route.method == RouteMethod::Any {
                assert_eq!(status.as_u16(), 503, "{other} {path}: there is no such api");
                continue;
            }
            assert_eq!(status.as_u16() == 405, !methods.contains(other.as_str()), "{other} {path}");
            if status.as_u16() == 405 {
                let allowed: BTreeSet<String> = of(&headers, "allow").split(',').map(|name| name.trim().to_owned()).collect();
                assert_eq!(allowed, methods, "{other} {path}");
            }
        }
    }
}

#[test]
fn the_document_has_the_rows_and_no_more() {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            documented.insert((path.clone(), method.to_uppercase(), operation["operationId"].as_str().unwrap().to_owned()));
        }
    }
    let rows =
        ROUTES.iter().map(|route| (route.path.template.to_owned(), method(route).to_string(), route.operation.id.to_owned()));
    assert_eq!(documented, rows.collect());
    for route in &ROUTES {
        let (BodyKind::Json(schema, _) | BodyKind::Form(schema, _)) = route.body else { continue };
        let properties = document["components"]["schemas"][schema]["properties"].as_object().unwrap();
        let members: BTreeSet<_> = route.takes.iter().map(|member| member.name().to_owned()).collect();
        assert_eq!(properties.keys().cloned().collect::<BTreeSet<_>>(), members, "{schema}");
    }
    assert!(document["paths"]["unmatched"] == Value::Null);
}

#[tokio::test]
async fn no_other_route_than_a_proxys_and_the_health_of_the_sidecar_takes_what_comes_from_elsewhere() {
    let app = plain();
    let mut exempt = Vec::new();
    for route in &ROUTES {
        let path = route.path.template.replace(['{', '}'], "");
        let marks = [("host", "evil.example"), ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
        let marks =
            marks.into_iter().chain([("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1"), ("x-real-ip", "192.0.2.1")]);
        for (name, value) in marks {
            let mut asked = bare(method(route), &path);
            asked.headers_mut().unwrap().insert(name, value.parse().unwrap());
            let (status, _, body) = ask(&app, asked, "").await;
            let text = body.to_string();
            if route.path.judged {
                let refused = ["origin_not_allowed", "host_not_allowed", "forwarded_header"].iter().any(|kind| text.contains(kind));
                let says = ["web page", "Host", "Forwarded"].iter().any(|word| text.contains(word));
                assert!(status.is_client_error() && (refused || says), "{path} {name}: {status} {text}");
            } else {
                assert!(status.as_u16() == 503 || status.as_u16() == 200, "{path} {name}: {status} {text}");
                exempt.push(route.path.template);
            }
        }
    }
    exempt.dedup();
    assert_eq!(exempt, ["/auth/{api}", "/healthz"]);
}

#[tokio::test]
async fn paths_below_a_proxys_and_paths_in_another_case_are_those_of_their_row() {
    let app = plain();
    for (path, status, error) in [
        ("/auth/graph", 503, "unknown_api"),
        ("/auth/graph/", 503, "unknown_api"),
        ("/auth/graph//", 503, "unknown_api"),
        ("/auth/graph/a/b?c=d&e", 503, "unknown_api"),
        ("/auth/graph/%ff/../..", 503, "unknown_api"),
        ("/auth/graph/oauth2/token", 503, "unknown_api"),
        ("/auth/%67raph", 503, "unknown_api"),
        ("/auth", 404, "not_found"),
        ("/auth/", 404, "not_found"),
        ("/auth//graph", 503, "unknown_api"),
        ("/auth//", 503, "unknown_api"),
        ("/Auth/graph", 404, "not_found"),
        ("/authorizationheader/graph", 400, "unknown_api"),
        ("/AUTHORIZATIONHEADER/Graph?AgentIdentity=x", 400, "invalid_request"),
        ("/authorizationheaderunauthenticated/graph", 400, "unknown_api"),
        ("/AuthorizationHeader/", 404, "not_found"),
        ("/AuthorizationHeader/a/b", 404, "not_found"),
        ("/vALIDATE", 404, "unknown_app"),
        ("/validate/", 404, "not_found"),
    ] {
        let (got, _, body) = ask(&app, bare(Method::GET, path), "").await;
        assert_eq!((got.as_u16(), &body["error"]), (status, &error.into()), "{path}: {body}");
    }
    let (status, headers, _) = ask(&app, bare(Method::GET, "/HealthZ"), "").await;
    assert_eq!((status.as_u16(), of(&headers, "content-type")), (200, "text/plain"));
}

#[tokio::test]
async fn a_body_that_is_left_unread_ends_its_connection() {
    let app = plain();
    for (path, closes) in [("/auth/graph", true), ("/healthz", true)] {
        for body in ["", "x"] {
            let (_, headers, _) = ask(&app, bare(Method::GET, path), body).await;
            assert_eq!(of(&headers, "connection"), if closes && !body.is_empty() { "close" } else { "" }, "{path} {body}");
        }
        let second = bare(Method::GET, path).version(http::Version::HTTP_2);
        assert_eq!(of(&ask(&app, second, "x").await.1, "connection"), "", "{path}: HTTP/2 has streams");
    }
    assert_eq!(of(&ask(&app, bare(Method::GET, "/accounts"), "x").await.1, "connection"), "");
}

#[tokio::test]
async fn an_id_that_a_proxys_client_sends_refuses_nothing() {
    let app = plain();
    let (status, headers, _) = ask(&app, bare(Method::GET, "/auth/graph").header("x-correlation-id", "no id"), "").await;
    assert!(status.as_u16() == 503 && uuid::Uuid::try_parse(of(&headers, "x-correlation-id")).is_ok(), "{status}");
    let id = "6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f";
    let query = format!("/AuthorizationHeader/g?optionsoverride.acquiretokenoptions.correlationid={id}");
    let (_, headers, body) = ask(&app, bare(Method::GET, &query), "").await;
    assert_eq!((of(&headers, "x-correlation-id"), &body["correlation_id"]), (id, &id.into()));
}
