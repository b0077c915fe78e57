//! What a test asks a server beside the part under test: everything that is stored, and who is connected.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError, cmd};

use super::Options;
use super::server::Role;

/// The name of the support's own connections: they do not count.
const NAME: &str = "support";

/// Connects to one server, through TLS and with the support's account where there are such. It keeps nothing.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    client: Client,
    /// The database that commands see.
    db: i64,
}

impl Admin {
    pub(super) fn new(options: &Options, role: Role, port: u16) -> Self {
        let scheme = if options.tls.is_some() { "rediss" } else { "redis" };
        let account = options.admin(role).map(|(user, password)| format!("{user}:{password}@")).unwrap_or_default();
        let host = options.host();
        let url = format!("{scheme}://{account}{host}:{port}");
        let client = match &options.tls {
            Some(certificates) => Client::build_with_tls(url, certificates.as_client()),
            None => Client::open(url),
        };
        Self { client: client.expect("a client"), db: 0 }
    }

    /// This connection's server, in another database.
    pub(crate) fn db(&self, db: i64) -> Self {
        Self { db, ..self.clone() }
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(Some(Duration::from_secs(10)));
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&patient).await?;
        cmd("CLIENT").arg("SETNAME").arg(NAME).exec_async(&mut connection).await?;
        if self.db != 0 {
            cmd("SELECT").arg(self.db).exec_async(&mut connection).await?;
        }
        Ok(connection)
    }

    /// One command on a connection of its own: its words.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, RedisError> {
        let mut connection = self.connect().await?;
        redis::Cmd::new().arg(words).query_async(&mut connection).await
    }

    /// A field of `INFO`; empty if it is not there.
    pub(crate) async fn info(&self, section: &str, field: &str) -> Result<String, RedisError> {
        let text: String = self.ask(&["INFO", section]).await?;
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(value.unwrap_or_default().trim().to_owned())
    }

    /// Every key of every database with everything that is stored under it: members, fields, values and scores in one.
    pub(crate) async fn dump(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, RedisError> {
        let mut all = Vec::new();
        for db in self.databases().await? {
            let mut connection = self.db(db).connect().await?;
            for key in scan(&mut connection).await? {
                let kind: String = cmd("TYPE").arg(&key).query_async(&mut connection).await?;
                let read = match kind.as_str() {
                    "string" => cmd("GET").arg(&key).take(),
                    "hash" => cmd("HGETALL").arg(&key).take(),
                    "set" => cmd("SMEMBERS").arg(&key).take(),
                    "zset" => cmd("ZRANGE").arg(&key).arg(0).arg(-1).arg("WITHSCORES").take(),
                    "list" => cmd("LRANGE").arg(&key).arg(0).arg(-1).take(),
                    // Gone since.
                    "none" => continue,
                    other => panic!("nobody taught the dump to read a {other}"),
                };
                let value: redis::Value = read.query_async(&mut connection).await?;
                let mut bytes = Vec::new();
                flatten(&value, &mut bytes);
                all.push((key, bytes));
            }
        }
        Ok(all)
    }

    /// The names of all keys of every database, sorted.
    pub(crate) async fn keys(&self) -> Result<Vec<String>, RedisError> {
        let mut names = Vec::new();
        for db in self.databases().await? {
            let keys = scan(&mut self.db(db).connect().await?).await?;
            names.extend(keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()));
        }
        names.sort();
        Ok(names)
    }

    /// The lines of `CLIENT LIST`, without the support's own and without those of other servers.
    pub(crate) async fn clients(&self) -> Result<Vec<String>, RedisError> {
        let text: String = self.ask(&["CLIENT", "LIST"]).await?;
        let foreign = |line: &&str| {
            let value = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)).unwrap_or_default();
            let (name, flags) = (value("name="), value("flags="));
            name != NAME && !name.starts_with("sentinel-") && !flags.contains(['S', 'M'])
        };
        Ok(text.lines().filter(foreign).map(str::to_owned).collect())
    }

    async fn databases(&self) -> Result<Vec<i64>, RedisError> {
        let text: String = self.ask(&["INFO", "keyspace"]).await?;
        let number = |line: &str| line.strip_prefix("db")?.split(':').next()?.parse().ok();
        Ok(text.lines().filter_map(number).collect())
    }
}

async fn scan(connection: &mut MultiplexedConnection) -> Result<Vec<Vec<u8>>, RedisError> {
    let (mut cursor, mut keys) = (0_u64, Vec::new());
    loop {
        let (next, found): (u64, Vec<Vec<u8>>) = cmd("SCAN").arg(cursor).arg("COUNT").arg(1000).query_async(connection).await?;
        keys.extend(found);
        cursor = next;
        if cursor == 0 {
            // A scan may name a key twice.
            keys.sort();
            keys.dedup();
            return Ok(keys);
        }
    }
}

/// All bytes of an answer, one part after the other with a line's end between.
fn flatten(value: &redis::Value, bytes: &mut Vec<u8>) {
    match value {
        redis::Value::BulkString(text) => bytes.extend_from_slice(text),
        redis::Value::Array(parts) | redis::Value::Set(parts) => parts.iter().for_each(|part| flatten(part, bytes)),
        redis::Value::Map(pairs) => pairs.iter().for_each(|(name, part)| {
            flatten(name, bytes);
            flatten(part, bytes);
        }),
        redis::Value::Nil => {}
        other => bytes.extend_from_slice(format!("{other:?}").as_bytes()),
    }
    bytes.push(b'\n');
}
