//! A user who signed in: who it is, and what renews the user's tokens.

use super::account::Account;
use super::stored::Epoch;
use crate::secret::Secret;

/// What is kept of a sign-in until the user signs out.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Who it is.
    pub account: Account,
    /// What renews the user's tokens; never shown to a caller.
    pub refresh_token: Option<Secret>,
    /// When it is of no use any more, in seconds since the Unix epoch.
    pub expires_on: i64,
    /// Which app's account it is: a hash of authority and client.
    pub space: [u8; 32],
    /// The account's epoch when this was stored.
    pub epoch: Epoch,
    /// Its generation in the store that replicas share; zero if it is not there.
    pub shared: u64,
}

// === impl SignIn ===

impl SignIn {
    /// What it weighs in memory, in bytes.
    pub fn weight(&self) -> usize {
        let account = &self.account;
        let names = [&account.home_account_id, &account.local_account_id, &account.environment];
        let texts: usize = names.iter().map(|text| text.len()).sum();
        let optional = [&account.username, &account.tenant_id];
        let more: usize = optional.iter().map(|text| text.as_ref().map_or(0, String::len)).sum();
        size_of::<Self>() + texts + more + self.refresh_token.as_ref().map_or(0, |token| token.expose().len())
    }
}
