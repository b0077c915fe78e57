//! Who is signed in, page by page: over sharded sets in the shared store, so that none of them is hot, or over memory.

use bytes::Bytes;

use super::fleet::Fleet;
use super::sign_ins::Unavailable;
use super::{Cache, Partition};
use crate::store::{Names, SHARDS, read_sign_in};
use crate::token::Account;

/// Where a listing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// In the shared store: which set, those of other versions after the usual ones, and where in it.
    Shared(u8, u64),
    /// In memory: after this partition.
    Memory(Partition),
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Accounts of an app, about `limit` of them, and where the listing goes on if it does.
    ///
    /// # Errors
    /// The shared store cannot be asked.
    pub async fn accounts(
        &self,
        space: &[u8; 32],
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<Account>, Option<Cursor>), Unavailable> {
        let Some(fleet) = &self.fleet else { return Ok(self.remembered_accounts(space, after, limit)) };
        let (mut shard, mut cursor) = match after {
            Some(Cursor::Shared(shard, cursor)) => (shard, cursor),
            _ => (0, 0),
        };
        let mut found = Vec::new();
        while let Some(names) = fleet.all_names().nth(usize::from(shard / SHARDS)) {
            let name = names.shard(space, shard % SHARDS);
            let scanned = fleet.store.patient().scan(&name, cursor, limit).await;
            let (next, tags) = scanned.map_err(|_| Unavailable::Unreachable)?;
            self.read_accounts(fleet, names, space, (&name, tags), &mut found).await?;
            cursor = next;
            if cursor == 0 {
                shard += 1;
            }
            if found.len() >= limit && usize::from(shard / SHARDS) <= fleet.others.len() {
                return Ok((found, Some(Cursor::Shared(shard, cursor))));
            }
        }
        Ok((found, None))
    }

    async fn read_accounts(
        &self,
        fleet: &Fleet,
        names: &Names,
        space: &[u8; 32],
        (set, mut tags): (&str, Vec<Bytes>),
        found: &mut Vec<Account>,
    ) -> Result<(), Unavailable> {
        // A scan may show a member twice.
        tags.sort_unstable();
        tags.dedup();
        if tags.is_empty() {
            return Ok(());
        }
        let called: Vec<String> = tags.iter().map(|tag| names.tagged(tag).sign_in()).collect();
        let values = fleet.store.patient().read_each(&called).await.map_err(|_| Unavailable::Unreachable)?;
        fleet.meet(values.iter().flatten()).await;
        let mut gone = Vec::new();
        for ((name, tag), value) in called.iter().zip(tags).zip(values) {
            let Some(value) = value else {
                gone.push(tag);
                continue;
            };
            let opened = fleet.needed(name, &value).map_err(|_| Unavailable::Unreadable)?;
            let read = opened.and_then(|opened| read_sign_in(&opened.payload, opened.generation, space, None));
            if let Some((partition, sign_in)) = read
                && names.place(&partition).sign_in() == *name
            {
                found.push(sign_in.account);
            }
        }
        if !gone.is_empty() {
            let _next_time = fleet.store.leave(set, &gone).await;
        }
        Ok(())
    }

    fn remembered_accounts(&self, space: &[u8; 32], after: Option<Cursor>, limit: usize) -> (Vec<Account>, Option<Cursor>) {
        let after = match after {
            Some(Cursor::Memory(partition)) => Some(partition),
            _ => None,
        };
        let all = self.memory.sign_ins(space, after, self.clock.unix());
        let last = all.get(limit.saturating_sub(1)).map(|(partition, _)| *partition).filter(|_| all.len() > limit);
        let accounts = all.into_iter().take(limit).map(|(_, sign_in)| sign_in.account.clone()).collect();
        (accounts, last.map(Cursor::Memory))
    }
}
