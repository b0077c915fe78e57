//! What all requests share: the directory, the keys, what was issued, the script and the record.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde_json::{Map, Value, json};

use crate::{
    call::Hosts,
    directory::Directory,
    issued::Issued,
    keys::{Keys, Which},
    record::Record,
    script::Script,
    time,
};

pub(crate) struct World {
    pub(crate) origin: String,
    /// `origin` without the scheme, as instance discovery names it.
    pub(crate) host: String,
    /// Other spellings of `origin` that reach this listener; an assertion may have been made out to any of them.
    pub(crate) origins: Vec<String>,
    pub(crate) ca_pem: String,
    pub(crate) directory: Directory,
    /// Those of it that have a kind of authority for themselves.
    pub(crate) hosts: Hosts,
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    keys: Mutex<Keys>,
    issued: Mutex<Issued>,
    script: Mutex<Script>,
    record: Mutex<Record>,
}

impl World {
    pub(crate) fn new(
        address: SocketAddr,
        (hosts, reached_at): (&[String], Option<u16>),
        ca_pem: String,
        directory: Directory,
        keys: Keys,
        clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    ) -> Self {
        let port = reached_at.unwrap_or(address.port());
        let own = match address {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        let host = with_port(hosts.first().unwrap_or(&own), port);
        let names: Vec<&str> = ["127.0.0.1", "localhost", "[::1]"].into_iter().chain(hosts.iter().map(String::as_str)).collect();
        Self {
            origin: format!("https://{host}"),
            origins: names.iter().map(|name| format!("https://{}", with_port(name, port))).collect(),
            host,
            ca_pem,
            hosts: directory.hosts(),
            directory,
            clock,
            keys: Mutex::new(keys),
            issued: Mutex::default(),
            script: Mutex::default(),
            record: Mutex::default(),
        }
    }

    /// Unix seconds by the clock that was handed over.
    pub(crate) fn now(&self) -> i64 {
        time::unix((self.clock)())
    }

    /// Unix seconds with milliseconds, by the clock that was handed over.
    pub(crate) fn now_precise(&self) -> f64 {
        let since = (self.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (since.as_secs_f64() * 1_000.0).round() / 1_000.0
    }

    pub(crate) fn keys(&self) -> MutexGuard<'_, Keys> {
        lock(&self.keys)
    }

    /// A token with these claims, signed with the current key.
    pub(crate) fn sign(&self, claims: &Map<String, Value>) -> String {
        let key = self.keys().choose(Which::Current);
        key.and_then(|key| key.sign(&Map::new(), claims)).unwrap_or_default()
    }

    pub(crate) fn issued(&self) -> MutexGuard<'_, Issued> {
        lock(&self.issued)
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        lock(&self.script)
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }

    /// Forgets all that happened; keys and directory stay.
    pub(crate) fn reset(&self) {
        self.script().clear();
        *self.issued() = Issued::default();
        self.record().clear();
    }

    pub(crate) fn describe(&self) -> Value {
        json!({
            "origin": self.origin,
            "ca_pem": self.ca_pem,
            "tenants": self.directory.tenants,
            "apps": self.directory.apps,
            "users": self.directory.users,
            "realms": self.directory.realms,
            "b2c": self.directory.b2c,
            "adfs": self.directory.adfs,
        })
    }
}

/// A host as URLs have it: the port that https has anyway is left out, as every client does that takes a URL apart.
fn with_port(host: &str, port: u16) -> String {
    if port == 443 { host.to_owned() } else { format!("{host}:{port}") }
}

/// A panic in one request must not take the emulator from the tests that follow.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::with_port;

    #[test]
    fn the_port_of_https_is_in_no_url() {
        for (host, port, written) in [
            ("127.0.0.1", 443, "127.0.0.1"),
            ("[::1]", 443, "[::1]"),
            ("emulator.ns.svc", 443, "emulator.ns.svc"),
            ("emulator.ns.svc", 8443, "emulator.ns.svc:8443"),
            ("[::1]", 80, "[::1]:80"),
        ] {
            assert_eq!(with_port(host, port), written);
        }
    }
}
