//! Everything that a configuration says, as the parts' own types.

use std::time::Duration;

use crate::reload::Source;
use crate::{authority, cache, caller, flow, http, listen, telemetry, transport};

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The token listener.
    pub listen: listen::Settings,
    /// The admin listener.
    pub admin: listen::Settings,
    /// The edge's bounds.
    pub http: http::Settings,
    /// The apps, by name.
    pub apps: Vec<flow::AppSettings>,
    /// The named apis.
    pub apis: Vec<flow::ApiSettings>,
    /// Who may ask; empty: whoever reaches tokend.
    pub callers: Vec<caller::Settings>,
    /// Where there are no callers: what clients of a managed identity show.
    pub msi_secret: Option<Source>,
    /// The cache.
    pub cache: cache::Settings,
    /// Refresh handles.
    pub handles: flow::HandleSettings,
    /// Calls to authorities.
    pub calls: authority::CallSettings,
    /// The way out.
    pub outbound: transport::Settings,
    /// From SIGTERM on.
    pub shutdown: Shutdown,
    /// Logs and traces.
    pub telemetry: telemetry::Settings,
}

/// `shutdown`.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown {
    /// How long `/readyz` is 503 while requests are still accepted.
    pub delay: Duration,
    /// How long requests in progress may take after that.
    pub grace: Duration,
}
