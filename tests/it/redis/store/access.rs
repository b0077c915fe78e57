//! Users, passwords and certificates: right, wrong, changed and withdrawn.

use tokend::store::{Access, BreakerState, Epoch, Note, Placed, Put, ReturnedLease, Topology};
use tokio::sync::mpsc;

use super::{LONG, PATIENCE, Store, password, password_file, settings, standalone, urls};
use crate::support::eventually;
use crate::support::redis::{Certificates, Cluster, RedisServer, Sentinel};

/// What an operator would write; the documentation says the same.
const USER: &str = "user tokend on >first-password ~tokend:* &tokend:* -@all +@connection +@read +@write +@pubsub +eval +evalsha";

fn limited(url: &str) -> tokend::store::RedisSettings {
    let mut settings = standalone(url);
    settings.username = Some("tokend".to_owned());
    settings.password = password("first-password");
    settings
}

async fn reason(settings: &tokend::store::RedisSettings) -> String {
    let problem = Store::open(settings).shared.prove().await.expect_err("a problem");
    assert!(!format!("{problem:?}").contains("password-"), "{problem:?}");
    problem.reason
}

#[tokio::test]
async fn a_user_with_the_prefix_alone_is_enough() {
    let server = RedisServer::options().acl(&["user default off", USER]).start().await;
    let store = Store::open(&limited(&server.url()));
    assert_eq!(store.shared.prove().await, Ok(vec![]));
    let (sender, mut heard) = mpsc::unbounded_channel();
    store.shared.listen(move |event| drop(sender.send(event)));
    let lease = ReturnedLease { key: "tokend:{p}:l", owner: &[7; 16], outcome: None };
    let epoch = Some(Epoch { key: "tokend:{p}:e", named: &[0; 8] });
    let value = format!("{:016x}", 1);
    let put = Put {
        key: "tokend:{p}:k",
        value: value.as_bytes(),
        ttl: LONG,
        base: None,
        epoch,
        index: None,
        lease: Some(lease),
        grant: true,
    };
    assert_eq!(store.shared.put(&put).await, Ok(Placed::Stored));
    assert!(tokio::time::timeout(PATIENCE, heard.recv()).await.is_ok());
    // Beyond the prefix nothing works, and what fails there breaks nothing else for good.
    assert!(!store.set("other:{p}", b"x").await);
    assert!(store.set("tokend:{p}:x", b"x").await);
}

#[tokio::test]
async fn check_says_what_is_missing() {
    let server = RedisServer::options().acl(&["user default off", USER, "user bare on >first-password +@connection"]).start().await;
    let mut wrong = limited(&server.url());
    wrong.password = password("password-canary");
    assert!(reason(&wrong).await.contains("refuses the user or the password"));
    wrong.password = None;
    wrong.username = None;
    assert!(reason(&wrong).await.contains("refuses the user or the password"));
    let mut bare = limited(&server.url());
    bare.username = Some("bare".to_owned());
    assert!(reason(&bare).await.contains("may not run get, mget, set"));
    let mut elsewhere = limited(&server.url());
    elsewhere.key_prefix = "elsewhere".to_owned();
    assert!(reason(&elsewhere).await.contains("elsewhere:"));
    server.admin().ask::<()>(&["ACL", "SETUSER", "tokend", "resetchannels"]).await.expect("an answer");
    assert!(reason(&limited(&server.url())).await.contains("tokend:events"));
}

#[tokio::test]
async fn check_knows_the_topologies_apart() {
    let server = RedisServer::start().await;
    let here = urls(&[server.url()]);
    let cluster = settings(Topology::Cluster(here.clone()));
    assert!(reason(&cluster).await.contains("no node of a cluster"));
    let sentinel = |urls| settings(Topology::Sentinel { master: "nobody".to_owned(), urls, username: None, password: None });
    assert!(reason(&sentinel(here)).await.contains("no sentinel"));
    let mut far = standalone(&server.url());
    far.topology = Topology::Standalone(super::parse(&format!("{}/99", server.url())));
    assert!(reason(&far).await.contains("no such database"));
    let mut tls = server.url();
    tls.insert(5, 's');
    println!("TLS to a port without: {}", reason(&standalone(&tls)).await);
}

#[tokio::test]
async fn a_password_that_changes_is_followed() {
    let server = RedisServer::options().acl(&["user default off", USER]).start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "first-password\n").expect("a file");
    let mut settings = limited(&server.url());
    settings.password = password_file(file.clone());
    let store = Store::open(&settings);
    assert!(store.set("tokend:{a}:until", b"1").await);
    // The file first: the connection is made anew although nobody refused it.
    server.admin().ask::<()>(&["ACL", "SETUSER", "tokend", ">second-password"]).await.expect("an answer");
    std::fs::write(&file, "second-password\n").expect("a file");
    assert!(store.access.reread().await);
    eventually(PATIENCE, async || store.metric("tokend_redis_reconnects_total") >= 1.0).await;
    // The server first: the refusal has the file read again at once.
    std::fs::write(&file, "third-password\n").expect("a file");
    server.admin().ask::<()>(&["ACL", "SETUSER", "tokend", "resetpass", ">third-password"]).await.expect("an answer");
    server.admin().ask::<i64>(&["CLIENT", "KILL", "USER", "tokend"]).await.expect("an answer");
    println!("password: works again after {:?}", store.until_writes_work().await);
    // Withdrawn for good, and given back.
    server.admin().ask::<()>(&["ACL", "SETUSER", "tokend", "off"]).await.expect("an answer");
    server.admin().ask::<i64>(&["CLIENT", "KILL", "USER", "tokend"]).await.expect("an answer");
    eventually(PATIENCE, async || {
        store.set("tokend:{a}:until", b"1").await;
        store.shared.state().writes != BreakerState::Closed
    })
    .await;
    server.admin().ask::<()>(&["ACL", "SETUSER", "tokend", "on"]).await.expect("an answer");
    println!("password: works again after {:?}", store.until_writes_work().await);
}

#[tokio::test]
async fn a_right_that_is_withdrawn_stops_writes_alone() {
    let server = RedisServer::options().acl(&["user default off", USER]).start().await;
    let store = Store::open(&limited(&server.url()));
    assert!(store.set("tokend:{a}:until", b"1").await);
    server.admin().ask::<()>(&["ACL", "SETUSER", "tokend", "-@write"]).await.expect("an answer");
    eventually(PATIENCE, async || {
        store.set("tokend:{a}:until", b"1").await;
        store.shared.state().writes != BreakerState::Closed
    })
    .await;
    assert_eq!(store.get("tokend:{a}:until").await, Some(b"1".to_vec()));
    server.admin().ask::<()>(&["ACL", "SETUSER", "tokend", "+@write"]).await.expect("an answer");
    println!("right: works again after {:?}", store.until_writes_work().await);
}

#[tokio::test]
async fn tls_with_a_private_ca_and_a_client_certificate() {
    let certificates = Certificates::new();
    let server = RedisServer::options().tls(&certificates).start().await;
    let mut settings = standalone(&server.url());
    assert!(reason(&settings).await.contains("not from a CA"));
    settings.ca_file = Some(certificates.ca());
    assert!(reason(&settings).await.contains("asks for a client certificate"));
    settings.client_cert = Some(certificates.client());
    settings.client_key = Some(certificates.client_key());
    let store = Store::open(&settings);
    assert_eq!(store.shared.prove().await, Ok(vec![]));
    let (sender, mut heard) = mpsc::unbounded_channel();
    store.shared.listen(move |event| drop(sender.send(event)));
    assert!(store.set("tokend:{a}:x", b"1").await);
    assert!(tokio::time::timeout(PATIENCE, heard.recv()).await.is_ok());
    // Somebody else's certificate.
    let strangers = Certificates::new();
    let mut stranger = settings.clone();
    (stranger.client_cert, stranger.client_key) = (Some(strangers.client()), Some(strangers.client_key()));
    println!("a stranger's certificate: {}", reason(&stranger).await);
    stranger.client_key = Some(certificates.client_key());
    let problems = Access::load(&stranger).expect_err("a problem");
    assert_eq!(problems[0].0, "cache.redis.client_key", "{problems:?}");
    let mut plain = standalone(&server.url().replace("rediss", "redis"));
    plain.ca_file = None;
    println!("no TLS to a port with: {}", reason(&plain).await);
}

#[tokio::test]
async fn every_bad_file_is_found_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let bad = folder.path().join("bad");
    std::fs::write(&bad, "\n").expect("a file");
    let mut settings = standalone("rediss://127.0.0.1");
    settings.password = password_file(bad.clone());
    (settings.ca_file, settings.client_cert, settings.client_key) =
        (Some(bad.clone()), Some(bad.clone()), Some(folder.path().join("missing")));
    let problems = Access::load(&settings).expect_err("problems");
    let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["cache.redis.ca_file", "cache.redis.client_cert", "cache.redis.client_key", "cache.redis.password"]);
}

/// A store that shows its certificate, signs in as `tokend`, and works.
async fn proved(mut settings: tokend::store::RedisSettings, certificates: &Certificates) -> Store {
    settings.username = Some("tokend".to_owned());
    settings.password = password("first-password");
    settings.ca_file = Some(certificates.ca());
    (settings.client_cert, settings.client_key) = (Some(certificates.client()), Some(certificates.client_key()));
    let store = Store::open(&settings);
    assert_eq!(store.shared.prove().await, Ok(vec![]));
    store
}

#[tokio::test]
async fn a_cluster_with_tls_and_users() {
    let certificates = Certificates::new();
    let user = format!("{USER} +cluster|slots");
    let options = RedisServer::options().tls(&certificates).acl(&["user default off", &user]);
    let cluster = Cluster::start_with(options).await;
    let store = proved(settings(Topology::Cluster(urls(&cluster.urls()))), &certificates).await;
    // Six handshakes may take longer than a first call waits.
    store.until_writes_work().await;
    for number in 0..20 {
        let note = Note { key: &format!("tokend:{{{number}}}:x"), value: b"1", ttl: LONG };
        assert_eq!(store.shared.set(note).await, Ok(()));
    }
}

#[tokio::test]
async fn sentinels_with_tls_and_users_of_their_own() {
    let certificates = Certificates::new();
    let options = RedisServer::options().tls(&certificates).acl(&["user default off", &format!("{USER} +role")]).sentinel_acl(&[
        "user default off",
        "user asks on >other-password -@all +@connection +sentinel|get-master-addr-by-name +subscribe &+switch-master",
    ]);
    let group = Sentinel::start_with(options).await;
    let topology = Topology::Sentinel {
        master: group.master_name().to_owned(),
        urls: urls(&group.urls()),
        username: Some("asks".to_owned()),
        password: password("other-password"),
    };
    let store = proved(settings(topology), &certificates).await;
    assert!(store.set("tokend:{a}:x", b"1").await);
}
