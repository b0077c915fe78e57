//! The targets: whatever comes from outside, by the door that it comes in.

mod answers;
mod assertions;
mod configuration;
mod documents;
mod entra_sidecar;
mod inbound;
mod members;
mod pem;
mod records;
mod world;

use crate::bench::Ready;

/// Makes a target ready, on the thread that it runs on.
pub(crate) type Target = fn() -> Ready;

/// Every target, by the name of its corpus.
pub(crate) const TARGETS: [(&str, Target); 9] = [
    ("inbound-tokens", inbound::ready),
    ("token-answers", answers::ready),
    ("metadata-and-keys", documents::ready),
    ("redis-records", records::ready),
    ("request-members", members::ready),
    ("configuration", configuration::ready),
    ("pem", pem::ready),
    ("assertions", assertions::ready),
    ("entra-sidecar", entra_sidecar::ready),
];

/// Says what is wrong unless it holds.
fn holds(it: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if it { Ok(()) } else { Err(otherwise()) }
}
