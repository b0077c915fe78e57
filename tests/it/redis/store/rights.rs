//! What `tokend check` says of the user at Redis, and of a Redis that is set up otherwise than we recommend.

use std::path::Path;

use tokend::finding::Complaint;
use tokend::store::{RedisSettings, Topology};

use super::topologies::behind;
use super::{Store, password, settings, standalone, urls};
use crate::support::redis::{Cluster, RedisServer, Sentinel};

/// The user that the documentation has for one server and for sentinels, as a line of a configuration.
fn documented() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cache.md");
    let text = std::fs::read_to_string(path).expect("a file");
    let line = text.lines().find(|line| line.starts_with("user tokend on >PASSWORD ")).expect("the user");
    line.replace("PASSWORD", "first-password")
}

fn of_a_cluster(user: &str) -> String {
    user.replace("+publish +subscribe", "+spublish +ssubscribe") + " +cluster|slots +asking"
}

fn commands(user: &str) -> Vec<String> {
    user.split(' ').filter_map(|word| word.strip_prefix('+')).map(str::to_owned).collect()
}

fn as_tokend(settings: RedisSettings) -> RedisSettings {
    RedisSettings { username: Some("tokend".to_owned()), password: password("first-password"), ..settings }
}

async fn prove(settings: &RedisSettings) -> Result<Vec<Complaint>, Complaint> {
    Store::open(settings).shared.prove().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_right_that_is_documented_is_needed_and_named_where_it_is_missing() {
    let user = documented();
    let server = RedisServer::options().acl(&["user default off", &user]).start().await;
    let settings = as_tokend(standalone(&server.url()));
    assert_eq!(prove(&settings).await, Ok(vec![]));
    for command in commands(&user) {
        server.admin().ask::<()>(&["ACL", "SETUSER", "tokend", &format!("-{command}")]).await.expect("an answer");
        let problem = prove(&settings).await.expect_err(&command);
        assert!(problem.reason.ends_with(&format!("the Redis user may not run {command}")), "{command}: {problem:?}");
        assert!(problem.remedy.ends_with(&format!("ACL SETUSER tokend +{command}")), "{command}: {problem:?}");
        server.admin().ask::<()>(&["ACL", "SETUSER", "tokend", &format!("+{command}")]).await.expect("an answer");
    }
    assert_eq!(prove(&settings).await, Ok(vec![]));
    let waiting = RedisSettings { wait_replicas: 1, ..settings.clone() };
    assert!(prove(&waiting).await.is_err_and(|problem| problem.reason.ends_with("run wait")));
    // Several at a time are named together, with the patterns.
    server.admin().ask::<()>(&["ACL", "SETUSER", "tokend", "-zadd", "-publish", "resetchannels"]).await.expect("an answer");
    let problem = prove(&settings).await.expect_err("no rights");
    assert!(problem.reason.contains("zadd, publish, and not use the channel tokend:events"), "{problem:?}");
    assert!(problem.remedy.ends_with("+zadd +publish &tokend:events"), "{problem:?}");
    server
        .admin()
        .ask::<()>(&["ACL", "SETUSER", "tokend", "+zadd", "+publish", "&tokend:events", "resetkeys"])
        .await
        .expect("an answer");
    let problem = prove(&settings).await.expect_err("no keys");
    assert!(problem.reason.contains("use keys under tokend:") && problem.remedy.contains("~tokend:*"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_each_node_has_users_of_its_own() {
    let user = of_a_cluster(&documented());
    let mut cluster = Cluster::start_with(RedisServer::options().acl(&["user default off", &user])).await;
    let settings = as_tokend(settings(Topology::Cluster(urls(&cluster.urls()))));
    assert_eq!(prove(&settings).await, Ok(vec![]));
    let admin = cluster.masters().await[1].admin().clone();
    for command in ["zrem", "asking", "evalsha"] {
        admin.ask::<()>(&["ACL", "SETUSER", "tokend", &format!("-{command}")]).await.expect("an answer");
        let problem = prove(&settings).await.expect_err(command);
        assert!(problem.remedy.ends_with(&format!("ACL SETUSER tokend +{command}")), "{problem:?}");
        admin.ask::<()>(&["ACL", "SETUSER", "tokend", &format!("+{command}")]).await.expect("an answer");
    }
    admin.ask::<()>(&["ACL", "SETUSER", "tokend", "-cluster|slots"]).await.expect("an answer");
    let told = prove(&settings).await;
    assert!(told.as_ref().map_or_else(|problem| problem.remedy.contains("+cluster|slots"), Vec::is_empty), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_takes_sign_outs_is_a_warning() {
    let user = documented();
    let options = RedisServer::options().acl(&["user default off", &user]).config("maxmemory", "100mb");
    let server = options.config("maxmemory-policy", "volatile-ttl").start().await;
    let settings = as_tokend(standalone(&server.url()));
    assert_eq!(prove(&settings).await, Ok(vec![]), "whoever may not ask is told nothing");
    server.admin().ask::<()>(&["ACL", "SETUSER", "tokend", "+info"]).await.expect("an answer");
    let warnings = prove(&settings).await.expect("it works");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].reason.contains("volatile-ttl") && warnings[0].remedy.contains("noeviction"), "{warnings:?}");
    server.admin().ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await.expect("an answer");
    assert_eq!(prove(&settings).await, Ok(vec![]));
    server.admin().ask::<()>(&["CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "allkeys-lru"]).await.expect("an answer");
    assert_eq!(prove(&settings).await, Ok(vec![]), "without a bound nothing is evicted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_may_not_be_heard_and_masters_that_write_alone_are_warnings() {
    let data = documented() + " +info";
    let options = RedisServer::options().acl(&["user default off", &data]).sentinel_acl(&[
        "user default off",
        "user watcher on >first-password resetchannels -@all +sentinel|get-master-addr-by-name",
    ]);
    let group = Sentinel::start_with(options).await;
    let topology = match behind(&group).topology {
        Topology::Sentinel { master, urls, .. } => {
            Topology::Sentinel { master, urls, username: Some("watcher".to_owned()), password: password("first-password") }
        }
        _ => unreachable!(),
    };
    let settings = as_tokend(settings(topology));
    let warnings = prove(&settings).await.expect("it works");
    let remedies: Vec<&str> = warnings.iter().map(|problem| problem.remedy.as_str()).collect();
    let expected = [
        "at each sentinel: ACL SETUSER watcher +subscribe &+switch-master",
        "ACL SETUSER tokend +role",
        "CONFIG SET min-replicas-to-write 1, and CONFIG SET min-replicas-max-lag 5",
    ];
    assert_eq!(remedies, expected, "{warnings:?}");
    for sentinel in &group.sentinels {
        let rights = ["ACL", "SETUSER", "watcher", "+subscribe", "&+switch-master"];
        sentinel.admin().ask::<()>(&rights).await.expect("an answer");
    }
    for node in &group.nodes {
        node.admin().ask::<()>(&["ACL", "SETUSER", "tokend", "+role"]).await.expect("an answer");
        node.admin().ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await.expect("an answer");
    }
    assert_eq!(prove(&settings).await, Ok(vec![]));
    for sentinel in &group.sentinels {
        sentinel.admin().ask::<()>(&["ACL", "SETUSER", "watcher", "-sentinel|get-master-addr-by-name"]).await.expect("an answer");
    }
    let problem = prove(&settings).await.expect_err("nobody says where the master is");
    assert!(problem.remedy.contains("ACL SETUSER watcher +sentinel|get-master-addr-by-name"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_choose_the_database_is_told_with_all_that_is_missing_besides() {
    let user = documented();
    let server = RedisServer::options().acl(&["user default off", &user]).start().await;
    let settings = as_tokend(standalone(&format!("{}/3", server.url())));
    let problem = prove(&settings).await.expect_err("no right to choose");
    assert!(
        problem.reason.ends_with("may not run select") && problem.remedy.ends_with("ACL SETUSER tokend +select"),
        "{problem:?}"
    );
    server.admin().ask::<()>(&["ACL", "SETUSER", "tokend", "-mget", "-eval", "-subscribe"]).await.expect("an answer");
    let problem = prove(&settings).await.expect_err("no rights");
    assert!(problem.remedy.ends_with("+select +mget +eval +subscribe"), "{problem:?}");
    // What it names is what is needed.
    let rights = problem.remedy.rsplit("ACL SETUSER tokend ").next().expect("rights").split(' ');
    let words: Vec<&str> = ["ACL", "SETUSER", "tokend"].into_iter().chain(rights).collect();
    server.admin().ask::<()>(&words).await.expect("an answer");
    assert_eq!(prove(&settings).await, Ok(vec![]));
    let store = Store::open(&settings);
    assert!(store.set("tokend:{a}:x", b"1").await && store.get("tokend:{a}:x").await == Some(b"1".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_no_master_is_called_what_it_is() {
    let group = Sentinel::start().await;
    let sentinel = group.urls()[0].clone();
    let mut with_login = standalone(&sentinel);
    with_login.password = password("first-password");
    for settings in [standalone(&sentinel), standalone(&format!("{sentinel}/2")), with_login] {
        let problem = prove(&settings).await.expect_err("a sentinel");
        assert!(problem.reason.contains("is a sentinel") && problem.remedy.contains("`sentinel: {master: …"), "{problem:?}");
    }
    // Whether it refuses writes or takes what is lost with the next look at its master.
    for read_only in ["yes", "no"] {
        let master = RedisServer::start().await;
        let port = master.port().to_string();
        let replica =
            RedisServer::options().config("replicaof", &format!("127.0.0.1 {port}")).config("replica-read-only", read_only);
        let replica = replica.start().await;
        let problem = prove(&standalone(&replica.url())).await.expect_err("a replica");
        assert!(problem.reason.contains("is a replica") && problem.remedy.contains("the master's address"), "{problem:?}");
        assert_eq!(prove(&standalone(&master.url())).await, Ok(vec![]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_hello_is_told() {
    for rename in ["HELLO \"\"", "HELLO other"] {
        let server = RedisServer::options().config("rename-command", rename).start().await;
        let problem = prove(&standalone(&server.url())).await.expect_err(rename);
        assert!(problem.reason.contains("`HELLO 3`") && problem.remedy.contains("do not rename HELLO"), "{problem:?}");
    }
}
