//! The way out through an HTTP proxy: who takes it, who never does, and what the proxy is told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;
use tokend::clock::Clock;

use crate::support::redis::RedisServer;
use crate::support::{Answer, Emulator, GRAPH, NOW, Proxy, Sidecar, configuration};

/// A name that leads nowhere: only the proxy knows the way.
const ELSEWHERE: &str = "login.example.test";
/// An address that is this machine's, and does not look so.
const HERE: &str = "0.0.0.0";

/// An emulator of that name, a proxy, and a sidecar.
struct Stage {
    emulator: Emulator,
    proxy: Proxy,
    sidecar: Sidecar,
    _files: TempDir,
}

impl Stage {
    /// `more` is further configuration, in which `PROXY` stands for the proxy's address.
    async fn new(host: &str, more: &str) -> Self {
        let (clock, proxy) = (Clock::manual(NOW), Proxy::start().await);
        let emulator = Emulator::start_named(&clock, None, &[host]).await;
        let files = tempfile::tempdir().expect("a folder");
        let more = more.replace("PROXY", &proxy.address.to_string());
        let sidecar = Sidecar::start(&format!("{}{more}\n", configuration(&emulator, &files)), &clock).await;
        Self { emulator, proxy, sidecar, _files: files }
    }

    async fn ask(&self, app: &str, scopes: &str) -> Answer {
        self.sidecar.client.post("/client-credentials", &json!({"app": app, "scopes": scopes})).await
    }

    fn target(&self) -> String {
        format!("CONNECT {}", self.emulator.origin.trim_start_matches("https://"))
    }

    /// What the proxy was asked, each once.
    fn asked(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.proxy.asked().into_iter().map(|asked| asked.line).collect();
        lines.dedup();
        lines
    }
}

#[tokio::test]
async fn calls_go_through_the_proxy_with_its_user() {
    let stage = Stage::new(ELSEWHERE, "outbound: {proxy: 'http://tokend:p%40ss-canary@PROXY'}").await;
    // The token endpoint, and documents that an issuer publishes.
    stage.ask("daemon", GRAPH).await.token();
    stage.ask("shop", "stock.read").await.token();
    assert_eq!(stage.asked(), [stage.target()]);
    let expected = format!("Basic {}", STANDARD.encode("tokend:p@ss-canary"));
    assert!(stage.proxy.asked().iter().all(|asked| asked.authorization.as_ref() == Some(&expected)));
    let status = stage.sidecar.admin.get("/status").await.text;
    assert!(!status.contains("canary"), "{status}");
    // The authority hears nothing of the proxy.
    for request in stage.emulator.requests().await {
        assert!(request["headers"]["proxy-authorization"].is_null(), "{request}");
    }
}

#[tokio::test]
async fn hosts_that_no_proxy_names_are_reached_without() {
    let through = Stage::new(HERE, "outbound: {proxy: 'http://PROXY'}").await;
    through.ask("daemon", GRAPH).await.token();
    assert_eq!(through.asked(), [through.target()]);
    for exempt in ["0.0.0.0", "0.0.0.0/8", "'*'"] {
        let past = Stage::new(HERE, &format!("outbound: {{proxy: 'http://PROXY', no_proxy: [other.example, {exempt}]}}")).await;
        past.ask("daemon", GRAPH).await.token();
        assert!(past.asked().is_empty(), "{exempt}: {:?}", past.asked());
    }
}

#[tokio::test]
async fn loopback_is_never_proxied() {
    for host in ["127.0.0.1", "localhost"] {
        let stage = Stage::new(host, "outbound: {proxy: 'http://PROXY'}").await;
        stage.ask("daemon", GRAPH).await.token();
        stage.ask("shop", "stock.read").await.token();
        assert!(stage.asked().is_empty(), "{host}: {:?}", stage.asked());
    }
}

#[tokio::test]
async fn redis_is_never_proxied() {
    let redis = RedisServer::start().await;
    let cache = format!("cache: {{redis: {{url: '{}', timeout: 1s, encryption: {{plaintext: true}}}}}}", redis.url());
    let stage = Stage::new(ELSEWHERE, &format!("outbound: {{proxy: 'http://PROXY'}}\n{cache}")).await;
    stage.ask("daemon", GRAPH).await.token();
    assert!(!redis.keys().await.is_empty(), "nothing was stored: Redis was not reached");
    assert_eq!(stage.asked(), [stage.target()]);
}

#[tokio::test]
async fn a_proxy_that_is_away_is_an_authority_that_is_away() {
    let stage = Stage::new(ELSEWHERE, "outbound: {proxy: 'http://127.0.0.1:1'}").await;
    stage.ask("daemon", GRAPH).await.refused(503, "authority_unavailable", "cannot be reached");
}
