//! `cache.redis`: every way to say where it is, and everything that must not be left unsaid.

use std::path::Path;
use std::time::Duration;

use super::{APP, environment, fixture, keys, yaml};
use crate::config::{Format, Input, Settings, load, parse};
use crate::finding::{Finding, Findings, Severity};
use crate::reload::Place;
use crate::store::{Encryption, RedisSettings, Topology};

const SEALED: &str = "encryption: {key_ring: {file: /ring}}";

/// A configuration whose `cache.redis` has these members.
fn with(members: &str, variables: &[(&str, &str)]) -> (Option<RedisSettings>, Findings) {
    let (settings, findings) = yaml(&format!("{APP}cache: {{redis: {{{members}}}}}\n"), variables);
    (redis(settings), findings)
}

fn redis(settings: Option<Settings>) -> Option<RedisSettings> {
    settings.and_then(|settings| settings.cache.redis)
}

/// The one finding, whatever it is.
fn only(findings: &Findings) -> &Finding {
    let list: Vec<_> = findings.iter().collect();
    let [finding] = list.as_slice() else { panic!("{findings:?}") };
    finding
}

fn file(place: Option<&Place>) -> Option<&Path> {
    if let Some(Place::File(path)) = place { Some(path) } else { None }
}

#[test]
fn every_value_of_the_good_file_arrives() {
    let (settings, _) = fixture("good.yaml", &[("EVERYONE_SECRET", "s"), ("SUPPORT_TOKEN", "t")]);
    let redis = redis(settings).unwrap();
    let Topology::Sentinel { master, urls, username, password } = &redis.topology else { panic!("{redis:?}") };
    assert_eq!((master.as_str(), username.as_deref(), urls.len()), ("tokens", Some("watcher"), 2));
    assert!(urls.iter().all(|url| url.tls && url.port == 26380 && url.db == 2));
    assert_eq!(file(password.as_ref().map(|source| &source.place)), Some(Path::new("/run/secrets/sentinel-password")));
    assert_eq!(
        (redis.key.as_str(), redis.username.as_deref(), redis.key_prefix.as_str()),
        ("cache.redis", Some("tokend"), "shop.tokens")
    );
    assert!(redis.file.as_deref().is_some_and(|file| file.ends_with("good.yaml")));
    assert_eq!(file(redis.password.as_ref().map(|source| &source.place)), Some(Path::new("/run/secrets/redis-password")));
    assert_eq!(redis.ca_file.as_deref(), Some(Path::new("/etc/tokend/redis-ca.pem")));
    assert_eq!(redis.client_cert.as_deref(), Some(Path::new("/run/secrets/redis.crt")));
    assert_eq!(redis.client_key.as_deref(), Some(Path::new("/run/secrets/redis.key")));
    let Encryption::KeyRing(source) = &redis.encryption else { panic!("{redis:?}") };
    assert_eq!(
        (source.key.as_str(), file(Some(&source.place))),
        ("cache.redis.encryption.key_ring.file", Some(Path::new("/run/secrets/key-ring")))
    );
    assert_eq!((redis.timeout, redis.write_timeout, redis.write_version), (Duration::from_millis(80), Duration::from_secs(2), 3));
    assert_eq!((redis.wait_replicas, redis.wait_timeout), (1, Duration::from_millis(300)));
}

#[test]
fn an_address_and_a_key_ring_are_enough() {
    let (redis, findings) = with(&format!("url: 'rediss://cache.internal:6380', {SEALED}"), &[]);
    assert!(findings.is_empty(), "{findings:?}");
    let redis = redis.unwrap();
    assert!(matches!(&redis.topology, Topology::Standalone(url) if url.tls && url.host == "cache.internal" && url.port == 6380));
    assert_eq!((redis.timeout, redis.write_timeout, redis.write_version), (Duration::from_millis(50), Duration::from_secs(1), 3));
    assert_eq!((redis.wait_replicas, redis.wait_timeout), (0, Duration::from_millis(500)));
    assert_eq!((redis.key_prefix.as_str(), redis.username, redis.password.is_some()), ("tokend", None, false));
    let (redis, findings) = with(&format!("cluster: {{urls: ['rediss://a:1', 'rediss://b:2']}}, {SEALED}"), &[]);
    assert!(findings.is_empty() && matches!(redis.unwrap().topology, Topology::Cluster(urls) if urls.len() == 2));
    // Without TLS on this machine; and a password without a user is the default user's.
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let (redis, findings) = with(&format!("url: 'redis://{host}:1', password: {{file: /p}}, {SEALED}"), &[]);
        assert!(redis.is_some() && findings.is_empty(), "{host}: {findings:?}");
    }
}

#[test]
fn where_it_is_has_to_be_said_once() {
    let cases = [
        ("", "cache.redis.url"),
        ("url: 'rediss://a:1', cluster: {urls: 'rediss://a:1'}, ", "cache.redis"),
        ("sentinel: {master: m, urls: 'rediss://a:1'}, cluster: {urls: 'rediss://a:1'}, ", "cache.redis"),
        ("url: 'http://canary:1', ", "cache.redis.url"),
        ("url: 'rediss://user:canary@a:1', ", "cache.redis.url"),
        ("sentinel: {urls: 'rediss://a:1'}, ", "cache.redis.sentinel.master"),
        ("sentinel: {master: 'canary a', urls: 'rediss://a:1'}, ", "cache.redis.sentinel.master"),
        ("sentinel: {master: m}, ", "cache.redis.sentinel.urls"),
        ("sentinel: {master: m, urls: ['rediss://a:1/1', 'rediss://b:1']}, ", "cache.redis.sentinel.urls"),
        ("sentinel: {master: m, urls: 'rediss://a:1', username: canary}, ", "cache.redis.sentinel.password"),
        ("cluster: {urls: []}, ", "cache.redis.cluster.urls"),
        ("cluster: {urls: ['rediss://a:1', 'redis://127.0.0.1:1']}, ", "cache.redis.cluster.urls"),
        ("cluster: {urls: ['rediss://a:1', 'canary']}, ", "cache.redis.cluster.urls[1]"),
        ("cluster: {urls: 'rediss://a:1/3'}, ", "cache.redis.cluster.urls"),
        ("urls: 'rediss://a:1', url: 'rediss://a:1', ", "cache.redis.urls"),
    ];
    for (members, key) in cases {
        let (redis, findings) = with(&format!("{members}{SEALED}"), &[]);
        assert!(redis.is_none(), "{members}");
        let finding = only(&findings);
        assert_eq!((finding.key.as_str(), finding.severity), (key, Severity::Error), "{finding}");
        assert!(!format!("{finding}").contains("canary"), "{finding}");
    }
}

#[test]
fn without_a_key_ring_it_says_so_in_so_many_words_or_does_not_start() {
    for encryption in
        ["", "encryption: {}", "encryption: {plaintext: false}", "encryption: {key_ring: {file: /r}, plaintext: true}"]
    {
        let (redis, findings) = with(&format!("url: 'rediss://a:1', {encryption}"), &[]);
        let finding = only(&findings);
        assert!(redis.is_none() && finding.key == "cache.redis.encryption", "{findings:?}");
        assert!(finding.remedy.contains("key_ring") && finding.remedy.contains("plaintext: true"), "{finding}");
    }
    assert_eq!(only(&with("url: 'rediss://a:1', encryption: {key_ring: {}}", &[]).1).key, "cache.redis.encryption.key_ring");
    let (redis, findings) = with("url: 'rediss://a:1', encryption: {plaintext: true}", &[]);
    assert!(matches!(redis.unwrap().encryption, Encryption::Plaintext));
    let finding = only(&findings);
    assert_eq!((finding.key.as_str(), finding.severity), ("cache.redis.encryption.plaintext", Severity::Warning));
    let (redis, findings) = with("url: 'rediss://a:1', encryption: {key_ring: {inline: canary}, plaintext: false}", &[]);
    assert!(matches!(redis.unwrap().encryption, Encryption::KeyRing(_)));
    let finding = only(&findings);
    assert_eq!((finding.key.as_str(), finding.severity), ("cache.redis.encryption.key_ring.inline", Severity::Warning));
}

#[test]
fn the_other_members_are_judged() {
    let errors = [
        ("username: u", "password"),
        ("username: ' '", "username"),
        ("password: {}", "password"),
        ("password: {file: /p, env: P}", "password"),
        ("client_cert: /c", "client_key"),
        ("client_key: /c", "client_cert"),
        ("ca_file: ''", "ca_file"),
        ("key_prefix: ''", "key_prefix"),
        ("key_prefix: 'a:b'", "key_prefix"),
        ("key_prefix: '{a}'", "key_prefix"),
        ("timeout: 0s", "timeout"),
        ("timeout: 50", "timeout"),
        ("write_timeout: 0", "write_timeout"),
        ("wait_replicas: 101", "wait_replicas"),
        ("wait_replicas: 1, wait_timeout: 0s", "wait_timeout"),
        ("write_version: 0", "write_version"),
        ("write_version: 2", "write_version"),
        ("write_version: 4", "write_version"),
        ("write_version: 257", "write_version"),
        ("encrypt: true", "encrypt"),
    ];
    let judge = |url: &str, member: &str| {
        let (redis, findings) = with(&format!("url: '{url}', {SEALED}, {member}"), &[]);
        let finding = only(&findings);
        (redis.is_some(), finding.severity, finding.key.clone())
    };
    for (member, key) in errors {
        assert_eq!(judge("rediss://a:1", member), (false, Severity::Error, format!("cache.redis.{key}")), "{member}");
    }
    let long = format!("key_prefix: {}", "p".repeat(65));
    assert_eq!(judge("rediss://a:1", &long), (false, Severity::Error, "cache.redis.key_prefix".to_owned()));
    assert_eq!(judge("redis://127.0.0.1:1", "ca_file: /c"), (false, Severity::Error, "cache.redis.ca_file".to_owned()));
    for (url, member, key) in [
        ("rediss://a:1", "timeout: 2s", "timeout"),
        ("rediss://a:1", "write_timeout: 15s", "write_timeout"),
        ("rediss://a:1", "wait_timeout: 100ms", "wait_timeout"),
        ("rediss://a:1", "wait_replicas: 1, wait_timeout: 15s", "wait_timeout"),
        ("rediss://a:1", "password: {inline: p}", "password.inline"),
        ("redis://a:1", "write_version: 3", "url"),
    ] {
        assert_eq!(judge(url, member), (true, Severity::Warning, format!("cache.redis.{key}")), "{member}");
    }
    let (_, findings) = with(&format!("url: 'redis://127.0.0.1:1', {SEALED}, client_cert: /c, client_key: /k"), &[]);
    assert_eq!(keys(&findings), ["cache.redis.client_cert", "cache.redis.client_key"]);
}

#[test]
fn several_mistakes_are_found_at_once() {
    let (_, findings) = with("url: 'rediss://a:1', cluster: {}, username: u, client_key: /k", &[]);
    let expected = ["cache.redis.password", "cache.redis.client_cert", "cache.redis.encryption", "cache.redis"];
    assert_eq!(keys(&findings), expected);
}

#[test]
fn the_environment_alone_is_enough() {
    let variables = [
        ("TOKEND_CACHE__REDIS__URL", "rediss://cache.internal:6380/1"),
        ("TOKEND_CACHE__REDIS__USERNAME", "tokend"),
        ("TOKEND_CACHE__REDIS__PASSWORD__INLINE", "canary"),
        ("TOKEND_CACHE__REDIS__ENCRYPTION__KEY_RING__ENV", "RING"),
        ("TOKEND_CACHE__REDIS__TIMEOUT", "70ms"),
        ("TOKEND_CACHE__REDIS__WRITE_VERSION", "3"),
        ("TOKEND_CACHE__RECHECK", "10s"),
        ("RING", "canary-ring"),
    ];
    let (settings, findings) = parse(APP, Format::Yaml, "t.yaml", &environment(&variables));
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(settings.as_ref().map(|settings| settings.cache.recheck), Some(Duration::from_secs(10)));
    let redis = redis(settings).unwrap();
    assert!(matches!(&redis.topology, Topology::Standalone(url) if url.db == 1));
    assert_eq!((redis.timeout, redis.write_version), (Duration::from_millis(70), 3));
    assert!(
        matches!(&redis.encryption, Encryption::KeyRing(source) if matches!(&source.place, Place::Value(ring) if ring.expose() == "canary-ring"))
    );
    assert!(!format!("{redis:?}").contains("canary"));
    let variables = [("TOKEND_CACHE__REDIS__USERNAME", "u"), ("TOKEND_LISTEN", "127.0.0.1:1")];
    let (_, findings) = load(&Input { file: None, environment: environment(&variables) });
    assert!(findings.iter().all(|finding| finding.file.is_none()) && findings.has_errors(), "{findings:?}");
}

#[test]
fn the_environment_replaces_the_kind() {
    let file = format!("url: 'rediss://a:1', {SEALED}, password: {{file: /p}}");
    let variables = [
        ("TOKEND_CACHE__REDIS__CLUSTER__URLS", "[rediss://b:1, rediss://c:1]"),
        ("TOKEND_CACHE__REDIS__ENCRYPTION__PLAINTEXT", "true"),
        ("TOKEND_CACHE__REDIS__PASSWORD__ENV", "P"),
        ("P", "p"),
    ];
    let (redis, findings) = with(&file, &variables);
    assert_eq!(only(&findings).severity, Severity::Warning, "{findings:?}");
    let redis = redis.unwrap();
    assert!(
        matches!(&redis.topology, Topology::Cluster(urls) if urls.len() == 2) && matches!(redis.encryption, Encryption::Plaintext)
    );
    let (redis, findings) =
        with(&file, &[("TOKEND_CACHE__REDIS", "{sentinel: {master: m, urls: [rediss://b:1]}, encryption: {plaintext: false}}")]);
    assert!(findings.is_empty(), "{findings:?}");
    let redis = redis.unwrap();
    assert!(matches!(redis.topology, Topology::Sentinel { .. }) && matches!(redis.encryption, Encryption::KeyRing(_)));
    let plain = "url: 'rediss://a:1', encryption: {plaintext: true}";
    for variable in
        [("TOKEND_CACHE__REDIS__ENCRYPTION__KEY_RING__FILE", "/r"), ("TOKEND_CACHE__REDIS__ENCRYPTION", "{key_ring: {file: /r}}")]
    {
        let (redis, findings) = with(plain, &[variable]);
        assert!(findings.is_empty() && matches!(redis.unwrap().encryption, Encryption::KeyRing(_)), "{findings:?}");
    }
    let (redis, findings) = with(&file, &[("TOKEND_CACHE__REDIS__ENCRYPTION__PLAINTEXT", "false")]);
    assert!(redis.is_some() && findings.is_empty(), "{findings:?}");
}

#[test]
fn how_long_memory_is_believed_and_what_becomes_of_refresh_tokens() {
    let (settings, findings) = yaml(&format!("{APP}cache: {{recheck: 0s}}\n"), &[]);
    assert!(settings.is_none() && only(&findings).key == "cache.recheck");
    assert!(yaml(&format!("{APP}cache: {{recheck: 5s}}\n"), &[]).1.is_empty());
    let (_, findings) = yaml(&APP.replace("client_id: c", "client_id: c, refresh_tokens: canary"), &[]);
    assert!(only(&findings).key == "apps.a.refresh_tokens" && only(&findings).remedy.contains("single_use"));
}
