//! Further flows that sign a user in, or act for one for longer than a token lasts.

use serde_json::json;

use super::client::Client;
use super::steps::{DemoStep, ask};

const ORDERS: &str = "api://orders/access_as_user";
const READ: &str = "https://graph.microsoft.com/User.Read";
const ANA: &str = "ana@contoso.example";

/// Runs them.
pub(super) async fn all(client: &Client) -> Vec<DemoStep> {
    let mut steps = by_what_the_caller_has(client).await;
    steps.extend(on_a_device(client).await);
    steps.extend(for_long(client).await);
    steps.extend(by_assertion(client).await);
    steps
}

/// A password, and a refresh token that another library got.
async fn by_what_the_caller_has(client: &Client) -> Vec<DemoStep> {
    let password = json!({"app": "web", "scopes": [ORDERS], "username": ANA, "password": "ana-password"});
    let typed = ask(client, "name and password", "/username-password", &password, None).await;
    let order = json!({"client": "web", "user": ANA, "scope": format!("openid offline_access {ORDERS}")});
    let foreign = client.control("refresh-token", &order).await["refresh_token"].clone();
    let moved = json!({"app": "web", "scopes": [ORDERS], "refresh_token": foreign});
    let moved = ask(client, "another library's refresh token", "/refresh-token", &moved, None).await;
    vec![typed, moved]
}

/// RFC 8628: the user approves on another device.
async fn on_a_device(client: &Client) -> Vec<DemoStep> {
    let start = json!({"app": "web", "scopes": [ORDERS]});
    let start = ask(client, "device code", "/device-code", &start, None).await;
    client.control("device", &json!({"code": start.body()["user_code"], "user": ANA})).await;
    let poll = json!({"app": "web", "device_code": start.body()["device_code"]});
    let polled = ask(client, "device code, polled after the approval", "/device-code/poll", &poll, None).await;
    let account = polled.body()["account"]["home_account_id"].clone();
    let leave = json!({"app": "web", "post_logout_redirect_uri": "http://localhost:3000/callback", "account": account});
    let left = ask(client, "where the browser signs out", "/sign-out/url", &leave, None).await;
    vec![start, polled, left]
}

/// A session: on behalf of a user for longer than the user's token lasts.
async fn for_long(client: &Client) -> Vec<DemoStep> {
    let order = json!({"app": "orders-api", "user": ANA, "scopes": "access_as_user"});
    let user = client.mint(&order).await.unwrap_or_default();
    let begun = json!({"app": "orders", "scopes": [READ], "session": "new"});
    let begun = ask(client, "on behalf of ana, a session begins", "/obo", &begun, Some(&user)).await;
    let mut goes_on = json!({"app": "orders", "scopes": [READ], "session": begun.body()["session"]});
    let cached = ask(client, "the session without ana's token", "/obo", &goes_on, None).await;
    goes_on["force_refresh"] = true.into();
    let renewed = ask(client, "the session, by its refresh token", "/obo", &goes_on, None).await;
    vec![begun, cached, renewed]
}

/// SAML, in and out.
async fn by_assertion(client: &Client) -> Vec<DemoStep> {
    let order = json!({"version": "2.0", "app": "orders-api", "user": ANA});
    let assertion = client.control("saml", &order).await["assertion"].clone();
    let saml2 = "urn:ietf:params:oauth:token-type:saml2";
    let given = json!({"app": "orders", "scopes": [READ], "assertion": assertion, "subject_token_type": saml2});
    let given = ask(client, "on behalf of ana, by a SAML assertion", "/obo", &given, None).await;
    let user = client.mint(&json!({"app": "orders-api", "user": ANA, "scopes": "access_as_user"})).await.unwrap_or_default();
    let wanted = json!({"app": "orders", "scopes": [READ], "requested_token_type": saml2});
    let wanted = ask(client, "on behalf of ana, for a SAML assertion", "/obo", &wanted, Some(&user)).await;
    vec![given, wanted]
}
