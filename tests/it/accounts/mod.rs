//! Accounts: what a sign-in brought is read back, renewed and signed out, in memory alone and over a Redis that replicas share.

mod asserted;
mod epochs;
mod failover;
mod guests;
mod listing;
mod lost;
mod messages;
mod mixed;
mod outage;
mod queue;
mod records;
mod renewal;
mod sign_out;
mod silent;
mod single_use;
mod unknown;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use crate::support::redis::RedisServer;
use crate::support::{Answer, Client, Emulator, NOW, Sidecar, code, configuration, eventually};

const ANA: &str = "ana@contoso.example";
const BEN: &str = "ben@contoso.example";
/// What the app `web` signs users in for.
const ORDERS: &str = "api://orders/access_as_user";
/// What it asks for besides: another resource.
const USER_READ: &str = "https://graph.microsoft.com/User.Read";
/// Longer than access tokens last, and shorter than refresh tokens do.
const EXPIRED: u64 = 100_000;
/// Longer than replicas remember what they brought to Redis.
const LONG_AGO: u64 = 15 * 60 + 1;
/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// An emulator, and replicas of one configuration under one clock.
struct Stage {
    emulator: Emulator,
    replicas: Vec<Sidecar>,
    redis: Option<RedisServer>,
    clock: Clock,
    /// The last replica's configuration.
    yaml: String,
    _files: TempDir,
}

/// What a stage has that the usual one has not.
#[derive(Default)]
struct Plan<'a> {
    /// The Redis that the replicas share.
    redis: Option<RedisServer>,
    /// Where each replica finds it, as a URL or as another member of `cache.redis`; none: one replica with memory alone.
    urls: Vec<String>,
    /// Further members of `cache.redis`, as lines of YAML with four spaces before them.
    login: &'a str,
    /// Another directory than the built-in one.
    directory: Option<Value>,
    /// How long a call to the authority may take; empty: as usual.
    timeout: &'a str,
    /// Further keys at the top of the configuration.
    more: &'a str,
    /// Another clock than one that stands still.
    clock: Option<Clock>,
}

// === impl Stage ===

impl Stage {
    /// One replica with memory alone.
    async fn memory() -> Self {
        Self::made(Plan::default()).await
    }

    /// Replicas that share a Redis.
    async fn sharing(replicas: usize) -> Self {
        let redis = RedisServer::start().await;
        let urls = vec![redis.url(); replicas];
        Self::made(Plan { redis: Some(redis), urls, ..Plan::default() }).await
    }

    /// Both kinds: memory alone, and two replicas over a Redis.
    async fn both() -> [Self; 2] {
        [Self::memory().await, Self::sharing(2).await]
    }

    async fn made(plan: Plan<'_>) -> Self {
        let clock = plan.clock.unwrap_or_else(|| Clock::manual(NOW));
        let emulator = Emulator::start_with(&clock, plan.directory.as_ref()).await;
        let files = tempfile::tempdir().expect("a folder");
        let (yaml, origin) = (configuration(&emulator, &files), &emulator.origin);
        let folder = files.path().display();
        let offline = format!(
            "  shop-offline: {{issuer: \"{origin}/oidc/shop\", ca_file: {folder}/ca.pem, client_id: shop-web, offline_access: true, \
             credential: {{secret: {{file: {folder}/shop-web.secret}}}}}}\napis:\n"
        );
        let mut yaml = yaml.replacen("apis:\n", &offline, 1);
        if !plan.timeout.is_empty() {
            yaml = yaml.replace("authority: {", &format!("authority: {{timeout: {}, ", plan.timeout));
        }
        yaml += plan.more;
        let ring = format!("name:{}\nfirst:{}\n", STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
        std::fs::write(files.path().join("key-ring"), ring).expect("a file");
        let mut replicas = Vec::new();
        let alone = yaml.clone();
        if plan.urls.is_empty() {
            replicas.push(Sidecar::start(&yaml, &clock).await);
        }
        for url in &plan.urls {
            let place = if url.starts_with("redis") { format!("url: \"{url}\"") } else { url.clone() };
            // Far more time than in production: these tests are not about slowness.
            yaml = format!(
                "{alone}cache:\n  recheck: 60s\n  redis:\n    {place}\n    timeout: 1s\n    write_timeout: 5s\n    \
                 encryption: {{key_ring: {{file: {folder}/key-ring}}}}\n{}",
                plan.login
            );
            replicas.push(Sidecar::start(&yaml, &clock).await);
        }
        let stage = Self { emulator, replicas, redis: plan.redis, clock, yaml, _files: files };
        if !plan.urls.is_empty() && stage.redis.is_some() {
            stage.subscribed(plan.urls.len()).await;
        }
        stage
    }

    /// One more replica, which knows nothing. Returns its number.
    async fn join(&mut self) -> usize {
        self.replicas.push(Sidecar::start(&self.yaml, &self.clock).await);
        self.last()
    }

    /// Waits until so many replicas listen to each other.
    async fn subscribed(&self, replicas: usize) {
        eventually(PATIENCE, async || self.listeners().await >= replicas).await;
    }

    /// How many replicas listen to the others.
    async fn listeners(&self) -> usize {
        let clients = self.redis().admin().clients().await.unwrap_or_default();
        clients.iter().filter(|line| line.contains(" sub=1 ")).count()
    }

    fn redis(&self) -> &RedisServer {
        self.redis.as_ref().expect("a Redis")
    }

    /// The number of the last replica: another one than the first, where there are several.
    fn last(&self) -> usize {
        self.replicas.len() - 1
    }

    fn client(&self, replica: usize) -> &Client {
        &self.replicas[replica].client
    }

    /// Moves the clock of all.
    fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Lets a little time pass: what is tried again after a pause waits for the clock.
    fn tick(&self) {
        self.clock.advance(Duration::from_millis(20));
    }

    /// Signs a user in, up to the code; returns what `/auth-code` takes.
    async fn code(&self, replica: usize, app: &str, scopes: &str, user: &str) -> Value {
        code(&self.emulator, self.client(replica), app, scopes, user).await
    }

    /// Signs a user in.
    async fn sign_in(&self, replica: usize, app: &str, scopes: &str, user: &str) -> Answer {
        let code = self.code(replica, app, scopes, user).await;
        let answer = self.client(replica).post("/auth-code", &code).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer
    }

    /// `POST /silent`.
    async fn silent(&self, replica: usize, app: &str, account: &str, scopes: &str) -> Answer {
        self.silent_with(replica, app, account, scopes, json!({})).await
    }

    /// Asks `/silent` for a token of an account, with more members.
    async fn silent_with(&self, replica: usize, app: &str, account: &str, scopes: &str, more: Value) -> Answer {
        let mut body = json!({"app": app, "account": account, "scopes": scopes});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.client(replica).post("/silent", &body).await
    }

    /// `POST /obo` as the app `orders`.
    async fn obo(&self, replica: usize, bearer: &str) -> Answer {
        self.client(replica).post_as("/obo", bearer, &json!({"app": "orders", "scopes": USER_READ})).await
    }

    /// `GET /accounts/{id}`.
    async fn account(&self, replica: usize, app: &str, id: &str) -> Answer {
        self.client(replica).get(&format!("/accounts/{id}?app={app}")).await
    }

    /// `DELETE /accounts/{id}`.
    async fn sign_out(&self, replica: usize, app: &str, id: &str) -> Answer {
        let client = self.client(replica);
        Client::send(client.http.delete(format!("{}/accounts/{id}?app={app}", client.base))).await
    }

    /// The ids of a whole listing at once.
    async fn listed(&self, replica: usize, app: &str) -> Vec<String> {
        let answer = self.client(replica).get(&format!("/accounts?app={app}&limit=1000")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.json["next"].is_null(), "{}", answer.text);
        ids(&answer)
    }

    /// How often the token endpoints were asked.
    async fn calls(&self) -> usize {
        self.emulator.asked("token").await.len()
    }

    /// The refresh tokens that were sent, oldest first.
    async fn sent(&self) -> Vec<String> {
        let asked = self.emulator.asked("token").await;
        let tokens = asked.iter().filter(|call| call["grant_type"] == "refresh_token");
        tokens.map(|call| call["form"]["refresh_token"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Changes what the next refresh gets.
    async fn on_refresh(&self, times: u32, effects: Value) {
        self.emulator.script(json!({"on": {"grant_type": "refresh_token"}, "times": times, "do": effects})).await;
    }

    /// The names in Redis but for the marker.
    async fn names(&self) -> Vec<String> {
        self.redis().keys().await.into_iter().filter(|key| key != "tokend:m").collect()
    }

    /// The names in Redis that end like this: `:a` is a sign-in, `:e` an epoch.
    async fn keys(&self, end: &str) -> Vec<String> {
        self.redis().keys().await.into_iter().filter(|key| key.ends_with(end)).collect()
    }

    /// The names of the tokens in Redis.
    async fn tokens(&self) -> Vec<String> {
        self.redis().keys().await.into_iter().filter(|key| key.contains("}:t:")).collect()
    }

    async fn metric(&self, replica: usize, sample: &str) -> f64 {
        self.replicas[replica].metric(sample).await
    }
}

/// The built-in directory with so many users more in the realm `shop`; how each is called.
fn shop(users: usize) -> (Value, Vec<String>) {
    let mut directory = Emulator::built_in();
    let names: Vec<String> = (0..users).map(|number| format!("user-{number}")).collect();
    let all = directory["realms"][0]["users"].as_array_mut().expect("users");
    let user = |name: &String| json!({"username": name, "password": "a-password", "sub": format!("sub-{name}"), "name": name, "email": format!("{name}@shop.example")});
    all.extend(names.iter().map(user));
    (directory, names)
}

/// The home account id of an answer.
#[track_caller]
fn id(answer: &Answer) -> &str {
    answer.json["account"]["home_account_id"].as_str().unwrap_or_else(|| panic!("no account: {}", answer.text))
}

/// The ids of a page of accounts.
fn ids(page: &Answer) -> Vec<String> {
    let accounts = page.json["accounts"].as_array().unwrap_or_else(|| panic!("no list: {}", page.text));
    accounts.iter().map(|account| account["home_account_id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Checks that an account is not signed in any more, wherever one looks.
#[track_caller]
fn is_unknown(silent: &Answer, account: &Answer) {
    silent.refused(401, "no_tokens_found", "sign in");
    account.refused(404, "unknown_account", "account");
}
