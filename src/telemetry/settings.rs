//! What is logged and traced, as the configuration says.

use std::fmt;

use url::Url;

use crate::reload::Source;

/// `log` and `otlp`.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The least level that is logged.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
    /// Where spans go; `None`: nowhere, and none is made.
    pub otlp: Option<Otlp>,
}

/// Log levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Log formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Where spans go.
#[derive(Clone)]
pub struct Otlp {
    /// The collector's base URL; `/v1/traces` is appended.
    pub endpoint: Url,
    /// The part of requests without a sampled `traceparent` that is traced, from 0 to 1.
    pub sample_ratio: f64,
    /// `name=value` headers, one per line or comma-separated, as in OTEL_EXPORTER_OTLP_HEADERS.
    pub headers: Option<Source>,
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A collector's URL may hold a password.
        let host = self.endpoint.host_str();
        f.debug_struct("Otlp").field("host", &host).field("sample_ratio", &self.sample_ratio).finish_non_exhaustive()
    }
}
