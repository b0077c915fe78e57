//! The Entra-like authority.

mod answer;
mod ask;
mod assertion;
mod authorize;
mod client;
pub(crate) mod device;
mod grants;
pub(crate) mod home;
mod logout;
mod metadata;
pub(crate) mod routes;
pub(crate) mod saml;
mod scopes;
pub(crate) mod tokens;
