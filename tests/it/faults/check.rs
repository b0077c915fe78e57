//! `tokend check` with a shared cache: what does not work is named by its key, with a remedy, and nothing secret is shown.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tokend::clock::Clock;

use super::{cache, ring};
use crate::support::redis::{Certificates, Cluster, Flavour, RedisServer, Sentinel};
use crate::support::{Emulator, configuration};

const PASSWORD: &str = "canary-password";

/// A folder with what a configuration needs.
struct Stage {
    _emulator: Emulator,
    files: TempDir,
    apps: String,
}

// === impl Stage ===

impl Stage {
    async fn new() -> Self {
        let emulator = Emulator::start(&Clock::system()).await;
        let files = tempfile::tempdir().expect("a folder");
        std::fs::write(files.path().join("key-ring"), ring(1, 2)).expect("a file");
        std::fs::write(files.path().join("password"), PASSWORD).expect("a file");
        std::fs::write(files.path().join("wrong"), "canary-wrong").expect("a file");
        let apps = configuration(&emulator, &files);
        Self { _emulator: emulator, files, apps }
    }

    fn path(&self) -> &Path {
        self.files.path()
    }

    /// The members for a user whose password is in a file of the stage.
    fn login(&self, user: &str, file: &str) -> String {
        format!("username: {user}, password: {{file: \"{}\"}}", self.path().join(file).display())
    }

    /// Runs it with these members of `cache.redis`; returns its exit status and everything that it says.
    async fn check(&self, redis: &str) -> (i32, String) {
        self.check_with(&cache(self.path(), "key-ring", redis, "60s")).await
    }

    async fn check_with(&self, cache: &str) -> (i32, String) {
        let config = self.path().join("tokend.yaml");
        std::fs::write(&config, format!("{}{cache}", self.apps)).expect("a file");
        let mut command = Command::new(binary());
        command.args(["check", "--config"]).arg(&config).env_clear().stdin(Stdio::null());
        let output = crate::support::output(command).await;
        let text = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned()).concat();
        assert!(!text.contains("canary"), "{text}");
        assert!(!text.contains("AgICAgIC"), "no key of the ring: {text}");
        (output.status.code().expect("an exit status"), text)
    }

    /// Runs it, and expects this status and one error that names the key and has these words, with a remedy that has those.
    async fn fails(&self, redis: &str, code: i32, key: &str, words: &str, remedy: &str) {
        let (status, text) = self.check(redis).await;
        assert_eq!(status, code, "{text}");
        let error = text.lines().find(|line| line.starts_with("error: ") && line.contains(key));
        let error = error.unwrap_or_else(|| panic!("no error at {key}: {text}"));
        assert!(error.contains(words), "no {words:?} in {text}");
        let advice = text.split(error).nth(1).and_then(|rest| rest.lines().nth(1)).unwrap_or_default();
        assert!(advice.starts_with("  remedy: ") && advice.contains(remedy), "no {remedy:?} in {text}");
        assert!(!text.contains("configuration is good"), "{text}");
    }

    async fn works(&self, redis: &str) {
        let (status, text) = self.check(redis).await;
        assert_eq!(status, 0, "{text}");
        assert!(text.contains("cache.redis: ") && text.contains("the configuration is good"), "{text}");
    }
}

/// The binary under test: the package's own, or the one that `TOKEND_BIN` names.
fn binary() -> PathBuf {
    let own = option_env!("CARGO_BIN_EXE_tokend").map(PathBuf::from);
    own.or_else(|| std::env::var_os("TOKEND_BIN").map(PathBuf::from)).expect("TOKEND_BIN names the binary")
}

fn url(server: &RedisServer) -> String {
    super::at(server)
}

#[tokio::test(flavor = "multi_thread")]
async fn good_servers_are_said_to_be_good() {
    let stage = Stage::new().await;
    for flavour in [Flavour::Redis, Flavour::Valkey] {
        let server = RedisServer::options().flavour(flavour).start().await;
        stage.works(&url(&server)).await;
        assert!(server.keys().await.iter().all(|key| key.contains(":probe:")), "it leaves nothing that stays");
        assert_eq!(server.client_count().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn good_sentinels_and_clusters_too() {
    let stage = Stage::new().await;
    let group = Sentinel::start().await;
    let list = |urls: &[String]| format!("[\"{}\"]", urls.join("\", \""));
    stage.works(&format!("sentinel: {{master: {}, urls: {}}}", group.master_name(), list(&group.urls()))).await;
    let nobody = format!("sentinel: {{master: nobody, urls: {}}}", list(&group.urls()));
    stage.fails(&nobody, 1, "cache.redis", "know no master of this name", "sentinel.master").await;
    let cluster = Cluster::start().await;
    stage.works(&format!("cluster: {{urls: {}}}", list(&cluster.urls()))).await;
    stage.fails(&url(&cluster.nodes[0]), 1, "cache.redis", "node of a cluster", "cluster.urls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there() {
    let stage = Stage::new().await;
    let mut server = RedisServer::start().await;
    let members = url(&server);
    server.freeze();
    stage.fails(&members, 1, "cache.redis", "does not answer in time", "check the address").await;
    server.thaw();
    server.kill().await;
    stage.fails(&members, 1, "cache.redis", "cannot be reached", "check the address").await;
    stage.fails("url: \"redis://no-such-host.invalid:6379\"", 1, "cache.redis", "cannot be reached", "check the address").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not() {
    let stage = Stage::new().await;
    let users = [
        "user default off".to_owned(),
        format!("user tokend on >{PASSWORD} ~tokend:* &tokend:* +@all -@dangerous"),
        format!("user reader on >{PASSWORD} ~tokend:* &tokend:* +@read +@connection"),
        format!("user elsewhere on >{PASSWORD} ~other:* &tokend:* +@all"),
        format!("user deaf on >{PASSWORD} ~tokend:* resetchannels +@all"),
    ];
    let server = RedisServer::options().acl(&users.each_ref().map(String::as_str)).start().await;
    let at = url(&server);
    stage.works(&format!("{at}, {}", stage.login("tokend", "password"))).await;
    let wrong = "refuses the user or the password";
    stage.fails(&format!("{at}, {}", stage.login("tokend", "wrong")), 1, "cache.redis", wrong, "`password`").await;
    stage.fails(&format!("{at}, {}", stage.login("nobody", "password")), 1, "cache.redis", wrong, "`username`").await;
    stage.fails(&at, 1, "cache.redis", wrong, "`username`").await;
    let may_not = |words: &str| format!("the Redis user may not {words}");
    for (user, words, remedy) in [
        ("reader", "run set, pexpire, zadd,", "+evalsha +eval +publish +subscribe"),
        ("elsewhere", "use keys under tokend:", "~tokend:*"),
        ("deaf", "use the channel tokend:events", "&tokend:events"),
    ] {
        stage.fails(&format!("{at}, {}", stage.login(user, "password")), 1, "cache.redis", &may_not(words), remedy).await;
    }
    // The usual user, and a prefix that it has no right to.
    let prefixed = format!("{at}, key_prefix: other, {}", stage.login("tokend", "password"));
    stage.fails(&prefixed, 1, "cache.redis", &may_not("use keys under other:"), "~other:*").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_do_not_fit() {
    let stage = Stage::new().await;
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let server = RedisServer::options().tls(&certificates).start().await;
    let at = url(&server);
    let member = |name: &str, path: PathBuf| format!("{name}: \"{}\"", path.display());
    let ca = |of: &Certificates| member("ca_file", of.ca());
    let pair = |of: &Certificates| format!("{}, {}", member("client_cert", of.client()), member("client_key", of.client_key()));
    stage.works(&format!("{at}, {}, {}", ca(&certificates), pair(&certificates))).await;
    let untrusted = "not from a CA that is trusted";
    stage.fails(&format!("{at}, {}, {}", ca(&others), pair(&certificates)), 1, "cache.redis", untrusted, "`ca_file`").await;
    stage.fails(&format!("{at}, {}", pair(&certificates)), 1, "cache.redis", untrusted, "`ca_file`").await;
    // The server says why after the client believes that all is well; at times its end is seen first.
    let (none, wrong) = (ca(&certificates), format!("{}, {}", ca(&certificates), pair(&others)));
    for members in [none, wrong] {
        stage.fails(&format!("{at}, {members}"), 1, "cache.redis", "", "").await;
        let (_, text) = stage.check(&format!("{at}, {members}")).await;
        assert!(text.contains("client certificate"), "{text}");
    }
    let plain = format!("url: \"redis://127.0.0.1:{}\"", server.port());
    stage.fails(&plain, 1, "cache.redis", "cannot be reached", "rediss://").await;
    let open = RedisServer::start().await;
    let tls = format!("url: \"rediss://127.0.0.1:{}\", {}", open.port(), ca(&certificates));
    stage.fails(&tls, 1, "cache.redis", "", "redis://").await;
    let missing = member("ca_file", stage.path().join("nowhere.pem"));
    stage.fails(&format!("{at}, {missing}"), 64, "cache.redis.ca_file", "cannot be read", "").await;
    let mixed = format!("{}, {}", member("client_cert", certificates.client()), member("client_key", others.client_key()));
    stage.fails(&format!("{at}, {mixed}"), 64, "cache.redis.client_key", "not the key", "certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes() {
    let stage = Stage::new().await;
    let full = RedisServer::options().config("maxmemory", "1").config("maxmemory-policy", "noeviction").start().await;
    stage.fails(&url(&full), 1, "cache.redis", "full and evicts nothing", "maxmemory").await;
    let replica = RedisServer::options().config("replicaof", "127.0.0.1 1").start().await;
    let (status, text) = stage.check(&url(&replica)).await;
    assert!(status == 1 && text.contains("error: cache.redis: ") && text.contains("  remedy: "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_is_none() {
    let stage = Stage::new().await;
    let server = RedisServer::start().await;
    let at = url(&server);
    let without = |encryption: &str| format!("cache: {{redis: {{{at}{encryption}}}}}\n");
    let (status, text) = stage.check_with(&without("")).await;
    assert_eq!(status, 64, "{text}");
    assert!(text.contains("cache.redis.encryption") && text.contains("key-ring new") && text.contains("plaintext"), "{text}");
    let (status, text) = stage.check_with(&without(", encryption: {plaintext: true}")).await;
    assert!(status == 0 && text.contains("warning: ") && text.contains("cache.redis.encryption.plaintext"), "{text}");
    for (name, contents, words) in [
        ("nowhere", None, "cannot be read"),
        ("empty", Some(""), "name"),
        ("nameless", Some("k1:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n"), "name"),
        ("keyless", Some("name:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n"), "key"),
        ("short", Some("name:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\nk1:canary\n"), ""),
    ] {
        if let Some(contents) = contents {
            std::fs::write(stage.path().join(name), contents).expect("a file");
        }
        let (status, text) = stage.check_with(&cache(stage.path(), name, &at, "60s")).await;
        assert_eq!(status, 64, "{name}: {text}");
        let error = text.lines().find(|line| line.contains("cache.redis.encryption.key_ring")).unwrap_or_else(|| panic!("{text}"));
        assert!(error.starts_with("error: ") && error.contains(words) && text.contains("  remedy: "), "{name}: {text}");
    }
}
