//! What the store that replicas share is told: where Redis is, who tokend is there, and how what it keeps is sealed.
//!
//! Records have versions. A release reads all that it knows, each under its own names, and writes one: the older one, until no
//! replica of the release before is left and the configuration says so. A sign-out takes all of them. A version that is not known
//! any more is a miss.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use crate::finding::Complaint;
use crate::reload::Source;

/// Where Redis listens if the address does not say.
const PORT: u16 = 6379;

/// One version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// What records say of themselves.
    pub number: u8,
    /// What makes its names others than those of a version that has another text here; hashed with each of them.
    pub names: &'static [u8],
}

/// The versions that a release knows, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions(&'static [Version]);

/// Those of this release. Versions 1 and 2 were never released.
pub const VERSIONS: Versions = Versions(&[Version { number: 3, names: b"" }]);

/// Settings of the shared store.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// The key's path in the configuration, for findings.
    pub key: String,
    /// The configuration file, for findings.
    pub file: Option<String>,
    /// Where Redis is.
    pub topology: Topology,
    /// What nodes of a cluster are called whose certificates do not hold for what they announce.
    pub node_names: NodeNames,
    /// The ACL user; `None`: the default user.
    pub username: Option<String>,
    /// The user's password, followed when it changes.
    pub password: Option<Source>,
    /// The only roots that are trusted, as PEM; `None`: those that authorities are trusted by.
    pub ca_file: Option<PathBuf>,
    /// The client certificate with its chain, as PEM.
    pub client_cert: Option<PathBuf>,
    /// The client certificate's key, as PEM.
    pub client_key: Option<PathBuf>,
    /// What every key and channel begins with.
    pub key_prefix: String,
    /// How values are sealed.
    pub encryption: Encryption,
    /// How long a request waits for Redis.
    pub timeout: Duration,
    /// How long it waits where something would be lost otherwise: grants that are used up, and sign-outs.
    pub write_timeout: Duration,
    /// How many replicas must have a sign-out, or a sign-in that is kept, before it counts; 0: none.
    pub wait_replicas: u32,
    /// How long they are waited for.
    pub wait_timeout: Duration,
    /// The version that is written, one of those that the release knows.
    pub write_version: u8,
    /// The versions that the release knows; no key of the configuration, but what a test gives that plays two releases.
    pub versions: Versions,
}

/// Where Redis is.
#[derive(Clone, Debug)]
pub enum Topology {
    /// One server, or an address that always leads to the one that takes writes.
    Standalone(RedisUrl),
    /// The master of that name, as the sentinels know it.
    Sentinel {
        /// The master's name.
        master: String,
        /// The sentinels. The first one's database is the master's; TLS is used for both or for none.
        urls: Vec<RedisUrl>,
        /// The ACL user at the sentinels.
        username: Option<String>,
        /// That user's password.
        password: Option<Source>,
    },
    /// A cluster, known by some of its nodes.
    Cluster(Vec<RedisUrl>),
}

/// Under which host and port the nodes of a cluster are reached, by the host and port that they announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeNames(BTreeMap<NodeEnd, NodeEnd>);

/// Host, without brackets, and port of a node.
type NodeEnd = (String, u16);

/// How values are sealed.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// With the keys of a ring.
    KeyRing(Source),
    /// Not at all, because the configuration says so.
    Plaintext,
}

/// `redis://` or `rediss://` with a host, and where they are not the usual ones, a port and a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    /// Whether TLS is used.
    pub tls: bool,
    /// A name, or an address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The number of the database.
    pub db: i64,
}

// === impl RedisSettings ===

impl RedisSettings {
    /// Whether TLS is used and nothing here says whom it trusts.
    pub fn is_trusted_by_roots(&self) -> bool {
        let tls = match &self.topology {
            Topology::Standalone(url) => url.tls,
            Topology::Sentinel { urls, .. } | Topology::Cluster(urls) => urls.iter().any(|url| url.tls),
        };
        tls && self.ca_file.is_none()
    }
}

// === impl NodeNames ===

impl NodeNames {
    /// Adds the name of a node, both as HOST:PORT.
    ///
    /// # Errors
    /// One of them is none, or the node has a name already.
    pub fn add(&mut self, announced: &str, name: &str) -> Result<(), Complaint> {
        const REMEDY: &str =
            "write what the node announces (`CLUSTER SLOTS` shows it) and its name: \"10.0.0.1:6380\": \"a.internal:6380\"";
        let announced = node_address(announced).ok_or_else(|| Complaint::new("the node is no HOST:PORT", REMEDY))?;
        let name = node_address(name).ok_or_else(|| Complaint::new("the node's name is no HOST:PORT", REMEDY))?;
        match self.0.insert(announced, name) {
            None => Ok(()),
            Some(_) => Err(Complaint::new("another entry is about the same node", "remove one of them")),
        }
    }

    /// Under what a node is reached that announces this; `None`: it is not listed.
    pub fn of(&self, host: &str, port: u16) -> Option<&(String, u16)> {
        self.0.get(&(host.to_owned(), port))
    }

    /// Every node: what it announces, and under what it is reached.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&NodeEnd, &NodeEnd)> {
        self.0.iter()
    }
}

/// `10.0.0.1:6380`, `[fd00::1]:6380` or `a.internal:6380`.
fn node_address(text: &str) -> Option<NodeEnd> {
    let (host, port) = text.rsplit_once(':')?;
    let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok().filter(|port| *port > 0)?;
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    // As Redis writes it.
    let host = literal.parse::<IpAddr>().map_or_else(|_| literal.to_owned(), |address| address.to_string());
    let is_name = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@'));
    let is_bare = !host.contains(':') || host.parse::<IpAddr>().is_ok();
    (is_name && is_bare).then_some((host, port))
}

// === impl RedisUrl ===

impl RedisUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// It is none, or it says something that belongs elsewhere.
    pub fn parse(text: &str) -> Result<Self, Complaint> {
        const REMEDY: &str = "write redis://HOST:PORT or rediss://HOST:PORT (TLS), with /N for database N";
        let wrong = |reason: &str| Complaint::new(reason, REMEDY);
        let url = Url::parse(text).map_err(|_| wrong("it is not an address"))?;
        let tls = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(wrong("it is not a Redis address")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Complaint::new("it holds a user or a password", "move them to `username` and `password`"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it goes on after the database"));
        }
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain("")) | None => return Err(wrong("it names no host")),
            Some(host) => host.to_string(),
        };
        let db = match url.path().trim_start_matches('/') {
            "" => 0,
            number => Some(number)
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| wrong("its database is not a number"))?,
        };
        Ok(Self { tls, host, port: url.port().unwrap_or(PORT), db })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)?;
        if self.db == 0 { Ok(()) } else { write!(f, "/{}", self.db) }
    }
}

// === impl Versions ===

impl Versions {
    /// A table, the newest first: two releases that are made up have others than this one.
    pub const fn new(known: &'static [Version]) -> Self {
        Self(known)
    }

    /// The highest number.
    pub fn newest(self) -> u8 {
        self.0.first().map_or(0, |version| version.number)
    }

    /// The lowest number, which is written as long as nothing else is said.
    pub fn oldest(self) -> u8 {
        self.0.last().map_or(0, |version| version.number)
    }

    /// Whether it is one of them.
    pub fn knows(self, number: u8) -> bool {
        self.0.iter().any(|version| version.number == number)
    }

    /// What makes the names of each, the newest first; versions that share them come once.
    pub(super) fn namings(self) -> Vec<&'static [u8]> {
        let mut namings: Vec<&'static [u8]> = self.0.iter().map(|version| version.names).collect();
        namings.dedup();
        namings
    }

    /// What makes the names of the one with this number.
    pub(super) fn naming(self, number: u8) -> &'static [u8] {
        self.0.iter().find(|version| version.number == number).map_or(b"", |version| version.names)
    }
}

#[cfg(test)]
mod tests {
    use super::{NodeNames, RedisUrl, VERSIONS, Version, Versions};

    #[test]
    fn reads_and_shows_addresses() {
        for (text, shown) in [
            ("redis://cache", "redis://cache:6379"),
            ("rediss://cache.example:6380/", "rediss://cache.example:6380"),
            ("redis://127.0.0.1:7000/3", "redis://127.0.0.1:7000/3"),
            ("redis://[::1]:7000", "redis://[::1]:7000"),
        ] {
            let url = RedisUrl::parse(text);
            assert_eq!(url.map(|url| url.to_string()), Ok(shown.to_owned()), "{text}");
        }
        assert_eq!(RedisUrl::parse("rediss://[::1]").map(|url| (url.tls, url.host)), Ok((true, "::1".to_owned())));
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "cache:6379",
            "http://cache",
            "redis://",
            "redis://cache/x",
            "redis://cache/-1",
            "redis://cache/+1",
            "redis://cache?db=1",
        ] {
            assert!(RedisUrl::parse(text).is_err(), "{text}");
        }
        let problem = RedisUrl::parse("redis://user:canary@cache").err();
        let text = format!("{problem:?}");
        assert!(text.contains("`username` and `password`") && !text.contains("canary"), "{text}");
    }

    #[test]
    fn nodes_have_names() {
        let mut names = NodeNames::default();
        for (announced, name) in
            [("10.0.0.1:6380", "a.internal:6380"), ("[FD00::0:1]:6380", "b.internal:7000"), ("c:1", "10.0.0.3:2")]
        {
            assert_eq!(names.add(announced, name), Ok(()), "{announced}");
        }
        assert_eq!(names.of("fd00::1", 6380), Some(&("b.internal".to_owned(), 7000)));
        assert_eq!((names.of("10.0.0.1", 6381), names.of("10.0.0.1", 6380).is_some(), names.iter().count()), (None, true, 3));
        for (announced, name) in [
            ("10.0.0.1:6380", "again.internal:6380"),
            ("10.0.0.2", "a:1"),
            ("10.0.0.2:x", "a:1"),
            ("10.0.0.2:+1", "a:1"),
            ("10.0.0.2:0", "a:1"),
            (":1", "a:1"),
            ("a:b:1", "a:1"),
            ("10.0.0.2:1", "rediss://a:1"),
            ("10.0.0.2:1", "a"),
            ("10.0.0.2:1", ""),
        ] {
            assert!(names.add(announced, name).is_err(), "{announced} {name}");
        }
    }

    #[test]
    fn a_table_says_what_is_read_written_and_named() {
        assert_eq!((VERSIONS.newest(), VERSIONS.oldest(), VERSIONS.namings()), (3, 3, vec![&b""[..]]));
        static KNOWN: [Version; 3] =
            [Version { number: 6, names: b"b" }, Version { number: 5, names: b"a" }, Version { number: 4, names: b"a" }];
        let table = Versions::new(&KNOWN);
        assert_eq!((table.newest(), table.oldest(), table.namings()), (6, 4, vec![&b"b"[..], b"a"]));
        assert_eq!([3, 4, 5, 6, 7].map(|number| table.knows(number)), [false, true, true, true, false]);
        assert_eq!((table.naming(4), table.naming(6)), (&b"a"[..], &b"b"[..]));
    }
}
