//! Connections to the authority that go silent: one dead connection costs one attempt,
//! and never the only one (contract, cache point 7).
//!
//! No test waits for the pings of HTTP/2: whether a connection is alive shows in the first attempt.

use futures_util::future::join_all;
use serde_json::json;
use tokend::clock::Clock;

use super::USER_READ;
use crate::support::{Answer, Emulator, Fault, GRAPH, NOW, Plain, Proxy, Sidecar, World, configuration};

/// Scopes of APIs that the app `daemon` may have, beside Graph's.
const ORDERS: &str = "api://orders/.default";
const BILLING: &str = "api://billing/.default";
const PARTNER: &str = "api://partner/.default";

/// An address that is this machine's, and does not look so: it is proxied.
const HERE: &str = "0.0.0.0";

const LOST: &str = "tokend_authority_calls_total{error=\"timeout\",grant=\"client_credentials\",status=\"none\"}";
const REPLACED: &str = "tokend_authority_clients_replaced_total";

/// The usual world with a network to its authority that can fail. An attempt has half of the time-out.
struct Stage {
    world: World,
    network: Fault,
    /// What else stands between the two.
    _way: (Option<Plain>, Option<Proxy>),
}

// === impl Stage ===

impl Stage {
    async fn made(
        emulator: Emulator,
        network: Fault,
        way: (Option<Plain>, Option<Proxy>),
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let (clock, files) = (Clock::manual(NOW), tempfile::tempdir().expect("a folder"));
        let yaml = change(configuration(&emulator, &files)).replace("authority: {retry", "authority: {timeout: 6s, retry");
        let sidecar = Sidecar::start(&yaml, &clock).await;
        Self { world: World { emulator, sidecar, clock, files }, network, _way: way }
    }

    /// Over HTTP/2: every call shares one connection.
    async fn http2() -> Self {
        let emulator = Emulator::start(&Clock::manual(NOW)).await;
        let host = emulator.origin.trim_start_matches("https://").to_owned();
        let network = Fault::to(&host).await;
        let here = network.address().to_string();
        Self::made(emulator, network, (None, None), |yaml| yaml.replace(&host, &here)).await
    }

    /// Over HTTP/1.1: each call has a connection, which is kept after it.
    async fn http1() -> Self {
        let emulator = Emulator::start(&Clock::manual(NOW)).await;
        let origin = emulator.origin.clone();
        let plain = Plain::to(origin.trim_start_matches("https://"), &emulator.ca_pem).await;
        let network = Fault::to(plain.address).await;
        let here = format!("http://{}", network.address());
        let change = |yaml: String| {
            // Issuers name themselves in what they publish: they stay where they are.
            let line = |line: &str| {
                let there = line.contains("authority: \"");
                if there {
                    line.replace(&origin, &here).replace("ca_file:", "insecure_http: true, ca_file:")
                } else {
                    line.to_owned()
                }
            };
            yaml.lines().map(|text| line(text) + "\n").collect()
        };
        Self::made(emulator, network, (Some(plain), None), change).await
    }

    /// Through a proxy, to which the network leads: what the authority publishes is fetched through it, too.
    async fn proxied() -> Self {
        let (emulator, proxy) = (Emulator::start_named(&Clock::manual(NOW), None, &[HERE]).await, Proxy::start().await);
        let network = Fault::to(proxy.address).await;
        let outbound = format!("outbound: {{proxy: 'http://{}'}}\n", network.address());
        Self::made(emulator, network, (None, Some(proxy)), |yaml| yaml + &outbound).await
    }

    async fn ask(&self, scopes: &str) -> Answer {
        self.world.app_token(json!({"app": "daemon", "scopes": scopes})).await
    }

    /// A connection is made and kept.
    async fn connected(&self) {
        self.ask(GRAPH).await.token();
        assert_eq!(self.network.connections(), 1);
    }

    /// As many connections are made and kept as there are scopes.
    async fn connected_by(&self, scopes: &[&str]) {
        self.world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hold": true}})).await;
        let asking = join_all(scopes.iter().map(|scopes| self.ask(scopes)));
        let releasing = async {
            self.world.emulator.asked_times("token", scopes.len()).await;
            self.world.emulator.unscript().await;
        };
        for answer in tokio::join!(asking, releasing).0 {
            answer.token();
        }
        assert_eq!(self.network.connections(), scopes.len());
    }

    async fn metric(&self, sample: &str) -> f64 {
        self.world.sidecar.metric(sample).await
    }

    /// How often the authority was sent this grant.
    async fn sent(&self, grant: &str) -> usize {
        let asked = self.world.emulator.asked("token").await;
        asked.iter().filter(|request| request["form"]["grant_type"] == grant).count()
    }

    /// How many calls with it were answered by a token.
    async fn answered(&self, grant: &str) -> f64 {
        self.metric(&format!("tokend_authority_calls_total{{error=\"none\",grant=\"{grant}\",status=\"2xx\"}}")).await
    }
}

/// A silent connection costs one attempt, of whatever way to the authority.
async fn one_attempt_is_lost(stage: Stage) {
    stage.connected().await;
    stage.network.black_hole();
    stage.ask(ORDERS).await.token();
    assert_eq!((stage.metric(LOST).await, stage.metric(REPLACED).await), (1.0, 1.0));
    for scopes in [BILLING, PARTNER] {
        stage.ask(scopes).await.token();
    }
    assert_eq!((stage.metric(LOST).await, stage.metric(REPLACED).await), (1.0, 1.0), "a second attempt was lost");
    assert_eq!(stage.world.calls().await, 4);
}

#[tokio::test]
async fn err_2_a_silent_http2_connection_costs_one_attempt() {
    one_attempt_is_lost(Stage::http2().await).await;
}

#[tokio::test]
async fn err_2_a_silent_http1_connection_costs_one_attempt() {
    one_attempt_is_lost(Stage::http1().await).await;
}

#[tokio::test]
async fn err_2_a_silent_connection_through_a_proxy_costs_one_attempt() {
    one_attempt_is_lost(Stage::proxied().await).await;
}

#[tokio::test]
async fn err_2_all_kept_connections_of_the_authority_go_with_a_silent_one() {
    let stage = Stage::http1().await;
    stage.connected_by(&[GRAPH, ORDERS, BILLING]).await;
    stage.network.black_hole();
    stage.ask(PARTNER).await.token();
    // Two of the three are left as far as the pool knows: neither is used any more.
    for app in ["orders-secret", "web", "billing"] {
        let body = json!({"app": app, "scopes": GRAPH});
        stage.world.app_token(body).await.token();
    }
    assert_eq!((stage.metric(LOST).await, stage.metric(REPLACED).await), (1.0, 1.0));
}

#[tokio::test]
async fn err_2_calls_that_lose_one_connection_together_replace_it_once() {
    let stage = Stage::http2().await;
    stage.connected().await;
    stage.network.black_hole();
    for answer in join_all([ORDERS, BILLING, PARTNER].map(|scopes| stage.ask(scopes))).await {
        answer.token();
    }
    assert_eq!((stage.metric(LOST).await, stage.metric(REPLACED).await), (3.0, 1.0));
}

#[tokio::test]
async fn err_2_what_the_authority_publishes_is_fetched_past_a_silent_connection() {
    let stage = Stage::proxied().await;
    let ana = stage.world.emulator.user_token("ana@contoso.example").await;
    stage.connected().await;
    stage.network.black_hole();
    // Documents and keys, before the grant.
    stage.world.obo(&ana).await.token();
    assert_eq!(stage.metric(REPLACED).await, 1.0);
    let lost = "tokend_authority_calls_total{error=\"timeout\",grant=\"discovery\",status=\"none\"}";
    assert_eq!((stage.metric(lost).await, stage.metric(LOST).await), (1.0, 0.0));
}

#[tokio::test]
async fn err_2_a_document_whose_connection_breaks_or_is_silent_is_asked_for_twice() {
    for effect in [json!({"close": true}), json!({"hang": true})] {
        let stage = Stage::proxied().await;
        let ana = stage.world.emulator.user_token("ana@contoso.example").await;
        for endpoint in ["discovery", "keys"] {
            stage.world.emulator.script(json!({"on": {"endpoint": endpoint}, "do": effect})).await;
        }
        stage.world.obo(&ana).await.token();
        for endpoint in ["discovery", "keys"] {
            assert_eq!(stage.world.emulator.asked(endpoint).await.len(), 2, "{endpoint}");
        }
    }
}

/// A code, and the refresh token that it brings, while all kept connections are dead in one way or another. Over HTTP/2, because
/// the proxy does not look into TLS.
async fn what_is_sent_once_arrives_after(kill: impl Fn(&Fault)) {
    let stage = Stage::proxied().await;
    stage.connected().await;
    let body = stage.world.code("web", USER_READ, "ana@contoso.example").await;
    kill(&stage.network);
    let signed_in = stage.world.redeem(&body).await;
    signed_in.token();
    stage.ask(BILLING).await.token();
    kill(&stage.network);
    let account = &signed_in.json["account"]["home_account_id"];
    let silent = json!({"app": "web", "scopes": USER_READ, "account": account, "force_refresh": true});
    stage.world.sidecar.client.post("/silent", &silent).await.token();
    for grant in ["authorization_code", "refresh_token"] {
        assert_eq!((stage.sent(grant).await, stage.answered(grant).await), (1, 1.0), "{grant}");
    }
}

#[tokio::test]
async fn err_2_what_is_sent_once_does_not_go_over_a_silent_connection() {
    what_is_sent_once_arrives_after(Fault::black_hole).await;
}

#[tokio::test]
async fn err_2_what_is_sent_once_does_not_go_over_a_connection_that_is_closed_meanwhile() {
    what_is_sent_once_arrives_after(Fault::forget).await;
}

#[tokio::test]
async fn err_2_connections_that_a_device_on_the_way_has_forgotten_cost_one_attempt() {
    let stage = Stage::http1().await;
    stage.connected_by(&[GRAPH, ORDERS, BILLING]).await;
    stage.network.forget();
    let broken = LOST.replace("timeout", "broken");
    stage.ask(PARTNER).await.token();
    for app in ["orders-secret", "web", "billing"] {
        stage.world.app_token(json!({"app": app, "scopes": GRAPH})).await.token();
    }
    assert_eq!((stage.metric(&broken).await, stage.metric(REPLACED).await), (1.0, 1.0));
}

#[tokio::test]
async fn err_2_a_code_does_not_go_over_a_silent_http1_connection() {
    let stage = Stage::http1().await;
    stage.connected().await;
    let mut body = stage.world.code("web", USER_READ, "ana@contoso.example").await;
    // It is about the code alone: to compare `iss`, a document would be fetched first.
    body.as_object_mut().expect("an object").remove("iss");
    stage.network.black_hole();
    // The emulator names itself by another address than this sidecar does, and its documents say so.
    stage.world.redeem(&body).await.token();
    assert_eq!((stage.sent("authorization_code").await, stage.answered("authorization_code").await), (1, 1.0));
}

#[tokio::test]
async fn what_is_sent_once_has_a_connection_of_its_own_over_http2_too() {
    let stage = Stage::proxied().await;
    stage.connected().await;
    let mut bodies = Vec::new();
    for _ in 0..3 {
        bodies.push(stage.world.code("web", USER_READ, "ana@contoso.example").await);
    }
    let before = stage.network.accepted();
    for answer in join_all(bodies.iter().map(|body| stage.world.redeem(body))).await {
        answer.token();
    }
    // One for each code; the keys that verify the id tokens come over the kept one.
    assert_eq!(stage.network.accepted(), before + 3);
}
