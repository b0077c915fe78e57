//! Tests over the wire: a real emulator, real TLS, and a client that knows only its directory.

mod adfs;
mod assertions;
mod b2c;
mod ciam;
mod clients;
mod codes;
mod entra;
mod keys;
mod oidc;
mod public;
mod renewals;
mod saml;
mod scripted;
mod sessions;
mod sign_out;
mod tls;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Emulator, Options};

type Tested = Result<(), Box<dyn std::error::Error>>;
type Got<T> = Result<T, Box<dyn std::error::Error>>;

const CONTOSO: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
const FABRIKAM: &str = "3f1c7a52-6d0b-4c8e-9a47-51e2d8b6f0c3";
const ORDERS: &str = "2c5f3a0e-6f0a-4f0e-9d5b-0a4f5f3f9b11";
const WEB: &str = "5b0c2e7a-9d41-4f36-8a1c-7e02b94d6f15";
const CALLBACK: &str = "http://localhost:3000/callback";
const START: u64 = 1_795_239_748;

/// A running emulator with a clock that only tests move.
struct House {
    origin: String,
    directory: Value,
    client: reqwest::Client,
    clock: Arc<AtomicU64>,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

/// An answer, read.
struct Reply {
    status: u16,
    headers: HashMap<String, String>,
    text: String,
}

impl House {
    async fn new() -> Got<Self> {
        Self::of(None).await
    }

    async fn of(directory: Option<std::path::PathBuf>) -> Got<Self> {
        let clock = Arc::new(AtomicU64::new(START));
        let emulator = crate::bind(options(&clock, directory)).await?;
        let shutdown = CancellationToken::new();
        let (origin, directory) = (emulator.origin().to_owned(), emulator.directory());
        let ca = reqwest::Certificate::from_pem(emulator.ca_pem().as_bytes())?;
        let client =
            reqwest::Client::builder().tls_certs_only([ca]).no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(Emulator::run(emulator, shutdown.clone()));
        Ok(Self { origin, directory, client, clock, shutdown, tasks })
    }

    fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    fn now(&self) -> i64 {
        i64::try_from(self.clock.load(Ordering::SeqCst)).unwrap_or_default()
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> Got<Reply> {
        // By the client that the request was made with.
        let (client, request) = request.build_split();
        let response = client.execute(request?).await?;
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
        Ok(Reply { status: response.status().as_u16(), headers: headers.collect(), text: response.text().await? })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    async fn get(&self, path: &str) -> Got<Value> {
        self.call(self.client.get(self.url(path))).await?.json()
    }

    async fn form(&self, path: &str, form: &[(&str, &str)]) -> Got<Reply> {
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(self.url(path)).header("content-type", "application/x-www-form-urlencoded");
        self.call(request.body(body)).await
    }

    /// A request to contoso's token endpoint.
    async fn token(&self, form: &[(&str, &str)]) -> Got<Reply> {
        self.form(&format!("/{CONTOSO}/oauth2/v2.0/token"), form).await
    }

    async fn control(&self, path: &str, body: Value) -> Got<Reply> {
        self.call(self.client.post(self.url(&format!("/_emulator/{path}"))).body(body.to_string())).await
    }

    async fn script(&self, rule: Value) -> Tested {
        let reply = self.control("script", rule).await?;
        assert_eq!(reply.status, 200, "{}", reply.text);
        Ok(())
    }

    async fn mint(&self, order: Value) -> Got<String> {
        let reply = self.control("token", order).await?;
        assert_eq!(reply.status, 200, "{}", reply.text);
        Ok(reply.json()?["token"].as_str().ok_or("no token")?.to_owned())
    }

    /// The requests received, once one of them satisfies `enough`: yields instead of sleeping.
    async fn requests_until(&self, enough: impl Fn(&Value) -> bool) -> Got<Vec<Value>> {
        loop {
            let all = self.get("/_emulator/requests").await?;
            let all = all.as_array().ok_or("not an array")?.clone();
            if all.iter().any(&enough) {
                return Ok(all);
            }
            tokio::task::yield_now().await;
        }
    }

    fn app(&self, name: &str) -> Value {
        let apps = self.directory["apps"].as_array();
        apps.and_then(|apps| apps.iter().find(|app| app["name"] == name)).cloned().unwrap_or_default()
    }

    /// Ends the emulator and waits for it.
    async fn end(mut self) -> Tested {
        self.shutdown.cancel();
        self.tasks.join_next().await.ok_or("it never ran")??;
        Ok(())
    }
}

impl Reply {
    fn json(&self) -> Got<Value> {
        Ok(serde_json::from_str(&self.text).map_err(|error| format!("{error}: {} {}", self.status, self.text))?)
    }

    /// Status and first number of an error, 0 for none.
    fn aadsts(&self) -> Got<(u16, u64)> {
        Ok((self.status, self.json()?["error_codes"][0].as_u64().unwrap_or_default()))
    }
}

fn options(clock: &Arc<AtomicU64>, directory: Option<std::path::PathBuf>) -> Options {
    let clock = Arc::clone(clock);
    Options {
        listen: ([127, 0, 0, 1], 0).into(),
        port: None,
        hosts: Vec::new(),
        tls: None,
        ca_file: None,
        directory,
        now: Arc::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::SeqCst))),
    }
}

/// Claims of a token, unverified.
fn claims(token: &Value) -> Got<Value> {
    let jws = crate::jose::Jws::parse(token.as_str().ok_or("no token")?).ok_or("no JWS")?;
    Ok(Value::Object(jws.claims))
}

/// The form of daemon's client credentials, with its secret.
fn daemon(scope: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "client_credentials"),
        ("client_id", "a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350"),
        ("client_secret", "daemon-secret-for-tests-only"),
        ("scope", scope),
    ]
}

/// The form of orders-api's on-behalf-of.
fn obo<'a>(assertion: &'a str, scope: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("client_id", ORDERS),
        ("client_secret", "orders-secret-for-tests-only"),
        ("assertion", assertion),
        ("requested_token_use", "on_behalf_of"),
        ("scope", scope),
        ("client_info", "1"),
    ]
}

#[tokio::test]
async fn only_loopback_is_listened_on() -> Tested {
    let clock = Arc::new(AtomicU64::new(START));
    let everywhere = Options { listen: ([0, 0, 0, 0], 0).into(), ..options(&clock, None) };
    assert!(matches!(crate::bind(everywhere).await, Err(crate::StartError::NotLoopback(_))));
    for bad in ["https://emulator", "emulator:8652", "", "a b"] {
        let named = Options { hosts: vec![bad.to_owned()], ..options(&clock, None) };
        assert!(matches!(crate::bind(named).await, Err(crate::StartError::Host(_))), "{bad}");
    }
    Ok(())
}

#[tokio::test]
async fn a_name_for_others_is_in_its_urls() -> Tested {
    let clock = Arc::new(AtomicU64::new(START));
    let hosts = vec!["emulator.ns.svc".to_owned(), "emulator".to_owned()];
    let emulator = crate::bind(Options { hosts, ..options(&clock, None) }).await?;
    assert!(emulator.origin().starts_with("https://emulator.ns.svc:"), "{}", emulator.origin());
    assert_eq!(emulator.directory()["origin"], emulator.origin());
    Ok(())
}

#[tokio::test]
async fn the_ca_and_the_directory_are_files() -> Tested {
    let folder = tempfile::tempdir()?;
    let clock = Arc::new(AtomicU64::new(START));
    let (ca, wrong) = (folder.path().join("ca.pem"), folder.path().join("wrong.json"));
    std::fs::write(&wrong, json!({"tenants": [], "apps": [], "users": [], "realm": []}).to_string())?;
    let error = crate::bind(options(&clock, Some(wrong))).await.err().ok_or("a typo passed")?;
    assert!(error.to_string().contains("realm"), "{error}");

    let emulator = crate::bind(Options { ca_file: Some(ca.clone()), ..options(&clock, None) }).await?;
    assert_eq!(std::fs::read_to_string(ca)?, emulator.ca_pem());
    assert!(emulator.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    Ok(())
}

#[tokio::test]
async fn the_directory_tells_everything() -> Tested {
    let house = House::new().await?;
    let told = house.get("/_emulator/directory").await?;
    assert_eq!(told, house.directory);
    assert_eq!(told["origin"], house.origin);
    assert_eq!(told["tenants"][0]["id"], CONTOSO);
    assert_eq!(told["users"][0]["password"], "ana-password");
    let web = house.app("web");
    assert!(web["certificates"][0]["key_pem"].as_str().is_some_and(|pem| pem.starts_with("-----BEGIN PRIVATE KEY-----")));
    let browser = house.client.get(house.url("/_emulator/directory")).header("origin", "https://evil.example");
    assert_eq!(house.call(browser).await?.status, 403);
    house.end().await
}
