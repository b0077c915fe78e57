//! Sentinels and clusters that lose a master under load, and the main flows end to end on every kind of server.

use serde_json::json;

use super::load::Load;
use super::{PATIENCE, Replicas, Wanted, at, now, say};
use crate::support::redis::{Certificates, Cluster, Flavour, RedisServer, Sentinel};
use crate::support::{Client, code, eventually};

const USERS: [&str; 2] = ["user default off", "user tokend on >a-password ~tokend:* &tokend:* +@all -@dangerous +cluster|slots"];

fn list(urls: &[String]) -> String {
    format!("[\"{}\"]", urls.join("\", \""))
}

fn behind(group: &Sentinel) -> String {
    format!("sentinel: {{master: {}, urls: {}}}", group.master_name(), list(&group.urls()))
}

fn in_cluster(cluster: &Cluster) -> String {
    format!("cluster: {{urls: {}}}", list(&cluster.urls()))
}

/// The members for TLS and the user of [`USERS`].
fn access(certificates: &Certificates) -> String {
    let folder = certificates.ca().with_file_name("password");
    std::fs::write(&folder, "a-password").expect("a file");
    let path = |path: std::path::PathBuf| format!("\"{}\"", path.display());
    let (ca, cert, key) = (path(certificates.ca()), path(certificates.client()), path(certificates.client_key()));
    format!("username: tokend, password: {{file: {}}}, ca_file: {ca}, client_cert: {cert}, client_key: {key}", path(folder))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_name_another_master_under_load() {
    let mut group = Sentinel::start().await;
    let replicas = Replicas::start(2, &behind(&group)).await;
    let load = Load::on(&replicas).await;
    load.enter("no master");
    let (started, old) = (now(), group.kill_master().await);
    load.until_open(&["reads", "events"]).await;
    group.failed_over_from(old).await;
    say(&format!("another master after {:?}", started.elapsed()));
    load.until_healed().await;
    load.end().await;
    say(&format!("messages arrive after {:?}", replicas.until_told().await));
    assert!(group.master().await.client_count().await <= 4, "two for each replica");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_loses_a_master_under_load() {
    let mut cluster = Cluster::start().await;
    let replicas = Replicas::start(2, &in_cluster(&cluster)).await;
    let load = Load::on(&replicas).await;
    load.enter("no owner");
    // The one that has the channel: its loss is felt most.
    let (started, old) = (now(), cluster.kill_owner_of("tokend:events").await);
    load.runs().await;
    cluster.failed_over_from(old, "tokend:events").await;
    say(&format!("another owner after {:?}", started.elapsed()));
    load.until_healed().await;
    // Wherever a token belongs.
    for _ in 0..20 {
        eventually(PATIENCE, async || replicas.is_shared(0, 1).await).await;
    }
    say(&format!("everything is shared {:?} after the kill", started.elapsed()));
    load.end().await;
    say(&format!("messages arrive after {:?}", replicas.until_told().await));
    eventually(PATIENCE, async || {
        let mut count = 0;
        for master in cluster.masters().await {
            count += master.client_count().await;
        }
        count <= 8
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_cluster_stands_still_under_load() {
    let mut cluster = Cluster::start().await;
    let replicas = Replicas::start(2, &in_cluster(&cluster)).await;
    let load = Load::on(&replicas).await;
    load.enter("an owner stands still");
    let started = now();
    let node = cluster.node_owning("tokend:events").await;
    let port = node.port();
    node.freeze();
    load.runs().await;
    // The others make another one of them the owner.
    eventually(PATIENCE, async || replicas.is_open(0, "events").await || started.elapsed() > PATIENCE / 3).await;
    load.until_healed().await;
    for _ in 0..20 {
        eventually(PATIENCE, async || replicas.is_shared(0, 1).await).await;
    }
    say(&format!("everything is shared {:?} after it stood still", started.elapsed()));
    cluster.nodes.iter_mut().find(|node| node.port() == port).expect("one of ours").thaw();
    load.until_healed().await;
    load.end().await;
}

/// Every main flow at one replica, and what another one has of it.
async fn all_flows(replicas: &Replicas) {
    let shared = |user| async move {
        let (first, second) = (replicas.ask_for(0, user).await, replicas.ask_for(1, user).await);
        assert_eq!(first.source(), "identity_provider");
        assert_eq!((second.level(), second.token()), ("redis", first.token()), "{user:?}");
    };
    shared(None).await;
    shared(Some(replicas.fresh())).await;
    shared(Some(Wanted { user: 0, form: 0 })).await;
    let account = sign_in(replicas, "ana@contoso.example").await;
    let silent = async |replica: usize, more: serde_json::Value| {
        let mut body = json!({"app": "web", "account": account, "scopes": ["https://graph.microsoft.com/User.Read"]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        replicas.all[replica].client.post("/silent", &body).await
    };
    assert_eq!(silent(1, json!({})).await.level(), "redis");
    let renewed = silent(1, json!({"force_refresh": true})).await;
    assert_eq!(renewed.source(), "identity_provider");
    eventually(PATIENCE, async || silent(0, json!({})).await.token() == renewed.token()).await;
    let listed = replicas.all[1].client.get("/accounts?app=web").await;
    assert!(listed.status == 200 && listed.text.contains(&account), "{}", listed.text);
    let http = &replicas.all[1].client;
    let gone = Client::send(http.http.delete(format!("{}/accounts/{account}?app=web", http.base))).await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    eventually(PATIENCE, async || silent(0, json!({})).await.status == 401).await;
    for replica in [0, 1] {
        for breaker in ["reads", "writes", "events"] {
            assert_eq!(replicas.breaker(replica, breaker).await, "closed");
        }
    }
    replicas.until_told().await;
}

/// Signs a user in at the first replica; returns the account.
pub(super) async fn sign_in(replicas: &Replicas, user: &str) -> String {
    let client = &replicas.all[0].client;
    let body = code(&replicas.emulator, client, "web", "https://graph.microsoft.com/User.Read", user).await;
    let answer = client.post("/auth-code", &body).await;
    answer.token();
    answer.json["account"]["home_account_id"].as_str().expect("an account").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flow_on_valkey() {
    let server = RedisServer::options().flavour(Flavour::Valkey).start().await;
    all_flows(&Replicas::patient(2, &at(&server)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flow_with_tls_and_a_user() {
    let certificates = Certificates::new();
    let server = RedisServer::options().tls(&certificates).acl(&USERS).start().await;
    all_flows(&Replicas::patient(2, &format!("{}, {}", at(&server), access(&certificates))).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flow_in_a_cluster_with_tls_and_a_user() {
    let certificates = Certificates::new();
    let cluster = Cluster::start_with(RedisServer::options().tls(&certificates).acl(&USERS)).await;
    all_flows(&Replicas::patient(2, &format!("{}, {}", in_cluster(&cluster), access(&certificates))).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flow_behind_sentinels() {
    let group = Sentinel::start().await;
    all_flows(&Replicas::patient(2, &behind(&group)).await).await;
}
