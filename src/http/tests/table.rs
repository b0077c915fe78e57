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
        RouteMethod::Get => Method::GET,
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
            BodyKind::Empty => (bare(method(route), &path), ""),
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
