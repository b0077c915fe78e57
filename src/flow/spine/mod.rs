//! How plans are carried out. `cached` is for what may be kept and shared, over all owners who may have it (`search`); `once` for what is sent
//! once and always brings something new. `job` is work that goes on without its caller, `bound` about callers that may have less than is granted, `refresh` the way of a refresh token, `send` one call with
//! the app's proof. `failure` says whose turn it is after one, `outcome` what becomes of it where the grant may be used up. `holds` says what it
//! stops, on the `evidence` of tenants, and `remember` keeps that here and in the other replicas.

mod bound;
pub(super) mod cached;
pub(super) mod evidence;
pub(super) mod failure;
pub(super) mod holds;
mod job;
pub(super) mod once;
mod outcome;
mod refresh;
mod remember;
mod search;
pub(super) mod send;
