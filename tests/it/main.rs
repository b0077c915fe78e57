//! The sidecar from outside: real listeners, the emulator as its authority, real clients.

#![expect(
    clippy::expect_used,
    reason = "a test ends where it cannot go on; the lint's exception for tests does not cover their helpers"
)]

mod accounts;
mod architecture;
mod assertions;
mod auth_code;
mod authorities;
mod bad_input;
mod cache;
mod callers;
mod credentials;
mod device;
mod doors;
mod errors;
mod failures;
mod faults;
mod federated;
mod fleet;
mod handles;
mod histories;
mod hostile;
mod id_token;
mod inbound;
mod keys;
mod leases;
mod metadata;
mod metrics;
mod msal_python;
mod oidc_provider;
mod otlp;
mod passwords;
mod process;
mod proxy;
mod public;
mod redis;
mod refresh_tokens;
mod responses;
mod rotation;
mod saml;
mod secrets;
mod sessions;
mod sign_out_url;
mod smoke;
mod status;
mod support;
mod tls;
mod wire;
mod wire_oidc;
