//! How much is kept, as the configuration says.

/// `cache`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The memory level's bound in bytes: keys, values and index counted.
    pub max_bytes: u64,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self { max_bytes: 64 * 1024 * 1024 }
    }
}
