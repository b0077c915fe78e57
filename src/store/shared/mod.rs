//! The store that replicas share: Redis as bytes under names, whatever its topology.
//!
//! Redis is a help and no condition: every call has its own deadline, breakers stop asking a Redis that fails, probes find out when
//! it works again, and connections are made on first use and replaced when they are of no more use.

mod access;
mod acknowledged;
mod announcements;
mod attempt;
mod breaker;
mod cluster;
mod core;
mod dial;
mod events;
mod fault;
mod guard;
mod handle;
mod kept;
mod link;
mod metrics;
mod ops;
mod place;
mod proof;
mod raise;
mod redirected;
mod scripts;
mod sentinels;
mod server_kind;
mod types;
mod wire;

pub use self::access::Access;
pub use self::breaker::BreakerState;
pub use self::handle::{Shared, State};
pub use self::types::{
    Claim, Claimed, Epoch, Event, Holder, Index, Mark, Note, Page, Placed, Put, Raised, Removed, ReturnedLease, StoreError,
};
