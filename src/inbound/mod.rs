//! Whose token is this: a signature becomes claims, which are remembered; what the claims are worth is judged on every request.

mod advice;
mod policy;
mod saml;
mod settings;
mod signature;

pub use policy::{IssuerFacts, Issuers, Policy, SKEW, Verdict, Whose, is_of_policy};
pub use saml::{LONGEST_ASSERTION, SamlAssertion, SamlFault, is_encoded_xml};
pub use settings::{Settings, Tenants};
pub use signature::{Inbound, TokenRejected, Verified};
