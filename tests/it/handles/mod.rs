//! Refresh handles: who can redeem one, where, for how long, and what ends it. Asked of the flows themselves, in memory alone and
//! in replicas that share a Redis.

mod away;
mod foreign;
mod keys;
mod life;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use tempfile::TempDir;
use tokend::caller::{Beyond, Caller, HeaderToken, Presented};
use tokend::clock::Clock;
use tokend::flow::{AuthCode, AuthCodeUrl, Call, Common, Outcome, Redeem, Refusal, RefusalKind, Request, Service, TokenSource};
use tokend::sidecar::{Parts, prepare};
use tokend::tasks::Tasks;
use tokend::telemetry::{Metrics, Sampler};
use tokend::token::{Scopes, Turn};

use crate::support::redis::RedisServer;
use crate::support::{Emulator, NOW, REDIRECT_URI, Sidecar, configuration, eventually, parameter};

const ANA: &str = "ana@contoso.example";
const EVA: &str = "eva";
/// What the app `web` signs users in for, and what it asks for besides.
const ORDERS: &str = "api://orders/access_as_user";
const USER_READ: &str = "https://graph.microsoft.com/User.Read";
/// Longer than access tokens last, and shorter than refresh tokens do.
const EXPIRED: u64 = 100_000;
const DAY: u64 = 24 * 3600;
/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// The lines of a key ring.
const FIRST: (&str, u8) = ("first", 2);
const SECOND: (&str, u8) = ("second", 3);
/// Sealed by the ring, or by a key that lies in Redis.
const RING: &str = "key_ring: {file: FILES/key-ring}";
const PLAINTEXT: &str = "plaintext: true";

/// An emulator, and replicas of one configuration under one clock.
struct Stage {
    emulator: Emulator,
    replicas: Vec<Replica>,
    redis: Option<RedisServer>,
    clock: Clock,
    files: TempDir,
    /// The configuration without its cache.
    yaml: String,
}

/// The flows of one process.
struct Replica {
    service: Service,
    metrics: Metrics,
}

/// What came of a request.
struct Seen {
    token: String,
    handle: Option<String>,
    source: TokenSource,
    account: String,
}

// === impl Stage ===

impl Stage {
    async fn empty(redis: Option<RedisServer>, more: &str) -> Self {
        let clock = Clock::manual(NOW);
        let emulator = Emulator::start(&clock).await;
        let files = tempfile::tempdir().expect("a folder");
        let (yaml, origin, folder) = (configuration(&emulator, &files), &emulator.origin, files.path().display());
        let offline = format!(
            "  shop-offline: {{issuer: \"{origin}/oidc/shop\", ca_file: {folder}/ca.pem, client_id: shop-web, offline_access: true, \
             credential: {{secret: {{file: {folder}/shop-web.secret}}}}}}\napis:\n"
        );
        let yaml = yaml.replacen("apis:\n", &offline, 1) + more;
        let stage = Self { emulator, replicas: Vec::new(), redis, clock, files, yaml };
        stage.write_ring(&[FIRST]);
        stage
    }

    /// One replica with memory alone, and more configuration.
    async fn memory_with(more: &str) -> Self {
        let mut stage = Self::empty(None, more).await;
        stage.restart("");
        stage
    }

    async fn memory() -> Self {
        Self::memory_with("").await
    }

    /// Two replicas that share a Redis, and more configuration.
    async fn sharing_with(encryption: &str, more: &str) -> Self {
        let redis = RedisServer::start().await;
        let url = redis.url();
        let mut stage = Self::empty(Some(redis), more).await;
        for _ in 0..2 {
            stage.join(&url, encryption).await;
        }
        stage
    }

    async fn sharing() -> Self {
        Self::sharing_with(RING, "").await
    }

    /// Both kinds: memory alone, and two replicas over a Redis.
    async fn both() -> [Self; 2] {
        [Self::memory().await, Self::sharing().await]
    }

    /// One more replica, which knows nothing and finds Redis at this URL. Returns its number.
    async fn join(&mut self, url: &str, encryption: &str) -> usize {
        let files = self.files.path().display().to_string();
        let encryption = encryption.replace("FILES", &files);
        // Far more time than in production: these tests are not about slowness.
        let cache = format!(
            "cache:\n  redis:\n    url: \"{url}\"\n    timeout: 1s\n    write_timeout: 5s\n    encryption: {{{encryption}}}\n"
        );
        let listeners = self.listeners().await;
        self.restart(&cache);
        self.replicas.last().expect("a replica").service.join_fleet();
        eventually(PATIENCE, async || self.listeners().await > listeners).await;
        self.last()
    }

    /// One more process.
    fn restart(&mut self, cache: &str) {
        let settings = Sidecar::settings(&format!("{}\n{cache}", self.yaml));
        let (prepared, findings) = prepare(settings, &self.clock);
        let prepared = prepared.unwrap_or_else(|| panic!("{findings:#?}"));
        let metrics = Metrics::default();
        let parts =
            Parts { clock: self.clock.clone(), tasks: Tasks::default(), metrics: metrics.clone(), sampler: Sampler::new(None) };
        let (service, _) = prepared.assemble(&parts);
        self.replicas.push(Replica { service, metrics });
    }

    /// How many replicas listen to the others.
    async fn listeners(&self) -> usize {
        let clients = self.redis().admin().clients().await.unwrap_or_default();
        clients.iter().filter(|line| line.contains(" sub=1 ")).count()
    }

    /// The key ring as those find it who read its file from now on.
    fn write_ring(&self, keys: &[(&str, u8)]) {
        let line = |(id, byte): &(&str, u8)| format!("{id}:{}\n", STANDARD.encode([*byte; 32]));
        let text: String = [("name", 1)].iter().chain(keys).map(line).collect();
        std::fs::write(self.files.path().join("key-ring"), text).expect("a file");
    }

    fn redis(&self) -> &RedisServer {
        self.redis.as_ref().expect("a Redis")
    }

    /// The names in Redis that end like this: `:a` is a sign-in, `:e` an epoch.
    async fn names(&self, end: &str) -> Vec<String> {
        self.redis().keys().await.into_iter().filter(|key| key.ends_with(end)).collect()
    }

    /// The number of the last replica: another one than the first, where there are several.
    fn last(&self) -> usize {
        self.replicas.len() - 1
    }

    fn service(&self, replica: usize) -> &Service {
        &self.replicas[replica].service
    }

    fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// How often the token endpoints were asked.
    async fn calls(&self) -> usize {
        self.emulator.asked("token").await.len()
    }

    /// The caller of this name.
    async fn caller(&self, replica: usize, name: &str) -> Caller {
        let token = name.repeat(8);
        let presented = Presented { header: HeaderToken::One(token.as_bytes()), secrets: &[], assertion: None, connection: None };
        self.service(replica).callers().expect("callers").identify(&presented).await.expect("a caller")
    }

    /// A code for a user who signed in, redeemed with what `change` makes of the usual request.
    async fn sign_in_with(
        &self,
        replica: usize,
        (caller, app, scopes, user): (Caller, &str, &str, &str),
        change: impl Fn(&mut Common<'_>),
    ) -> Outcome {
        let service = self.service(replica);
        // By scopes, or by an api.
        let common = || match scopes.strip_prefix("api ") {
            Some(api) => Common { app: Some(app), api: Some(api), beyond: Beyond::Nothing, ..Common::default() },
            None => Common { app: Some(app), scopes: Some(Scopes::granted(scopes)), ..Common::default() },
        };
        let url = AuthCodeUrl {
            common: common(),
            redirect_uri: Some(REDIRECT_URI),
            prompt: Some("none"),
            login_hint: Some(user),
            ..AuthCodeUrl::default()
        };
        let url = service.auth_code_url(caller, call(), &url).await.expect("a URL");
        let back = self.emulator.sign_in(&url.authorization_url).await;
        let code = parameter(&back, "code");
        // Entra does not say who answers.
        let iss = back.query_pairs().find(|(name, _)| name == "iss").map(|(_, iss)| iss.into_owned());
        let mut common = Common { wants_handle: true, ..common() };
        change(&mut common);
        let request = Request::AuthCode(AuthCode {
            common,
            code: Some(&code),
            redirect_uri: Some(REDIRECT_URI),
            code_verifier: Some(&url.code_verifier),
            nonce: Some(&url.nonce),
            iss: iss.as_deref(),
        });
        service.token(caller, call(), &request).await
    }

    /// Signs a user in at an app.
    async fn sign_in(&self, replica: usize, app: &str, scopes: &str, user: &str) -> Seen {
        Seen::of(self.sign_in_with(replica, (Caller::ANYONE, app, scopes, user), |_| {}).await)
    }

    /// Signs Ana in at `web`.
    async fn ana(&self, replica: usize) -> Seen {
        self.sign_in(replica, "web", ORDERS, ANA).await
    }

    /// Redeems a handle for these scopes; empty: for its own.
    async fn redeem_as(&self, replica: usize, (caller, app): (Caller, &str), handle: &str, scopes: &str) -> Outcome {
        let scopes = Some(Scopes::granted(scopes)).filter(|scopes| !scopes.is_empty());
        let common = Common { app: Some(app), scopes, wants_handle: true, ..Common::default() };
        self.service(replica).token(caller, call(), &Request::Redeem(Redeem { common, handle, of_session: false })).await
    }

    async fn redeem(&self, replica: usize, app: &str, handle: &str) -> Outcome {
        self.redeem_as(replica, (Caller::ANYONE, app), handle, "").await
    }

    /// `DELETE /accounts/{id}`.
    async fn sign_out(&self, replica: usize, app: &str, account: &str) {
        self.service(replica).sign_out(Caller::ANYONE, Some(app), account).await.expect("signed out");
    }

    async fn revoke(&self, replica: usize, handle: &str) -> Result<(), Arc<Refusal>> {
        self.service(replica).revoke(Caller::ANYONE, call(), handle).await
    }
}

// === impl Replica ===

impl Replica {
    /// The value of one sample of the metrics, by its name and labels as they are written; 0 if it is not there.
    fn metric(&self, sample: &str) -> f64 {
        let text = String::from_utf8(self.metrics.render()).expect("text");
        text.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok()).unwrap_or_default()
    }
}

// === impl Seen ===

impl Seen {
    #[track_caller]
    fn of(outcome: Outcome) -> Self {
        let answer = outcome.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let text = std::str::from_utf8(&answer.head.text).expect("text");
        let json: Value = serde_json::from_str(&format!("{text}}}")).expect("JSON");
        Self {
            token: answer.head.token().expect("a token").to_owned(),
            handle: answer.handle.map(|handle| handle.expose().to_owned()),
            source: answer.source,
            account: json["account"]["home_account_id"].as_str().expect("an account").to_owned(),
        }
    }

    #[track_caller]
    fn handle(&self) -> &str {
        self.handle.as_deref().expect("a handle")
    }
}

fn call() -> Call {
    Call::untraced(uuid::Uuid::nil())
}

/// Checks that a handle is refused for good.
#[track_caller]
fn is_invalid(outcome: &Outcome) {
    let refusal = outcome.as_ref().expect_err("a refusal");
    assert_eq!((refusal.kind, refusal.turn), (RefusalKind::InvalidHandle, Turn::Caller), "{refusal:?}");
    assert_eq!(refusal.error(), "invalid_handle");
}

/// Checks that nothing can be said of a handle now.
#[track_caller]
fn is_not_known_now(outcome: &Outcome) {
    let refusal = outcome.as_ref().expect_err("a refusal");
    assert_eq!((refusal.kind, refusal.turn), (RefusalKind::CacheUnavailable, Turn::Unavailable), "{refusal:?}");
}

/// What is sealed in a handle.
fn decoded(handle: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(handle.strip_prefix("tkd1.").expect("a handle")).expect("base64url")
}

/// A text with the form of a handle.
fn encoded(sealed: &[u8]) -> String {
    format!("tkd1.{}", URL_SAFE_NO_PAD.encode(sealed))
}
