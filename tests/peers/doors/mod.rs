//! Clients that are not ours, unmodified, at tokend's own doors.

mod agents;
mod front;
mod identity;
mod libraries;
mod oauth;
mod sdks;
