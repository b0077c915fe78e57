//! OAuth libraries at tokend's token endpoint, as `docs/oauth-clients.md` says how each is set up.
//!
//! Users sign in at the authority. What comes back is redeemed by tokend, and refreshed at whichever replica answers.

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use super::front::Front;
use crate::clients::{ANA, Browser, Library, Program, claims};
use crate::support::redis::RedisServer;
use crate::support::{Emulator, Fleet, GRAPH, REDIRECT_URI, eventually};
use crate::tree::text;

pub(crate) const CALLER: &str = "a-token-of-the-caller-of-this-test";

/// How long a process may take to look at a file that it was told to look at.
const SOON: Duration = Duration::from_secs(10);

/// An emulator, a Redis, two replicas of the page's configuration, and one address for both.
pub(crate) struct Stage {
    pub(crate) emulator: Emulator,
    pub(crate) fleet: Fleet,
    pub(crate) front: Front,
    pub(crate) files: TempDir,
    _redis: RedisServer,
}

/// A kind of authority, and an application that is registered there.
pub(crate) struct Registration {
    /// What tokend calls it.
    app: &'static str,
    pub(crate) client_id: String,
    /// The caller's token.
    secret: &'static str,
    pub(crate) issuer: String,
    pub(crate) authorize: String,
    pub(crate) user: &'static str,
    /// What the application asks for itself, and for the user.
    pub(crate) scopes: [&'static str; 2],
}

// === impl Stage ===

impl Stage {
    pub(crate) async fn new() -> Self {
        // The libraries look at the machine's clock.
        let emulator = Emulator::start(&Clock::system()).await;
        let redis = RedisServer::start().await;
        let files = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).expect("a file");
        write("ca.pem", &emulator.ca_pem);
        write("web-secret", Emulator::secret(emulator.app("web")));
        write("shop-secret", Emulator::secret(emulator.shop("shop-web")));
        write("web-caller", CALLER);
        write("key-ring", &ring(&["first"]));
        let front = Front::new().await;
        let yaml = Self::configuration(&emulator, &redis, &front, &files);
        let fleet = Fleet::start(2, |_| yaml.clone()).await;
        front.to(fleet.client(0));
        Self { emulator, fleet, front, files, _redis: redis }
    }

    /// The page's, with this stage's addresses and files.
    fn configuration(emulator: &Emulator, redis: &RedisServer, front: &Front, files: &TempDir) -> String {
        let mut yaml = text("tests/peers/clients/tokend.yaml");
        let ca = format!("ca_file: {}\n    client_id:", files.path().join("ca.pem").display());
        for (written, meant) in [
            ("http://127.0.0.1:8650", front.base.as_str()),
            ("https://login.microsoftonline.com", &emulator.origin),
            ("https://id.example/realms/shop", &format!("{}/oidc/shop", emulator.origin)),
            ("client_id:", &ca),
            ("rediss://cache.internal:6380", &redis.url()),
            ("/run/secrets", &files.path().display().to_string()),
        ] {
            assert!(yaml.contains(written), "no {written} in the configuration");
            yaml = yaml.replace(written, meant);
        }
        // How long a machine under test takes is no question here.
        yaml.replace("encryption:", "timeout: 1s\n    write_timeout: 5s\n    encryption:")
    }

    pub(crate) fn entra(&self) -> Registration {
        let tenant = self.emulator.directory["tenants"][0]["id"].as_str().expect("a tenant");
        let authority = format!("{}/{tenant}", self.emulator.origin);
        Registration {
            app: "web",
            client_id: self.emulator.app("web")["client_id"].as_str().expect("an id").to_owned(),
            secret: CALLER,
            issuer: format!("{authority}/v2.0"),
            authorize: format!("{authority}/oauth2/v2.0/authorize"),
            user: ANA,
            scopes: [GRAPH, "openid offline_access https://graph.microsoft.com/User.Read"],
        }
    }

    pub(crate) async fn shop(&self) -> Registration {
        let issuer = format!("{}/oidc/shop", self.emulator.origin);
        let document = self.emulator.client.get("/oidc/shop/.well-known/openid-configuration").await;
        Registration {
            app: "shop",
            client_id: "shop-web".to_owned(),
            secret: CALLER,
            authorize: document.member("authorization_endpoint").to_owned(),
            issuer,
            user: "eva",
            scopes: ["orders.read", "openid offline_access orders.read"],
        }
    }

    /// What a program answers, after the user did what it asked for.
    pub(crate) async fn run(&self, library: &Library, at: &Registration, asked: Value) -> Result<Value, String> {
        let mut asked = asked;
        asked["library"] = json!(library.name);
        let mut command = library.command(&asked, self.files.path()).await;
        let environment = HashMap::from([
            ("TOKEND_URL", self.front.base.as_str()),
            ("APP", at.app),
            ("CLIENT_ID", &at.client_id),
            ("CALLER_TOKEN", at.secret),
            ("ISSUER", &at.issuer),
            ("AUTHORIZE_URL", &at.authorize),
            ("REDIRECT_URI", REDIRECT_URI),
        ]);
        command.envs(environment);
        let mut program = Program::start(command);
        let mut line = program.line().await;
        if let Some(url) = line["url"].as_str() {
            let back = Browser::new(&self.emulator, at.user).sign_in(url).await;
            program.tell(&back.url());
            line = program.line().await;
        }
        match line["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(line["answer"].clone()),
        }
    }

    /// Likewise, where that has to be an answer.
    #[track_caller]
    pub(crate) fn answer(&self, library: &Library, at: &Registration, asked: Value) -> impl Future<Output = Value> {
        let said = format!("{} as {}: {asked}", library.name, at.app);
        async move { self.run(library, at, asked).await.unwrap_or_else(|error| panic!("{said}: {error}")) }
    }

    /// How long the token of a sign-in lasts is not said, so that the first refresh has to ask the authority.
    pub(crate) async fn forgets_the_first_token(&self) {
        let on = json!({"endpoint": "token", "grant_type": "authorization_code"});
        self.emulator.script(json!({"on": on, "do": {"set": {"expires_in": 0}}})).await;
    }

    /// How often the authority was asked for this grant.
    pub(crate) async fn asked(&self, grant: &str) -> usize {
        self.emulator.asked("token").await.iter().filter(|request| request["grant_type"] == grant).count()
    }

    /// Both replicas seal with a new key from now on, and read what the old one sealed.
    pub(crate) async fn rotate(&mut self) {
        std::fs::write(self.files.path().join("key-ring"), ring(&["second", "first"])).expect("a file");
        for index in 0..self.fleet.len() {
            self.fleet.signal(index, "HUP");
            let fleet = &self.fleet;
            eventually(SOON, async || fleet.metric(index, "tokend_key_ring_key{kid=\"second\"}").await == 1.0).await;
        }
    }
}

/// A key ring's text; its first key is the one that seals. The keys depend on their ids alone.
fn ring(kids: &[&str]) -> String {
    let line = |id: &str| format!("{id}:{}\n", STANDARD.encode(digest(&SHA256, id.as_bytes())));
    std::iter::once(line("name")).chain(kids.iter().map(|kid| line(kid))).collect()
}

/// The handle of an answer, which is sealed by this key.
#[track_caller]
pub(crate) fn handle(answer: &Value, kid: &str) -> String {
    let handle = answer["refresh_token"].as_str().unwrap_or_else(|| panic!("no handle: {answer:#}"));
    let sealed = handle.strip_prefix("tkd1.").unwrap_or_else(|| panic!("the authority's own refresh token: {answer:#}"));
    let sealed = URL_SAFE_NO_PAD.decode(sealed).expect("base64url");
    assert!(sealed.windows(kid.len()).any(|bytes| bytes == kid.as_bytes()), "it is not sealed by {kid}");
    handle.to_owned()
}

/// A token of the application's own.
async fn of_app(stage: &Stage, library: &Library, at: &Registration) {
    let answer = stage.answer(library, at, json!({"flow": "app", "scope": at.scopes[0]})).await;
    is_of_app(at, &answer);
    assert_eq!(answer.get("refresh_token"), None, "{answer:#}");
}

#[track_caller]
pub(crate) fn is_of_app(at: &Registration, answer: &Value) {
    let claims = claims(answer["access_token"].as_str().expect("a token"));
    let client = claims.get("appid").or(claims.get("client_id")).or(claims.get("azp"));
    assert_eq!(client, Some(&json!(at.client_id)), "{claims:#}");
}

/// The user's token of an answer.
#[track_caller]
pub(crate) fn of_user(at: &Registration, answer: &Value) -> String {
    let token = answer["access_token"].as_str().expect("a token");
    let claims = claims(token);
    let user = claims.get("upn").or(claims.get("preferred_username"));
    assert_eq!(user, Some(&json!(at.user)), "{claims:#}");
    token.to_owned()
}

/// A sign-in, and three refreshes without a scope: here, at another replica, and after the ring's rotation.
async fn signs_in_and_refreshes(stage: &mut Stage, library: &Library, at: &Registration) {
    stage.forgets_the_first_token().await;
    let code = json!({"flow": "code", "scope": at.scopes[1]});
    let answer = stage.answer(library, at, code).await;
    let signed_in = of_user(at, &answer);
    let refresh = |handle: String| json!({"flow": "refresh", "refresh_token": handle});
    let answer = stage.answer(library, at, refresh(handle(&answer, "first"))).await;
    let refreshed = of_user(at, &answer);
    assert_ne!(refreshed, signed_in);
    stage.front.to(stage.fleet.client(1));
    let answer = stage.answer(library, at, refresh(handle(&answer, "first"))).await;
    assert_eq!(of_user(at, &answer), refreshed, "the other replica has it of the shared cache");
    let old = handle(&answer, "first");
    stage.rotate().await;
    let answer = stage.answer(library, at, refresh(old)).await;
    assert_eq!(of_user(at, &answer), refreshed);
    stage.front.to(stage.fleet.client(0));
    let answer = stage.answer(library, at, refresh(handle(&answer, "second"))).await;
    assert_eq!(of_user(at, &answer), refreshed);
    assert_eq!((stage.asked("authorization_code").await, stage.asked("refresh_token").await), (1, 1));
}

pub(crate) async fn at_entra(library: &Library) {
    let mut stage = Stage::new().await;
    let at = stage.entra();
    of_app(&stage, library, &at).await;
    signs_in_and_refreshes(&mut stage, library, &at).await;
}

pub(crate) async fn at_an_issuer(library: &Library) {
    let mut stage = Stage::new().await;
    let at = stage.shop().await;
    of_app(&stage, library, &at).await;
    signs_in_and_refreshes(&mut stage, library, &at).await;
}

pub(crate) async fn is_told_why(library: &Library) {
    let stage = Stage::new().await;
    let at = stage.entra();
    let refresh = json!({"flow": "refresh", "refresh_token": "0.AAAA-of-the-authority"});
    let error = stage.run(library, &at, refresh).await.expect_err("no handle");
    assert!(error.contains("invalid_grant"), "{error}");
    assert_eq!(stage.asked("refresh_token").await, 0, "it was sent nowhere");
    let app = || json!({"flow": "app", "scope": at.scopes[0]});
    let nobody = Registration { client_id: "nobody".to_owned(), ..stage.entra() };
    let error = stage.run(library, &nobody, app()).await.expect_err("no such app");
    assert!(error.contains("unauthorized_client"), "{error}");
    let stranger = Registration { secret: "not-a-token-of-any-caller", ..stage.entra() };
    let error = stage.run(library, &stranger, app()).await.expect_err("no such caller");
    assert!(error.contains("invalid_client"), "{error}");
}
