//! `tokend login`, `token`, `accounts` and `logout`: for people at a terminal and the programs that they run. All of them are
//! clients of the REST API of a sidecar that runs on this machine; nothing in here reaches into one.

mod accounts;
mod api;
mod args;
mod browser;
mod callback;
mod desk;
mod device;
mod failure;
mod login;
mod page;
mod place;
mod printable;
mod redirect;
pub(super) mod run;
mod sharing;
mod token;

pub use args::{AccountsArgs, ListOutput, LoginArgs, LogoutArgs, Reach, TerminalCommand, TokenArgs, TokenFor, TokenOutput};
pub use place::TokendPlace;
pub use redirect::LoopbackUri;
