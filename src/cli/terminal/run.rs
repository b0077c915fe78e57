//! One command from its arguments to its exit status; Ctrl-C ends it at any point.

use std::collections::BTreeMap;

use super::args::TerminalCommand;
use super::failure::CommandFailure;
use super::{accounts, login, token};
use crate::cli::print::err;
use crate::lifecycle::Signals;

/// Runs a command and returns the exit status.
pub(in crate::cli) async fn run(command: &TerminalCommand, environment: &BTreeMap<String, String>) -> u8 {
    let work = async {
        match command {
            TerminalCommand::Login(args) => login::run(args, environment).await,
            TerminalCommand::Token(args) => token::print(args).await,
            TerminalCommand::Accounts(args) => accounts::show(args).await,
            TerminalCommand::Logout(args) => accounts::sign_out(args).await,
        }
    };
    let mut signals = match Signals::terminal() {
        Ok(signals) => signals,
        Err(error) => {
            err(&format!("tokend: signals cannot be handled: {error}\n"));
            return 1;
        }
    };
    let ended = tokio::select! {
        ended = work => ended,
        _ = signals.next() => Err(CommandFailure::interrupted()),
    };
    match ended {
        Ok(()) => 0,
        Err(failure) => {
            err(&failure.text);
            failure.code
        }
    }
}
