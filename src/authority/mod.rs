//! The authority: where its endpoints are, how a token is asked of it, which keys it signs with.
//!
//! One `Authority` per (address, CA, audience of assertions), shared by the apps that are registered there.

mod answer;
mod cloud;
mod decoding;
mod device;
mod document;
mod endpoints;
mod fetched;
mod foreign;
mod instance;
mod issuer_form;
mod jwks;
mod key_access;
mod look;
mod metrics;
mod profile;
mod pushed;
mod record;
mod region;
mod server;
mod settings;
mod strange;
mod throttle;
mod token_endpoint;
mod userinfo;

pub use answer::{AuthorityError, ReadAnswer, token_answer};
pub use decoding::Decoding;
pub use device::{BegunDevice, LONGEST_DEVICE_CODE};
pub use document::MetadataDocument;
pub use fetched::Fetched;
pub use issuer_form::IssuerForm;
pub use jwks::{SignedToken, Signer, SigningKey};
pub use key_access::{FileState, KeyAccess};
pub use metrics::Metrics;
pub use profile::{AccessTokenForm, Endpoints, IssuerRule, OboGrant, OwnToken, Profile, TargetRule, UserIds};
pub use pushed::PushedRequest;
pub use record::{CallRecord, FailedCall};
pub use region::{OwnRegion, RegionState};
pub use server::{Authority, TokenVersion};
pub use settings::{
    Address, AssertionAudience, AuthorityKind, CallSettings, GivenMetadata, KeyPlace, RegionName, RegionSource, RegionWish,
    Settings, is_loopback,
};
pub use strange::StrangeAnswer;
pub use throttle::{Hold, Holds, StandingHold, Stops};
pub use token_endpoint::{CallPermit, TokenRequest};
