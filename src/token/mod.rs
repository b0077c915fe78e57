//! The domain: pure types that say what a token is, whose it is and how long it lasts. Nothing here does I/O or knows the wire.

mod account;
mod key;
mod policy;
mod room;
mod scopes;
mod sign_in;
mod stored;
mod tenant;
mod turn;
mod within;

pub use account::{Account, SignedInAccount, id_at_home};
pub use key::{
    CredentialName, FlightKey, HoldKey, KeySpace, Lane, Partition, PartitionOwner, SpaceId, TokenDigest, TokenKey, UsualVariant,
    Variant, VariantMembers, challenge_hash,
};
pub use policy::PolicyName;
pub use room::{RoomTaker, TokenUser};
pub use scopes::{Matching, ScopeError, Scopes};
pub use sign_in::{SessionFacts, SignIn};
pub use stored::{AnswerHead, CachedToken, Epoch, Facts, IssuedToken, Times};
pub use tenant::Tenant;
pub use turn::{Retry, Turn};
