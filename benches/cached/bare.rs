//! The two servers to compare with: what axum costs when it does nothing but speak.

use axum::Router;
use axum::body::Bytes;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

/// A token as long as real ones: 1.6 kB.
pub(crate) fn token() -> String {
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.".chars().chain("abcdefghij".chars().cycle()).take(1600).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    app: Option<String>,
    scopes: Vec<String>,
}

#[derive(Clone, Serialize)]
struct Answered {
    access_token: String,
    token_type: &'static str,
    scope: String,
    expires_on: i64,
    refresh_on: i64,
    expires_in: i64,
    token_source: &'static str,
    cache_level: &'static str,
    refresh_reason: &'static str,
    correlation_id: &'static str,
}

fn answered() -> Answered {
    Answered {
        access_token: token(),
        token_type: "Bearer",
        scope: "stock.read".to_owned(),
        expires_on: 1_795_303_600,
        refresh_on: 1_795_302_600,
        expires_in: 3599,
        token_source: "cache",
        cache_level: "memory",
        refresh_reason: "not_applicable",
        correlation_id: "8d1c3a52-6d0b-4c8e-9a47-51e2d8b6f0c3",
    }
}

#[derive(Deserialize)]
struct Granted {
    grant_type: String,
    client_id: Option<String>,
    scope: String,
}

#[derive(Deserialize)]
struct ManagedIdentity {
    #[serde(rename = "api-version")]
    api_version: String,
    resource: String,
}

/// What RFC 6749 §5.1 has.
#[derive(Clone, Serialize)]
struct Token {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    scope: String,
}

/// What App Service gives.
#[derive(Clone, Serialize)]
struct IdentityToken {
    access_token: String,
    expires_on: String,
    resource: String,
    token_type: &'static str,
    client_id: &'static str,
}

/// A form in at one route, a query at the next, and JSON out, all by serde; a bearer in at the last, and a header out.
pub(crate) fn of_doors() -> Router {
    let token = Token { access_token: token(), token_type: "Bearer", expires_in: 3599, scope: String::new() };
    let identity = IdentityToken {
        access_token: token.access_token.clone(),
        expires_on: "1795303600".to_owned(),
        resource: String::new(),
        token_type: "Bearer",
        client_id: "shop",
    };
    let by_form = move |axum::Form(asked): axum::Form<Granted>| {
        let mut token = token.clone();
        token.scope = asked.scope;
        let _named = (asked.grant_type, asked.client_id);
        std::future::ready(axum::Json(token))
    };
    let by_query = move |axum::extract::Query(asked): axum::extract::Query<ManagedIdentity>| {
        let mut identity = identity.clone();
        identity.resource = asked.resource;
        let _version = asked.api_version;
        std::future::ready(axum::Json(identity))
    };
    let header = format!("Bearer {}", self::token());
    let by_bearer = move |asked: HeaderMap| {
        let is_bearer = asked.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"Bearer "));
        let status = if is_bearer { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        std::future::ready((status, [(AUTHORIZATION, header.clone())]))
    };
    Router::new().route("/oauth2/token", post(by_form)).route("/msi/token", get(by_query)).route("/auth/stock", get(by_bearer))
}

/// JSON in and out by serde.
pub(crate) fn by_serde() -> Router {
    let answer = answered();
    let answer = move |axum::Json(asked): axum::Json<Asked>| {
        let mut answer = answer.clone();
        answer.scope = asked.scopes.join(" ");
        let _named = asked.app;
        std::future::ready(axum::Json(answer))
    };
    Router::new().route("/client-credentials", post(answer.clone())).route("/obo", post(answer))
}

/// A constant body of the same size; the request's is read and forgotten.
pub(crate) fn constant() -> Router {
    let body = Bytes::from(serde_json::to_vec(&answered()).expect("JSON"));
    let answer = move |_read: Bytes| std::future::ready(([("content-type", "application/json")], body.clone()));
    Router::new().route("/client-credentials", post(answer.clone())).route("/obo", post(answer))
}
