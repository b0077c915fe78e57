//! The sidecar from outside: real listeners, the emulator as its authority, real clients.

mod architecture;
mod smoke;
mod support;
