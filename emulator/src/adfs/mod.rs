//! Active Directory Federation Services: one farm at `/adfs`, with clients, resources and users of its own. Nothing of it is a
//! tenant's.

mod ask;
mod assertion;
mod authorize;
mod client;
mod device;
mod grants;
mod logout;
mod metadata;
pub(crate) mod registration;
pub(crate) mod routes;
pub(crate) mod tokens;
