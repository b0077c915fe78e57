//! Whether Redis can be used as it is configured, asked once and with patience: for `tokend check`.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::Shared;
use super::core::{PROBES, Request};
use super::dial::timed_out;
use super::scripts;
use crate::finding::Problem;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was tried.
#[derive(Clone, Copy)]
enum Step {
    Connect,
    Ping,
    Write,
    Read,
    Subscribe,
}

impl Shared {
    /// Connects, writes and reads something short-lived, and subscribes, on connections of its own.
    ///
    /// # Errors
    /// Why that does not work, and what to do about it.
    pub async fn prove(&self) -> Result<(), Problem> {
        let dialer = self.core.link.dialer();
        let failed = |step| move |error: RedisError| self.problem(step, &error);
        let (wire, _) = patiently(dialer.data()).await.map_err(failed(Step::Connect))?;
        patiently(Request::Plain(&redis::cmd("PING")).send(wire.clone())).await.map_err(failed(Step::Ping))?;
        // Keys in different slots: one may happen to belong to a node that is taken for a server of its own.
        for number in 0..PROBES {
            let key = format!("{}:probe:{number}", self.core.prefix);
            let call = scripts::PROBE.call().key(&key);
            patiently(Request::Script(&call).send(wire.clone())).await.map_err(failed(Step::Write))?;
            patiently(Request::Plain(redis::cmd("GET").arg(&key)).send(wire.clone())).await.map_err(failed(Step::Read))?;
        }
        let nobody_hears = || |_| Ok::<(), ()>(());
        patiently(dialer.subscribed(&self.channel, nobody_hears)).await.map_err(failed(Step::Subscribe))?;
        Ok(())
    }

    fn problem(&self, step: Step, error: &RedisError) -> Problem {
        match error.kind() {
            ErrorKind::AuthenticationFailed => refused_login(),
            ErrorKind::MasterNameNotFoundBySentinel => Problem::new(
                "the sentinels know no master of this name, or it is none at the moment",
                "write in `sentinel.master` what the sentinels' `monitor` lines call it",
            ),
            ErrorKind::RESP3NotSupported => {
                Problem::new("the server does not know RESP3", "use Redis 6 or later, Valkey, or a proxy that lets HELLO 3 through")
            }
            ErrorKind::Server(ServerErrorKind::NoPerm) => self.forbidden(step),
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Problem::new(
                "the server is a replica and takes no writes",
                "write the master's address, or name the sentinels or the cluster's nodes",
            ),
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::CrossSlot) => {
                Problem::new("the server is a node of a cluster", "write its address under `cluster.urls` instead of `url`")
            }
            ErrorKind::Server(
                kind @ (ServerErrorKind::ClusterDown | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown),
            ) => {
                let what =
                    if kind == ServerErrorKind::BusyLoading { "is loading its data" } else { "has slots that nobody serves" };
                Problem::new(format!("Redis {what}"), "wait until it is ready, or mend it")
            }
            ErrorKind::Io | ErrorKind::ClusterConnectionNotFound | ErrorKind::InvalidClientConfig => self.unreachable(error),
            _ => coded(step, error),
        }
    }

    fn forbidden(&self, step: Step) -> Problem {
        let prefix = &self.core.prefix;
        let (what, right) = match step {
            Step::Connect | Step::Ping => {
                ("connect (HELLO, PING, and in a cluster CLUSTER SLOTS)".to_owned(), "+@connection +cluster|slots".to_owned())
            }
            Step::Write => {
                (format!("run scripts that write keys under {prefix}:"), format!("~{prefix}:* +@read +@write +eval +evalsha"))
            }
            Step::Read => (format!("read keys under {prefix}:"), format!("~{prefix}:* +@read")),
            Step::Subscribe => (format!("subscribe to the channel {}", self.channel), format!("&{}* +@pubsub", self.channel)),
        };
        Problem::new(format!("the Redis user may not {what}"), format!("give it the right with ACL SETUSER: {right}"))
    }

    fn unreachable(&self, error: &RedisError) -> Problem {
        let text = causes(error);
        let has = |needle: &str| text.contains(needle);
        if has("UnknownIssuer")
            || has("UnknownCA")
            || has("CaUsedAsEndEntity")
            || has("BadSignature")
            || has("invalid peer certificate: Other")
        {
            return Problem::new(
                "the server's certificate is not from a CA that is trusted",
                "write the CA's certificate into `ca_file`",
            );
        }
        if has("invalid peer certificate") {
            return Problem::new(
                "the server's certificate does not hold for this address, or not at this time",
                "write an address that the certificate names, or have it renewed",
            );
        }
        if has("CertificateRequired") || (has("received fatal alert") && !self.core.link.dialer().access().has_certificate()) {
            return Problem::new("the server asks for a client certificate", "write `client_cert` and `client_key`");
        }
        if has("received fatal alert") {
            return Problem::new(
                "the server refuses the client certificate",
                "use one that the server's CA has issued and that is valid",
            );
        }
        if has("InvalidContentType") || has("corrupt message") {
            return Problem::new("the server does not speak TLS there", "write redis:// or the port that speaks TLS");
        }
        if error.is_timeout() {
            return Problem::new(
                "Redis does not answer in time",
                "check the address, the network between, whether Redis runs, and whether the port speaks TLS (rediss://) or not (redis://)",
            );
        }
        Problem::new(
            "Redis cannot be reached",
            "check the address, whether Redis runs there, and whether it asks for TLS (rediss://) or not (redis://), or for a client certificate that its CA has issued (`client_cert`)",
        )
    }
}

fn coded(step: Step, error: &RedisError) -> Problem {
    let (code, detail) = (error.code().unwrap_or_default(), error.detail().unwrap_or_default());
    match code {
        "OOM" => Problem::new(
            "Redis is full and evicts nothing",
            "raise `maxmemory`, or set `maxmemory-policy` to volatile-ttl or volatile-lru",
        ),
        "MISCONF" => {
            Problem::new("Redis takes no writes because it cannot save them", "mend its disk, or switch its snapshots off")
        }
        "NOREPLICAS" => Problem::new(
            "Redis takes no writes because replicas are missing",
            "mend its replicas, or lower `min-replicas-to-write`",
        ),
        "NOAUTH" | "WRONGPASS" => refused_login(),
        _ if detail.contains("cluster support disabled") => {
            Problem::new("the server is no node of a cluster", "write its address under `url` instead of `cluster.urls`")
        }
        _ if detail.contains("unknown command") && matches!(step, Step::Connect) => {
            Problem::new("the server is no sentinel", "write the sentinels' addresses (port 26379 as a rule) under `sentinel.urls`")
        }
        _ if detail.contains("DB index") => {
            Problem::new("the server has no such database", "write a lower number after the port, or none")
        }
        // A code is from the server's list and quotes nothing.
        _ => {
            Problem::new(format!("Redis refuses with {}", if code.is_empty() { "an error" } else { code }), "look into Redis' log")
        }
    }
}

fn refused_login() -> Problem {
    Problem::new("Redis refuses the user or the password", "check `username` and `password`, and the user at Redis (ACL GETUSER)")
}

async fn patiently<T>(work: impl Future<Output = redis::RedisResult<T>>) -> redis::RedisResult<T> {
    tokio::time::timeout(PATIENCE, Box::pin(work)).await.unwrap_or_else(|_| Err(timed_out()))
}

/// Everything that the error says; for looking into, not for showing.
fn causes(error: &RedisError) -> String {
    let mut text = format!("{error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        text.push_str(&format!(" {deeper:?}"));
        cause = deeper.source();
    }
    text
}
