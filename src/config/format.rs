//! How the text of a configuration is written.

use std::path::Path;

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML, which JSON is too.
    Yaml,
    /// TOML.
    Toml,
    /// JSON.
    Json,
}

// === impl Format ===

impl Format {
    /// By the file's extension; YAML for all others, because mounted files often have none.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Self::Toml,
            Some("json") => Self::Json,
            _ => Self::Yaml,
        }
    }
}
