//! A generic OpenID Connect issuer: what any standard server does, and nothing of Entra's.

mod authorize;
pub(crate) mod client;
mod grants;
mod metadata;
pub(crate) mod realm;
pub(crate) mod routes;
pub(crate) mod tokens;
