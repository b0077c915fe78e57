//! The support itself: what other tests rely on when they kill, freeze and break off.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError, cmd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::redis::{Certificates, Cluster, Flavour, RedisServer, Sentinel};
use crate::support::{Fault, Fleet, eventually};

const SOON: Duration = Duration::from_secs(10);

/// Long enough for an answer that is on its way, and short enough to wait for one that is not.
const MOMENT: Duration = Duration::from_millis(200);

async fn put(connection: &mut MultiplexedConnection, words: &[&str]) -> Result<(), RedisError> {
    redis::Cmd::new().arg(words).exec_async(connection).await
}

#[tokio::test]
async fn a_server_is_killed_and_comes_back_empty_on_its_port() {
    let mut server = RedisServer::start().await;
    let (url, pid) = (server.url(), server.pid());
    put(&mut server.client().await, &["SET", "name", "value"]).await.expect("written");
    assert_eq!(server.keys().await, ["name"]);
    server.kill().await;
    assert!(!server.is_running());
    server.admin().connect().await.expect_err("nobody listens");
    server.restart().await;
    assert_eq!((server.url(), server.keys().await.len()), (url, 0));
    assert_ne!(server.pid(), pid);
    // Alive, too.
    put(&mut server.client().await, &["SET", "name", "value"]).await.expect("written");
    server.restart().await;
    assert_eq!(server.keys().await.len(), 0, "{}", server.log());
}

#[tokio::test]
async fn a_frozen_server_answers_nothing_and_goes_on() {
    let mut server = RedisServer::start().await;
    let mut connection = server.client().await;
    server.freeze();
    let silence = tokio::time::timeout(MOMENT, put(&mut connection, &["PING"])).await;
    assert!(silence.is_err() && server.is_running());
    server.thaw();
    put(&mut connection, &["PING"]).await.expect("an answer on the old connection");
}

#[tokio::test]
async fn the_dump_has_everything_of_every_type_and_database() {
    for flavour in [Flavour::Redis, Flavour::Valkey] {
        let server = RedisServer::options().flavour(flavour).start().await;
        let mut first = server.client().await;
        let mut other = server.admin().db(3).connect().await.expect("a connection");
        put(&mut first, &["SET", "a", "canary-1"]).await.expect("written");
        put(&mut first, &["HSET", "b", "canary-2", "canary-3"]).await.expect("written");
        put(&mut first, &["SADD", "c", "canary-4"]).await.expect("written");
        put(&mut first, &["ZADD", "d", "12345", "canary-5"]).await.expect("written");
        put(&mut other, &["RPUSH", "e", "canary-6"]).await.expect("written");
        let dump = server.dump().await;
        let text: Vec<_> = dump.iter().map(|(key, value)| (key.clone(), String::from_utf8_lossy(value))).collect();
        assert_eq!(text.iter().map(|(key, _)| key.as_slice()).collect::<Vec<_>>(), [b"a", b"b", b"c", b"d", b"e"]);
        for part in ["canary-1", "canary-2", "canary-3", "canary-4", "canary-5", "12345", "canary-6"] {
            assert!(text.iter().any(|(_, value)| value.contains(part)), "no {part} in {text:?}");
        }
        assert_eq!(server.keys().await, ["a", "b", "c", "d", "e"]);
        server.flush().await;
        assert_eq!(server.dump().await.len(), 0);
    }
}

#[tokio::test]
async fn only_the_connections_of_others_count() {
    let server = RedisServer::start().await;
    let _own = server.client().await;
    assert_eq!(server.client_count().await, 0);
    let others = Client::open(server.url()).expect("a client");
    let held = (others.get_multiplexed_async_connection().await, others.get_async_pubsub().await);
    assert_eq!(server.client_count().await, 2);
    drop(held);
    eventually(SOON, async || server.client_count().await == 0).await;
}

#[tokio::test]
async fn configuration_is_obeyed() {
    let full = RedisServer::options().config("maxmemory", "1").config("maxmemory-policy", "noeviction").start().await;
    let refused = put(&mut full.client().await, &["SET", "a", "b"]).await.expect_err("no memory");
    assert_eq!(refused.code(), Some("OOM"));
}

#[tokio::test]
async fn tls_asks_for_a_certificate_and_users_for_a_password() {
    let certificates = Certificates::new();
    let users = ["user default off", "user tokend on >pw ~tokend:* &tokend:* +@all -@dangerous"];
    let mut server = RedisServer::options().tls(&certificates).acl(&users).start().await;
    assert!(server.url().starts_with("rediss://127.0.0.1:"));
    put(&mut server.client().await, &["SET", "elsewhere", "value"]).await.expect("the support may do everything");
    let tls = || redis::TlsCertificates {
        client_tls: Some(redis::ClientTlsConfig {
            client_cert: std::fs::read(certificates.client()).expect("a file"),
            client_key: std::fs::read(certificates.client_key()).expect("a file"),
        }),
        root_cert: Some(std::fs::read(certificates.ca()).expect("a file")),
    };
    let (nobody, user) = (server.url(), server.url().replace("//", "//tokend:pw@"));
    let connect = async |url: &str, tls| {
        let client = Client::build_with_tls(url, tls).expect("a client");
        client.get_multiplexed_async_connection().await
    };
    let mut connection = connect(&user, tls()).await.expect("a connection");
    put(&mut connection, &["SET", "tokend:a", "value"]).await.expect("written");
    let refused = put(&mut connection, &["GET", "elsewhere"]).await.expect_err("another's key");
    assert_eq!(refused.code(), Some("NOPERM"));
    let refused = put(&mut connect(&nobody, tls()).await.expect("TLS"), &["PING"]).await.expect_err("no user");
    assert_eq!(refused.code(), Some("NOAUTH"));
    connect(&user, redis::TlsCertificates { client_tls: None, ..tls() }).await.expect_err("no client certificate");
    connect(&user, redis::TlsCertificates { root_cert: None, ..tls() }).await.expect_err("an authority that nobody knows");
    server.restart().await;
    assert_eq!(server.keys().await.len(), 0);
    let lenient = RedisServer::options().tls(&certificates).config("tls-auth-clients", "no").start().await;
    connect(&lenient.url(), redis::TlsCertificates { client_tls: None, ..tls() })
        .await
        .expect("a connection without a certificate");
}

#[tokio::test]
async fn sentinels_agree_on_a_new_master() {
    let mut group = Sentinel::start().await;
    assert_eq!(group.urls().len(), 3);
    put(&mut group.client().await, &["SET", "a", "b"]).await.expect("written");
    assert_eq!(group.master().await.client_count().await, 0);
    let old = group.kill_master().await;
    group.failed_over_from(old).await;
    let port = group.master_port().await;
    assert!(port != old && group.nodes.iter().any(|node| node.port() == port));
    put(&mut group.client().await, &["SET", "a", "c"]).await.expect("written");
    let replicas: Vec<Vec<redis::Value>> =
        group.sentinels[0].admin().ask(&["SENTINEL", "REPLICAS", group.master_name()]).await.expect("a list");
    assert_eq!(replicas.len(), 2);
}

#[tokio::test]
async fn sentinels_with_tls_and_users_do_so_too() {
    let users = ["user default off", "user tokend on >pw ~tokend:* &tokend:* +@all"];
    let options = RedisServer::options().tls(&Certificates::new()).acl(&users).sentinel_acl(&["user default off"]);
    let mut group = Sentinel::start_with(options).await;
    let old = group.kill_master().await;
    group.failed_over_from(old).await;
    put(&mut group.client().await, &["SET", "tokend:a", "c"]).await.expect("written");
}

#[tokio::test]
async fn a_cluster_survives_the_owner_of_a_slot() {
    let mut cluster = Cluster::start().await;
    moves(&mut cluster).await;
    cluster.flush().await;
    assert_eq!(cluster.keys().await.len(), 0);
}

#[tokio::test]
async fn a_cluster_with_tls_and_users_does_so_too() {
    let users = ["user default off", "user tokend on >pw ~tokend:* &tokend:* +@all"];
    moves(&mut Cluster::start_with(RedisServer::options().tls(&Certificates::new()).acl(&users)).await).await;
}

async fn moves(cluster: &mut Cluster) {
    assert_eq!((cluster.urls().len(), cluster.masters().await.len()), (6, 3));
    let mut connection = cluster.client().await;
    for key in ["a", "b", "c", "d"] {
        cmd("SET").arg(key).arg("canary").exec_async(&mut connection).await.expect("written");
    }
    assert_eq!(cluster.keys().await, ["a", "b", "c", "d"]);
    assert!(cluster.dump().await.iter().all(|(_, value)| value == b"canary\n"));
    assert!(cluster.node_owning("b").await.keys().await.contains(&"b".to_owned()));
    let old = cluster.kill_owner_of("b").await;
    cluster.failed_over_from(old, "b").await;
    let mut connection = cluster.client().await;
    cmd("SET").arg("b").arg("anew").exec_async(&mut connection).await.expect("written");
    assert_ne!(cluster.node_owning("b").await.port(), old);
}

/// A connection through a relay, without any client's own ideas.
struct Line(TcpStream);

impl Line {
    async fn to(fault: &Fault) -> Self {
        Self(TcpStream::connect(fault.address()).await.expect("a connection"))
    }

    async fn say(&mut self, text: &str) {
        self.0.write_all(format!("ECHO {text}\r\n").as_bytes()).await.expect("sent");
    }

    /// The next answer; `None` if the connection ends.
    async fn hear(&mut self) -> Option<String> {
        let mut buffer = [0; 1024];
        match tokio::time::timeout(SOON, self.0.read(&mut buffer)).await.expect("an answer or an end") {
            Ok(length @ 1..) => String::from_utf8_lossy(&buffer[..length]).split("\r\n").nth(1).map(str::to_owned),
            _ => None,
        }
    }

    async fn echoes(&mut self, text: &str) -> bool {
        self.say(text).await;
        self.hear().await.is_some_and(|answer| answer == text)
    }

    /// Whether neither an answer nor an end comes for a moment.
    async fn is_silent(&mut self) -> bool {
        let mut buffer = [0; 1];
        tokio::time::timeout(MOMENT, self.0.peek(&mut buffer)).await.is_err()
    }
}

#[tokio::test]
async fn a_relay_passes_delays_holds_back_and_cuts() {
    let server = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", server.port())).await;
    let mut line = Line::to(&fault).await;
    assert!(line.echoes("one").await);
    assert_eq!((fault.connections(), fault.accepted()), (1, 1));

    fault.delay(MOMENT);
    line.say("late").await;
    assert!(line.is_silent().await);
    assert_eq!(line.hear().await.as_deref(), Some("late"));

    fault.freeze();
    let mut other = Line::to(&fault).await;
    line.say("held").await;
    other.say("new").await;
    assert!(line.is_silent().await && other.is_silent().await);
    fault.pass();
    assert_eq!((line.hear().await.as_deref(), other.hear().await.as_deref()), (Some("held"), Some("new")));

    fault.cut();
    assert_eq!((line.hear().await, other.hear().await, Line::to(&fault).await.hear().await), (None, None, None));
    eventually(SOON, async || fault.connections() == 0).await;
    fault.pass();
    assert!(Line::to(&fault).await.echoes("again").await);
    assert_eq!(fault.accepted(), 4);
    eventually(SOON, async || fault.connections() == 0).await;
}

#[tokio::test]
async fn a_black_hole_keeps_what_it_swallowed() {
    let mut server = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", server.port())).await;
    let mut first = Line::to(&fault).await;
    assert!(first.echoes("one").await);
    fault.black_hole();
    first.say("lost").await;
    let mut second = Line::to(&fault).await;
    assert!(second.echoes("passes").await);
    fault.black_hole_all();
    let mut third = Line::to(&fault).await;
    second.say("lost").await;
    third.say("lost").await;
    eventually(SOON, async || fault.accepted() == 3).await;
    fault.pass();
    assert!(Line::to(&fault).await.echoes("passes").await);
    server.kill().await;
    for line in [&mut first, &mut second, &mut third] {
        assert!(line.is_silent().await, "not even the end gets through");
    }
    eventually(SOON, async || fault.connections() == 3).await;
}

#[tokio::test]
async fn a_fleet_is_as_many_processes() {
    let files = tempfile::tempdir().expect("a folder");
    let secret = files.path().join("secret");
    std::fs::write(&secret, "a-secret-for-tests-only").expect("a file");
    let app = |name: usize| {
        let secret = secret.display();
        format!(
            "apps: {{app-{name}: {{issuer: \"https://id.example\", client_id: a, credential: {{secret: {{file: \"{secret}\"}}}}}}}}\n"
        )
    };
    let mut fleet = Fleet::start(3, app).await;
    assert_eq!(fleet.len(), 3);
    for index in 0..fleet.len() {
        assert_eq!(fleet.client(index).get("/nothing-is-here").await.status, 404);
        assert_eq!(fleet.admin(index).get("/livez").await.status, 200);
        assert_eq!(fleet.metric(index, "tokend_nothing").await, 0.0);
    }
    fleet.kill(0);
    assert_eq!(fleet.end_within(0, SOON).await, None);
    fleet.signal(1, "TERM");
    assert_eq!(fleet.end_within(1, SOON).await, Some(0));
    eventually(SOON, async || !fleet.output(1).is_empty()).await;
    fleet.restart(0).await;
    assert_eq!(fleet.admin(0).get("/readyz").await.status, 200);
    assert_eq!(fleet.admin(2).get("/readyz").await.status, 200);
}
