//! Of which of several accounts anything is known: for those who may use the accounts of everybody, of whom there may be hundreds.

use super::{Cache, Partition, Unavailable};

/// What is known of some accounts.
#[derive(Debug)]
pub struct Known {
    /// Whether anything is, by account.
    pub known: Vec<bool>,
    /// Why the shared store could not say: then it is what memory knows.
    pub unsure: Option<Unavailable>,
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Whether this process or the shared store has tokens or a sign-in of each of these accounts; the store is asked of all at once.
    pub async fn known(&self, accounts: &[Partition]) -> Known {
        let now = self.clock.unix();
        let is_here = |partition: &Partition| self.memory.has(partition) || self.memory.sign_in(partition, now).is_some();
        let Some(fleet) = &self.fleet else {
            return Known { known: accounts.iter().map(is_here).collect(), unsure: None };
        };
        let names: Vec<[String; 2]> = accounts
            .iter()
            .map(|partition| {
                let place = fleet.names.place(partition);
                [place.sign_in(), place.index()]
            })
            .collect();
        let there = fleet.store.any_there(&names).await;
        let unsure = there.is_err().then_some(Unavailable::Unreachable);
        let there = there.unwrap_or_else(|_| vec![false; accounts.len()]);
        let waits = |partition: &Partition| fleet.queue.pending(partition).is_some();
        let known = accounts.iter().zip(there).map(|(partition, there)| there || is_here(partition) || waits(partition));
        Known { known: known.collect(), unsure }
    }
}
