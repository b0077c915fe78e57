//! How plans are carried out.
//!
//! `begin` is a call that begins something and brings no token. `cached` is for what may be kept and shared, over all owners that
//! may have it (`search`). `once` is for what is sent once and always brings something new, `unnamed` keeps what would be lost of
//! an answer that names nobody, and `start` begins a long-running session. `job` is work that goes on without its caller, and
//! `bound` is about callers that may have less than is granted. `refresh` is the way of a refresh token, and `send` is one call
//! with the app's proof.
//!
//! After a call that failed, `failure` says whose turn it is, `remedy` what to do, and `outcome` what becomes of a grant that may
//! be used up. `holds` says what the failure stops, on the `evidence` of tenants; `remember` keeps that here and in the other
//! replicas.

mod begin;
mod bound;
mod cached;
pub(super) mod evidence;
pub(super) mod failure;
pub(super) mod holds;
mod job;
pub(super) mod once;
mod outcome;
mod refresh;
mod remedy;
mod remember;
mod search;
pub(super) mod send;
mod start;
mod unnamed;

pub(super) use begin::{Beginning, device, pushed};

use std::sync::Arc;

use futures_util::future::Either;

use super::plan::{Plan, Working};
use super::state::FlowState;

/// Gives a plan to its spine.
pub(super) fn carry_out<'a>(state: &'a Arc<FlowState>, plan: Plan<'a>) -> Working<'a> {
    match plan {
        Plan::Cached(plan) => cached::run(state, plan),
        Plan::Once(plan) => Either::Right(Box::pin(once::run(state, *plan))),
        Plan::Start(plan) => Either::Right(Box::pin(start::run(state, *plan))),
    }
}
