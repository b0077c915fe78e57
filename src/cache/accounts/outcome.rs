//! What is read of a sign-in, and what comes of a change.

use std::sync::Arc;

use crate::cache::watches::Watch;
use crate::token::{Epoch, SignIn};

/// What a change of a sign-in is compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Base {
    /// The generation that was read.
    pub generation: Option<u64>,
    /// The account's epoch.
    pub epoch: Epoch,
}

/// A sign-in, or that there is none, and what a change of it is compared with.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The sign-in.
    pub sign_in: Option<Arc<SignIn>>,
    /// What was read.
    pub base: Base,
    /// The sign-outs that this process hears of since.
    pub(super) since: Watch,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It stands.
    Stored,
    /// Another one came between, and stands.
    Stale,
    /// The user signed out meanwhile: nothing is kept.
    SignedOut,
    /// Memory has it, and the shared store gets it when it can.
    Later,
}

/// What came of a new sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptSignIn {
    /// Whether and where it is kept.
    pub kept: Kept,
    /// The lineage that it was kept with: it goes on with that, or began it.
    pub lineage: [u8; 16],
}

/// What a sign-in that renews another one is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The older one is as good: nothing is lost with this one.
    Reusable,
    /// The older one is used up.
    SingleUse,
}

/// Why nothing can be said of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The shared store cannot be asked.
    Unreachable,
    /// A newer release, or one with another key ring, wrote it.
    Unreadable,
    /// Others work on the account for longer than anybody waits for them.
    Busy,
}

/// Whether a sign-in is older than another one. Within one lineage and epoch a new sign-in is above everything that was known, and
/// a renewal is one higher than what it renews.
pub(super) fn is_ancestor(sign_in: &SignIn, of: &SignIn) -> bool {
    sign_in.epoch == of.epoch && sign_in.lineage == of.lineage && sign_in.shared < of.shared
}

// === impl Signed ===

impl Signed {
    /// The highest generation that was read.
    pub(super) fn newest(&self) -> Option<u64> {
        self.base.generation.max(self.sign_in.as_ref().map(|sign_in| sign_in.shared).filter(|shared| *shared > 0))
    }
}
