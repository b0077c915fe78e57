//! How much is kept, where, and for how long it is believed, as the configuration says.

use std::time::Duration;

use super::budget;
use crate::store::RedisSettings;

/// `cache`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The memory level's bound in bytes: keys, values and index counted.
    pub max_bytes: u64,
    /// After this long a user's entry in memory is looked up in the shared level again.
    pub recheck: Duration,
    /// What work that outlives its request may weigh together, in bytes (`limits.flights`).
    pub flights: usize,
    /// What waits in memory for the shared level may weigh, in bytes (`limits.queue`).
    pub queue: usize,
    /// The level that replicas share; `None`: memory only.
    pub redis: Option<RedisSettings>,
}

// === impl Settings ===

impl Settings {
    /// The least that `flights` may be, in bytes, for requests of at most so many bytes to find room.
    pub fn least_flights(request: usize) -> usize {
        budget::least(request)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_bytes: 64 * 1024 * 1024,
            recheck: Duration::from_secs(60),
            flights: 16 * 1024 * 1024,
            queue: 8 * 1024 * 1024,
            redis: None,
        }
    }
}
