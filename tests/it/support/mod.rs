//! What the tests share: an emulator, a sidecar on ports of its own, and a client that shows everything that came back.

mod client;
mod collector;
mod emulator;
mod fault;
mod fleet;
mod foreign;
mod hang;
mod issuer;
mod keys;
mod process;
mod proxy;
pub(crate) mod redis;
mod relay;
mod said;
mod sidecar;
mod wait;
mod world;

pub(crate) use client::{Answer, Client};
pub(crate) use collector::{Collector, Spans, attribute, attributes, hex};
pub(crate) use emulator::{Emulator, parameter};
pub(crate) use fault::Fault;
pub(crate) use fleet::Fleet;
pub(crate) use foreign::{OidcProvider, python};
pub(crate) use hang::hang;
pub(crate) use issuer::{Issuer, SUBJECT, trust};
pub(crate) use keys::{Keys, PASSWORD};
pub(crate) use process::{free_port, output};
pub(crate) use proxy::Proxy;
pub(crate) use relay::{Leaver, Plain, Relay};
pub(crate) use said::Said;
pub(crate) use sidecar::Sidecar;
pub(crate) use wait::{eventually, soon, times};
pub(crate) use world::{GRAPH, REDIRECT_URI, Stage, World, code, configuration};

/// A day in November 2026, in seconds since the Unix epoch: where every manual clock starts.
pub(crate) const NOW: i64 = 1_795_300_000;
