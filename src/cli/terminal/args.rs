//! What the commands are asked with. Nothing secret is among it: arguments are there for every user of the machine to read.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use url::Url;

use super::place::TokendPlace;
use super::redirect::LoopbackUri;

/// A command for people at a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TerminalCommand {
    /// Sign in.
    Login(Box<LoginArgs>),
    /// Print a token of somebody who is signed in.
    Token(TokenArgs),
    /// Show who is signed in.
    Accounts(AccountsArgs),
    /// Sign out.
    Logout(LogoutArgs),
}

/// Where tokend is, and as whom it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Reach {
    /// Where tokend listens: http://127.0.0.1:PORT, or unix:///PATH of its socket; else TOKEND_URL, else http://127.0.0.1:8650
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) url: Option<TokendPlace>,
    /// The file with the token of the caller that asks, where tokend has `callers`
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) caller_token_file: Option<PathBuf>,
    /// The app of tokend's configuration; without it `default`, or the only one
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) app: Option<String>,
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[group(required = true, multiple = false)]
pub struct TokenFor {
    /// A scope of the token; may be repeated
    #[arg(long, value_name = "SCOPE")]
    pub(in crate::cli) scope: Vec<String>,
    /// An api of tokend's configuration in place of scopes
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) api: Option<String>,
}

/// `tokend login`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct LoginArgs {
    #[command(flatten)]
    pub(in crate::cli) reach: Reach,
    #[command(flatten)]
    pub(in crate::cli) wanted: TokenFor,
    /// Another tenant than the app's own
    #[arg(long, value_name = "TENANT")]
    pub(in crate::cli) tenant: Option<String>,
    /// A claims challenge that the sign-in has to satisfy, as `tokend token` shows it
    #[arg(long, value_name = "CLAIMS")]
    pub(in crate::cli) claims: Option<String>,
    /// Show a code to enter on another device, and open no browser
    #[arg(long, conflicts_with_all = ["no_browser", "prompt", "login_hint", "redirect_uri", "success_url", "error_url"])]
    pub(in crate::cli) device: bool,
    /// Print the address to sign in at, and open no browser
    #[arg(long)]
    pub(in crate::cli) no_browser: bool,
    /// What the authority asks for: login, select_account, consent or none
    #[arg(long, value_name = "PROMPT")]
    pub(in crate::cli) prompt: Option<String>,
    /// Who is going to sign in, so that the authority asks for no name
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) login_hint: Option<String>,
    /// Where the authority sends the browser, on this machine; without a port a free one is put in
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) redirect_uri: Option<LoopbackUri>,
    /// The page that the browser is shown at the end, in place of one of tokend's
    #[arg(long, value_name = "URL", value_parser = page_url)]
    pub(in crate::cli) success_url: Option<Url>,
    /// The page that the browser is shown if the sign-in failed
    #[arg(long, value_name = "URL", value_parser = page_url)]
    pub(in crate::cli) error_url: Option<Url>,
    /// How long the sign-in may take: 90s, 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = patience)]
    pub(in crate::cli) timeout: Duration,
    /// Sign in although every user of this machine may have tokend's tokens
    #[arg(long)]
    pub(in crate::cli) shared_machine_ok: bool,
}

/// `tokend token`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct TokenArgs {
    #[command(flatten)]
    pub(in crate::cli) reach: Reach,
    #[command(flatten)]
    pub(in crate::cli) wanted: TokenFor,
    /// Another tenant than the app's own
    #[arg(long, value_name = "TENANT")]
    pub(in crate::cli) tenant: Option<String>,
    /// Whose token: a home account id, or the name that somebody signed in with; may be left out where one account is signed in
    #[arg(long, value_name = "ACCOUNT")]
    pub(in crate::cli) account: Option<String>,
    /// json: tokend's whole answer; raw: the token; header: a line for HTTP; exec-credential: for kubectl
    #[arg(long, short, value_name = "FORM", default_value = "json")]
    pub(in crate::cli) output: TokenOutput,
    /// Get a new token even if there is one
    #[arg(long)]
    pub(in crate::cli) force_refresh: bool,
    /// A claims challenge of the API that refused the last token, as JSON or base64
    #[arg(long, value_name = "CLAIMS")]
    pub(in crate::cli) claims: Option<String>,
}

/// `tokend accounts`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct AccountsArgs {
    #[command(flatten)]
    pub(in crate::cli) reach: Reach,
    /// How they are shown
    #[arg(long, short, value_name = "FORM", default_value = "table")]
    pub(in crate::cli) output: ListOutput,
}

/// `tokend logout`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct LogoutArgs {
    #[command(flatten)]
    pub(in crate::cli) reach: Reach,
    /// Whom to sign out: a home account id or a name; may be left out where one account is signed in
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "all")]
    pub(in crate::cli) account: Option<String>,
    /// Sign out everybody
    #[arg(long)]
    pub(in crate::cli) all: bool,
}

/// How a token is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokenOutput {
    /// The answer of tokend as it is.
    Json,
    /// The token alone.
    Raw,
    /// `Authorization: Bearer …`.
    Header,
    /// `client.authentication.k8s.io/v1`.
    ExecCredential,
}

/// How accounts are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
}

// === impl TerminalCommand ===

impl TerminalCommand {
    /// Where tokend is for this command, to be filled in by the environment where the arguments do not say it.
    pub fn reach_mut(&mut self) -> &mut Reach {
        match self {
            Self::Login(args) => &mut args.reach,
            Self::Token(args) => &mut args.reach,
            Self::Accounts(args) => &mut args.reach,
            Self::Logout(args) => &mut args.reach,
        }
    }
}

// === impl TokenFor ===

impl TokenFor {
    /// The scopes one by one, however they were written.
    pub(in crate::cli) fn scopes(&self) -> Vec<&str> {
        self.scope.iter().flat_map(|scope| scope.split_whitespace()).collect()
    }
}

fn page_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("it is no URL: {error}"))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err("it begins with https:// or http://".to_owned()) }
}

fn patience(text: &str) -> Result<Duration, String> {
    let wrong = || "write a whole number with its unit, from 1s to 1h: 90s, 5m".to_owned();
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number = digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let whole = number.and_then(|number| number.checked_mul(seconds)).filter(|whole| (1..=3600).contains(whole));
    whole.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{page_url, patience};

    #[test]
    fn a_time_limit_has_a_unit_and_bounds() {
        for (text, seconds) in [("1s", 1), ("90s", 90), ("5m", 300), ("1h", 3600)] {
            assert_eq!(patience(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "5", "0s", "2h", "3601s", "m", "-1m", "+1m", "1.5m", "5 m", "99999999999999999999s", "5é"] {
            assert!(patience(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_is_on_the_web() {
        assert!(page_url("https://intranet.example/done").is_ok() && page_url("http://localhost/").is_ok());
        for bad in ["javascript:alert(1)", "file:///etc/passwd", "done", ""] {
            assert!(page_url(bad).is_err(), "{bad}");
        }
    }
}
