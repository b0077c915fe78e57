//! An external tenant of Entra (CIAM): its hosts are its own, it issues under its id whatever host is asked, in one version, and
//! takes no passwords. Its grants are Entra's.

mod metadata;
pub(crate) mod routes;

pub(crate) use metadata::issuer;
