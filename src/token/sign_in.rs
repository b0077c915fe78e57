//! A user who signed in: who it is, and what renews the user's tokens.

use std::collections::BTreeMap;

use super::account::Account;
use super::key::SpaceId;
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
    pub space: SpaceId,
    /// The account's epoch when this was stored.
    pub epoch: Epoch,
    /// Names this account from its first sign-in to its sign-out, whoever renews it meanwhile; made up where it is first kept.
    pub lineage: [u8; 16],
    /// What later releases keep with it, by name: it stays as it is.
    pub more: BTreeMap<String, Vec<u8>>,
    /// Its generation in the store that replicas share; zero if it is not there.
    pub shared: u64,
}

// === impl SignIn ===

impl SignIn {
    /// Goes on with the lineage of an older sign-in of the same account, and with what later releases keep with that one.
    pub fn descend_from(&mut self, old: &Self) {
        self.lineage = old.lineage;
        for (name, bytes) in &old.more {
            self.more.entry(name.clone()).or_insert_with(|| bytes.clone());
        }
    }

    /// What it weighs in memory, in bytes.
    pub fn weight(&self) -> usize {
        let account = &self.account;
        let names = [&account.home_account_id, &account.local_account_id, &account.environment];
        let texts: usize = names.iter().map(|text| text.len()).sum();
        let optional = [&account.username, &account.tenant_id];
        let more: usize = optional.iter().map(|text| text.as_ref().map_or(0, String::len)).sum();
        // A node of the map for each few names: about what its pointers weigh.
        let unknown: usize = self.more.iter().map(|(name, bytes)| name.len() + bytes.len() + 64).sum();
        size_of::<Self>() + texts + more + unknown + self.refresh_token.as_ref().map_or(0, |token| token.expose().len())
    }
}
