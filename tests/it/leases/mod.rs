//! Leases, and what must not be sent twice: real processes that are stopped, cut off and killed in mid-call, and caches under the
//! control of the test.
//!
//! `TOKEND_TIMES` says how often each directed case is run; a few times by itself.

mod direct;
mod evicted;
mod lineage;
mod stopped;

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use crate::support::redis::RedisServer;
use crate::support::{Answer, Client, Emulator, Fault, Fleet, code, configuration, eventually};

/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// What users sign in for, and what is asked for besides: another token, which a refresh token brings.
const ALL: &str = "orders.read orders.write stock.read";
const PART: &str = "stock.read";
const OTHER_PART: &str = "orders.read";
/// How many accounts are worked on at a time: fewer than calls to the authority may be under way.
const AT_ONCE: usize = 25;

/// An issuer whose refresh tokens are good for one use, a Redis, and two processes, the first of which finds Redis behind a network
/// that fails on command.
struct Processes {
    emulator: Emulator,
    fleet: Fleet,
    redis: RedisServer,
    fault: Fault,
    _files: TempDir,
}

/// How often a directed case is run.
fn times(usual: usize) -> usize {
    std::env::var_os("TOKEND_TIMES").and_then(|times| times.to_str()?.parse().ok()).unwrap_or(usual)
}

/// The cases as accounts, in portions that are worked on at a time.
fn portions(usual: usize) -> Vec<usize> {
    let times = times(usual);
    (0..times).step_by(AT_ONCE).map(|done| (times - done).min(AT_ONCE)).collect()
}

impl Processes {
    /// Calls to the authority may take so long.
    async fn calling_within(timeout: &str, redis: RedisServer) -> Self {
        let mut directory = Emulator::built_in();
        let users = directory["realms"][0]["users"].as_array_mut().expect("users");
        for number in 0..AT_ONCE {
            let name = format!("user-{number}");
            users.push(json!({"username": name, "password": "p", "sub": format!("sub-{number}"), "name": name, "email": format!("{name}@shop.example")}));
        }
        let emulator = Emulator::start_with(&Clock::system(), Some(&directory)).await;
        let fault = Fault::to(format!("127.0.0.1:{}", redis.port())).await;
        let files = tempfile::tempdir().expect("a folder");
        let ring = format!("name:{}\nfirst:{}\n", STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
        std::fs::write(files.path().join("key-ring"), ring).expect("a file");
        let (origin, folder) = (emulator.origin.clone(), files.path().display().to_string());
        let yaml = configuration(&emulator, &files);
        let offline = format!(
            "  shop-offline: {{issuer: \"{origin}/oidc/shop\", ca_file: {folder}/ca.pem, client_id: shop-web, offline_access: true, \
             credential: {{secret: {{file: {folder}/shop-web.secret}}}}}}\napis:\n"
        );
        let yaml = yaml.replacen("apis:\n", &offline, 1);
        let yaml = yaml.replace("authority: {", &format!("authority: {{timeout: {timeout}, "));
        let urls = [format!("redis://{}", fault.address()), redis.url()];
        let fleet = Fleet::start(2, |index| {
            let url = &urls[index];
            format!(
                "{yaml}limits: {{request_timeout: 60s}}\ncache: {{redis: {{url: \"{url}\", timeout: 1s, encryption: {{key_ring: {{file: {folder}/key-ring}}}}}}}}\n"
            )
        })
        .await;
        Self { emulator, fleet, redis, fault, _files: files }
    }

    /// Signs so many users in at the first process; returns their accounts.
    async fn signed_in(&self, count: usize) -> Vec<String> {
        let client = self.fleet.client(0);
        let signed = (0..count).map(async |number| {
            let code = code(&self.emulator, client, "shop-offline", ALL, &format!("user-{number}")).await;
            let answer = client.post("/auth-code", &code).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.json["account"]["home_account_id"].as_str().expect("an account").to_owned()
        });
        join_all(signed).await
    }

    /// Holds the answers to refresh tokens back.
    async fn hold(&self) {
        self.emulator.script(json!({"on": {"grant_type": "refresh_token"}, "times": 0, "do": {"hold": true}})).await;
    }

    /// The refresh tokens that were sent, oldest first.
    async fn sent(&self) -> Vec<String> {
        let asked = self.emulator.asked("token").await;
        let tokens = asked.iter().filter(|call| call["grant_type"] == "refresh_token");
        tokens.map(|call| call["form"]["refresh_token"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until so many were sent.
    async fn sent_are(&self, count: usize) {
        eventually(PATIENCE, async || self.sent().await.len() >= count).await;
    }

    /// No refresh token was sent twice.
    async fn none_was_sent_twice(&self) {
        let mut counts = HashMap::<String, usize>::new();
        for token in self.sent().await {
            *counts.entry(token).or_default() += 1;
        }
        let twice = counts.values().filter(|count| **count > 1).count();
        assert_eq!(twice, 0, "of {} refresh tokens so many were sent twice", counts.len());
    }

    /// How often the second process asked for leases.
    async fn claims(&self) -> f64 {
        self.fleet.metric(1, "tokend_redis_requests_total{op=\"claim\",outcome=\"ok\"}").await
    }

    /// Waits until each of so many requests at the second process has asked for its lease often enough to have waited for more than
    /// four seconds: at most 40 times a second.
    async fn waited_beyond_the_lease(&self, requests: usize) {
        let before = self.claims().await;
        let enough = f64::from(u32::try_from(requests).expect("a few")) * 4.5 * 22.0;
        eventually(PATIENCE, async || self.claims().await - before >= enough).await;
    }

    /// Every account is still signed in, everywhere.
    async fn all_go_on(&self, accounts: &[String]) {
        for index in 0..self.fleet.len() {
            let asked = accounts.iter().map(|account| silent(self.fleet.client(index), account, OTHER_PART, true));
            for answer in join_all(asked).await {
                assert_eq!(answer.source(), "identity_provider");
            }
        }
        self.none_was_sent_twice().await;
    }
}

/// `POST /silent`.
async fn silent(client: &Client, account: &str, scopes: &str, forced: bool) -> Answer {
    client.post("/silent", &body(account, scopes, forced)).await
}

fn body(account: &str, scopes: &str, forced: bool) -> Value {
    json!({"app": "shop-offline", "account": account, "scopes": scopes, "force_refresh": forced})
}
