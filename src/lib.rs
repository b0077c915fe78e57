//! tokend: a token acquisition sidecar.
//!
//! The journey of a request, which is the order of the modules: a connection is accepted (`listen`), the edge reads and checks the
//! request (`http`) and asks who sent it (`caller`), an inbound user token is judged (`inbound`), and a flow says what is asked
//! (`flow`). The cache says whether we have it and may use it (`cache`, `store`). If not, a grant is sent (`source`): the app
//! proves itself (`credential`) to its authority (`authority`) over the one door out (`transport`). What comes back (`oauth`)
//! becomes a token (`token`), is stored, and is answered.
//!
//! `docs/architecture.md` shows who may import whom; a test keeps it true.

pub mod sidecar;

pub mod listen;

pub mod http;

pub mod caller;

pub mod inbound;

pub mod flow;

pub mod cache;

pub mod store;

pub mod source;

pub mod credential;

pub mod authority;

pub mod transport;

pub mod oauth;

pub mod token;

pub mod admin;

pub mod config;

pub mod lifecycle;

pub mod clock;

pub mod secret;

pub mod finding;

pub mod pem;

pub mod tasks;

pub mod reload;

pub mod telemetry;

#[cfg(feature = "emulator")]
pub mod demo;

pub mod cli;
