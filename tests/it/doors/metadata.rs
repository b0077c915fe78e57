//! The metadata of the token endpoint (RFC 8414), one document per app.

use super::{OPEN, open};
use crate::support::{Client, World};

#[tokio::test]
async fn an_app_has_a_document_where_there_is_a_public_url() {
    let world = World::with(&format!("{OPEN}public_url: https://tokens.example/\n")).await;
    let client = &world.sidecar.client;
    let answer = client.get("/.well-known/oauth-authorization-server/daemon").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.member("issuer"), "https://tokens.example/daemon");
    assert_eq!(answer.member("token_endpoint"), "https://tokens.example/oauth2/token");
    assert_eq!(answer.member("revocation_endpoint"), "https://tokens.example/oauth2/revoke");
    assert_eq!(answer.member("introspection_endpoint"), "https://tokens.example/introspect");
    assert_eq!(answer.json["response_types_supported"], serde_json::json!([]));
    let grants = answer.json["grant_types_supported"].as_array().expect("a list");
    assert!(grants.iter().all(|grant| grant != "authorization_code"), "users sign in elsewhere");
    assert!(answer.json["authorization_endpoint"].is_null());
    let none = client.get("/.well-known/oauth-authorization-server/nobody").await;
    none.oauth_error(404, "invalid_request", "no such");
    let post = client.raw("/.well-known/oauth-authorization-server/daemon");
    Client::send(post).await.oauth_error(405, "invalid_request", "method");
}

#[tokio::test]
async fn without_a_public_url_there_is_none() {
    let world = open().await;
    let answer = world.sidecar.client.get("/.well-known/oauth-authorization-server/daemon").await;
    answer.oauth_error(404, "invalid_request", "public_url");
}
