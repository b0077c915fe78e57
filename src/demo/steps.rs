//! The flows that the demo shows, in an order in which each has what it needs.

use serde_json::{Value, json};

use super::client::{Client, DemoAnswer};
use super::configuration::IDENTITY_HEADER;
use crate::clock::Clock;

const GRAPH: &str = "https://graph.microsoft.com/.default";
const REDIRECT: &str = "http://localhost:3000/callback";

/// One line of the table.
pub(super) struct DemoStep {
    pub(super) flow: &'static str,
    pub(super) status: u16,
    pub(super) source: String,
    pub(super) milliseconds: f64,
    pub(super) detail: Option<String>,
    body: Value,
}

// === impl DemoStep ===

impl DemoStep {
    /// Whether it brought what it should.
    pub(super) fn is_good(&self) -> bool {
        self.status == 200
    }

    /// What came back.
    pub(super) fn body(&self) -> &Value {
        &self.body
    }

    fn token(&self) -> &str {
        self.body["access_token"].as_str().unwrap_or_default()
    }
}

/// Runs all flows.
pub(super) async fn all(client: &Client) -> Vec<DemoStep> {
    let app_token = json!({"app": "daemon", "scopes": [GRAPH]});
    let by_certificate = json!({"app": "orders", "scopes": ["api://billing/.default"]});
    let of_issuer = json!({"app": "shop", "scopes": ["stock.read"]});
    let mut steps = vec![
        ask(client, "client credentials, secret", "/client-credentials", &app_token, None).await,
        ask(client, "client credentials, secret, again", "/client-credentials", &app_token, None).await,
        ask(client, "client credentials, certificate", "/client-credentials", &by_certificate, None).await,
        ask(client, "client credentials, OIDC issuer", "/client-credentials", &of_issuer, None).await,
    ];
    steps.extend(signed_in(client).await);
    steps.extend(exchanged(client).await);
    steps.extend(by_other_doors(client).await);
    steps
}

/// What clients that know nothing of tokend ask: OAuth 2.0's token endpoint and introspection, a managed identity's token, a
/// proxy's sub-request, and a header as Microsoft's sidecar gives it.
async fn by_other_doors(client: &Client) -> Vec<DemoStep> {
    let app = [("grant_type", "client_credentials"), ("client_id", "daemon"), ("scope", GRAPH)];
    let app = timed("token endpoint, client credentials", client.form("/oauth2/token", &app)).await;
    let wanted = json!({"app": "web", "scopes": ["api://orders/access_as_user"], "redirect_uri": REDIRECT,
        "prompt": "none", "login_hint": "ana@contoso.example"});
    let start = client.ask("/auth-code/url", &wanted, None).await.map(|answer| answer.body).unwrap_or_default();
    let text = |member: &str| start[member].as_str().unwrap_or_default();
    let code = client.sign_in(text("authorization_url")).await.unwrap_or_default();
    let redemption = [
        ("grant_type", "authorization_code"),
        ("client_id", "web"),
        ("scope", "openid api://orders/access_as_user"),
        ("redirect_uri", REDIRECT),
        ("code", code.as_str()),
        ("code_verifier", text("code_verifier")),
    ];
    let redeemed = timed("token endpoint, code for a handle", client.form("/oauth2/token", &redemption)).await;
    let handle = redeemed.body["refresh_token"].as_str().unwrap_or_default();
    let refresh = [("grant_type", "refresh_token"), ("client_id", "web"), ("refresh_token", handle)];
    let refreshed = timed("token endpoint, refresh by the handle", client.form("/oauth2/token", &refresh)).await;
    let token = [("client_id", "orders"), ("token", redeemed.token())];
    let introspected = timed("introspection of ana's token", client.form("/introspect", &token)).await;
    let query = "api-version=2019-08-01&resource=https://graph.microsoft.com&object_id=daemon-of-the-demo";
    let identity = timed("managed identity, as in App Service", client.identity(query, IDENTITY_HEADER)).await;
    let proxied = timed("proxy's sub-request, for ana", client.get("/auth/graph/inbox", redeemed.token())).await;
    let header = timed("Microsoft's sidecar's route, for ana", client.get("/AuthorizationHeader/graph", redeemed.token())).await;
    vec![app, redeemed, refreshed, introspected, identity, proxied, header]
}

/// An authorization code, the account's tokens after that, and the user's token exchanged on the user's behalf.
async fn signed_in(client: &Client) -> Vec<DemoStep> {
    let wanted = json!({"app": "web", "scopes": ["api://orders/access_as_user"], "redirect_uri": REDIRECT,
        "prompt": "none", "login_hint": "ana@contoso.example"});
    let start = ask(client, "authorization code, URL with PKCE", "/auth-code/url", &wanted, None).await;
    let code = client.sign_in(start.body["authorization_url"].as_str().unwrap_or_default()).await.unwrap_or_default();
    let redemption = json!({"app": "web", "scopes": ["api://orders/access_as_user"], "redirect_uri": REDIRECT, "code": code,
        "code_verifier": start.body["code_verifier"], "nonce": start.body["nonce"]});
    let redeemed = ask(client, "authorization code, redeemed", "/auth-code", &redemption, None).await;
    let mut wanted = json!({"app": "web", "scopes": ["api://orders/access_as_user"],
        "account": redeemed.body["account"]["home_account_id"]});
    let silent = ask(client, "silent, for ana", "/silent", &wanted, None).await;
    wanted["force_refresh"] = true.into();
    let renewed = ask(client, "silent, by the refresh token", "/silent", &wanted, None).await;
    let behalf = json!({"app": "orders", "scopes": ["https://graph.microsoft.com/User.Read"]});
    let first = ask(client, "on behalf of ana", "/obo", &behalf, Some(redeemed.token())).await;
    let again = ask(client, "on behalf of ana, again", "/obo", &behalf, Some(redeemed.token())).await;
    vec![start, redeemed, silent, renewed, first, again]
}

/// RFC 8693 at an OIDC issuer.
async fn exchanged(client: &Client) -> Vec<DemoStep> {
    let order = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
    let user = client.mint(&order).await.unwrap_or_default();
    let wanted = json!({"app": "shop", "scopes": ["stock.read"], "audience": "https://stock.shop.example"});
    vec![ask(client, "token exchange for eva, OIDC issuer", "/obo", &wanted, Some(&user)).await]
}

pub(super) async fn ask(client: &Client, flow: &'static str, path: &str, body: &Value, bearer: Option<&str>) -> DemoStep {
    timed(flow, client.ask(path, body, bearer)).await
}

async fn timed(flow: &'static str, asking: impl Future<Output = Result<DemoAnswer, String>>) -> DemoStep {
    let clock = Clock::system();
    let answer = asking.await;
    let milliseconds = clock.precise().as_secs_f64() * 1000.0;
    match answer {
        Err(error) => DemoStep { flow, status: 0, source: "-".to_owned(), milliseconds, detail: Some(error), body: Value::Null },
        Ok(answer) => {
            let text = |name: &str| answer.body[name].as_str().map(str::to_owned);
            let source = text("token_source").unwrap_or_else(|| "-".to_owned());
            let detail = text("detail").map(|detail| format!("{detail} {}", text("error_description").unwrap_or_default()));
            DemoStep { flow, status: answer.status, source, milliseconds, detail, body: answer.body }
        }
    }
}
