//! What comes of opening a sealed value: what stands in it, or why that cannot be said.

use std::fmt;

use bytes::Bytes;

/// A value that was opened.
#[derive(PartialEq, Eq)]
pub struct Opened {
    /// How many values came before it under its name.
    pub generation: u64,
    /// The version of the record inside.
    pub version: u8,
    /// The record.
    pub payload: Bytes,
}

/// Why a value cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unreadable {
    /// A later release wrote it.
    Newer,
    /// It is sealed by a key that is not in the ring.
    UnknownKey,
    /// It is cut, changed, not meant for this name, or of a release that is long gone;
    /// or it is not sealed where everything has to be.
    Garbage,
}

// === impl Opened ===

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("generation", &self.generation).field("version", &self.version).finish_non_exhaustive()
    }
}

// === impl Unreadable ===

impl Unreadable {
    /// The label, and the word of the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Newer => "newer",
            Self::UnknownKey => "unknown_key",
            Self::Garbage => "garbage",
        }
    }

    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Newer => "a later release wrote it: update this replica, or have the others write the version that it reads",
            Self::UnknownKey => {
                "it was sealed under a key that is not in the key ring: give this replica the key ring of the others"
            }
            Self::Garbage => {
                "it was changed, cut off, or written by somebody else: look who else uses this Redis and `cache.redis.key_prefix`"
            }
        }
    }
}
