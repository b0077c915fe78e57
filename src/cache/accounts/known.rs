//! Several accounts at once: whether anything is known of them. It is for callers that may use everybody's accounts: one user's may
//! belong to hundreds of owners.

use futures_util::future::join_all;

use super::core::CachedAccounts;
use super::outcome::Unavailable;
use crate::cache::fleet::Fleet;
use crate::token::{Partition, SpaceId};

/// How many accounts are signed out at once, or told of.
const AT_ONCE: usize = 16;

/// What is known of some accounts.
#[derive(Debug)]
pub struct Known {
    /// Whether anything is, by account.
    pub known: Vec<bool>,
    /// Why the shared store could not say: then it is what memory knows.
    pub unsure: Option<Unavailable>,
}

/// An account by space and partition, and whether memory knew of it before it forgot it.
type Forgotten = (SpaceId, Partition, bool);

// === impl CachedAccounts ===

impl CachedAccounts {
    /// Whether this process or the shared store has tokens or a sign-in of each of these accounts; the store is asked of all at
    /// once.
    pub async fn known(&self, accounts: &[Partition]) -> Known {
        let now = self.clock.unix();
        let is_here =
            |partition: &Partition| self.local.memory().has(partition) || self.local.memory().sign_in(partition, now).is_some();
        let Some(shared) = &self.shared else {
            return Known { known: accounts.iter().map(is_here).collect(), unsure: None };
        };
        let there = any_of(&shared.fleet, accounts).await;
        let unsure = there.as_ref().err().copied();
        let there = there.unwrap_or_else(|_| vec![false; accounts.len()]);
        // What waits to be stored, and what the store may have lost.
        let waits = |partition: &Partition| shared.queue.pending(partition).is_some() || shared.recent.sign_in(partition).is_some();
        let known = accounts.iter().zip(there).map(|(partition, there)| there || is_here(partition) || waits(partition));
        Known { known: known.collect(), unsure }
    }

    /// Signs out each of these accounts, by space and partition, as [`CachedAccounts::sign_out`] does. Accounts of which
    /// nothing stands are signed out together: the others are told, and then the store is asked of all at once.
    ///
    /// # Errors
    /// As for [`CachedAccounts::sign_out`]; each is tried, whatever came of the others.
    pub async fn sign_out_each(&self, accounts: &[(SpaceId, Partition)]) -> Result<(), Unavailable> {
        let forgotten = accounts.iter().map(|(space, partition)| (*space, *partition, self.forget_with_links(partition)));
        let forgotten: Vec<Forgotten> = forgotten.collect();
        let Some(shared) = self.shared.as_ref().filter(|_| accounts.len() > 1) else {
            return self.sign_out_those(&forgotten).await;
        };
        let there = any_of(&shared.fleet, &partitions(&forgotten)).await?;
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for (account, there) in forgotten.into_iter().zip(there) {
            // A sign-out that the store has lost is one more reason to leave an epoch there.
            let is_known = account.2 || there || shared.recent.epoch(&account.1).is_some();
            if is_known { known.push(account) } else { unknown.push(account) }
        }
        // Before the store is asked again: what is stored until then is found there, and what comes later has been told.
        for some in unknown.chunks(AT_ONCE) {
            join_all(some.iter().map(|(_, partition, _)| {
                self.local.forget(partition, None);
                shared.fleet.tell_signed_out(partition, None)
            }))
            .await;
        }
        let there = any_of(&shared.fleet, &partitions(&unknown)).await;
        let said = there.as_ref().map(|_| ()).map_err(|why| *why);
        known.extend(unknown.into_iter().zip(there.unwrap_or_default()).filter_map(|(account, there)| there.then_some(account)));
        self.sign_out_those(&known).await.and(said)
    }

    async fn sign_out_those(&self, accounts: &[Forgotten]) -> Result<(), Unavailable> {
        let mut signed_out = Ok(());
        for some in accounts.chunks(AT_ONCE) {
            let each = some.iter().map(|(space, partition, known)| self.sign_out_forgotten(space, partition, *known));
            signed_out = join_all(each).await.into_iter().fold(signed_out, Result::and);
        }
        signed_out
    }
}

fn partitions(accounts: &[Forgotten]) -> Vec<Partition> {
    accounts.iter().map(|(_, partition, _)| *partition).collect()
}

/// Whether anything stands of each of these accounts: a sign-in, a token, an epoch, or where else it has tokens.
async fn any_of(fleet: &Fleet, accounts: &[Partition]) -> Result<Vec<bool>, Unavailable> {
    let mut any = vec![false; accounts.len()];
    for names in fleet.all_names() {
        let places = accounts.iter().map(|partition| names.place(partition));
        let called: Vec<[String; 4]> =
            places.map(|place| [place.sign_in(), place.index(), place.epoch(), place.elsewhere()]).collect();
        let there = fleet.store().patient().any_there(&called).await.map_err(|_| Unavailable::Unreachable)?;
        any.iter_mut().zip(there).for_each(|(any, there)| *any |= there);
    }
    Ok(any)
}
