//! mock-oauth2-server: an issuer for tests of others. It takes any client and any user, announces no way of client authentication,
//! and its id tokens have no `at_hash`.

use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use super::{FORM, java, ready};
use crate::group::Group;
use crate::support::{Answer, Client, free_port};

const NAME: &str = "shop";

/// A running server, of which one issuer is used.
pub(crate) struct Mock {
    pub(crate) issuer: String,
    pub(crate) client: Client,
    _group: Group,
}

// === impl Mock ===

impl Mock {
    pub(crate) async fn start() -> Self {
        let port = free_port();
        let base = format!("http://127.0.0.1:{port}");
        let settings = json!({"interactiveLogin": true, "rotateRefreshToken": true});
        let mut server = java("mock-oauth2-server", "no.nav.security.mock.oauth2.StandaloneMockOAuth2ServerKt");
        server.env("JSON_CONFIG", settings.to_string()).env("SERVER_HOSTNAME", "127.0.0.1").env("SERVER_PORT", port.to_string());
        let group = Group::spawn("mock-oauth2-server", port, &server);
        let issuer = format!("{base}/{NAME}");
        ready(&format!("{issuer}/.well-known/openid-configuration"), &group).await;
        Self { client: Client::new(&issuer, None), issuer, _group: group }
    }

    /// What the token endpoint answers to the client `web`.
    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.raw("/token").basic_auth("web", Some("x")).header(CONTENT_TYPE, FORM);
        Client::send(request.body(body)).await
    }

    /// Signs a user in at this address; returns where the browser is sent.
    pub(crate) async fn sign_in(&self, url: &str, user: &str) -> url::Url {
        let page = Client::send(self.client.http.get(url)).await;
        assert_eq!(page.status, 200, "no page to sign in: {}", page.text);
        let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("username", user).finish();
        let answer = Client::send(self.client.http.post(url).header(CONTENT_TYPE, FORM).body(form)).await;
        url::Url::parse(answer.header("location")).unwrap_or_else(|_| panic!("sent nowhere: {} {}", answer.status, answer.text))
    }
}
