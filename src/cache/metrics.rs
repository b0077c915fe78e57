//! What is counted of the level that replicas share.

use prometheus::{IntCounter, IntCounterVec};

use crate::telemetry;

/// The handles.
#[derive(Debug)]
pub(super) struct Metrics {
    /// Looks into the shared store that found what was wanted, and that did not.
    pub(super) hit: IntCounter,
    pub(super) miss: IntCounter,
    /// Calls without a lease, because the store could not give one.
    pub(super) alone: IntCounter,
    /// Tokens that were not stored, or were dropped from memory, because their account was signed out.
    pub(super) signed_out: IntCounter,
    leases: IntCounterVec,
    invalidations: IntCounterVec,
    pushed_back: IntCounterVec,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn new(metrics: &telemetry::Metrics) -> Self {
        let lookups = metrics.counters(
            "cache_lookups_total",
            "Looks into a level of the cache, by what came of them.",
            &["level", "outcome"],
        );
        let look = |outcome: &str| lookups.with_label_values(&["redis", outcome]);
        Self {
            hit: look("hit"),
            miss: look("miss"),
            alone: look("unavailable"),
            signed_out: look("signed_out"),
            leases: metrics.counters(
                "cache_leases_total",
                "Leases on calls to the authority: won, waited for another replica's, taken_over when that one lapsed, given_up by a renewal that another replica makes, failed.",
                &["outcome"],
            ),
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
