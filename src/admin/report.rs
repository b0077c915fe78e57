//! What `/status` tells: plain data that the sidecar fills in. No secret, no token, no user.

use serde::Serialize;
use utoipa::ToSchema;

/// The state of the process.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Report {
    /// tokend's version.
    pub version: String,
    /// When it started, in seconds since 1970.
    pub started: i64,
    /// Whether `/readyz` says so.
    pub ready: bool,
    /// The apps, by name.
    pub apps: Vec<AppReport>,
    /// The authorities where they are registered.
    pub authorities: Vec<AuthorityReport>,
    /// The token listener's certificate; null where it speaks plain HTTP.
    pub tls: Option<TlsReport>,
    /// The cache.
    pub cache: CacheReport,
    /// Files that could not be reloaded: the value before is still in use.
    pub reload_failures: Vec<ReloadReport>,
    /// Tasks that panicked since the start.
    pub task_panics: u64,
}

/// One app.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct AppReport {
    /// Its name.
    pub name: String,
    /// Where it is registered.
    pub authority: String,
    /// How it proves itself.
    pub credential: CredentialReport,
}

/// One credential.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct CredentialReport {
    /// `secret`, `certificate` or another kind.
    pub kind: String,
    /// When it ends, in seconds since 1970; null where that is not known.
    pub expires_on: Option<i64>,
    /// What is wrong with it; null if nothing is.
    pub problem: Option<String>,
}

/// One authority. All times are RFC 3339 in UTC.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct AuthorityReport {
    /// Its address.
    pub authority: String,
    /// The apps that are registered there, by name.
    pub apps: Vec<String>,
    /// The callers whose JWTs it issues, by name.
    pub callers: Vec<String>,
    /// When it last did what it was asked; null if it never has since the start.
    pub last_success: Option<String>,
    /// The last call that failed since the start; null if none has.
    pub last_error: Option<CallErrorReport>,
    /// What is not asked of it now, because it failed a moment ago.
    pub held: Vec<HoldReport>,
}

/// A call to an authority that failed.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct CallErrorReport {
    /// When.
    pub at: String,
    /// What it was for: a grant, `discovery` or `keys`.
    pub purpose: String,
    /// Why, as `tokend_authority_calls_total` labels it.
    pub error: String,
    /// Why, in words.
    pub cause: String,
}

/// Failures of one kind that are remembered for an app.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct HoldReport {
    /// The app whose requests failed.
    pub app: String,
    /// What they stop: `credential`, `tenant`, `grant`, `request`, `pause` or `partition`.
    pub stops: String,
    /// How many there are.
    pub count: u64,
    /// When the last of them is over.
    pub until: String,
}

/// The certificate of the token listener.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct TlsReport {
    /// When it ends, in seconds since 1970.
    pub expires_on: i64,
    /// Why newer files are not in force; null if the newest are.
    pub problem: Option<String>,
}

/// The cache.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct CacheReport {
    /// Partitions in it.
    pub entries: u64,
    /// What they weigh.
    pub bytes: u64,
    /// What they may weigh.
    pub max_bytes: u64,
    /// The level that replicas share; null without one.
    pub redis: Option<RedisReport>,
}

/// The level that replicas share.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct RedisReport {
    /// Whether it is asked.
    pub breakers: BreakerReport,
    /// How much waits in memory to be stored there.
    pub waiting: u64,
    /// The ids of the key ring's keys, the one that encrypts first; empty without encryption.
    pub keys: Vec<String>,
}

/// `closed`: it is asked; `open`: it failed too often and is left alone; `half_open`: one probe is under way.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct BreakerReport {
    /// For reads.
    pub reads: String,
    /// For writes.
    pub writes: String,
    /// For messages between replicas.
    pub events: String,
}

/// A file that could not be reloaded.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct ReloadReport {
    /// What it holds, as the configuration names it: its key.
    pub what: String,
    /// How often new contents were refused since the start.
    pub failures: u64,
    /// What is wrong with it; null where only the count is known.
    pub problem: Option<String>,
}
