//! The domain: pure types that say what a token is, whose it is and how long it lasts. Nothing here does I/O or knows the wire.

mod account;
mod scopes;
mod stored;
mod tenant;
mod turn;

pub use account::Account;
pub use scopes::{Matching, ScopeError, Scopes};
pub use stored::{Facts, Grant, Head, Stored, Times};
pub use tenant::Tenant;
pub use turn::{Retry, Turn};
