//! A user of the REST API, and a browser that signs in at the emulator.

use std::time::Duration;

use serde_json::Value;

/// Speaks to the sidecar and to the emulator.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    origin: String,
}

/// What came back.
pub(super) struct DemoAnswer {
    pub(super) status: u16,
    pub(super) body: Value,
}

// === impl Client ===

impl Client {
    pub(super) fn new(ca: &str, base: &str, origin: &str) -> Result<Self, String> {
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).map_err(|error| error.to_string())?;
        let http = reqwest::Client::builder()
            .tls_certs_only([ca])
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { http, base: base.to_owned(), origin: origin.to_owned() })
    }

    /// Asks tokend, with a user's token if there is one.
    pub(super) async fn ask(&self, path: &str, body: &Value, bearer: Option<&str>) -> Result<DemoAnswer, String> {
        self.post(&format!("{}{path}", self.base), body, bearer).await
    }

    /// Asks tokend as a client of OAuth 2.0 does.
    pub(super) async fn form(&self, path: &str, pairs: &[(&str, &str)]) -> Result<DemoAnswer, String> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let request = self.http.post(format!("{}{path}", self.base)).body(body);
        answer(request.header("content-type", "application/x-www-form-urlencoded")).await
    }

    /// Asks tokend as an SDK asks for a managed identity's token.
    pub(super) async fn identity(&self, query: &str, secret: &str) -> Result<DemoAnswer, String> {
        answer(self.http.get(format!("{}/msi/token?{query}", self.base)).header("x-identity-header", secret)).await
    }

    /// Asks tokend with a user's token and nothing else, as proxies and clients of Microsoft's sidecar do.
    pub(super) async fn get(&self, path: &str, bearer: &str) -> Result<DemoAnswer, String> {
        answer(self.http.get(format!("{}{path}", self.base)).bearer_auth(bearer)).await
    }

    /// What the emulator's own interface says to an order; null where it says nothing.
    pub(super) async fn control(&self, path: &str, order: &Value) -> Value {
        let answer = self.post(&format!("{}/_emulator/{path}", self.origin), order, None).await;
        answer.map(|answer| answer.body).unwrap_or_default()
    }

    /// Has the emulator mint a token.
    pub(super) async fn mint(&self, order: &Value) -> Result<String, String> {
        let answer = self.post(&format!("{}/_emulator/token", self.origin), order, None).await?;
        answer.body["token"].as_str().map(str::to_owned).ok_or_else(|| "the emulator minted no token".to_owned())
    }

    /// Follows an authorize URL as a browser that is signed in would, and returns the code.
    pub(super) async fn sign_in(&self, url: &str) -> Result<String, String> {
        let response = send(self.http.get(url)).await?;
        let location = response.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let url = url::Url::parse(location).map_err(|_| format!("no redirect came, but {}", response.status()))?;
        let code = url.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
        code.ok_or_else(|| "the redirect has no code".to_owned())
    }

    async fn post(&self, url: &str, body: &Value, bearer: Option<&str>) -> Result<DemoAnswer, String> {
        let mut request = self.http.post(url).header("content-type", "application/json").body(body.to_string());
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        answer(request).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<DemoAnswer, String> {
    let response = send(request).await?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await.map_err(|error| error.to_string())?;
    Ok(DemoAnswer { status, body: serde_json::from_slice(&bytes).unwrap_or_default() })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo is a user of the sidecar, not a part of it: it goes through no door of its"
)]
async fn send(request: reqwest::RequestBuilder) -> Result<reqwest::Response, String> {
    request.send().await.map_err(|error| error.to_string())
}
