//! A generic OpenID Connect issuer: what any standard server does, and nothing of Entra's.

mod ask;
mod authorize;
mod client;
mod device;
mod exchange;
mod grants;
mod inspect;
mod logout;
mod metadata;
mod password;
mod pushed;
pub(crate) mod realm;
pub(crate) mod routes;
mod tls;
pub(crate) mod tokens;
mod userinfo;

pub(crate) use tls::AnyClient;
