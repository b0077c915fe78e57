//! Where tokens are kept. Memory is here and synchronous; the store that replicas share joins it.

mod memory;

pub use memory::{Memory, Partition};
