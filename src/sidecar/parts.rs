//! What a sidecar is given from outside.

use crate::clock::Clock;
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Sampler};

/// What a sidecar is given rather than makes: a test gives other ones.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// Where its tasks run.
    pub tasks: Tasks,
    /// Its metrics.
    pub metrics: Metrics,
    /// Which requests are traced.
    pub sampler: Sampler,
}
