//! For whom a proof is made, and why there may be none.

use crate::finding::Complaint;
use crate::oauth::{AssertionForm, SecretPlace};

/// An assertion is not sent in its last seconds. An authority whose clock is ahead would refuse the client, and that stops every
/// replica; an end that is noticed here stops this one alone.
pub(super) const EARLY: i64 = 30;

/// To whom the app proves itself, and what is taken there.
#[derive(Clone, Copy, Debug)]
pub struct ProofTarget<'a> {
    /// Whom an assertion names: the token endpoint (ASN-4), or the issuer.
    pub audience: &'a str,
    /// How a signed assertion looks.
    pub assertion: AssertionForm,
    /// Where a secret stands if nothing is announced.
    pub secret: SecretPlace,
    /// Where it stands this time, because it was refused elsewhere.
    pub instead: Option<SecretPlace>,
    /// What is announced: `token_endpoint_auth_methods_supported`.
    pub methods: Option<&'a [String]>,
    /// What is announced: `token_endpoint_auth_signing_alg_values_supported`.
    pub algorithms: Option<&'a [String]>,
}

/// Why there is no proof: what is wrong and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no proof")]
pub struct CredentialError(#[source] pub Complaint);
