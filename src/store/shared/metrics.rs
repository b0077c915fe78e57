//! What is counted of Redis. Labels come from closed lists, and their handles are resolved once.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::breaker::BreakerState;
use super::fault::CallFault;
use crate::telemetry::Metrics;

/// What Redis is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Read,
    Members,
    Holds,
    Page,
    Publish,
    Claim,
    Extend,
    Release,
    Put,
    Remove,
    Set,
    Clear,
    Join,
    Leave,
    Probe,
    Attempt,
}

/// Every operation, in their order.
const OPS: [&str; 16] = [
    "read", "members", "holds", "page", "publish", "claim", "extend", "release", "put", "remove", "set", "clear", "join", "leave",
    "probe", "attempt",
];

/// What the shared store counts.
pub(super) struct Counts {
    requests: IntCounterVec,
    well: [OnceLock<IntCounter>; OPS.len()],
    reads: Histogram,
    writes: Histogram,
    breakers: [IntGauge; 3],
    /// Connections that took the place of another.
    pub(super) reconnects: IntCounter,
    unacknowledged: IntCounterVec,
    /// Messages that were published.
    pub(super) sent: IntCounter,
    /// Messages that were heard.
    pub(super) received: IntCounter,
}

// === impl Op ===

impl Op {
    /// Whether it writes: it needs memory, and a server that takes writes.
    pub(super) fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::Members | Self::Holds | Self::Page | Self::Publish)
    }

    /// In one word, for labels and spans.
    pub(super) fn as_str(self) -> &'static str {
        OPS.get(self.index()).copied().unwrap_or_default()
    }

    fn index(self) -> usize {
        self as usize
    }
}

// === impl Counts ===

impl Counts {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let requests = metrics.counters("redis_requests_total", "Calls to Redis, by operation and outcome.", &["op", "outcome"]);
        let durations = metrics.durations("redis_duration_seconds", "How long calls to Redis took.", &["op"]);
        let breakers = metrics.gauges(
            "redis_breaker_state",
            "Whether Redis is asked: 0 closed (yes), 1 half-open, 2 open (no).",
            &["breaker"],
        );
        let reconnects = metrics.counters("redis_reconnects_total", "Connections to Redis that were made anew.", &[]);
        let unacknowledged = metrics.counters(
            "redis_unacknowledged_total",
            "Writes that fewer replicas acknowledged in time than `wait_replicas` asks for.",
            &["op"],
        );
        let events = metrics.counters("redis_events_total", "Messages between replicas.", &["direction"]);
        Self {
            requests,
            well: Default::default(),
            reads: durations.with_label_values(&["read"]),
            writes: durations.with_label_values(&["write"]),
            breakers: ["reads", "writes", "events"].map(|breaker| breakers.with_label_values(&[breaker])),
            reconnects: reconnects.with_label_values::<&str>(&[]),
            unacknowledged,
            sent: events.with_label_values(&["sent"]),
            received: events.with_label_values(&["received"]),
        }
    }

    /// A call that was made. `fault` is what went wrong.
    pub(super) fn called(&self, op: Op, fault: Option<CallFault>, took: Duration) {
        match (fault, self.well.get(op.index())) {
            (None, Some(well)) => well.get_or_init(|| self.request(op, "ok")).inc(),
            (fault, _) => self.request(op, fault.map_or("ok", CallFault::as_str)).inc(),
        }
        let durations = if op.writes() { &self.writes } else { &self.reads };
        durations.observe(took.as_secs_f64());
    }

    /// A call that was not made.
    pub(super) fn spared(&self, op: Op) {
        self.request(op, "breaker_open").inc();
    }

    /// A write that not enough replicas are known to have.
    pub(super) fn unacknowledged(&self, op: Op) {
        self.unacknowledged.with_label_values(&[op.as_str()]).inc();
    }

    fn request(&self, op: Op, outcome: &str) -> IntCounter {
        self.requests.with_label_values(&[op.as_str(), outcome])
    }

    /// The gauge of the breaker of this index: reads, writes, events.
    pub(super) fn breaker(&self, index: usize, state: BreakerState) {
        let value = match state {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        if let Some(gauge) = self.breakers.get(index) {
            gauge.set(value);
        }
    }
}
