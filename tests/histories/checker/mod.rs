//! The history checker: a fleet of real processes under random requests and faults, and what must hold whatever happens.
//!
//! A seed decides the requests and the faults ([`plan`]); [`run`] does them and writes down what happened ([`history`]); then
//! [`invariants`] are looked for in that alone. So a failing seed does the same again,
//! and each rule can be tried on a made-up history.

mod backend;
mod calls;
mod deeds;
mod families;
pub(crate) mod history;
pub(crate) mod invariants;
mod migration;
pub(crate) mod plan;
mod random;
pub(crate) mod report;
pub(crate) mod run;
mod signed_out;
mod stage;
mod statuses;
mod watch;
mod work;
