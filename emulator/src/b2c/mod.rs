//! Azure AD B2C: tenants whose policies (user flows) are an authority each. What one issued no other takes, and several may
//! share an issuer and keys.

mod ask;
mod asked;
mod authorize;
mod grants;
mod logout;
mod metadata;
pub(crate) mod registration;
pub(crate) mod routes;
pub(crate) mod tokens;
