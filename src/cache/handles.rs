//! Handles as bytes: sealed for clients, opened when they come back. What stands in them is not known here.

use bytes::Bytes;

use super::accounts::Unavailable;
use super::fleet::Fleet;
use crate::clock::Clock;
use crate::store::{HandleKeys, OpenedHandle, SealedHandle};

/// What seals and opens the handles of one process, or of the fleet that it is part of.
#[derive(Clone, Debug)]
pub struct Handles(HandleKeys);

/// What a handle is for. One of one kind is none of another: what is sealed is bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleKind {
    /// It stands for a sign-in.
    Refresh,
    /// It is a device code.
    DeviceCode,
}

/// Why a handle says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// It is none of ours, or was changed.
    Foreign,
    /// No key of this id is known here, or a later release made it; with the time at which it says that it was sealed, in seconds
    /// since the Unix epoch. Nothing proves that.
    Unknown(i64),
    /// What opens it cannot be asked for.
    Unavailable(Unavailable),
}

// === impl HandleKind ===

impl HandleKind {
    /// What it is sealed for, in place of a name in Redis. No name there is one of these: each of them has a colon.
    fn name(self) -> &'static str {
        match self {
            Self::Refresh => "refresh-handle",
            Self::DeviceCode => "device-code",
        }
    }
}

// === impl Handles ===

impl Handles {
    pub(super) fn new(fleet: Option<&Fleet>, clock: &Clock) -> Self {
        Self(fleet.map_or_else(HandleKeys::of_process, |fleet| fleet.handle_keys(clock)))
    }

    /// To be called before something is done that a handle is wanted for: whether one can be sealed.
    ///
    /// # Errors
    /// The key lies in the shared store, which cannot be asked.
    pub async fn ready(&self) -> Result<(), Unavailable> {
        self.0.ready().await.map_err(|_| Unavailable::Unreachable)
    }

    /// Seals a handle at this time, in seconds since the Unix epoch. `None`: there is no key, or the cryptography failed.
    pub fn seal(&self, kind: HandleKind, issued: i64, payload: &[u8]) -> Option<Vec<u8>> {
        self.0.seal(kind.name(), issued, payload)
    }

    /// When a handle was sealed, in seconds since the Unix epoch, and what it says.
    ///
    /// # Errors
    /// It says nothing here, or nothing now.
    pub async fn open(&self, kind: HandleKind, sealed: &[u8]) -> Result<(i64, Bytes), Unopened> {
        match self.0.open(kind.name(), sealed).await {
            Ok(OpenedHandle { issued, payload }) => Ok((issued, payload)),
            Err(SealedHandle::Foreign) => Err(Unopened::Foreign),
            Err(SealedHandle::Unknown(issued)) => Err(Unopened::Unknown(issued)),
            Err(SealedHandle::Unavailable) => Err(Unopened::Unavailable(Unavailable::Unreachable)),
        }
    }
}
