//! A workload's own token as the credential (RFC 7523 §2.2): sent as it is,
//! read again for every assertion (ASN-7), refused with a reason.

use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use crate::support::redis::RedisServer;
use crate::support::{Answer, Emulator, GRAPH, Issuer, NOW, SUBJECT, Sidecar, Stage, World, code, configuration, hang, trust};

const USER_READ: &str = "https://graph.microsoft.com/User.Read";
const HOUR: i64 = 3600;

/// Apps with the token in `TOKENS/token`: of registrations that trust its issuer, and of one that does not.
const APPS: &str = r#"
  workload: {authority: "ORIGIN/TENANT", ca_file: FILES/ca.pem, client_id: a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350, credential: {federated_token: {file: TOKENS/token}}}
  workload-api: {authority: "ORIGIN/TENANT", ca_file: FILES/ca.pem, client_id: 2c5f3a0e-6f0a-4f0e-9d5b-0a4f5f3f9b11, credential: {federated_token: {file: TOKENS/token}}, inbound: {audiences: ["api://orders"], scopes: [access_as_user]}}
  workload-web: {authority: "ORIGIN/TENANT", ca_file: FILES/ca.pem, client_id: 5b0c2e7a-9d41-4f36-8a1c-7e02b94d6f15, credential: {federated_token: {file: TOKENS/token}}}
  workload-shop: {issuer: "ORIGIN/oidc/shop", ca_file: FILES/ca.pem, client_id: shop-orders, credential: {federated_token: {file: TOKENS/token}}, inbound: {audiences: ["https://orders.shop.example"]}}
"#;

/// The usual world, with an issuer that some of its registrations trust.
struct Cluster {
    world: World,
    issuer: Issuer,
    tokens: TempDir,
}

impl Cluster {
    /// The token lasts for an hour.
    async fn new() -> Self {
        let (issuer, tokens) = (Issuer::new(), tempfile::tempdir().expect("a folder"));
        let mut directory = Emulator::built_in();
        for name in ["daemon", "orders-api", "web", "shop-orders"] {
            trust(&mut directory, name, &issuer);
        }
        std::fs::write(tokens.path().join("token"), issuer.token(NOW + HOUR, json!({}))).expect("a file");
        let apps = APPS.replace("TOKENS", &tokens.path().display().to_string());
        let world = World::staged(Stage { directory: Some(directory), apps: &apps, ..Stage::default() }).await;
        Self { world, issuer, tokens }
    }

    fn write(&self, token: &str) {
        std::fs::write(self.tokens.path().join("token"), token).expect("a file");
    }

    /// Writes a token that differs from the usual one in some claims.
    fn write_with(&self, changes: Value) {
        self.write(&self.issuer.token(NOW + HOUR, changes));
    }

    /// A new token of the authority.
    async fn ask(&self) -> Answer {
        self.world.app_token(json!({"app": "workload", "scopes": GRAPH, "force_refresh": true})).await
    }

    async fn ask_shop(&self) -> Answer {
        self.world.app_token(json!({"app": "workload-shop", "scopes": "stock.read", "force_refresh": true})).await
    }

    /// The forms that token endpoints got.
    async fn forms(&self) -> Vec<Value> {
        self.world.emulator.asked("token").await.into_iter().map(|request| request["form"].clone()).collect()
    }

    async fn status(&self) -> Value {
        self.world.sidecar.admin.get("/status").await.json
    }

    /// What `/status` says of the app's credential.
    async fn credential(&self) -> Value {
        let status = self.status().await;
        let mut apps = status["apps"].as_array().expect("apps").iter();
        apps.find(|app| app["name"] == "workload").expect("the app")["credential"].clone()
    }
}

#[tokio::test]
async fn req_1_the_token_is_the_assertion_at_both_kinds_of_authority() {
    let cluster = Cluster::new().await;
    let token = cluster.issuer.token(NOW + HOUR, json!({}));
    // White space at either end is no part of it.
    cluster.write(&format!("\n{token}\r\n"));
    cluster.ask().await.token();
    cluster.ask_shop().await.token();
    let proof = |client_id: &str, scope: &str| {
        json!({
            "grant_type": "client_credentials", "scope": scope, "client_id": client_id, "client_assertion": token,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        })
    };
    let daemon = cluster.world.emulator.app("daemon")["client_id"].as_str().expect("an id").to_owned();
    assert_eq!(cluster.forms().await, [proof(&daemon, GRAPH), proof("shop-orders", "stock.read")]);
}

#[tokio::test]
async fn req_2_to_5_user_flows_prove_the_app_by_it() {
    let cluster = Cluster::new().await;
    let world = &cluster.world;
    let ana = world.emulator.user_token("ana@contoso.example").await;
    world.obo_as("workload-api", USER_READ, &ana).await.token();
    let body = code(&world.emulator, &world.sidecar.client, "workload-web", USER_READ, "ana@contoso.example").await;
    let signed_in = world.redeem(&body).await;
    signed_in.token();
    let silent = json!({
        "app": "workload-web", "scopes": "https://graph.microsoft.com/Mail.Read https://graph.microsoft.com/User.Read",
        "account": signed_in.json["account"]["home_account_id"], "force_refresh": true,
    });
    let renewed = world.sidecar.client.post("/silent", &silent).await;
    let forms = cluster.forms().await;
    let grants: Vec<&str> = forms.iter().map(|form| form["grant_type"].as_str().expect("a grant")).collect();
    assert_eq!(grants, ["urn:ietf:params:oauth:grant-type:jwt-bearer", "authorization_code", "refresh_token"], "{}", renewed.text);
    let token = std::fs::read_to_string(cluster.tokens.path().join("token")).expect("a file");
    for form in forms {
        assert_eq!(form["client_assertion"], *token);
        assert!(form["client_secret"].is_null() && form["requested_token_use"] != "", "{form}");
    }
}

#[tokio::test]
async fn asn_7_a_rotated_token_is_sent_with_the_next_request() {
    let cluster = Cluster::new().await;
    let mut written = Vec::new();
    for _ in 0..3 {
        let token = cluster.issuer.token(NOW + HOUR, json!({}));
        // As kubelet does it: another file under the same name.
        let fresh = cluster.tokens.path().join("fresh");
        std::fs::write(&fresh, &token).expect("a file");
        std::fs::rename(fresh, cluster.tokens.path().join("token")).expect("a name");
        cluster.ask().await.token();
        written.push(Value::from(token));
    }
    let sent: Vec<Value> = cluster.forms().await.iter().map(|form| form["client_assertion"].clone()).collect();
    assert_eq!(sent, written);
    assert_eq!(cluster.status().await["reload_failures"], json!([]));
}

#[tokio::test]
async fn a_token_that_the_authority_does_not_trust_is_502_with_its_reason() {
    let cluster = Cluster::new().await;
    let stranger = Issuer::new();
    let bad = [
        (cluster.issuer.token(NOW + HOUR, json!({"sub": "system:serviceaccount:shop:billing"})), "presented assertion subject"),
        (cluster.issuer.token(NOW + HOUR, json!({"aud": ["https://kubernetes.default.svc"]})), "presented assertion audience"),
        (cluster.issuer.token(NOW + HOUR, json!({"iss": "https://other.cluster"})), "presented assertion issuer"),
        (stranger.token(NOW + HOUR, json!({})), "failed signature validation"),
        (cluster.issuer.token(NOW + HOUR, json!({"nbf": NOW + 600})), "not within its valid time range"),
    ];
    for (token, words) in bad {
        cluster.write(&token);
        let refused = cluster.ask().await;
        refused.refused(502, "invalid_client", "credential");
        assert!(refused.member("error_description").contains(words), "{words}: {}", refused.text);
        assert!(!refused.text.contains(&token), "{}", refused.text);
        // The issuer does not say which of the three it was.
        cluster.ask_shop().await.refused(502, "invalid_client", "credential");
        cluster.world.later(60);
    }
    cluster.write_with(json!({}));
    cluster.ask().await.token();
    cluster.ask_shop().await.token();
}

#[tokio::test]
async fn a_refused_token_is_not_sent_again_within_a_minute() {
    let cluster = Cluster::new().await;
    cluster.write_with(json!({"sub": "system:serviceaccount:shop:billing"}));
    for _ in 0..3 {
        cluster.ask().await.refused(502, "invalid_client", "credential");
    }
    assert_eq!(cluster.forms().await.len(), 1);
    cluster.write_with(json!({}));
    cluster.world.later(60);
    cluster.ask().await.token();
}

#[tokio::test]
async fn asn_7_a_refused_token_is_read_anew_and_a_newer_one_sent_once() {
    let cluster = Cluster::new().await;
    let rotated = cluster.issuer.token(NOW + HOUR, json!({}));
    // The file is replaced while the authority refuses what stood in it.
    cluster.world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true, "aadsts": 700_024}})).await;
    let asking = cluster.ask();
    let replacing = async {
        cluster.world.emulator.asked_times("token", 1).await;
        cluster.write(&rotated);
        cluster.world.emulator.release().await;
    };
    let (answer, ()) = tokio::join!(asking, replacing);
    answer.token();
    let forms = cluster.forms().await;
    assert_eq!(forms.len(), 2);
    assert_eq!(forms[1]["client_assertion"], *rotated);
}

#[tokio::test]
async fn asn_7_the_last_token_goes_on_until_it_ends_and_then_the_refusal_names_the_key() {
    let cluster = Cluster::new().await;
    let counted = async || cluster.world.sidecar.metric("tokend_reload_failures_total{app=\"workload\"}").await;
    let ends = async || {
        let sample = "tokend_credential_expiry_timestamp_seconds{app=\"workload\",kind=\"federated_token\"}";
        cluster.world.sidecar.metric(sample).await
    };
    cluster.ask().await.token();
    assert_eq!((counted().await, cluster.credential().await["expires_on"].as_i64()), (0.0, Some(NOW + HOUR)));
    assert_eq!(ends().await, f64::from(u32::try_from(NOW + HOUR).expect("a date")));
    std::fs::remove_file(cluster.tokens.path().join("token")).expect("a file");
    cluster.ask().await.token();
    cluster.ask().await.token();
    assert_eq!(counted().await, 1.0);
    let credential = cluster.credential().await;
    assert_eq!(credential["kind"], "federated_token");
    assert!(credential["problem"].as_str().is_some_and(|text| text.contains("cannot be read")), "{credential}");
    let shown = cluster.status().await["reload_failures"].clone();
    assert!(shown.as_array().is_some_and(|list| list.iter().any(|one| one["what"] == "apps.workload.credential")), "{shown}");
    cluster.world.later(3600);
    let calls = cluster.forms().await.len();
    let refused = cluster.ask().await;
    refused.refused(502, "credential_unusable", "`apps.workload.credential.federated_token.file`");
    assert!(
        refused.member("detail").contains("expired") && refused.member("detail").contains("cannot be read"),
        "{}",
        refused.text
    );
    assert_eq!(cluster.forms().await.len(), calls, "what has ended is not sent");
    // The cached token is served all the same; and what is mended is seen at once.
    cluster.write(&cluster.issuer.token(NOW + 2 * HOUR, json!({})));
    cluster.world.later(5);
    cluster.ask().await.token();
    assert_eq!(cluster.credential().await["problem"], Value::Null);
}

#[tokio::test]
async fn asn_7_a_file_that_hangs_holds_nobody_up_for_long() {
    let cluster = Cluster::new().await;
    hang(&cluster.tokens.path().join("token"));
    // The last one goes on, and then there is a refusal, not a request that is stuck.
    for _ in 0..50 {
        cluster.ask().await.token();
    }
    cluster.world.later(3600);
    for _ in 0..50 {
        let refused = cluster.ask().await;
        refused.refused(502, "credential_unusable", "`apps.workload.credential.federated_token.file`");
        assert!(refused.member("detail").contains("not read within 1 s"), "{}", refused.text);
    }
    cluster.ask_shop().await.refused(502, "credential_unusable", "not read within 1 s");
    assert!(cluster.world.sidecar.stop().await, "it did not end in time");
}

#[tokio::test]
async fn a_token_that_nobody_renewed_is_refused_before_it_is_sent() {
    let cluster = Cluster::new().await;
    cluster.world.later(3600);
    cluster.ask().await.refused(502, "credential_unusable", "expired");
    cluster.ask_shop().await.refused(502, "credential_unusable", "expired");
    assert_eq!(cluster.forms().await, Vec::<Value>::new());
}

#[tokio::test]
async fn secrets_the_token_is_in_no_text_of_ours() {
    let cluster = Cluster::new().await;
    let token = cluster.issuer.token(NOW + HOUR, json!({"sub": "system:serviceaccount:shop:billing"}));
    cluster.write(&token);
    let answer = cluster.ask().await;
    let (status, metrics) = (cluster.status().await.to_string(), cluster.world.sidecar.admin.get("/metrics").await.text);
    let parts: Vec<&str> = token.split('.').collect();
    for text in [answer.text, status, metrics] {
        assert!(!text.contains(parts[1]) && !text.contains(parts[2]), "{text}");
    }
}

/// Pods of one service account that share a Redis, each with a token of its own; `subjects` says whose.
async fn pods(subjects: &[&str]) -> (Emulator, Vec<Sidecar>, Vec<TempDir>, RedisServer) {
    let (issuer, clock, redis) = (Issuer::new(), Clock::manual(NOW), RedisServer::start().await);
    let mut directory = Emulator::built_in();
    trust(&mut directory, "daemon", &issuer);
    let emulator = Emulator::start_with(&clock, Some(&directory)).await;
    let (mut replicas, mut folders) = (Vec::new(), Vec::new());
    for subject in subjects {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, issuer.token(NOW + HOUR, json!({"sub": subject}))).expect("a file");
        let secret = format!("{{secret: {{file: {}}}}}", folder.path().join("daemon.secret").display());
        let token = format!("{{federated_token: {{file: {}}}}}", path.display());
        let yaml = configuration(&emulator, &folder).replace(&secret, &token);
        assert!(yaml.contains(&token));
        let cache = format!("cache: {{redis: {{url: \"{}\", timeout: 1s, encryption: {{plaintext: true}}}}}}\n", redis.url());
        replicas.push(Sidecar::start(&(yaml + &cache), &clock).await);
        folders.push(folder);
    }
    (emulator, replicas, folders, redis)
}

fn graph() -> Value {
    json!({"app": "daemon", "scopes": GRAPH})
}

#[tokio::test]
async fn cch_14_pods_with_a_token_each_make_one_call() {
    let (emulator, replicas, _folders, _redis) = pods(&[SUBJECT; 4]).await;
    emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"delay_ms": 500}})).await;
    let body = graph();
    let asking = replicas.iter().map(|replica| replica.client.post("/client-credentials", &body));
    let answers = futures_util::future::join_all(asking).await;
    assert!(answers.iter().all(|answer| answer.token() == answers[0].token()));
    assert_eq!(emulator.asked("token").await.len(), 1);
}

#[tokio::test]
async fn a_pod_of_a_stranger_stops_itself_alone() {
    let (emulator, replicas, _folders, _redis) = pods(&["system:serviceaccount:shop:stranger", SUBJECT]).await;
    replicas[0].client.post("/client-credentials", &graph()).await.refused(502, "invalid_client", "credential");
    replicas[1].client.post("/client-credentials", &graph()).await.token();
    assert_eq!(emulator.asked("token").await.len(), 2);
}
