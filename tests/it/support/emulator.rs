//! The emulator in this process, driven over its own HTTP interface as any test of any language would.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokend::clock::Clock;
use tokend_emulator::{Options, bind};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Client;

/// A running emulator; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Emulator {
    pub(crate) origin: String,
    /// Where it listens on this machine.
    pub(crate) port: u16,
    pub(crate) ca_pem: String,
    pub(crate) directory: Value,
    pub(crate) client: Client,
    _stop: DropGuard,
}

impl Emulator {
    /// Starts one that dates its tokens by `clock`.
    pub(crate) async fn start(clock: &Clock) -> Self {
        Self::start_with(clock, None).await
    }

    /// The built-in directory as it stands in its file, to be changed for [`Emulator::start_with`].
    pub(crate) fn built_in() -> Value {
        serde_json::from_str(include_str!("../../../emulator/src/builtin.json")).expect("a directory")
    }

    /// Starts one with another directory than the built-in one.
    pub(crate) async fn start_with(clock: &Clock, directory: Option<&Value>) -> Self {
        Self::start_named(clock, directory, &[]).await
    }

    /// Starts one under names that others would reach it by; the first is the one in its URLs.
    pub(crate) async fn start_named(clock: &Clock, directory: Option<&Value>, hosts: &[&str]) -> Self {
        Self::start_reached_at(clock, directory, (hosts, None)).await
    }

    /// As [`Emulator::start_named`], where others reach it at this port, because something in between leads them here.
    #[expect(clippy::disallowed_methods, reason = "the emulator knows nothing of the sidecar's tasks")]
    pub(crate) async fn start_reached_at(clock: &Clock, directory: Option<&Value>, (hosts, port): (&[&str], Option<u16>)) -> Self {
        let now = clock.clone();
        let file = directory.map(|directory| {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(directory.to_string().as_bytes()).expect("a written file");
            file
        });
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            port,
            tls: None,
            ca_file: None,
            directory: file.as_ref().map(|file| file.path().to_owned()),
            now: Arc::new(move || now.wall()),
        };
        let emulator = bind(options).await.expect("an emulator");
        let (origin, ca_pem, directory) = (emulator.origin().to_owned(), emulator.ca_pem().to_owned(), emulator.directory());
        let port = emulator.port();
        let stop = CancellationToken::new();
        tokio::spawn(emulator.run(stop.clone()));
        let client = Client::new(&format!("https://127.0.0.1:{port}"), Some(&ca_pem));
        Self { origin, port, ca_pem, directory, client, _stop: stop.drop_guard() }
    }

    /// An app of the directory.
    pub(crate) fn app(&self, name: &str) -> &Value {
        Self::named(&self.directory["apps"], "name", name)
    }

    /// A client of the realm `shop`.
    pub(crate) fn shop(&self, client_id: &str) -> &Value {
        Self::named(&self.directory["realms"][0]["clients"], "client_id", client_id)
    }

    fn named<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
        let entries = list.as_array().expect("a list");
        entries.iter().find(|entry| entry[key] == name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// The key and certificate of an entry, as one PEM text.
    pub(crate) fn pem(entry: &Value) -> String {
        let first = &entry["certificates"][0];
        format!("{}\n{}", first["key_pem"].as_str().expect("a key"), first["pem"].as_str().expect("a certificate"))
    }

    /// The client secret of an entry.
    pub(crate) fn secret(entry: &Value) -> &str {
        let first = &entry["secrets"][0];
        first.as_str().or_else(|| first["value"].as_str()).expect("a secret")
    }

    /// Adds a rule to the script.
    pub(crate) async fn script(&self, rule: Value) {
        let answer = self.client.post("/_emulator/script", &rule).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// Drops all rules and lets go of everything held.
    pub(crate) async fn unscript(&self) {
        let request = self.client.http.delete(format!("{}/_emulator/script", self.client.base));
        assert!(Client::send(request).await.status < 300);
    }

    /// Lets go of what is held now.
    pub(crate) async fn release(&self) {
        assert!(self.client.post("/_emulator/release", &json!({})).await.status < 300);
    }

    /// Rotates the signing keys.
    pub(crate) async fn rotate_keys(&self, keep_old: bool) {
        let answer = self.client.post("/_emulator/keys/rotate", &json!({"keep_old": keep_old})).await;
        assert!(answer.status < 300, "{}", answer.text);
    }

    /// Everything that was asked since the start.
    pub(crate) async fn requests(&self) -> Vec<Value> {
        self.client.get("/_emulator/requests").await.json.as_array().cloned().unwrap_or_default()
    }

    /// What was asked of an endpoint (`token`, `keys`, `discovery`, …), oldest first.
    pub(crate) async fn asked(&self, endpoint: &str) -> Vec<Value> {
        self.requests().await.into_iter().filter(|request| request["endpoint"] == endpoint).collect()
    }

    /// Waits until an endpoint was asked `count` times; fails after five seconds.
    pub(crate) async fn asked_times(&self, endpoint: &str, count: usize) -> Vec<Value> {
        for _ in 0..500 {
            let asked = self.asked(endpoint).await;
            if asked.len() >= count {
                return asked;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{endpoint} was not asked {count} times: {:?}", self.asked(endpoint).await);
    }

    /// Mints a token.
    pub(crate) async fn mint(&self, order: Value) -> String {
        let answer = self.client.post("/_emulator/token", &order).await;
        answer.json["token"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
    }

    /// A token of `user` for orders-api, as its front end would send it.
    pub(crate) async fn user_token(&self, user: &str) -> String {
        self.mint(json!({"app": "orders-api", "user": user, "scopes": "access_as_user"})).await
    }

    /// Follows an authorize URL as a browser that is signed in would; returns where it was sent.
    pub(crate) async fn sign_in(&self, url: &str) -> url::Url {
        let answer = Client::send(self.client.http.get(url)).await;
        url::Url::parse(answer.header("location")).unwrap_or_else(|_| panic!("no redirect: {} {}", answer.status, answer.text))
    }
}

/// A query parameter of a URL.
pub(crate) fn parameter(url: &url::Url, name: &str) -> String {
    url.query_pairs().find(|(mine, _)| mine == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}
