//! Who signed in, and what renews their tokens: over both levels, never lost to a slower replica, never served after a sign-out.
//!
//! `standing` is the sign-in as the store has it, `sign_in` reads and keeps one, `refresh_lease` lets one in the fleet use its
//! refresh token, `listing` shows who is signed in, with `unlisted` for those who could not be listed yet, `known` asks of many at
//! once, `sign_out` ends it, `guests` and `links` are about accounts that have something elsewhere, of which `sessions` are one
//! kind. `push_back` brings to the store what it missed, `restore` what it has lost, and `hearing` heeds what the other replicas
//! tell.

mod core;
mod guests;
mod hearing;
mod known;
mod links;
mod listing;
mod outcome;
mod push_back;
mod refresh_lease;
mod restore;
mod sessions;
mod sign_in;
mod sign_out;
mod standing;
mod unlisted;

pub use self::core::CachedAccounts;
pub use guests::Remembering;
pub use known::Known;
pub use listing::{Cursor, Listed};
pub use outcome::{Base, Kept, KeptSignIn, Renewed, Signed, Unavailable};
pub use refresh_lease::RefreshLease;
