//! SAML assertions, 1.1 and 2.0: written and signed, read and checked. What a kind of authority makes of them is its own.

mod canonical;
mod format;
mod read;
mod signature;
mod statement;
mod tree;

pub(crate) use format::Format;
pub(crate) use read::Received;
pub(crate) use statement::{Statement, encode};
