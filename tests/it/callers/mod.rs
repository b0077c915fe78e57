//! Callers: who may ask, for what, and whose accounts are whose; in memory alone and over a Redis that replicas share.

mod all;
mod certificates;
mod connections;
mod documented;
mod doors;
mod former;
mod granted;
mod identities;
mod jwts;
pub(crate) mod key_server;
mod owners;
mod rights;
mod room;
mod rotation;
mod secrecy;
mod tokens;

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use key_server::JwtKey;

use crate::support::redis::RedisServer;
use crate::support::{Answer, Client, Emulator, GRAPH, NOW, REDIRECT_URI, Sidecar, code, configuration, eventually};

const ANA: &str = "ana@contoso.example";
const BEN: &str = "ben@contoso.example";
/// What the app `web` signs users in for.
const ORDERS: &str = "api://orders/access_as_user";
const USER_READ: &str = "https://graph.microsoft.com/User.Read";
/// Longer than access tokens last.
const EXPIRED: u64 = 100_000;
/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two that see their own accounts, and one that sees all.
const THREE: [(&str, &str); 3] = [("alpha", ""), ("beta", ""), ("desk", ", accounts: all")];

/// An emulator, and replicas of one configuration under one clock.
struct Stage {
    emulator: Emulator,
    replicas: Vec<Sidecar>,
    redis: Option<RedisServer>,
    clock: Clock,
    files: TempDir,
    /// The configuration without its callers.
    base: String,
    /// Those of the callers that are known by JWTs of this key, and not by a token.
    by_jwt: Option<(JwtKey, &'static [&'static str])>,
}

// === impl Stage ===

impl Stage {
    /// One replica with memory alone, for these callers, whose rights are written in YAML.
    async fn memory(callers: &[(&str, &str)]) -> Self {
        let mut stage = Self::empty(None).await;
        stage.add(callers).await;
        stage
    }

    /// Two replicas that share a Redis.
    async fn sharing(callers: &[(&str, &str)]) -> Self {
        let mut stage = Self::empty(Some(RedisServer::start().await)).await;
        for _ in 0..2 {
            stage.add(callers).await;
        }
        stage
    }

    /// Both.
    async fn both(callers: &[(&str, &str)]) -> [Self; 2] {
        [Self::memory(callers).await, Self::sharing(callers).await]
    }

    async fn empty(redis: Option<RedisServer>) -> Self {
        let clock = Clock::manual(NOW);
        let emulator = Emulator::start(&clock).await;
        let files = tempfile::tempdir().expect("a folder");
        let mut base = configuration(&emulator, &files);
        if let Some(redis) = &redis {
            let ring = format!("name:{}\nfirst:{}\n", STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
            std::fs::write(files.path().join("key-ring"), ring).expect("a file");
            // Far more time than in production: these tests are not about slowness.
            base += &format!(
                "cache:\n  redis: {{url: \"{}\", timeout: 1s, write_timeout: 5s, encryption: {{key_ring: {{file: {}}}}}}}\n",
                redis.url(),
                files.path().join("key-ring").display()
            );
        }
        Self { emulator, replicas: Vec::new(), redis, clock, files, base, by_jwt: None }
    }

    /// Starts one more replica, and returns when it hears the others.
    async fn add(&mut self, callers: &[(&str, &str)]) {
        let mut yaml = self.base.clone();
        if !callers.is_empty() {
            yaml += "callers:\n";
        }
        for (name, rights) in callers {
            if let Some((key, _)) = self.by_jwt.as_ref().filter(|(_, names)| names.contains(name)) {
                let file = self.files.path().join("jwks.json");
                std::fs::write(&file, json!({"keys": [key.published()]}).to_string()).expect("a file");
                let jwt = format!("issuer: 'https://ci.example', audience: tokend-callers, subjects: [{name}]");
                yaml += &format!("  - {{name: {name}, jwt: {{{jwt}, jwks: {{file: {}}}}}{rights}}}\n", file.display());
                continue;
            }
            let file = self.token_file(name);
            if !file.exists() {
                std::fs::write(&file, token(name)).expect("a file");
            }
            yaml += &format!("  - {{name: {name}, token: {{file: {}}}{rights}}}\n", file.display());
        }
        self.replicas.push(Sidecar::start(&yaml, &self.clock).await);
        if let Some(redis) = &self.redis {
            eventually(PATIENCE, async || {
                let clients = redis.admin().clients().await.unwrap_or_default();
                clients.iter().filter(|line| line.contains(" sub=1 ")).count() >= self.replicas.len()
            })
            .await;
        }
    }

    fn token_file(&self, name: &str) -> PathBuf {
        self.files.path().join(format!("{name}.token"))
    }

    /// Writes the file of a caller's tokens, one in each line.
    fn write_tokens(&self, name: &str, tokens: &[&str]) {
        std::fs::write(self.token_file(name), tokens.join("\n")).expect("a file");
    }

    /// The number of the last replica: another one than the first, where there are several.
    fn last(&self) -> usize {
        self.replicas.len() - 1
    }

    /// A replica as nobody in particular asks it.
    fn nobody(&self, replica: usize) -> &Client {
        &self.replicas[replica].client
    }

    /// A replica as a caller asks it.
    fn client(&self, replica: usize, caller: &str) -> Client {
        self.nobody(replica).calling(&self.proof(caller))
    }

    /// What a caller proves itself by: its token, or a JWT.
    fn proof(&self, caller: &str) -> String {
        let jwt = self.by_jwt.as_ref().filter(|(_, names)| names.contains(&caller)).map(|(key, _)| {
            let now = self.clock.unix();
            let claims =
                json!({"iss": "https://ci.example", "aud": "tokend-callers", "sub": caller, "iat": now, "exp": now + 86_400});
            key.sign(&claims)
        });
        jwt.unwrap_or_else(|| token(caller))
    }

    /// Signs a user in at the app `web`, through a caller.
    async fn sign_in(&self, replica: usize, caller: &str, user: &str) -> Answer {
        let client = self.client(replica, caller);
        let body = code(&self.emulator, &client, "web", ORDERS, user).await;
        let answer = client.post("/auth-code", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer
    }

    /// `POST /silent`.
    async fn silent(&self, replica: usize, caller: &str, account: &str) -> Answer {
        self.silent_with(replica, caller, account, json!({})).await
    }

    /// Asks `/silent` as that caller, with more members.
    async fn silent_with(&self, replica: usize, caller: &str, account: &str, more: Value) -> Answer {
        let mut body = json!({"app": "web", "account": account, "scopes": ORDERS});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.client(replica, caller).post("/silent", &body).await
    }

    /// `POST /obo` as the app `orders`.
    async fn obo(&self, replica: usize, caller: &str, bearer: &str) -> Answer {
        self.client(replica, caller).post_as("/obo", bearer, &json!({"app": "orders", "scopes": USER_READ})).await
    }

    /// `GET /accounts/{id}`.
    async fn account(&self, replica: usize, caller: &str, app: &str, id: &str) -> Answer {
        self.client(replica, caller).get(&format!("/accounts/{id}?app={app}")).await
    }

    /// `DELETE /accounts/{id}`.
    async fn sign_out(&self, replica: usize, caller: &str, app: &str, id: &str) -> Answer {
        let client = self.client(replica, caller);
        Client::send(client.http.delete(format!("{}/accounts/{id}?app={app}", client.base))).await
    }

    /// The ids of all pages of this size, in order, each page's apart.
    async fn pages(&self, replica: usize, caller: &str, limit: usize) -> Vec<Vec<String>> {
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.client(replica, caller).get(&format!("/accounts?app=web&limit={limit}{cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.text);
            let accounts = page.json["accounts"].as_array().unwrap_or_else(|| panic!("no list: {}", page.text));
            pages.push(accounts.iter().map(|account| account["home_account_id"].as_str().unwrap_or_default().to_owned()).collect());
            match page.json.get("next") {
                Some(next) => cursor = format!("&cursor={}", next.as_str().expect("a text")),
                None => return pages,
            }
            assert!(pages.len() < 100, "it does not end");
        }
    }

    /// The ids of everybody who is listed, sorted.
    async fn listed(&self, replica: usize, caller: &str) -> Vec<String> {
        let mut all = self.pages(replica, caller, 1000).await.concat();
        all.sort();
        all
    }

    /// How often the token endpoints were asked.
    async fn calls(&self) -> usize {
        self.emulator.asked("token").await.len()
    }

    async fn user_token(&self, user: &str) -> String {
        self.emulator.user_token(user).await
    }
}

/// The first token of a caller.
fn token(caller: &str) -> String {
    format!("canary-of-{caller}-0123456789-abcdefghij")
}

/// The home account id of an answer.
#[track_caller]
fn id(answer: &Answer) -> String {
    answer.json["account"]["home_account_id"].as_str().unwrap_or_else(|| panic!("no account: {}", answer.text)).to_owned()
}

/// One request for each route, none of which is more than well-formed.
fn requests(client: &Client) -> Vec<(&'static str, reqwest::RequestBuilder)> {
    let at = |path: &str| format!("{}{path}", client.base);
    let account = "/accounts/some.body?app=web";
    vec![
        ("client_credentials", client.request("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]}))),
        ("on_behalf_of", client.request("/obo", &json!({"app": "orders", "scopes": USER_READ})).bearer_auth("no-token")),
        ("auth_code", client.request("/auth-code/url", &json!({"app": "web", "scopes": ORDERS, "redirect_uri": REDIRECT_URI}))),
        (
            "auth_code",
            client.request("/auth-code", &json!({"app": "web", "scopes": ORDERS, "redirect_uri": REDIRECT_URI, "code": "any"})),
        ),
        ("silent", client.request("/silent", &json!({"app": "web", "scopes": ORDERS, "account": "some.body"}))),
        ("refresh_token", client.request("/refresh-token", &json!({"app": "web", "scopes": ORDERS, "refresh_token": "any"}))),
        (
            "username_password",
            client.request("/username-password", &json!({"app": "web", "scopes": ORDERS, "username": "any", "password": "any"})),
        ),
        ("", client.request("/sign-out/url", &json!({"app": "web", "account": "some.body"}))),
        ("device_code", client.request("/device-code", &json!({"app": "web", "scopes": ORDERS}))),
        ("device_code", client.request("/device-code/poll", &json!({"device_code": "any"}))),
        ("", client.http.get(at("/accounts?app=web"))),
        ("", client.http.get(at(account))),
        ("", client.http.delete(at(account))),
    ]
}
