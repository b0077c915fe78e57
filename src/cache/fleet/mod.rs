//! The store that replicas share, as the cache sees it: what things are called there, how their bytes are sealed, by which clock
//! they end, what replicas tell each other, and when memory has to be asked about again.
//!
//! It knows nothing of leases, of accounts, or of what to do when the store has lost something.

mod checks;
mod clocks;
mod core;
mod ends;
mod holds;
mod messages;
mod pulse;

pub(super) use self::core::MOST_LISTED;
pub use self::core::{Fleet, Parts};
pub(super) use clocks::Dated;
pub(super) use messages::{Heard, News};
