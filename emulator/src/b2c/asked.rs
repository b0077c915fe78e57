//! What every part of a policy's answers is told: the request, the tenant and the policy.

use super::registration::{PolicyTenant, UserFlow};
use crate::{call::Call, fault::Fault, world::World};

/// The policy that is asked.
#[derive(Clone, Copy)]
pub(super) struct AskedPolicy<'a> {
    pub(super) world: &'a World,
    pub(super) call: &'a Call,
    pub(super) tenant: &'a PolicyTenant,
    pub(super) policy: &'a UserFlow,
}

/// An error of B2C's, with its number.
pub(super) fn aadb2c(number: u32, error: &str, text: &str) -> Box<Fault> {
    Fault::plain(error, format!("AADB2C{number}: {text}"))
}

// === impl AskedPolicy ===

impl AskedPolicy<'_> {
    /// Where its codes and refresh tokens are good, which is nowhere else.
    pub(super) fn place(&self) -> String {
        place(&self.tenant.id, &self.policy.name)
    }
}

/// Where a policy's codes and refresh tokens are good.
fn place(tenant: &str, policy: &str) -> String {
    format!("b2c/{tenant}/{}", policy.to_ascii_lowercase())
}
