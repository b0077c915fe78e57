//! A real Keycloak for the tests: a full-size OpenID Connect server that was not written with tokend in mind.
//!
//! ```ignore
//! let keycloak = Keycloak::start(&files).await;
//! let redirect = keycloak.sign_in(&authorization_url, USER.0, USER.1).await;
//! ```
//!
//! `start` runs `bin/kc.sh start-dev` (put there by `tests/setup/peers`) on a free loopback port with a database in memory,
//! waits until it answers and makes one realm (about 13 s; 25 s the very first time):
//!
//! | client | authenticates by | may |
//! |---|---|---|
//! | [`DAEMON`] | secret, with characters that need encoding | client credentials |
//! | [`CERTIFIED`] | `private_key_jwt`, the key of the given certificate | client credentials; token exchange; authorization code |
//! | [`WEB`] | secret | authorization code with PKCE (S256 required) to [`REDIRECT_URI`]; rotating refresh tokens |
//! | [`ORDERS`] | secret | token exchange, also for a refresh token: it is the API that web's users call |
//! | [`STOCK`] | secret | nothing: the API behind, which the exchanged token is for |
//! | [`DESK`] | secret | password; device flow; rotating refresh tokens; its tokens are for [`ORDERS`] |
//! | [`TERMINAL`] | nothing | password; device flow; rotating refresh tokens |
//! | [`STRANGER`] | secret | token exchange, but is in nobody's `aud` |
//! | [`BY_CERTIFICATE`] | `tls_client_auth`, at the address for TLS | client credentials |
//! | [`BOUND`] | as before | client credentials, whose tokens are bound to the certificate |
//! | [`BY_ES256`], [`BY_ED25519`] | `private_key_jwt`, ES256 or EdDSA alone | client credentials |
//!
//! A user's access token for [`WEB`] has `aud: ["daemon-certificate", "orders-api"]`, an exchanged one `aud: "stock-api"`.
//!
//! What Keycloak 26.4 was seen to do, which tests may rely on:
//! - discovery announces `private_key_jwt`, `client_secret_basic`, `client_secret_post`, `tls_client_auth` and
//!   `client_secret_jwt`, whatever the client is registered with
//! - an assertion's `aud` is the issuer or the token endpoint, as one string (an array of two is refused); `jti` is required,
//!   a repeated one is 400 `invalid_client` "Token reuse detected"; RS256 and PS256 both pass; for a client that is
//!   registered by its certificate, a `kid` that Keycloak does not know is refused, and none is fine
//! - a wrong secret is 401 `unauthorized_client`; a secret in the `Authorization` header must be form-encoded first
//! - token exchange takes `subject_token_type` access_token only; `requested_token_type` may be absent or access_token,
//!   `jwt` is refused; `resource` is ignored; an unknown `audience` is 400 `invalid_client` "Audience not found"; a client
//!   that is not in the token's `aud` is 403 `access_denied`; the answer has `issued_token_type`, no refresh token, and an
//!   id token only for `scope=openid`
//! - `logout` with an `id_token_hint` ends the session and goes back at once, whatever browser comes; a
//!   `post_logout_redirect_uri` that is not registered is an error page
//! - a client that has to use PKCE has to use it at the start of a device too, where no standard has it
//! - a used refresh token is 400 `invalid_grant`, and its successor is dead too; within the second of its issue that is not noticed

mod browser;
mod process;
mod realm;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method};
use serde_json::Value;

use self::browser::{Browser, Page, consent_action, form_action};
use self::realm::realm;
use crate::group::Group;

/// A client id and its secret, or a user and her password.
pub(crate) type Login = (&'static str, &'static str);

/// A daemon with a secret; the secret shows whether Basic credentials are encoded as RFC 6749 §2.3.1 says.
pub(crate) const DAEMON: Login = ("daemon-secret", "daemon s3cr/t+%:é");
/// The client id that is known by the certificate given to [`Keycloak::start`].
pub(crate) const CERTIFIED: &str = "daemon-certificate";
/// The client id that is known by the certificate of its connection.
pub(crate) const BY_CERTIFICATE: &str = "daemon-tls";
/// As before, and its tokens are bound to that certificate.
pub(crate) const BOUND: &str = "daemon-bound";
/// The client ids that are known by a key on a curve.
pub(crate) const BY_ES256: &str = "daemon-es256";
/// As before, Ed25519.
pub(crate) const BY_ED25519: &str = "daemon-ed25519";
/// The web app that users sign in to.
pub(crate) const WEB: Login = ("web", "web-secret");
/// The API that the web app calls, and that exchanges the user's token.
pub(crate) const ORDERS: Login = ("orders-api", "orders-secret");
/// The API behind [`ORDERS`]: an exchanged token's audience.
pub(crate) const STOCK: Login = ("stock-api", "stock-secret");
/// A client that may exchange tokens, but that no user's token is meant for.
pub(crate) const STRANGER: Login = ("stranger-api", "stranger-secret");
/// A program that has a secret, and users without a browser.
pub(crate) const DESK: Login = ("desk", "desk-secret");
/// A public client: a program that has no credential.
pub(crate) const TERMINAL: &str = "terminal";
/// A user and her password.
pub(crate) const USER: Login = ("ana", "ana-password");
/// Another one.
pub(crate) const OTHER_USER: Login = ("bea", "bea-password");
/// Where codes are sent. Nothing listens there: [`Keycloak::sign_in`] returns the address and does not follow it.
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:9/callback";

const REALM: &str = "tokend";
const ADMIN: Login = ("admin", "only-for-tests");

/// Long enough for two busy cores and a first start, when Keycloak rebuilds itself.
const START: Duration = Duration::from_secs(180);

/// What Keycloak is told of the keys of its clients, and what it serves TLS with.
pub(crate) struct KeycloakFiles {
    /// PEM: its first certificate is the one that [`CERTIFIED`] signs by.
    pub(crate) certificate: String,
    /// The subject of the certificate that [`BY_CERTIFICATE`] shows.
    pub(crate) subject: String,
    /// The CA of that, a PEM file.
    pub(crate) client_ca: PathBuf,
    /// The public key of [`BY_ES256`], as a JWK.
    pub(crate) es256: Value,
    /// The public key of [`BY_ED25519`], as a JWK.
    pub(crate) ed25519: Value,
    /// The server's certificate and its key, PEM files.
    pub(crate) server: (PathBuf, PathBuf),
}

/// A running Keycloak; ends with its processes when dropped, or when the test process dies in any other way.
pub(crate) struct Keycloak {
    /// `http://127.0.0.1:PORT/realms/tokend`
    pub(crate) issuer: String,
    /// `{issuer}/protocol/openid-connect/token`
    pub(crate) token_endpoint: String,
    /// The realm over TLS: `https://127.0.0.1:PORT/realms/tokend`
    pub(crate) tls_issuer: String,
    base: String,
    http: Client,
    process: Group,
}

// === impl Keycloak ===

impl Keycloak {
    /// Starts Keycloak and makes the realm.
    pub(crate) async fn start(files: &KeycloakFiles) -> Self {
        let (port, tls_port) = (free_port(), free_port());
        let base = format!("http://127.0.0.1:{port}");
        let issuer = format!("{base}/realms/{REALM}");
        let http = must("an HTTP client", Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build());
        let keycloak = Self {
            token_endpoint: format!("{issuer}/protocol/openid-connect/token"),
            issuer,
            tls_issuer: format!("https://127.0.0.1:{tls_port}/realms/{REALM}"),
            base,
            http,
            process: process::spawn((port, tls_port), files, ADMIN),
        };
        if tokio::time::timeout(START, keycloak.ready()).await.is_err() {
            panic!("Keycloak is not ready after {START:?}\n{}", keycloak.process.last_words());
        }
        let (status, answer) = keycloak.admin(Method::POST, "/admin/realms", Some(&realm(files))).await;
        assert_eq!(status, 201, "the realm was refused: {answer}");
        keycloak
    }

    /// Signs a user in through the login page behind `authorization_url` and returns the redirect with the code (or with the
    /// error). Every call is a new browser.
    pub(crate) async fn sign_in(&self, authorization_url: &str, username: &str, password: &str) -> String {
        let mut browser = Browser::new(&self.http, &self.base);
        let page = match browser.open(authorization_url, None).await {
            Page::Elsewhere(redirect) => return redirect,
            Page::Html(page) => page,
        };
        let action =
            form_action(&page, "kc-form-login").unwrap_or_else(|| panic!("no login form behind {authorization_url}: {page}"));
        let form = encode(&[("username", username), ("password", password)]);
        match browser.open(&action, Some(form)).await {
            Page::Elsewhere(redirect) => redirect,
            Page::Html(page) => panic!("{username} was not signed in: {page}"),
        }
    }

    /// Opens an address in a browser that has nothing of this realm, and returns where it was sent.
    pub(crate) async fn sent(&self, url: &str) -> String {
        match Browser::new(&self.http, &self.base).open(url, None).await {
            Page::Elsewhere(redirect) => redirect,
            Page::Html(page) => panic!("it was sent nowhere: {page}"),
        }
    }

    /// Signs a user in at a device's address, and lets the device in.
    pub(crate) async fn approve(&self, verification_uri: &str, username: &str, password: &str) {
        self.decide(verification_uri, (username, password), "accept").await;
    }

    /// Signs a user in at a device's address, and does not let the device in.
    pub(crate) async fn deny(&self, verification_uri: &str, username: &str, password: &str) {
        self.decide(verification_uri, (username, password), "cancel").await;
    }

    async fn decide(&self, verification_uri: &str, (username, password): (&str, &str), answer: &str) {
        let mut browser = Browser::new(&self.http, &self.base);
        let html = |page: Page| match page {
            Page::Html(page) => page,
            Page::Elsewhere(redirect) => panic!("sent away, to {redirect}"),
        };
        let page = html(browser.open(verification_uri, None).await);
        let action = form_action(&page, "kc-form-login").unwrap_or_else(|| panic!("no login form: {page}"));
        let page = html(browser.open(&action, Some(encode(&[("username", username), ("password", password)]))).await);
        let action = consent_action(&page).unwrap_or_else(|| panic!("no form to consent by: {page}"));
        // Of all its addresses this one alone is relative.
        let action = format!("{}{action}", if action.starts_with('/') { self.base.as_str() } else { "" });
        let page = html(browser.open(&action, Some(encode(&[(answer, "x")]))).await);
        assert!(!page.contains("kc-form-login"), "{page}");
    }

    /// Asks the token endpoint without tokend in between: status and JSON body.
    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> (u16, Value) {
        self.post_form(&self.token_endpoint, form).await
    }

    /// Calls the admin API, for what a test wants otherwise (`/admin/realms/tokend/…`): status and JSON body, or null.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let endpoint = format!("{}/realms/master/protocol/openid-connect/token", self.base);
        // A token of its own for every call: an administrator's lives for a minute.
        let (_, token) = self
            .post_form(
                &endpoint,
                &[("grant_type", "password"), ("client_id", "admin-cli"), ("username", ADMIN.0), ("password", ADMIN.1)],
            )
            .await;
        let token = token["access_token"].as_str().unwrap_or_else(|| panic!("no administrator's token: {token}"));
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).header(AUTHORIZATION, format!("Bearer {token}"));
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        self.answer(request).await
    }

    async fn post_form(&self, url: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(encode(form));
        self.answer(request).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = must("an answer of Keycloak", execute(&self.http, request).await);
        let status = answer.status().as_u16();
        let text = must("a body of Keycloak", answer.text().await);
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn ready(&self) {
        let probe = format!("{}/realms/master/.well-known/openid-configuration", self.base);
        loop {
            if let Ok(answer) = execute(&self.http, self.http.get(&probe)).await
                && answer.status().is_success()
            {
                return;
            }
            self.process.assert_running();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn encode(form: &[(&str, &str)]) -> String {
    must("a form", serde_urlencoded::to_string(form))
}

async fn execute(http: &Client, request: reqwest::RequestBuilder) -> reqwest::Result<reqwest::Response> {
    http.execute(request.build()?).await
}

fn free_port() -> u16 {
    let listener = must("a free port", TcpListener::bind(("127.0.0.1", 0)));
    must("its number", listener.local_addr()).port()
}

fn must<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error}"))
}
