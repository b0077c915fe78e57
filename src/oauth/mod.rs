//! The wire: serde types for what authorities send and the form that is sent to them, each citing its specification. No behaviour.

mod claims;
mod claims_request;
mod date;
mod device_response;
mod error_body;
mod form;
mod identifiers;
mod keys;
mod members;
mod metadata;
mod proof;
mod shape;
mod token_response;

pub use claims::{Audience, Claims, ClaimsFault, ClientInfo, unverified};
pub use claims_request::{ClaimsError, challenge, merge};
pub use date::unix as unix_of_date;
pub use device_response::DeviceResponse;
pub use error_body::ErrorBody;
pub use form::Form;
pub use identifiers::{
    ASSERTION_JWT_BEARER, GRANT_CLIENT_CREDENTIALS, GRANT_DEVICE_CODE, GRANT_JWT_BEARER, GRANT_PASSWORD, GRANT_REFRESH_TOKEN,
    GRANT_SAML1_BEARER, GRANT_SAML2_BEARER, GRANT_TOKEN_EXCHANGE, SamlVersion, TOKEN_TYPE_ACCESS, TOKEN_TYPE_JWT,
    TOKEN_TYPE_REFRESH, TOKEN_TYPE_SAML1, TOKEN_TYPE_SAML2, is_refresh_token_type,
};
pub use keys::{Key, KeySet};
pub use metadata::{ClientEndpoints, Metadata};
pub use proof::{AssertionForm, Proof, SecretPlace};
pub use shape::no_text;
pub use token_response::TokenResponse;
