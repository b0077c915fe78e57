//! Long-running on-behalf-of sessions: what begins them, who may continue them, and what ends them; in memory alone and over a
//! Redis that replicas share.

mod ends;
mod foreign;
mod handles;
mod keys;
mod life;
mod lost;
mod outage;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use crate::support::redis::RedisServer;
use crate::support::{Answer, Client, Emulator, NOW, Sidecar, configuration, eventually};

const ANA: &str = "ana@contoso.example";
const BEN: &str = "ben@contoso.example";
const USER_READ: &str = "https://graph.microsoft.com/User.Read";
/// Longer than access tokens last, and shorter than refresh tokens do.
const EXPIRED: u64 = 100_000;
/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// A caller's own key.
const OWN: &str = "a-key-of-the-caller's-own-0123456789";
/// The callers that a stage has, where it has any.
const CALLERS: [&str; 3] = ["alpha", "beta", "desk"];

/// An app of each kind of authority, with what it is asked for, and two users of it.
#[derive(Clone, Copy, Debug)]
struct Kind {
    app: &'static str,
    scopes: &'static str,
    others: &'static str,
    users: [&'static str; 2],
}

const ENTRA: Kind = Kind { app: "orders", scopes: USER_READ, others: "api://billing/invoices.read", users: [ANA, BEN] };
const ISSUER: Kind = Kind { app: "shop-session", scopes: "orders.read stock.read", others: "orders.read", users: ["eva", "sam"] };
/// As the issuer's, with the other word for a refresh token.
const TYPED: Kind = Kind { app: "shop-typed", ..ISSUER };

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
    /// Whether nobody is asked who they are.
    open: bool,
    /// Further keys at the top of the configuration.
    more: &'a str,
    /// Another clock than one that stands still.
    clock: Option<Clock>,
    /// What stands in the configuration in place of what is usual.
    instead: &'a [(&'a str, &'a str)],
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
        let mut directory = Emulator::built_in();
        directory["realms"][0]["clients"][1]["exchanges_for_refresh_tokens"] = json!(true);
        let emulator = Emulator::start_with(&clock, Some(&directory)).await;
        let files = tempfile::tempdir().expect("a folder");
        let (yaml, origin, folder) = (configuration(&emulator, &files), &emulator.origin, files.path().display());
        let app = |name: &str, ask: &str| {
            format!(
                "  {name}: {{issuer: \"{origin}/oidc/shop\", ca_file: {folder}/ca.pem, client_id: shop-orders, session: {{ask: {ask}}}, \
                 credential: {{secret: {{file: {folder}/shop.secret}}}}, inbound: {{audiences: [\"https://orders.shop.example\"]}}}}\n"
            )
        };
        let apps = app("shop-session", "offline_access") + &app("shop-typed", "refresh_token_type") + "apis:\n";
        let mut yaml = yaml.replacen("apis:\n", &apps, 1) + "doors: [oauth2]\n" + plan.more;
        for (usual, instead) in plan.instead {
            assert!(yaml.contains(usual), "{usual}");
            yaml = yaml.replace(usual, instead);
        }
        if !plan.open {
            yaml += "\ncallers:\n";
            for name in CALLERS {
                let file = files.path().join(format!("{name}.token"));
                std::fs::write(&file, token(name)).expect("a file");
                let all = if name == "desk" { ", accounts: all" } else { "" };
                yaml += &format!("  - {{name: {name}, token: {{file: {}}}, doors: [rest, oauth2]{all}}}\n", file.display());
            }
        }
        let ring = format!("name:{}\nfirst:{}\n", STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
        std::fs::write(files.path().join("key-ring"), ring).expect("a file");
        let mut stage = Self { emulator, replicas: Vec::new(), redis: plan.redis, clock, yaml: yaml.clone(), _files: files };
        let folder = stage._files.path().display().to_string();
        for url in &plan.urls {
            let place = if url.starts_with("redis") { format!("url: \"{url}\"") } else { url.clone() };
            // Far more time than in production: these tests are not about slowness.
            stage.yaml = format!(
                "{yaml}cache:\n  recheck: 60s\n  redis:\n    {place}\n    timeout: 1s\n    write_timeout: 5s\n    \
                 encryption: {{key_ring: {{file: {folder}/key-ring}}}}\n"
            );
            stage.join().await;
        }
        if plan.urls.is_empty() {
            stage.join().await;
        }
        if stage.redis.is_some() {
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
        eventually(PATIENCE, async || {
            let clients = self.redis().admin().clients().await.unwrap_or_default();
            clients.iter().filter(|line| line.contains(" sub=1 ")).count() >= replicas
        })
        .await;
    }

    fn redis(&self) -> &RedisServer {
        self.redis.as_ref().expect("a Redis")
    }

    /// The number of the last replica: another one than the first, where there are several.
    fn last(&self) -> usize {
        self.replicas.len() - 1
    }

    /// A replica as this caller asks it.
    fn client(&self, replica: usize, caller: &str) -> Client {
        self.replicas[replica].client.calling(&token(caller))
    }

    /// Moves the clock of all.
    fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Lets a little time pass: what is tried again after a pause waits for the clock.
    fn tick(&self) {
        self.clock.advance(Duration::from_millis(20));
    }

    /// A user's token, as the user's client would send it.
    async fn bearer(&self, kind: Kind, user: &str) -> String {
        if kind.users[0].contains('@') {
            return self.emulator.user_token(user).await;
        }
        let order = json!({"realm": "shop", "app": "https://orders.shop.example", "user": user, "scopes": "orders.read"});
        self.emulator.mint(order).await
    }

    /// Begins a session as `alpha`.
    async fn start(&self, replica: usize, kind: Kind, user: &str, session: &str) -> Answer {
        let bearer = self.bearer(kind, user).await;
        self.start_as(replica, "alpha", kind, &bearer, json!({"session": session})).await
    }

    /// Begins one as any caller, with these members.
    async fn start_as(&self, replica: usize, caller: &str, kind: Kind, bearer: &str, more: Value) -> Answer {
        self.client(replica, caller).post_as("/obo", bearer, &body(kind, more)).await
    }

    /// Begins one that must succeed; returns the answer and its key.
    async fn begun(&self, replica: usize, kind: Kind, session: &str) -> (Answer, String) {
        let answer = self.start(replica, kind, kind.users[0], session).await;
        assert_eq!((answer.status, answer.member("token_source")), (200, "identity_provider"), "{}", answer.text);
        let key = answer.member("session").to_owned();
        assert!(key.len() >= 22, "{}", answer.text);
        (answer, key)
    }

    /// Continues a session as `alpha`.
    async fn go_on(&self, replica: usize, kind: Kind, session: &str) -> Answer {
        self.go_on_as(replica, "alpha", kind, json!({"session": session})).await
    }

    /// Continues one as any caller, with these members.
    async fn go_on_as(&self, replica: usize, caller: &str, kind: Kind, more: Value) -> Answer {
        self.client(replica, caller).post("/obo", &body(kind, more)).await
    }

    /// Continues one with a token that is not there yet.
    async fn forced(&self, replica: usize, kind: Kind, session: &str) -> Answer {
        self.go_on_as(replica, "alpha", kind, json!({"session": session, "force_refresh": true})).await
    }

    /// Ends a session.
    async fn end(&self, replica: usize, caller: &str, kind: Kind, session: &str) -> Answer {
        self.end_with(replica, caller, &json!({"app": kind.app, "session": session})).await
    }

    /// `DELETE /obo`.
    async fn end_with(&self, replica: usize, caller: &str, body: &Value) -> Answer {
        let client = self.client(replica, caller);
        let request = client.http.delete(format!("{}/obo", client.base)).header("content-type", "application/json");
        Client::send(request.body(body.to_string())).await
    }

    /// `DELETE /accounts/{id}` as a caller.
    async fn sign_out(&self, replica: usize, caller: &str, kind: Kind, id: &str) -> Answer {
        let client = self.client(replica, caller);
        Client::send(client.http.delete(format!("{}/accounts/{id}?app={}", client.base, kind.app))).await
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

    /// The names in Redis that end like this: `}:a` is a sign-in, `}:e` an epoch, `}:g` where else an account has something.
    async fn keys(&self, end: &str) -> Vec<String> {
        self.redis().keys().await.into_iter().filter(|key| key.ends_with(end)).collect()
    }

    async fn metric(&self, replica: usize, sample: &str) -> f64 {
        self.replicas[replica].metric(sample).await
    }

    /// Wherever one looks, there is no such session.
    async fn is_over(&self, kind: Kind, key: &str) {
        for replica in 0..self.replicas.len() {
            eventually(PATIENCE, async || {
                self.tick();
                self.go_on(replica, kind, key).await.status == 401
            })
            .await;
            is_unknown(&self.go_on(replica, kind, key).await);
            is_unknown(&self.forced(replica, kind, key).await);
        }
    }
}

/// The body of a request, with these members.
fn body(kind: Kind, more: Value) -> Value {
    let mut body = json!({"app": kind.app, "scopes": kind.scopes});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

/// The token of a caller.
fn token(caller: &str) -> String {
    format!("token-of-{caller}-0123456789-abcdefghij")
}

/// The home account id of an answer.
#[track_caller]
fn id(answer: &Answer) -> &str {
    answer.json["account"]["home_account_id"].as_str().unwrap_or_else(|| panic!("no account: {}", answer.text))
}

/// Checks that there is no such session.
#[track_caller]
fn is_unknown(answer: &Answer) {
    answer.refused(401, "session_not_found", "start one with the user's token");
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"interaction_required\"");
}
