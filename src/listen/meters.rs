//! What listeners tell of their connections.

use prometheus::{IntCounterVec, IntGaugeVec};

use crate::telemetry::Metrics;

/// The metrics of listeners; one set for all of them.
#[derive(Clone, Debug)]
pub struct Meters {
    pub(super) open: IntGaugeVec,
    pub(super) heads: IntGaugeVec,
    pub(super) bytes: IntGaugeVec,
    pub(super) closed: IntCounterVec,
}

/// Why tokend closed a connection that its client would have kept: the closed list of a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Another one needed its place.
    Places,
    /// Its address has too many unfinished heads.
    Address,
    /// Unfinished heads took too many bytes.
    Heads,
    /// Its head took too long.
    HeadTimeout,
    /// It did not take its answer.
    Stalled,
    /// It reset too many streams.
    Resets,
}

// === impl Meters ===

impl Meters {
    /// Makes them.
    pub fn new(metrics: &Metrics) -> Self {
        let gauge = |name, help| metrics.gauges(name, help, &["listener"]);
        Self {
            open: gauge("http_connections", "Open connections, by listener (token, admin)."),
            heads: gauge("http_unfinished_heads", "Connections without a complete head, TLS handshakes included, by listener."),
            bytes: gauge("http_unfinished_head_bytes", "What these take of `limits.heads`, by listener."),
            closed: metrics.counters(
                "http_connections_closed_total",
                "Connections that tokend closed for want of room or time, by listener and reason.",
                &["listener", "reason"],
            ),
        }
    }
}

// === impl Reason ===

impl Reason {
    pub(super) const ALL: [Self; 6] = [Self::Places, Self::Address, Self::Heads, Self::HeadTimeout, Self::Stalled, Self::Resets];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Places => "places",
            Self::Address => "address",
            Self::Heads => "heads",
            Self::HeadTimeout => "head_timeout",
            Self::Stalled => "stalled",
            Self::Resets => "resets",
        }
    }
}
