//! Whether Redis can be used as it is configured, asked once and with patience: for `tokend check`.

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};

use super::announcements::CHANNEL;
use super::core::PROBES;
use super::handle::Shared;
use super::scripts;
use super::server_kind::{causes, patiently, replica};
use super::wire::RedisConnection;
use crate::finding::Complaint;
use crate::store::settings::Topology;

/// The user of a connection that names none.
const DEFAULT_USER: &str = "default";

/// What was tried.
#[derive(Clone, Copy)]
enum ProofStep {
    Connect,
    Call,
    Subscribe,
}

/// Every command that is about a key, with what comes after the key. None of them changes anything that stays.
const COMMANDS: [(&str, &[&str]); 12] = [
    ("get", &[]),
    ("mget", &[]),
    ("set", &["1", "PX", "1000"]),
    ("pttl", &[]),
    ("pexpire", &["1000"]),
    ("zadd", &["XX", "0", "1"]),
    ("zrem", &["1"]),
    ("zrevrange", &["0", "0"]),
    ("zrangebyscore", &["0", "0"]),
    ("zremrangebyscore", &["0", "0"]),
    ("zremrangebyrank", &["0", "0"]),
    ("del", &[]),
];

/// What the user may not do.
#[derive(Default)]
struct Missing {
    /// In the order in which they were tried.
    commands: Vec<&'static str>,
    keys: bool,
    channel: bool,
}

impl Shared {
    /// Connects, tries every command that is used with something short-lived, and subscribes, on connections of its own. Returns
    /// what works and could be better.
    ///
    /// # Errors
    /// Why it cannot be used, and what to do about it. Rights that are missing are named together.
    pub async fn prove(&self) -> Result<Vec<Complaint>, Complaint> {
        let mut dialer = self.core.link.dialer().clone();
        if let Some(problem) = dialer.unnamed_nodes().await {
            return Err(problem);
        }
        let mut missing = Missing::default();
        let mut connected = patiently(dialer.data()).await;
        if connected.as_ref().is_err_and(may_not_select) {
            // The other rights can be tried in the first database as well.
            missing.command("select");
            dialer = dialer.without_database();
            connected = patiently(dialer.data()).await;
        }
        let (wire, _) = match connected {
            Ok(connected) => connected,
            Err(error) if error.kind() == ErrorKind::AuthenticationFailed => {
                return Err(dialer.sentinel_without_login().await.unwrap_or_else(refused_login));
            }
            Err(error) => {
                let sentinel = if is_unknown_command(&error) { dialer.sentinel_without_databases().await } else { None };
                return Err(sentinel.unwrap_or_else(|| self.problem(ProofStep::Connect, &error)));
            }
        };
        match dialer.misplaced(&wire).await {
            Ok(None) => {}
            Ok(Some(problem)) => return Err(problem),
            Err(error) => return Err(self.problem(ProofStep::Connect, &error)),
        }
        missing.take("ping", self.tried(&wire, &redis::cmd("PING")).await)?;
        // Keys in different slots: one may happen to belong to a node that is taken for a server of its own, and each node of a
        // cluster has users of its own.
        let keys = (0..PROBES).map(|number| self.prove_key(&wire, format!("{}:probe:{number}", self.core.prefix)));
        for tried in futures_util::future::try_join_all(keys).await? {
            missing.join(tried);
        }
        let publish = if dialer.is_cluster() { "spublish" } else { "publish" };
        // Whoever listens does not take an empty message for one.
        missing.take(publish, self.tried(&wire, redis::cmd(publish).arg(&*self.channel).arg("")).await)?;
        if self.core.acknowledged.is_some() {
            missing.take("wait", self.tried(&wire, redis::cmd("WAIT").arg(0).arg(1)).await)?;
        }
        let nobody_hears = || |_| Ok::<(), ()>(());
        let subscribe = if dialer.is_cluster() { "ssubscribe" } else { "subscribe" };
        let subscribed = patiently(dialer.subscribed(&self.channel, nobody_hears)).await;
        missing.take(subscribe, self.allowed(ProofStep::Subscribe, subscribed.map(drop)))?;
        match missing.problem(self) {
            Some(problem) => Err(problem),
            None => Ok(self.could_be_better(wire).await),
        }
    }

    /// Every command with this key.
    async fn prove_key(&self, wire: &RedisConnection, key: String) -> Result<Missing, Complaint> {
        let mut missing = Missing::default();
        for (name, args) in COMMANDS {
            missing.take(name, self.tried(wire, redis::cmd(name).arg(&key).arg(args)).await)?;
        }
        let call = scripts::PROBE.call().key(&key);
        missing.take("evalsha", self.tried(wire, &call.by_hash()).await)?;
        missing.take("eval", self.tried(wire, &call.by_text()).await)?;
        if self.core.link.dialer().is_cluster() {
            let mut both = redis::pipe();
            both.cmd("ASKING").cmd("GET").arg(&key);
            let answers = patiently(wire.clone().ask_both(&key, both)).await;
            let asked = answers.and_then(|answers| answers.into_iter().next().unwrap_or(Value::Nil).extract_error());
            missing.take("asking", self.allowed(ProofStep::Call, asked.map(drop)))?;
        }
        Ok(missing)
    }

    async fn tried(&self, wire: &RedisConnection, cmd: &Cmd) -> Result<Option<RedisError>, Complaint> {
        let answer = patiently(wire.clone().ask(cmd)).await;
        self.allowed(ProofStep::Call, answer.map(drop))
    }

    /// The refusal, if the user may not do it; an error of the value or of the script says that it may.
    fn allowed(&self, step: ProofStep, answer: redis::RedisResult<()>) -> Result<Option<RedisError>, Complaint> {
        let Err(error) = answer else { return Ok(None) };
        let detail = error.detail().unwrap_or_default();
        let in_script = detail.contains("ACL failure in script") || detail.contains("can't run this command");
        match error.kind() {
            // The command that the script may not run is tried by itself.
            _ if in_script => Ok(None),
            ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(Some(error)),
            ErrorKind::Server(ServerErrorKind::NoScript) => Ok(None),
            _ if error.code() == Some("WRONGTYPE") => Ok(None),
            _ => Err(self.problem(step, &error)),
        }
    }

    /// What works and puts at risk what must not be lost, as far as the user may ask.
    async fn could_be_better(&self, mut wire: RedisConnection) -> Vec<Complaint> {
        let dialer = self.core.link.dialer();
        let mut found = Vec::new();
        if let Topology::Sentinel { urls, .. } = dialer.topology() {
            let listening = urls.iter().map(|url| dialer.announcements(url));
            let listening = futures_util::future::join_all(listening).await;
            if listening.iter().any(|heard| heard.as_ref().is_err_and(is_forbidden)) {
                let user = dialer.access().sentinel().username.unwrap_or_else(|| DEFAULT_USER.to_owned());
                found.push(Complaint::new(
                    "the user at the sentinels may not hear that there is another master: that takes up to six seconds, in \
                         which the old one may take writes that are lost",
                    format!("at each sentinel: ACL SETUSER {user} +subscribe &{CHANNEL}"),
                ));
            }
            if patiently(wire.ask(&redis::cmd("ROLE"))).await.is_err_and(|error| is_forbidden(&error)) {
                found.push(Complaint::new(
                    "the Redis user may not ask whether a server is a master: that shows with the first write",
                    format!("ACL SETUSER {} +role", self.user()),
                ));
            }
        }
        let mut info = async |section| {
            let answer = patiently(wire.ask(redis::cmd("INFO").arg(section))).await;
            answer.map(texts).unwrap_or_default()
        };
        for text in info("memory").await {
            let policy = field(&text, "maxmemory_policy").unwrap_or("noeviction");
            if policy != "noeviction" && field(&text, "maxmemory").is_some_and(|most| most != "0") {
                found.push(Complaint::new(
                    format!(
                        "`maxmemory-policy` is {policy}: a full server takes sign-ins, and the sign-outs that must not be forgotten"
                    ),
                    "CONFIG SET maxmemory-policy noeviction, and a `maxmemory` that is large enough",
                ));
                break;
            }
        }
        if matches!(dialer.topology(), Topology::Sentinel { .. }) {
            for text in info("replication").await {
                // The field is there if and only if it is asked for.
                if field(&text, "role") == Some("master") && field(&text, "min_slaves_good_slaves").is_none() {
                    found.push(Complaint::new(
                        "`min-replicas-to-write` is 0: a master that is cut off from its replicas goes on taking writes, \
                     which the next failover undoes",
                        "CONFIG SET min-replicas-to-write 1, and CONFIG SET min-replicas-max-lag 5",
                    ));
                }
            }
        }
        found
    }

    fn user(&self) -> String {
        self.core.link.dialer().access().user().username.unwrap_or_else(|| DEFAULT_USER.to_owned())
    }

    fn problem(&self, step: ProofStep, error: &RedisError) -> Complaint {
        match error.kind() {
            ErrorKind::AuthenticationFailed => refused_login(),
            ErrorKind::MasterNameNotFoundBySentinel => Complaint::new(
                "the sentinels know no master of this name, or it is none at the moment",
                "write in `sentinel.master` what the sentinels' `monitor` lines call it",
            ),
            ErrorKind::RESP3NotSupported => without_hello(),
            _ if is_unknown_command(error) && names(error, "hello") => without_hello(),
            ErrorKind::Server(ServerErrorKind::NoPerm) => self.forbidden(error),
            ErrorKind::Server(ServerErrorKind::ReadOnly) => replica(),
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::CrossSlot) => {
                Complaint::new("the server is a node of a cluster", "write its address under `cluster.urls` instead of `url`")
            }
            ErrorKind::Server(
                kind @ (ServerErrorKind::ClusterDown
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::Ask),
            ) => {
                let what = match kind {
                    ServerErrorKind::BusyLoading => "is loading its data",
                    ServerErrorKind::TryAgain | ServerErrorKind::Ask => "has slots that are on their way to another node",
                    _ => "has slots that nobody serves",
                };
                Complaint::new(format!("Redis {what}"), "wait until it is ready, or mend it")
            }
            ErrorKind::Io | ErrorKind::ClusterConnectionNotFound | ErrorKind::InvalidClientConfig => self.unreachable(error),
            _ => coded(step, error),
        }
    }

    /// What may not be done before there is a connection.
    fn forbidden(&self, error: &RedisError) -> Complaint {
        let dialer = self.core.link.dialer();
        if error.detail().is_some_and(|detail| detail.contains("'sentinel")) {
            let user = dialer.access().sentinel().username.unwrap_or_else(|| DEFAULT_USER.to_owned());
            return Complaint::new(
                "the user at the sentinels may not ask for the master",
                format!("at each sentinel: ACL SETUSER {user} +sentinel|get-master-addr-by-name +subscribe &{CHANNEL}"),
            );
        }
        if dialer.is_cluster() {
            let reason = "the Redis user may not ask for the nodes of the cluster (CLUSTER SLOTS)";
            return Complaint::new(reason, format!("ACL SETUSER {} +cluster|slots", self.user()));
        }
        Complaint::new("the Redis user may not log in", format!("look at the user at Redis: ACL GETUSER {}", self.user()))
    }

    fn unreachable(&self, error: &RedisError) -> Complaint {
        let text = causes(error);
        let has = |needle: &str| text.contains(needle);
        if has("UnknownIssuer")
            || has("UnknownCA")
            || has("CaUsedAsEndEntity")
            || has("BadSignature")
            || has("invalid peer certificate: Other")
        {
            return Complaint::new(
                "the server's certificate is not from a CA that is trusted",
                "write the CA's certificate into `ca_file`",
            );
        }
        if has("invalid peer certificate") {
            return Complaint::new(
                "the server's certificate does not hold for this address, or not at this time",
                "write an address that the certificate names, or have it renewed",
            );
        }
        if has("CertificateRequired") || (has("received fatal alert") && !self.core.link.dialer().access().has_certificate()) {
            return Complaint::new("the server asks for a client certificate", "write `client_cert` and `client_key`");
        }
        if has("received fatal alert") {
            return Complaint::new(
                "the server refuses the client certificate",
                "use one that the server's CA has issued and that is valid",
            );
        }
        if has("InvalidContentType") || has("corrupt message") {
            return Complaint::new("the server does not speak TLS there", "write redis:// or the port that speaks TLS");
        }
        if error.is_timeout() {
            return Complaint::new(
                "Redis does not answer in time",
                "check the address, the network between, whether Redis runs, and whether the \
                     port speaks TLS (rediss://) or not (redis://)",
            );
        }
        Complaint::new(
            "Redis cannot be reached",
            "check the address, whether Redis runs there, and whether it asks for TLS (rediss://) or not (redis://), or for \
                     a client certificate that its CA has issued (`client_cert`)",
        )
    }
}

// === impl Missing ===

impl Missing {
    /// Takes what came of a command.
    fn take(&mut self, command: &'static str, tried: Result<Option<RedisError>, Complaint>) -> Result<(), Complaint> {
        let Some(error) = tried? else { return Ok(()) };
        let detail = error.detail().unwrap_or_default();
        if detail.contains(" command") {
            self.command(command);
        } else if detail.contains("channel") {
            self.channel = true;
        } else {
            self.keys = true;
        }
        Ok(())
    }

    fn command(&mut self, command: &'static str) {
        if !self.commands.contains(&command) {
            self.commands.push(command);
        }
    }

    fn join(&mut self, other: Self) {
        other.commands.into_iter().for_each(|command| self.command(command));
        self.keys |= other.keys;
        self.channel |= other.channel;
    }

    fn problem(&self, shared: &Shared) -> Option<Complaint> {
        let (prefix, channel) = (&shared.core.prefix, &shared.channel);
        let mut rights: Vec<String> = self.commands.iter().map(|command| format!("+{command}")).collect();
        let mut what = Vec::new();
        if !self.commands.is_empty() {
            what.push(format!("run {}", self.commands.join(", ")));
        }
        if self.keys {
            what.push(format!("use keys under {prefix}:"));
            rights.push(format!("~{prefix}:*"));
        }
        if self.channel {
            what.push(format!("use the channel {channel}"));
            rights.push(format!("&{channel}"));
        }
        let remedy = || format!("give it what is missing: ACL SETUSER {} {}", shared.user(), rights.join(" "));
        (!what.is_empty()).then(|| Complaint::new(format!("the Redis user may not {}", what.join(", and not ")), remedy()))
    }
}

/// Whether the database cannot be chosen for want of the right to: the client gives that a kind of its own.
fn may_not_select(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("permission")) && names(error, "select")
}

fn is_unknown_command(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("unknown command"))
}

/// Whether the error is about this command.
fn names(error: &RedisError, command: &str) -> bool {
    error.detail().is_some_and(|detail| detail.to_ascii_lowercase().contains(&format!("'{command}")))
}

fn without_hello() -> Complaint {
    Complaint::new(
        "the server does not know `HELLO 3` (RESP3)",
        "use Redis 6 or later, Valkey, or a proxy that lets HELLO through, and do not rename HELLO",
    )
}

fn is_forbidden(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
}

/// Every text of an answer: one, or in a cluster one of each node.
fn texts(value: Value) -> Vec<String> {
    match value {
        Value::BulkString(text) => String::from_utf8(text).into_iter().collect(),
        Value::VerbatimString { text, .. } => vec![text],
        Value::Array(values) => values.into_iter().flat_map(texts).collect(),
        Value::Map(pairs) => pairs.into_iter().flat_map(|(_, value)| texts(value)).collect(),
        _ => Vec::new(),
    }
}

/// A field of `INFO`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn coded(step: ProofStep, error: &RedisError) -> Complaint {
    let (code, detail) = (error.code().unwrap_or_default(), error.detail().unwrap_or_default());
    match code {
        "OOM" => Complaint::new(
            "Redis is full and evicts nothing",
            "raise `maxmemory`; a policy that evicts takes sign-ins, and sign-outs that must not be forgotten",
        ),
        "MISCONF" => {
            Complaint::new("Redis takes no writes because it cannot save them", "mend its disk, or switch its snapshots off")
        }
        "NOREPLICAS" => Complaint::new(
            "Redis takes no writes because replicas are missing",
            "mend its replicas, or lower `min-replicas-to-write`",
        ),
        "NOAUTH" | "WRONGPASS" => refused_login(),
        _ if detail.contains("cluster support disabled") => {
            Complaint::new("the server is no node of a cluster", "write its address under `url` instead of `cluster.urls`")
        }
        _ if detail.contains("unknown command") && matches!(step, ProofStep::Connect) => Complaint::new(
            "the server is no sentinel",
            "write the sentinels' addresses (port 26379 as a rule) under `sentinel.urls`",
        ),
        _ if detail.contains("unknown command") => Complaint::new(
            "the server does not know a command that is used",
            "use Redis 6.2 or later, for a cluster 7 or later, or Valkey, and rename no commands",
        ),
        _ if detail.contains("DB index") => {
            Complaint::new("the server has no such database", "write a lower number after the port, or none")
        }
        // A code is from the server's list and quotes nothing.
        _ => Complaint::new(
            format!("Redis refuses with {}", if code.is_empty() { "an error" } else { code }),
            "look into Redis' log",
        ),
    }
}

fn refused_login() -> Complaint {
    Complaint::new("Redis refuses the user or the password", "check `username` and `password`, and the user at Redis (ACL GETUSER)")
}
