//! Refresh tokens that rotate, at a server that is not ours: the npm oidc-provider revokes the whole grant when one is used twice.
//! Three replicas that share a Redis refresh at the same time, round after round, and the grant survives.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use crate::support::redis::RedisServer;
use crate::support::{Answer, OidcProvider, Sidecar, parameter};

const REDIRECT_URI: &str = "http://127.0.0.1:9/cb";
const ORDERS: &str = "https://orders.example";
const ALL: &str = "api.read api.write";
const SCOPES: [&str; 3] = [ALL, "api.read", "api.write"];
const ROUNDS: usize = 12;

/// The server, three replicas, and the clock of these: the server's own goes on by itself.
struct Stage {
    server: OidcProvider,
    replicas: Vec<Sidecar>,
    clock: Clock,
    _redis: RedisServer,
    _folder: TempDir,
}

// === impl Stage ===

impl Stage {
    async fn new() -> Self {
        let server = OidcProvider::start(&json!({"clients": [
            {"client_id": "web", "client_secret": "for-tests", "token_endpoint_auth_method": "client_secret_post",
             "grant_types": ["authorization_code", "refresh_token"], "redirect_uris": [REDIRECT_URI]},
        ]}))
        .await;
        let (redis, folder) = (RedisServer::start().await, tempfile::tempdir().expect("a folder"));
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let ring = write("key-ring", &format!("name:{}\nfirst:{}\n", STANDARD.encode([1; 32]), STANDARD.encode([2; 32])));
        let yaml = format!(
            "apps:\n  web: {{issuer: \"{}\", insecure_http: true, client_id: web, offline_access: true, \
             credential: {{secret: {{file: {}}}}}}}\ncache:\n  redis: {{url: \"{}\", timeout: 1s, write_timeout: 5s, \
             encryption: {{key_ring: {{file: {ring}}}}}}}\n",
            server.issuer,
            write("web.secret", "for-tests"),
            redis.url()
        );
        // From now on it moves only when it is told to: the id token of the sign-in is judged by it.
        let clock = Clock::manual(Clock::system().unix());
        let replicas = join_all((0..3).map(|_| Sidecar::start(&yaml, &clock))).await;
        Self { server, replicas, clock, _redis: redis, _folder: folder }
    }

    /// Signs Ana in at the first replica; returns her account.
    async fn sign_in(&self) -> String {
        let client = &self.replicas[0].client;
        let mut body = json!({"app": "web", "scopes": ALL, "resource": ORDERS, "redirect_uri": REDIRECT_URI});
        body["prompt"] = json!("consent");
        let url = client.post("/auth-code/url", &body).await;
        assert_eq!(url.status, 200, "{}", url.text);
        let back = self.server.sign_in(url.member("authorization_url")).await;
        body["code"] = json!(parameter(&back, "code"));
        body["iss"] = json!(parameter(&back, "iss"));
        body.as_object_mut().and_then(|body| body.remove("prompt"));
        for member in ["code_verifier", "nonce"] {
            body[member] = url.json[member].clone();
        }
        let answer = client.post("/auth-code", &body).await;
        answer.token();
        answer.json["account"]["home_account_id"].as_str().expect("an account").to_owned()
    }

    /// Two requests for each of three sets of scopes on every replica, all at the same time, and no replica first with all of them.
    async fn round(&self, account: &str, more: &Value) -> Vec<Answer> {
        let requests = (0..18).map(|index| {
            let mut body = json!({"app": "web", "account": account, "scopes": SCOPES[set(index)], "resource": ORDERS});
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            let client = self.replicas[index % 3].client.clone();
            async move { client.post("/silent", &body).await }
        });
        join_all(requests).await
    }

    /// How often refresh tokens were redeemed; none of them in vain.
    async fn refreshes(&self) -> usize {
        let log = self.server.client.get("/person/log").await.json;
        let entries = log.as_array().expect("a log");
        assert!(entries.iter().all(|entry| entry["error"].is_null()), "{log:#}");
        entries.iter().filter(|entry| entry["grant_type"] == "refresh_token").count()
    }
}

/// Which scopes a request of a round is for.
fn set(index: usize) -> usize {
    (index + index / 3) % 3
}

#[tokio::test]
async fn a_grant_survives_three_replicas_that_refresh_at_the_same_time() {
    let stage = Stage::new().await;
    let account = stage.sign_in().await;
    for round in 1..=ROUNDS {
        // Past the end of every token there is.
        stage.clock.advance(Duration::from_secs(7200));
        let answers = stage.round(&account, &json!({})).await;
        for (index, answer) in answers.iter().enumerate() {
            assert_eq!(answer.token(), answers[set(index)].token(), "round {round}");
        }
        assert_eq!(stage.refreshes().await, 3 * round, "one for each set of scopes");
    }
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure is part of what the test shows")]
async fn a_grant_survives_replicas_that_are_all_told_to_refresh() {
    let stage = Stage::new().await;
    let account = stage.sign_in().await;
    for round in 1..=ROUNDS {
        for answer in stage.round(&account, &json!({"force_refresh": true})).await {
            assert_eq!(answer.status, 200, "round {round}: {}", answer.text);
        }
    }
    let refreshes = stage.refreshes().await;
    assert!(refreshes >= 3 * ROUNDS, "{refreshes}");
    println!("{} requests were {refreshes} refreshes", 18 * ROUNDS);
    // And it is still good.
    stage.clock.advance(Duration::from_secs(7200));
    for answer in stage.round(&account, &json!({})).await {
        answer.token();
    }
}
