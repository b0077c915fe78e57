//! An issuer that answers as a part needs it: at once, never, or with a text that nearly repeats the request's secret.

use std::time::Duration;

use axum::extract::Form;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

/// A running authority.
pub(crate) struct Authority {
    pub(crate) url: String,
}

/// How long a call hangs that asks for a scope that starts with `slow`: longer than any part lasts.
const SLOW: Duration = Duration::from_secs(60);

impl Authority {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        listener.set_nonblocking(true).expect("a socket");
        let metadata = json!({"issuer": url, "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/keys"),
            "authorization_endpoint": format!("{url}/authorize"), "token_endpoint_auth_methods_supported": ["client_secret_post"]});
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(move || std::future::ready(Json(metadata.clone()))))
            .route("/keys", get(|| std::future::ready(Json(json!({"keys": []})))))
            .route("/token", post(token));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                axum::serve(listener, app).await.expect("a server");
            });
        });
        Self { url }
    }
}

async fn token(Form(form): Form<std::collections::HashMap<String, String>>) -> axum::response::Response {
    let member = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if member("scope").starts_with("slow") {
        tokio::time::sleep(SLOW).await;
    }
    if member("grant_type") == "authorization_code" {
        return (StatusCode::BAD_REQUEST, Json(echo(member("code")))).into_response();
    }
    Json(json!({"access_token": "t".repeat(1600), "token_type": "Bearer", "expires_in": 3600})).into_response()
}

/// 50 kB in each of five texts, which begin like the code everywhere and are it nowhere.
fn echo(code: &str) -> Value {
    let almost = code.get(..code.len().saturating_sub(1)).unwrap_or_default();
    let text: String = almost.chars().cycle().take(50_000).collect();
    json!({"error": "invalid_grant", "error_description": text, "suberror": text, "classification": text, "trace_id": text,
        "correlation_id": text})
}
