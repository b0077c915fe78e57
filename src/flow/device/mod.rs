//! The device code flow (RFC 8628): a device shows a code, its user signs in elsewhere, and the device polls meanwhile.
//!
//! `start` begins it, `poll` asks what became of it. `code` is the text between the two: what it says is all that is known, so
//! that any replica can poll. `standing` is what replicas tell each other of a code that is polled: when, how often, and what came
//! of it.

mod code;
mod poll;
mod standing;
mod start;

pub(super) use poll::poll;
pub(super) use start::start;
