//! What is counted of the cache, level by level. The handles of what a hit counts are resolved here, once.

use prometheus::{IntCounter, IntCounterVec};

use super::outcome::Miss;
use crate::telemetry;

/// What is counted in the process: looks into memory, and single flights.
#[derive(Debug)]
pub(super) struct LocalMetrics {
    hit: IntCounter,
    miss: IntCounter,
    expired: IntCounter,
    bypassed: IntCounter,
    /// Flights that were begun, and waits for a flight that somebody else had begun.
    pub(super) led: IntCounter,
    pub(super) joined: IntCounter,
}

/// What is counted of the level that replicas share.
#[derive(Debug)]
pub(super) struct Metrics {
    /// Looks into the shared store that found what was wanted, and that did not.
    pub(super) hit: IntCounter,
    pub(super) miss: IntCounter,
    /// Calls without a lease, because the store could not give one.
    pub(super) alone: IntCounter,
    /// Tokens that were not stored, or were dropped from memory, because their account was signed out.
    pub(super) signed_out: IntCounter,
    /// What the shared store had lost and has again.
    pub(super) restored_epochs: IntCounter,
    pub(super) restored_sign_ins: IntCounter,
    lookups: IntCounterVec,
    leases: IntCounterVec,
    invalidations: IntCounterVec,
    pushed_back: IntCounterVec,
}

/// What becomes of a lease.
const LEASES: [&str; 5] = ["won", "waited", "taken_over", "given_up", "failed"];

// === impl LocalMetrics ===

impl LocalMetrics {
    /// `shared` counts looks into the other level, where there is one.
    pub(super) fn new(metrics: &telemetry::Metrics, shared: Option<&Metrics>) -> Self {
        let lookups = shared.map_or_else(|| lookups(metrics), |shared| shared.lookups.clone());
        let look = |outcome: &str| lookups.with_label_values(&["memory", outcome]);
        let flights = metrics.counters(
            "cache_flights_total",
            "Requests that memory could not answer: led a single flight, or joined one that another request had begun.",
            &["role"],
        );
        Self {
            hit: look("hit"),
            miss: look("miss"),
            expired: look("expired"),
            bypassed: look("bypassed"),
            led: flights.with_label_values(&["led"]),
            joined: flights.with_label_values(&["joined"]),
        }
    }

    /// Counts a look. What has to be asked about in the shared store first is looked at again, and counted then.
    pub(super) fn looked(&self, found: Result<bool, Miss>) {
        match found {
            Ok(true) => {}
            Ok(false) => self.hit.inc(),
            Err(Miss::Absent) => self.miss.inc(),
            Err(Miss::Expired) => self.expired.inc(),
            Err(Miss::Bypassed) => self.bypassed.inc(),
        }
    }
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn new(metrics: &telemetry::Metrics) -> Self {
        let lookups = lookups(metrics);
        let look = |outcome: &str| lookups.with_label_values(&["redis", outcome]);
        let leases = metrics.counters(
            "cache_leases_total",
            "Leases on calls to the authority: won, waited for another replica's, taken_over when that one lapsed, given_up by a renewal that another replica makes, failed.",
            &["outcome"],
        );
        let restored = metrics.counters(
            "cache_restored_total",
            "What the shared store had lost, and this replica knew and brought back.",
            &["kind"],
        );
        for outcome in LEASES {
            leases.with_label_values(&[outcome]);
        }
        Self {
            hit: look("hit"),
            miss: look("miss"),
            alone: look("unavailable"),
            signed_out: look("signed_out"),
            restored_epochs: restored.with_label_values(&["epoch"]),
            restored_sign_ins: restored.with_label_values(&["sign_in"]),
            lookups,
            leases,
            invalidations: metrics.counters(
                "cache_invalidations_total",
                "Messages between replicas about what is not to be used any more.",
                &["direction", "kind"],
            ),
            pushed_back: metrics.counters(
                "cache_pushed_back_total",
                "What was kept in memory while the shared store was away, and brought to it afterwards.",
                &["outcome"],
            ),
        }
    }

    pub(super) fn lease(&self, outcome: &str) {
        self.leases.with_label_values(&[outcome]).inc();
    }

    pub(super) fn invalidation(&self, direction: &str, kind: &str) {
        self.invalidations.with_label_values(&[direction, kind]).inc();
    }

    pub(super) fn pushed_back(&self, outcome: &str) {
        self.pushed_back.with_label_values(&[outcome]).inc();
    }
}

/// Both levels count here.
fn lookups(metrics: &telemetry::Metrics) -> IntCounterVec {
    metrics.counters("cache_lookups_total", "Looks into a level of the cache, by what came of them.", &["level", "outcome"])
}
