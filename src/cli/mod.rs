//! Everything that the command line says, and everything that is said on it: pure functions from arguments to a command, from
//! findings to text. What a command does stands in `run`.

mod caller_token;
mod check;
pub mod convert;
mod healthcheck;
mod key_ring;
mod print;
pub mod run;
pub mod terminal;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};
use url::Url;

pub use caller_token::CallerToken;
pub use convert::Convert;
pub use key_ring::KeyRing;

use crate::finding::{Findings, Severity};
use terminal::{AccountsArgs, LoginArgs, LogoutArgs, TerminalCommand, TokenArgs, TokendPlace};

/// The exit status of bad usage and bad configuration (EX_USAGE of sysexits.h).
pub const USAGE: u8 = 64;

/// The variable that names the configuration file where `--config` does not.
const CONFIG: &str = "TOKEND_CONFIG";

/// The variable that says where a running tokend is where `--url` does not. What the chart injects sets it.
const URL: &str = "TOKEND_URL";

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the sidecar.
    Serve {
        /// The configuration file.
        config: Option<PathBuf>,
    },
    /// Run the sidecar with the emulator and show every flow.
    #[cfg(feature = "emulator")]
    Demo {
        /// End after the table.
        exit: bool,
    },
    /// Run the emulator alone.
    #[cfg(feature = "emulator")]
    Emulator {
        /// Where it listens.
        listen: std::net::SocketAddr,
        /// How others reach it.
        hosts: Vec<String>,
        /// What it serves TLS with: certificate and key.
        tls: Option<(PathBuf, PathBuf)>,
        /// Where it writes its CA certificate.
        ca_file: Option<PathBuf>,
        /// The tenants, apps and users that it knows, instead of its own.
        directory: Option<PathBuf>,
    },
    /// Report every finding about the configuration.
    Check {
        /// The configuration file.
        config: Option<PathBuf>,
        /// Also acquire one token for each app.
        online: bool,
    },
    /// Print openapi.yaml.
    Openapi,
    /// Ask a running sidecar whether it is ready.
    Healthcheck {
        /// The configuration file that says where the admin listener is.
        config: Option<PathBuf>,
        /// What to ask instead.
        url: Option<Url>,
    },
    /// Print a token for a caller.
    CallerToken(CallerToken),
    /// Print keys for the level that replicas share.
    KeyRing(KeyRing),
    /// Print a configuration that is made of another sidecar's.
    Convert(Convert),
    /// Ask a running sidecar, for whoever sits at the terminal.
    Terminal(Box<TerminalCommand>),
}

/// The end of the process before any command: a usage error, help, or the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit status.
    pub code: u8,
    /// What to print.
    pub text: String,
    /// Whether it is what was asked for, and so goes to standard output; an error goes to standard error.
    pub asked_for: bool,
}

#[derive(Parser)]
#[command(name = "tokend", version, about = "A token acquisition sidecar: OAuth 2.0 tokens for apps, over a local REST API")]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration file (YAML, TOML or JSON); without it TOKEND_CONFIG, else the environment alone
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the sidecar
    Serve(ConfigFile),
    /// Run the sidecar against an emulated authority and show every flow
    #[cfg(feature = "emulator")]
    Demo {
        /// End after the table, with status 1 if a flow failed
        #[arg(long)]
        exit: bool,
    },
    /// Run the emulated authority alone
    #[cfg(feature = "emulator")]
    Emulator {
        /// Where it listens; beyond loopback only with --host, for it tells everybody every secret it knows
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8652")]
        listen: std::net::SocketAddr,
        /// A name that others reach it by, without port; may be repeated. Its certificate has them all, its URLs the first
        #[arg(long = "host", value_name = "NAME")]
        hosts: Vec<String>,
        /// Serve with this certificate and chain (PEM), so that its CA is known before the start
        #[arg(long, value_name = "PATH", requires = "tls_key")]
        tls_cert: Option<PathBuf>,
        /// The private key of --tls-cert (PEM)
        #[arg(long, value_name = "PATH", requires = "tls_cert")]
        tls_key: Option<PathBuf>,
        /// Write its CA certificate to this file
        #[arg(long, value_name = "PATH")]
        ca_file: Option<PathBuf>,
        /// Read tenants, apps and users from this JSON file
        #[arg(long, value_name = "PATH")]
        directory: Option<PathBuf>,
    },
    /// Report everything that is wrong with the configuration, with remedies
    Check {
        #[command(flatten)]
        file: ConfigFile,
        /// Also acquire one token for each app
        #[arg(long)]
        online: bool,
    },
    /// Print openapi.yaml
    Openapi,
    /// Ask the running sidecar whether it is ready, for exec probes
    Healthcheck {
        #[command(flatten)]
        file: ConfigFile,
        /// Ask this URL instead of the configured admin listener
        #[arg(long, value_name = "URL")]
        url: Option<Url>,
    },
    /// Print a token that a caller proves itself by (`callers.*.token`, `msi.secret`)
    #[command(subcommand)]
    CallerToken(CallerToken),
    /// Print keys that seal what lies in Redis (`cache.redis.encryption.key_ring`)
    #[command(subcommand)]
    KeyRing(KeyRing),
    /// Print a configuration that does what another sidecar's does
    #[command(subcommand)]
    Convert(Convert),
    /// Sign in at a running tokend, by the browser or a code for another device
    Login(Box<LoginArgs>),
    /// Print a token of somebody who is signed in at a running tokend
    Token(TokenArgs),
    /// Show who is signed in at a running tokend
    Accounts(AccountsArgs),
    /// Sign out at a running tokend
    Logout(LogoutArgs),
}

/// Reads the command line; the first of `args` is the program's name.
///
/// # Errors
/// There is nothing to run: bad usage (64), or help and version (0).
pub fn parse<A>(args: impl IntoIterator<Item = A>, environment: &BTreeMap<String, String>) -> Result<Command, Exit>
where
    A: Into<OsString> + Clone,
{
    let line = Line::try_parse_from(args)?;
    let file = |given: ConfigFile| given.config.or_else(|| variable(environment, CONFIG).map(PathBuf::from));
    Ok(match line.verb {
        Verb::Serve(given) => Command::Serve { config: file(given) },
        #[cfg(feature = "emulator")]
        Verb::Demo { exit } => Command::Demo { exit },
        #[cfg(feature = "emulator")]
        Verb::Emulator { listen, hosts, tls_cert, tls_key, ca_file, directory } => {
            Command::Emulator { listen, hosts, tls: tls_cert.zip(tls_key), ca_file, directory }
        }
        Verb::Check { file: given, online } => Command::Check { config: file(given), online },
        Verb::Openapi => Command::Openapi,
        Verb::Healthcheck { file: given, url } => Command::Healthcheck { config: file(given), url },
        Verb::CallerToken(what) => Command::CallerToken(what),
        Verb::KeyRing(what) => Command::KeyRing(what),
        Verb::Convert(what) => Command::Convert(what),
        Verb::Login(args) => at_terminal(TerminalCommand::Login(args), environment)?,
        Verb::Token(args) => at_terminal(TerminalCommand::Token(args), environment)?,
        Verb::Accounts(args) => at_terminal(TerminalCommand::Accounts(args), environment)?,
        Verb::Logout(args) => at_terminal(TerminalCommand::Logout(args), environment)?,
    })
}

/// A variable that is set to something. Its name may be in any case, as all names of the environment.
fn variable<'a>(environment: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let mut named = environment.iter().filter(|(own, value)| own.eq_ignore_ascii_case(name) && !value.is_empty());
    named.next().map(|(_, value)| value.as_str())
}

/// Where tokend is says the line, or else the environment.
fn at_terminal(mut command: TerminalCommand, environment: &BTreeMap<String, String>) -> Result<Command, Exit> {
    let reach = command.reach_mut();
    if let (None, Some(url)) = (&reach.url, variable(environment, URL)) {
        let wrong = |error| Exit { code: USAGE, text: format!("error: the variable {URL}: {error}\n"), asked_for: false };
        reach.url = Some(url.parse::<TokendPlace>().map_err(wrong)?);
    }
    Ok(Command::Terminal(Box::new(command)))
}

/// The findings as text for standard error, in the order they were made, and their number.
pub fn render(findings: &Findings) -> String {
    let mut text = String::new();
    for finding in findings.iter() {
        text.push_str(&format!("{finding}\n"));
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    text.push_str(&format!("{}, {}\n", plural(count(Severity::Error), "error"), plural(count(Severity::Warning), "warning")));
    text
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// What to say to a command that other builds have: "unrecognized" would send its user looking for a misspelling.
fn left_out(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let known = matches!(name.as_str(), "demo" | "emulator");
    known.then(|| {
        format!(
            "error: this tokend was built without the emulated authority, as it is for production; `tokend {name}` is in the image \
             tokend-emulator and in builds with the cargo feature `emulator`\n"
        )
    })
}

// === impl Exit ===

impl From<clap::Error> for Exit {
    fn from(error: clap::Error) -> Self {
        let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        let text = left_out(&error).unwrap_or_else(|| error.render().to_string());
        Self { code: if asked_for { 0 } else { USAGE }, text, asked_for }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::{Command, Exit, KeyRing, TerminalCommand, parse, render};
    use crate::finding::{Complaint, Findings};

    fn run(args: &[&str]) -> Result<Command, Exit> {
        parse(std::iter::once("tokend").chain(args.iter().copied()), &BTreeMap::new())
    }

    #[test]
    fn bad_usage_is_64_and_help_is_0() {
        let bad = [&["serv"][..], &[], &["serve", "--colour"], &["healthcheck", "--url", "::"], &["serve", "extra"]];
        let further =
            [&["key-ring"][..], &["key-ring", "rotate"], &["key-ring", "add", "k"], &["convert"], &["convert", "entra-sidecar"]];
        for bad in bad.into_iter().chain(further) {
            assert!(run(bad).is_err_and(|exit| exit.code == 64 && !exit.asked_for && !exit.text.is_empty()), "{bad:?}");
        }
        for asked in [
            &["--help"][..],
            &["--version"],
            &["serve", "--help"],
            &["key-ring", "--help"],
            &["key-ring", "new", "--help"],
            &["convert", "entra-sidecar", "--help"],
        ] {
            assert!(run(asked).is_err_and(|exit| exit.code == 0 && exit.asked_for), "{asked:?}");
        }
    }

    #[test]
    fn the_file_comes_from_the_line_or_else_the_environment() {
        let environment = BTreeMap::from([("TOKEND_CONFIG".to_owned(), "/env.yaml".to_owned())]);
        let config = |args: &[&str]| parse(std::iter::once("tokend").chain(args.iter().copied()), &environment);
        assert_eq!(config(&["serve"]), Ok(Command::Serve { config: Some(PathBuf::from("/env.yaml")) }));
        assert_eq!(config(&["check", "--config", "/a"]), Ok(Command::Check { config: Some(PathBuf::from("/a")), online: false }));
        assert_eq!(run(&["healthcheck"]), Ok(Command::Healthcheck { config: None, url: None }));
    }

    #[test]
    fn a_key_ring_is_new_or_grows() {
        assert_eq!(run(&["key-ring", "new"]), Ok(Command::KeyRing(KeyRing::New)));
        assert_eq!(run(&["key-ring", "add"]), Ok(Command::KeyRing(KeyRing::Add)));
    }

    #[test]
    fn a_terminals_commands_find_tokend_by_the_line_or_else_the_environment() {
        let environment = BTreeMap::from([("tokend_url".to_owned(), "unix:/run/tokend.sock".to_owned())]);
        let place = |args: &[&str], environment: &BTreeMap<String, String>| {
            let line = std::iter::once("tokend").chain(args.iter().copied());
            parse(line, environment).map(|command| match command {
                Command::Terminal(mut command) => command.reach_mut().url.as_ref().map(ToString::to_string),
                _ => panic!("another command"),
            })
        };
        let asked = ["accounts", "--url", "http://127.0.0.1:5"];
        assert_eq!(place(&asked, &environment), Ok(Some("http://127.0.0.1:5".to_owned())));
        assert_eq!(place(&["accounts"], &environment), Ok(Some("unix:///run/tokend.sock".to_owned())));
        assert_eq!(place(&["accounts"], &BTreeMap::new()), Ok(None));
        let wrong = BTreeMap::from([("TOKEND_URL".to_owned(), "https://tokend.example".to_owned())]);
        assert!(place(&["accounts"], &wrong).is_err_and(|exit| exit.code == 64 && exit.text.contains("TOKEND_URL")));
    }

    #[test]
    fn what_a_terminal_asks_for_is_said_once() {
        for bad in [
            &["login"][..],
            &["token"],
            &["login", "--scope", "a", "--api", "b"],
            &["login", "--scope", "a", "--device", "--no-browser"],
            &["login", "--scope", "a", "--timeout", "0s"],
            &["login", "--scope", "a", "--redirect-uri", "https://app.example/"],
            &["login", "--scope", "a", "--success-url", "javascript:x"],
            &["token", "--scope", "a", "--output", "yaml"],
            &["accounts", "--url", "http://tokend.example"],
            &["logout", "--all", "--account", "a"],
        ] {
            assert!(run(bad).is_err_and(|exit| exit.code == 64 && !exit.asked_for && !exit.text.is_empty()), "{bad:?}");
        }
        for verb in ["login", "token", "accounts", "logout"] {
            assert!(run(&[verb, "--help"]).is_err_and(|exit| exit.code == 0 && exit.asked_for), "{verb}");
        }
        let asked = ["token", "--scope", "a b", "--scope", "c", "-o", "raw"];
        let Ok(Command::Terminal(command)) = run(&asked) else { panic!("token") };
        let TerminalCommand::Token(args) = *command else { panic!("token") };
        assert_eq!(args.wanted.scopes(), ["a", "b", "c"]);
    }

    #[test]
    #[cfg(feature = "emulator")]
    fn the_emulator_has_defaults() {
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 8652));
        let usual = Command::Emulator { listen, hosts: Vec::new(), tls: None, ca_file: None, directory: None };
        assert_eq!(run(&["emulator"]), Ok(usual));
        for half in [["emulator", "--tls-cert", "/c"], ["emulator", "--tls-key", "/k"]] {
            assert!(run(&half).is_err_and(|exit| exit.code == 64), "{half:?}");
        }
        assert_eq!(run(&["demo", "--exit"]), Ok(Command::Demo { exit: true }));
    }

    #[test]
    fn findings_end_in_their_number() {
        let mut findings = Findings::default();
        findings.error(Some("t.yaml"), "apps", Complaint::new("r", "m"));
        findings.warning(None, "X", Complaint::new("r", "m"));
        assert_eq!(
            render(&findings),
            "error: t.yaml: apps: r\n  remedy: m\nwarning: environment: X: r\n  remedy: m\n1 error, 1 warning\n"
        );
    }
}
