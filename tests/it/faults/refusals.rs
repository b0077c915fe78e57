//! A server that answers and refuses: it is full, or the user may not do what it is asked, or is not known any more.

use tempfile::NamedTempFile;

use super::load::Load;
use super::{PATIENCE, Replicas, at};
use crate::support::eventually;
use crate::support::redis::RedisServer;

const USERS: [&str; 2] = ["user default off", "user tokend on >first ~tokend:* &tokend:* +@all -@dangerous"];

/// A server with users, replicas that log in, and the file with their password.
async fn with_user() -> (RedisServer, Replicas, NamedTempFile) {
    let server = RedisServer::options().acl(&USERS).start().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "first\n").expect("a written file");
    let login = format!("{}, username: tokend, password: {{file: \"{}\"}}", at(&server), file.path().display());
    let replicas = Replicas::start(2, &login).await;
    (server, replicas, file)
}

async fn order(server: &RedisServer, words: &[&str]) {
    server.admin().ask::<redis::Value>(words).await.expect("an answer");
}

/// A server that takes no writes any more and then does again: only writes are given up meanwhile. What cannot be written can be
/// read, by the replicas at work and by one that has just come.
async fn only_writes_fail(server: &RedisServer, mut replicas: Replicas, phase: &'static str, wrong: &[&str], right: &[&str]) {
    let stored = replicas.fresh();
    replicas.ask(0, stored).await.token();
    eventually(PATIENCE, async || replicas.ask(1, stored).await.level() == "memory").await;
    {
        let load = Load::on(&replicas).await;
        load.enter(phase);
        order(server, wrong).await;
        load.until_open(&["writes"]).await;
        load.runs().await;
        load.end().await;
    }
    let newcomer = replicas.join().await;
    eventually(PATIENCE, async || replicas.ask(newcomer, stored).await.level() == "redis").await;
    for replica in 0..3 {
        assert_eq!((replicas.breaker(replica, "reads").await.as_str(), replicas.gauge(replica, "reads").await), ("closed", 0.0));
    }
    let load = Load::on(&replicas).await;
    load.enter(phase);
    order(server, right).await;
    load.until_healed().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_full_until_it_is_given_memory() {
    let server = RedisServer::options().config("maxmemory-policy", "noeviction").start().await;
    let replicas = Replicas::start(2, &at(&server)).await;
    let (wrong, right) = (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]);
    only_writes_fail(&server, replicas, "full", &wrong, &right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_misses_its_replicas() {
    let server = RedisServer::start().await;
    let replicas = Replicas::start(2, &at(&server)).await;
    let (wrong, right) = (["CONFIG", "SET", "min-replicas-to-write", "1"], ["CONFIG", "SET", "min-replicas-to-write", "0"]);
    only_writes_fail(&server, replicas, "no replicas", &wrong, &right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_becomes_a_replica() {
    let server = RedisServer::start().await;
    let replicas = Replicas::start(2, &at(&server)).await;
    let (wrong, right) = (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]);
    only_writes_fail(&server, replicas, "a replica", &wrong, &right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_only_read_any_more() {
    let (server, replicas, _file) = with_user().await;
    let (wrong, right) = (["ACL", "SETUSER", "tokend", "-@write"], ["ACL", "SETUSER", "tokend", "+@write"]);
    only_writes_fail(&server, replicas, "no writes", &wrong, &right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_run_scripts_any_more() {
    let (server, replicas, _file) = with_user().await;
    let load = Load::on(&replicas).await;
    load.enter("no scripts");
    order(&server, &["ACL", "SETUSER", "tokend", "-@scripting"]).await;
    load.until_open(&["writes"]).await;
    load.runs().await;
    order(&server, &["ACL", "SETUSER", "tokend", "+@scripting"]).await;
    load.until_healed().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_revoked_and_comes_back() {
    let (server, replicas, _file) = with_user().await;
    let load = Load::on(&replicas).await;
    load.enter("revoked");
    order(&server, &["ACL", "SETUSER", "tokend", "off"]).await;
    order(&server, &["CLIENT", "KILL", "USER", "tokend"]).await;
    load.until_open(&["reads", "writes", "events"]).await;
    load.runs().await;
    order(&server, &["ACL", "SETUSER", "tokend", "on"]).await;
    load.until_healed().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_changes_is_read_again() {
    let (server, replicas, file) = with_user().await;
    let load = Load::on(&replicas).await;
    load.enter("new password");
    order(&server, &["ACL", "SETUSER", "tokend", "resetpass", ">second"]).await;
    order(&server, &["CLIENT", "KILL", "USER", "tokend"]).await;
    load.until_open(&["reads", "events"]).await;
    std::fs::write(&file, "second\n").expect("a file");
    load.until_healed().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_changed_in_good_order_is_not_felt() {
    let (server, replicas, file) = with_user().await;
    let load = Load::on(&replicas).await;
    load.enter("rotated");
    order(&server, &["ACL", "SETUSER", "tokend", ">second"]).await;
    std::fs::write(&file, "second\n").expect("a file");
    order(&server, &["ACL", "SETUSER", "tokend", "<first"]).await;
    // As a server that is restarted would: whoever comes back has to know the new one.
    order(&server, &["CLIENT", "KILL", "USER", "tokend"]).await;
    load.until_healed().await;
    load.end().await;
    for replica in &replicas.all {
        let failures = replica.metric("tokend_reload_failures_total{app=\"cache.redis\"}").await;
        assert_eq!(failures, 0.0);
    }
}
