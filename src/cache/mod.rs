//! Do we have it, may we use it: memory first, then one flight per key; in the flight the store that replicas share, and a lease
//! under which one of them asks the authority.
//!
//! - `tokens` is the face for tokens: look, load, renew. `local` is what this process has in memory.
//! - `fleet` is the store that replicas share: names, seals, clocks, messages. `level` puts beside it what a process keeps for it:
//!   `leases` who may ask the authority, `lookup` what stands of a token, `epochs` what is known of sign-outs, with `recent` and
//!   `losses`, and the `queue`.
//! - `lead` is the way of a flight through that level, `finder` takes what it finds there, `publish` stores what it brings,
//!   `recheck` asks whether what memory has still stands.
//! - `attempts` counts what may be tried a few times only.
//! - `accounts` is about who signed in, and what renews their tokens; `handles` seals what their clients hold of that. `notes` is
//!   what is known for a while of something that is sent once, as how a device code stands.

mod accounts;
mod again;
mod attempts;
mod budget;
mod epochs;
mod finder;
mod fleet;
mod flight;
mod freshness;
mod generation;
mod handles;
mod lead;
mod lease;
mod level;
mod local;
mod locks;
mod lookup;
mod losses;
mod metrics;
mod notes;
mod outcome;
mod pacing;
mod publish;
mod query;
mod queue;
mod recent;
mod recheck;
mod settings;
mod tokens;
mod watches;
mod way;

pub use accounts::{
    Base, CachedAccounts, Cursor, Kept, KeptSignIn, Known, Listed, RefreshLease, Remembering, Renewed, Signed, Unavailable,
};
pub use attempts::{Allowance, Attempts, CountedAttempt, TooMany};
pub use budget::{Budget, Permit, Work};
pub use fleet::{Fleet, Parts};
pub use flight::{Flight, Landing, Lost, Part};
pub use freshness::{Freshness, judge, lifetime_is_credible, refresh_point};
pub use handles::{HandleKind, Handles, Unopened};
pub use lead::ErrorCodec;
pub use notes::{NotedThing, Notes, Writing};
pub use outcome::{CacheLevel, FlightOutcome, LoadOutcome, Loaded, Look, Miss};
pub use pacing::Jitter;
pub use query::{Bypass, Query, SoughtToken};
pub use queue::Room;
pub use settings::Settings;
pub use tokens::Cache;
pub use watches::OpenWatch;

/// Where a listing goes on in one of its sets.
pub type Mark = crate::store::Mark;
