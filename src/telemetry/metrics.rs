//! The metrics registry. Each consumer makes its own metrics from it once, at start, and keeps the handles; a metric's help text is
//! written where the metric is made.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

/// A registry; clones share it. Names get the prefix `tokend_`.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Registry,
    hooks: Arc<Mutex<Vec<Hook>>>,
}

/// Sets gauges to what is so at the moment of a scrape.
type Hook = Box<dyn Fn() + Send + Sync>;

/// Seconds; at most ten buckets, from a cached hit to a request's whole time.
pub const DURATION_BUCKETS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0];

// === impl Metrics ===

impl Metrics {
    /// Counters under `tokend_{name}`.
    #[expect(clippy::expect_used, reason = "names and labels are literals: a bad one fails the first test that builds a sidecar")]
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let counters = IntCounterVec::new(opts(name, help), labels).expect("a valid metric");
        self.register(name, Box::new(counters.clone()));
        counters
    }

    /// Gauges under `tokend_{name}`.
    #[expect(clippy::expect_used, reason = "names and labels are literals: a bad one fails the first test that builds a sidecar")]
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let gauges = IntGaugeVec::new(opts(name, help), labels).expect("a valid metric");
        self.register(name, Box::new(gauges.clone()));
        gauges
    }

    /// Histograms of seconds under `tokend_{name}`, for what happens in this process.
    pub fn durations(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        self.durations_within(&DURATION_BUCKETS, name, help, labels)
    }

    /// Histograms of seconds under `tokend_{name}`, with these buckets.
    #[expect(clippy::expect_used, reason = "names and labels are literals: a bad one fails the first test that builds a sidecar")]
    pub fn durations_within(&self, buckets: &[f64], name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
        let histograms = HistogramVec::new(opts, labels).expect("a valid metric");
        self.register(name, Box::new(histograms.clone()));
        histograms
    }

    /// Adds a collector that is read at each scrape.
    pub(super) fn register(&self, name: &str, collector: Box<dyn Collector>) {
        if let Err(error) = self.registry.register(collector) {
            tracing::error!(metric = name, %error, "a metric is made twice");
        }
    }

    /// Runs `hook` before each scrape: for gauges of what somebody else keeps.
    pub fn before_render(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
    }

    /// The Prometheus text format, version 0.0.4.
    pub fn render(&self) -> Vec<u8> {
        for hook in self.hooks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            hook();
        }
        let mut text = Vec::with_capacity(16 * 1024);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("tokend_{name}"), help)
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn renders_what_was_counted() {
        let metrics = Metrics::default();
        metrics.counters("things_total", "Things.", &["kind"]).with_label_values(&["a"]).inc();
        let text = String::from_utf8(metrics.render()).unwrap_or_default();
        assert!(text.contains("tokend_things_total{kind=\"a\"} 1"), "{text}");
    }
}
