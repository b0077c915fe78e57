//! Ory Hydra: an authorization server that leaves signing in and consent to another program, which is the test itself. What a user
//! consented to may so be less than what was asked.
//!
//! Its refresh tokens rotate, and a second use ends them all. It registers clients for HTTP Basic, and knows no token exchange.

use reqwest::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use serde_json::{Value, json};

use super::{ready, there};
use crate::group::Group;
use crate::support::{Answer, Client, REDIRECT_URI, free_port, parameter};

pub(crate) const CLIENT: &str = "web";
pub(crate) const SECRET: &str = "web-secret-for-tests-only";
/// Nothing listens there: what would be sent there is answered at the admin address.
const NOWHERE: &str = "http://127.0.0.1:9";

/// A running Hydra with one client.
pub(crate) struct Hydra {
    pub(crate) issuer: String,
    pub(crate) public: Client,
    admin: Client,
    _group: Group,
    _folder: tempfile::TempDir,
}

// === impl Hydra ===

impl Hydra {
    pub(crate) async fn start() -> Self {
        let (port, admin) = (free_port(), free_port());
        let (issuer, admin_url) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{admin}"));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("hydra.yml");
        let settings = json!({
            "dsn": "memory",
            "serve": {"public": {"host": "127.0.0.1", "port": port}, "admin": {"host": "127.0.0.1", "port": admin}},
            "urls": {"self": {"issuer": issuer}, "login": format!("{NOWHERE}/login"), "consent": format!("{NOWHERE}/consent")},
            "strategies": {"access_token": "jwt"},
            "secrets": {"system": ["only-for-tests-only-for-tests"]},
        });
        // JSON is YAML.
        std::fs::write(&file, settings.to_string()).expect("a file");
        let mut server = std::process::Command::new(there("hydra"));
        server.args(["serve", "all", "--dev", "--sqa-opt-out", "-c"]).arg(&file);
        let group = Group::spawn("hydra", port, &server);
        ready(&format!("{issuer}/health/ready"), &group).await;
        ready(&format!("{admin_url}/health/ready"), &group).await;
        let hydra = Self {
            public: Client::new(&issuer, None),
            admin: Client::new(&admin_url, None),
            issuer,
            _group: group,
            _folder: folder,
        };
        let client = json!({
            "client_id": CLIENT, "client_secret": SECRET, "redirect_uris": [REDIRECT_URI], "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
            "scope": "openid offline_access profile email orders.read", "token_endpoint_auth_method": "client_secret_basic",
        });
        let made = hydra.admin.post("/admin/clients", &client).await;
        assert_eq!(made.status, 201, "{}", made.text);
        hydra
    }

    /// Signs a user in at this address, who consents to these scopes and no others; returns where the browser is sent.
    pub(crate) async fn sign_in(&self, url: &str, user: &str, granted: &[&str]) -> url::Url {
        let mut cookies = Vec::new();
        let mut at = self.next(url, &mut cookies).await;
        for (what, answer) in [("login", json!({"subject": user})), ("consent", json!({"grant_scope": granted}))] {
            let challenge = parameter(&at, &format!("{what}_challenge"));
            assert!(at.as_str().starts_with(NOWHERE) && !challenge.is_empty(), "no {what}: {at}");
            let path = format!("{}/admin/oauth2/auth/requests/{what}/accept?{what}_challenge={challenge}", self.admin.base);
            let request = self.admin.http.put(path).header(CONTENT_TYPE, "application/json").body(answer.to_string());
            let accepted = Client::send(request).await;
            assert_eq!(accepted.status, 200, "{}", accepted.text);
            at = self.next(accepted.member("redirect_to"), &mut cookies).await;
        }
        at
    }

    /// Where a browser with these cookies is sent from an address of Hydra's.
    async fn next(&self, url: &str, cookies: &mut Vec<String>) -> url::Url {
        let answer = Client::send(self.public.http.get(url).header(COOKIE, cookies.join("; "))).await;
        let set = answer.headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
        cookies.extend(set.filter_map(|line| line.split(';').next()).map(str::to_owned));
        url::Url::parse(answer.header("location")).unwrap_or_else(|_| panic!("sent nowhere: {} {}", answer.status, answer.text))
    }

    /// What the token endpoint answers to the client.
    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.public.raw("/oauth2/token").basic_auth(CLIENT, Some(SECRET)).header(CONTENT_TYPE, super::FORM);
        Client::send(request.body(body)).await
    }

    /// What Hydra knows of a token.
    pub(crate) async fn introspect(&self, token: &str) -> Value {
        let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("token", token).finish();
        let url = format!("{}/admin/oauth2/introspect", self.admin.base);
        Client::send(self.admin.http.post(url).header(CONTENT_TYPE, super::FORM).body(form)).await.json
    }
}
