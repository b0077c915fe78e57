//! What all requests share: the directory, the keys, what was issued, the script and the record.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde_json::{Map, Value, json};

use crate::{
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
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    keys: Mutex<Keys>,
    issued: Mutex<Issued>,
    script: Mutex<Script>,
    record: Mutex<Record>,
}

impl World {
    pub(crate) fn new(
        address: SocketAddr,
        hosts: &[String],
        ca_pem: String,
        directory: Directory,
        keys: Keys,
        clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    ) -> Self {
        let port = address.port();
        let host = hosts.first().map_or_else(|| address.to_string(), |host| format!("{host}:{port}"));
        let names = ["127.0.0.1", "localhost", "[::1]"].into_iter().chain(hosts.iter().map(String::as_str));
        Self {
            origin: format!("https://{host}"),
            origins: names.map(|name| format!("https://{name}:{port}")).collect(),
            host,
            ca_pem,
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
        })
    }
}

/// A panic in one request must not take the emulator from the tests that follow.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
