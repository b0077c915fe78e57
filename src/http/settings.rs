//! The edge's bounds, as the configuration says.

use std::time::Duration;

/// `limits` and `hosts`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A request's body, in bytes.
    pub body: usize,
    /// A request's head, in bytes.
    pub header: usize,
    /// Bodies in memory at a time, in bytes.
    pub inflight: usize,
    /// Requests at a time; further ones are shed with 503.
    pub concurrency: usize,
    /// From the head to the answer.
    pub request_timeout: Duration,
    /// Host names beside the listen addresses and localhost that a request may name.
    pub hosts: Vec<String>,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            body: 256 * 1024,
            header: 64 * 1024,
            inflight: 32 * 1024 * 1024,
            concurrency: 2048,
            request_timeout: Duration::from_secs(15),
            hosts: Vec::new(),
        }
    }
}
