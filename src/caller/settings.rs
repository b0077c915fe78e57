//! The callers, as the configuration says.

use crate::reload::Source;

/// A process that asks tokend: how it proves itself, and what it may ask for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name: `[a-z0-9][a-z0-9-]*`. What it keeps is kept under this name.
    pub name: String,
    /// Its tokens, one per line.
    pub token: Source,
    /// What it may ask for.
    pub rights: Rights,
}

/// What a caller may ask for.
#[derive(Clone, Debug)]
pub struct Rights {
    /// The apps that it may use; `None`: all.
    pub apps: Option<Vec<String>>,
    /// The apis that it may have tokens for; `None`: all, and whatever it names by `scopes`.
    pub apis: Option<Vec<String>>,
    /// The flows that it may use, by the names that `flow` gives them; `None`: all.
    pub flows: Option<Vec<&'static str>>,
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
