//! The callers, as the configuration says.

use crate::reload::Source;

/// The doors that a caller's rights name. `rest` is tokend's own API, the others speak protocols that clients have already.
pub const DOORS: [&str; 3] = ["rest", "oauth2", "msi"];

/// The flows that a caller without `callers.*.flows` has. Every other one is had by its name only, so that a release that brings a
/// flow gives it to nobody.
pub const USUAL_FLOWS: [&str; 4] = ["client_credentials", "on_behalf_of", "auth_code", "silent"];

/// What the right to ask about tokens (RFC 7662) is called among the flows. No token comes of it.
pub const INTROSPECT: &str = "introspect";

/// A process that asks tokend: how it proves itself, and what it may ask for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name: `[a-z0-9][a-z0-9-]*`. What it keeps is kept under this name.
    pub name: String,
    /// How it proves itself.
    pub proof: CallerProof,
    /// What it may ask for.
    pub rights: Rights,
}

/// How a caller proves itself.
#[derive(Clone, Debug)]
pub enum CallerProof {
    /// By one of these tokens, one per line.
    Token(Source),
}

/// What a caller may ask for.
#[derive(Clone, Debug)]
pub struct Rights {
    /// The apps that it may use; `None`: all.
    pub apps: Option<Vec<String>>,
    /// The apis that it may have tokens for; `None`: all, and whatever it names by `scopes`.
    pub apis: Option<Vec<String>>,
    /// The flows that it may use, by the names that `flow` gives them, and [`INTROSPECT`]; `None`: [`USUAL_FLOWS`].
    pub flows: Option<Vec<&'static str>>,
    /// The doors that it may use, of [`DOORS`].
    pub doors: Vec<&'static str>,
    /// Whose accounts it may use.
    pub accounts: AccountRights,
}

/// Whose accounts a caller may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountRights {
    /// Those that signed in through it.
    Own,
    /// Those of every caller, and those that signed in before there were callers.
    All,
}

// === impl Settings ===

impl Settings {
    /// Where its tokens are, if it proves itself by one.
    pub fn token(&self) -> Option<&Source> {
        match &self.proof {
            CallerProof::Token(source) => Some(source),
        }
    }
}
