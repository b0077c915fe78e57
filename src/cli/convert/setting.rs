//! A value of another sidecar's configuration, and where it is written.

use std::fmt;

use crate::secret::Secret;

/// A value of somebody else's configuration. Any of them may be a secret, whatever its name says.
#[derive(Debug)]
pub(super) struct ForeignSetting {
    /// The names on the way to it, as they are written.
    pub(super) path: Vec<String>,
    /// The text.
    pub(super) value: Secret,
    /// Where it is written.
    pub(super) spot: Spot,
}

/// A place in a file, counted from one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) column: Option<usize>,
}

/// One variable.
pub(super) struct Variable {
    /// As it is written.
    pub(super) name: String,
    /// Where it stands in the configuration, and its value.
    pub(super) leaf: ForeignSetting,
    /// Its place among `DOTNET_`, `ASPNETCORE_`, and the others, which stand over a file's values.
    pub(super) rank: Rank,
}

/// What stands over what, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    AspNetCore,
    DotNet,
    File,
    Environment,
}

// === impl Spot ===

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.file, self.in_file())
    }
}

impl Spot {
    /// Without the file.
    pub(super) fn in_file(&self) -> String {
        self.column.map_or_else(|| format!("line {}", self.line), |column| format!("line {}, column {column}", self.line))
    }
}
