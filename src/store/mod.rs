//! Where tokens are kept. Memory is synchronous and this process's own; the store that replicas share is Redis: bytes under names
//! (`shared`), what the bytes say (`record`), how they are sealed (`ring`) and what they are called (`names`). `handle_keys` is for
//! what is sealed and kept by clients.

mod handle_keys;
mod memory;
mod names;
mod record;
mod ring;
mod settings;
mod shared;

pub use handle_keys::{HandleKeys, OpenedHandle, SealedHandle};
pub use memory::Memory;
pub use names::{IndexEntry, Names, SHARDS, SlotNames};
pub use record::{ClockName, Sought, read_sign_in, read_token, sign_in_epoch, write_sign_in, write_token};
pub use ring::{KeyRing, Opened, Ring, Unreadable};
pub use settings::{Encryption, NodeNames, RedisSettings, RedisUrl, Topology, VERSIONS, Version, Versions};
pub use shared::{
    Access, BreakerState, Claim, Claimed, Epoch, Event, Holder, Index, Mark, Note, Page, Placed, Put, Raised, Removed,
    ReturnedLease, Shared, State, StoreError,
};
