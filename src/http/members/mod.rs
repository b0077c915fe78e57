//! What requests may say: the members that there are, and how they are read from a body or from a query.

pub(super) mod form;
pub(super) mod overrides;
pub(super) mod read;

mod explain;
mod table;
mod values;

pub(super) use table::{LONGEST, Member, MemberKind, MemberSet, Members};
pub(super) use values::{Number, ScopeList, Text};
