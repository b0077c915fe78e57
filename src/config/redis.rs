//! `cache.redis`: where the level is that replicas share, how to get in, and how what lies there is sealed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::apps::entries;
use super::bounds::duration;
use super::report::Report;
use super::scalar::{List, Scalar, Text};
use super::shape::join;
use super::source::{self, filled};
use super::{host, raw};
use crate::finding::Complaint;
use crate::http;
use crate::reload::Source;
use crate::store::{Encryption, NodeNames, RedisSettings, RedisUrl, Topology, VERSIONS};

const PATH: &str = "cache.redis";
/// What all keys in Redis begin with.
const PREFIX: &str = "tokend";
/// The longest prefix, in bytes.
const LONGEST_PREFIX: usize = 64;
/// Reads on the request path; a token that is not found in this time is asked for at the authority.
const TIMEOUT: Duration = Duration::from_millis(50);
/// Above this a Redis that hangs is felt before it is left alone.
const LONG_TIMEOUT: Duration = Duration::from_secs(1);
/// What must not be lost may take longer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long replicas are waited for, where they are.
const WAIT_TIMEOUT: Duration = Duration::from_millis(500);
/// More replicas than a master has.
const MOST_REPLICAS: u64 = 100;

const TOPOLOGIES: &str =
    "write exactly one: `url: rediss://host:6380`, `sentinel: {master: …, urls: […]}` or `cluster: {urls: […]}`";

/// Reads `cache.redis`.
pub(super) fn redis(
    raw: raw::Redis,
    limits: &http::Settings,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> RedisSettings {
    let at = |member: &str| join(PATH, member);
    let (username, password) = login(PATH, raw.username, raw.password, environment, report);
    let mut path = |member: &str, raw: Option<Text>| raw.and_then(|text| filled(&at(member), text, report)).map(PathBuf::from);
    let (ca_file, client_cert) = (path("ca_file", raw.ca_file), path("client_cert", raw.client_cert));
    let client_key = path("client_key", raw.client_key);
    let given = [("ca_file", ca_file.is_some()), ("client_cert", client_cert.is_some()), ("client_key", client_key.is_some())];
    pair(&given, report);
    let key_prefix = raw.key_prefix.map_or_else(|| Some(PREFIX.to_owned()), |text| report.take(&at("key_prefix"), prefix(text)));
    let encryption = encryption(&at("encryption"), raw.encryption, environment, report);
    let (timeout, write_timeout) = timeouts(raw.timeout, raw.write_timeout, limits, report);
    let (wait_replicas, wait_timeout) = waiting(raw.wait_replicas, raw.wait_timeout, limits, report);
    let write_version = write_version(&at("write_version"), raw.write_version, report);
    // Last, because it may blame the whole, and nothing is said to be missing from what is blamed already.
    let mut cluster = raw.cluster;
    let node_names = node_names(cluster.as_mut().and_then(|cluster| cluster.node_names.take()), report);
    let topology = topology(raw.url, raw.sentinel, cluster, environment, report);
    if let Some(topology) = &topology {
        tls(topology, &given, report);
    }
    let (file, key) = report.place(PATH);
    // What has a finding already has something in its place, so that the files are looked at all the same.
    RedisSettings {
        key,
        file,
        topology: topology.unwrap_or_else(nowhere),
        node_names,
        username,
        password,
        ca_file,
        client_cert,
        client_key,
        key_prefix: key_prefix.unwrap_or_default(),
        encryption: encryption.unwrap_or(Encryption::Plaintext),
        timeout,
        write_timeout,
        wait_replicas: wait_replicas.unwrap_or_default(),
        wait_timeout,
        write_version: write_version.unwrap_or_default(),
        versions: VERSIONS,
    }
}

/// What nodes announce, and what they are called.
fn node_names(raw: Option<raw::Entries<Text>>, report: &mut Report<'_>) -> NodeNames {
    let path = join(PATH, "cluster.node_names");
    let mut names = NodeNames::default();
    for (number, (announced, name)) in (1..).zip(raw.unwrap_or_default()) {
        // Without a name it is blamed already, or has no value.
        let Text(name) = name.unwrap_or(Text(String::new()));
        if let Err(Complaint { reason, remedy }) = names.add(&announced, &name) {
            report.error(&path, Complaint::new(format!("entry {number}: {reason}"), remedy));
        }
    }
    names
}

fn nowhere() -> Topology {
    Topology::Standalone(RedisUrl { tls: false, host: String::new(), port: 0, db: 0 })
}

fn timeouts(
    reads: Option<Scalar<Duration>>,
    writes: Option<Scalar<Duration>>,
    limits: &http::Settings,
    report: &mut Report<'_>,
) -> (Duration, Duration) {
    let (read_path, write_path) = (join(PATH, "timeout"), join(PATH, "write_timeout"));
    let timeout = duration(&read_path, reads, TIMEOUT, report);
    let write_timeout = duration(&write_path, writes, WRITE_TIMEOUT, report);
    if timeout > LONG_TIMEOUT {
        let problem = Complaint::new(
            "it is more than one second, which every request waits at first when Redis hangs",
            "lower it; the default is 50ms",
        );
        report.warning(&read_path, problem);
    }
    if write_timeout >= limits.request_timeout && !limits.request_timeout.is_zero() {
        let problem = Complaint::new(
            "it is not less than `limits.request_timeout`: requests end before a write's time is up",
            "lower it, or raise `limits.request_timeout`",
        );
        report.warning(&write_path, problem);
    }
    (timeout, write_timeout)
}

/// Whether replicas have to have what must not be lost, and for how long they are waited for.
fn waiting(
    replicas: Option<Scalar<u64>>,
    timeout: Option<Scalar<Duration>>,
    limits: &http::Settings,
    report: &mut Report<'_>,
) -> (Option<u32>, Duration) {
    let (replicas_path, timeout_path) = (join(PATH, "wait_replicas"), join(PATH, "wait_timeout"));
    let count = replicas.map_or(0, |scalar| scalar.0);
    let known = u32::try_from(count).ok().filter(|_| count <= MOST_REPLICAS).ok_or_else(|| {
        Complaint::new(
            format!("it is more than {MOST_REPLICAS}"),
            "write how many replicas of the master must have a write: 1 as a rule",
        )
    });
    let is_given = timeout.is_some();
    let timeout = duration(&timeout_path, timeout, WAIT_TIMEOUT, report);
    if is_given && count == 0 {
        let problem = Complaint::new("nobody is waited for: `wait_replicas` is 0", "write `wait_replicas: 1`, or remove it");
        report.warning(&timeout_path, problem);
    }
    if count > 0 && timeout >= limits.request_timeout && !limits.request_timeout.is_zero() {
        let problem = Complaint::new(
            "it is not less than `limits.request_timeout`: requests end before replicas are waited for",
            "lower it, or raise `limits.request_timeout`",
        );
        report.warning(&timeout_path, problem);
    }
    (report.take(&replicas_path, known), timeout)
}

fn topology(
    url: Option<Text>,
    sentinel: Option<raw::Sentinel>,
    cluster: Option<raw::Cluster>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<Topology> {
    match (url, sentinel, cluster) {
        (Some(Text(text)), None, None) => {
            let url = url_at(&join(PATH, "url"), &text, report)?;
            open_network(&join(PATH, "url"), std::slice::from_ref(&url), report);
            Some(Topology::Standalone(url))
        }
        (None, Some(raw), None) => {
            let path = join(PATH, "sentinel");
            let master = master(&join(&path, "master"), raw.master, report);
            let urls = urls(&join(&path, "urls"), raw.urls, report);
            let (username, password) = login(&path, raw.username, raw.password, environment, report);
            Some(Topology::Sentinel { master: master?, urls: urls?, username, password })
        }
        (None, None, Some(raw)) => {
            let path = join(PATH, "cluster.urls");
            let urls = urls(&path, raw.urls, report)?;
            if urls.iter().any(|url| url.db != 0) {
                report.error(&path, Complaint::new("a cluster has one database only", "remove the number after the port"));
            }
            Some(Topology::Cluster(urls))
        }
        (None, None, None) => {
            report.missing(&join(PATH, "url"), Complaint::new("nothing says where Redis is", TOPOLOGIES));
            None
        }
        _ => {
            report.error(PATH, Complaint::new("more than one of `url`, `sentinel` and `cluster` is given", TOPOLOGIES));
            None
        }
    }
}

fn master(path: &str, raw: Option<Text>, report: &mut Report<'_>) -> Option<String> {
    const REMEDY: &str = "write the name that the sentinels have for the master, as in their `sentinel monitor` line";
    match raw {
        Some(Text(name)) if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            report.error(path, Complaint::new("the name is empty, or has spaces or control characters", REMEDY));
            None
        }
        Some(Text(name)) => Some(name),
        None => {
            report.missing(path, Complaint::new("nothing says which master to ask the sentinels for", REMEDY));
            None
        }
    }
}

/// Several servers that tell of one another: what the first of them says about TLS and the database has to be so for all.
fn urls(path: &str, raw: Option<List>, report: &mut Report<'_>) -> Option<Vec<RedisUrl>> {
    let list = entries(path, raw);
    if list.is_empty() {
        report.missing(
            path,
            Complaint::new("there is no address to begin with", "list some of them: [rediss://a:6380, rediss://b:6380]"),
        );
        return None;
    }
    let parsed: Vec<_> = list.iter().map(|(key, text)| url_at(key, text, report)).collect();
    let urls = parsed.into_iter().collect::<Option<Vec<_>>>()?;
    let first = urls.first()?;
    if urls.iter().any(|url| url.tls != first.tls) {
        report.error(path, Complaint::new("redis:// and rediss:// are mixed", "write rediss:// for all of them, or redis://"));
    }
    if urls.iter().any(|url| url.db != first.db) {
        report.error(
            path,
            Complaint::new("the addresses name different databases", "write the same number after each port, or none"),
        );
    }
    open_network(path, &urls, report);
    Some(urls)
}

fn url_at(path: &str, text: &str, report: &mut Report<'_>) -> Option<RedisUrl> {
    let url = report.take(path, RedisUrl::parse(text))?;
    host::judge(path, &url.host, report);
    Some(url)
}

/// Records are sealed; the password and everything else that is said is not.
fn open_network(path: &str, urls: &[RedisUrl], report: &mut Report<'_>) {
    if urls.iter().any(|url| !url.tls && !is_loopback(&url.host)) {
        let problem = Complaint::new(
            "the connection leaves this machine without TLS: the password and every command can be read on the way",
            "write rediss:// and the port that has TLS",
        );
        report.warning(path, problem);
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// User and password; a password alone is the default user's.
fn login(
    path: &str,
    username: Option<Text>,
    password: Option<raw::RawPlace>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> (Option<String>, Option<Source>) {
    let (user_path, password_path) = (join(path, "username"), join(path, "password"));
    let has_password = password.is_some();
    let username = username.and_then(|text| filled(&user_path, text, report));
    let password = password.and_then(|place| source::source(&password_path, place, environment, report));
    if username.is_some() && !has_password {
        let problem =
            Complaint::new("there is a user and no password", "write `password: {file: …}` beside it, or remove `username`");
        report.missing(&password_path, problem);
    }
    (username, password)
}

/// A certificate is nothing without its key.
fn pair(given: &[(&str, bool); 3], report: &mut Report<'_>) {
    let [_, (cert, has_cert), (key, has_key)] = *given;
    if has_cert != has_key {
        let (there, missing) = if has_cert { (cert, key) } else { (key, cert) };
        let problem = Complaint::new(
            format!("there is `{there}` and no `{missing}`"),
            "write both for mutual TLS, or remove both; one file may hold both",
        );
        report.missing(&join(PATH, missing), problem);
    }
}

/// What only TLS has is a mistake without it: whoever writes it believes that the connection is safe.
fn tls(topology: &Topology, given: &[(&str, bool); 3], report: &mut Report<'_>) {
    let plain = match topology {
        Topology::Standalone(url) => !url.tls,
        Topology::Sentinel { urls, .. } | Topology::Cluster(urls) => urls.iter().all(|url| !url.tls),
    };
    for (member, _) in given.iter().filter(|(_, given)| plain && *given) {
        let problem = Complaint::new("it is for TLS, and redis:// has none", "write rediss://, or remove it");
        report.error(&join(PATH, member), problem);
    }
}

/// Braces would move the hash tag of a cluster, and with it every record to one node.
fn prefix(Text(text): Text) -> Result<String, Complaint> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if plain && (1..=LONGEST_PREFIX).contains(&text.len()) {
        return Ok(text);
    }
    Err(Complaint::new(
        format!("it is not 1 to {LONGEST_PREFIX} of the characters A-Z, a-z, 0-9, `.`, `_` and `-`"),
        "write a short word, such as tokend",
    ))
}

/// Sealed or not has to be said in so many words: there is no default.
fn encryption(
    path: &str,
    raw: Option<raw::Encryption>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<Encryption> {
    const REMEDY: &str = "write `encryption: {key_ring: {file: /run/secrets/key-ring}}` with what `tokend key-ring new` \
                      prints, or, in so many words, `encryption: {plaintext: true}`";
    let raw = raw.unwrap_or_default();
    match (raw.key_ring, raw.plaintext.is_some_and(|scalar| scalar.0)) {
        (Some(place), false) => source::source(&join(path, "key_ring"), place, environment, report).map(Encryption::KeyRing),
        (None, true) => {
            let problem = Complaint::new(
                "tokens lie in Redis as they are: whoever reads it can use them",
                "write `encryption: {key_ring: {file: …}}` with what `tokend key-ring new` prints",
            );
            report.warning(&join(path, "plaintext"), problem);
            Some(Encryption::Plaintext)
        }
        (Some(_), true) => {
            report.error(path, Complaint::new("there is a key ring, and `plaintext: true` says not to use one", REMEDY));
            None
        }
        (None, false) => {
            report.missing(path, Complaint::new("tokens are not kept in Redis without a key ring", REMEDY));
            None
        }
    }
}

fn write_version(path: &str, raw: Option<Scalar<u64>>, report: &mut Report<'_>) -> Option<u8> {
    let Some(Scalar(version)) = raw else { return Some(VERSIONS.oldest()) };
    let known = u8::try_from(version).ok().filter(|version| VERSIONS.knows(*version));
    report.take(
        path,
        known.ok_or_else(|| {
            let (oldest, newest) = (VERSIONS.oldest(), VERSIONS.newest());
            Complaint::new(
                if oldest == newest {
                    format!("this release writes version {newest}")
                } else {
                    format!("this release writes the versions {oldest} to {newest}")
                },
                format!("remove it; write {newest} when every replica has this release or a later one"),
            )
        }),
    )
}
