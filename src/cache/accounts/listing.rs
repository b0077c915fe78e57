//! Who is signed in, page by page: over sharded sets in the shared store, so that none of them is hot, or over memory.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};

use super::core::CachedAccounts;
use super::outcome::Unavailable;
use super::unlisted::Member;
use crate::cache::epochs::epoch_of;
use crate::cache::level::SharedLevel;
use crate::store::{BreakerState, Mark, Names, SHARDS, StoreError, read_sign_in};
use crate::token::{Partition, SignIn, SignedInAccount, SpaceId};

/// How many sets are asked at once first, and twice as many each time that they do not fill the page: an app with many users has
/// enough in one, and one with few has nothing in most.
const SETS: usize = 8;
/// How many accounts are listed at once that could not be listed before.
const AT_ONCE: usize = 64;
/// How long a sign-in lasts of which nothing is known, in seconds: as long as a refresh token without a known end.
const LONGEST: i64 = 90 * 24 * 3600;

/// One of the sets that list an app's accounts.
struct Set<'a> {
    names: &'a Names,
    name: String,
}

/// Where a listing goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Cursor {
    /// In the shared store: the set, those of other versions after the usual ones, and the last member that was listed of it.
    Shared(u8, Option<Mark>),
    /// In memory: after this partition.
    Memory(Partition),
}

/// A page of accounts.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The accounts.
    pub accounts: Vec<SignedInAccount>,
    /// Where the listing goes on, if it does.
    pub next: Option<Cursor>,
    /// False where an account that is signed in may be missing: it waits to be listed or stored, or cannot be read here.
    pub complete: bool,
}

/// A member of a set, and what it was listed with.
struct ListedMember {
    set: usize,
    mark: Mark,
}

/// What stands behind a member.
enum Behind {
    Account(Box<(Partition, SignIn)>),
    /// Another release's, or sealed under another ring's key.
    Unreadable,
    /// Nothing, or what a sign-out ended.
    Gone,
    /// Nothing that is to be shown, and nothing to be done about.
    Other,
}

// === impl CachedAccounts ===

impl CachedAccounts {
    /// At most `limit` accounts of an app, and where the listing goes on if it does.
    ///
    /// # Errors
    /// The shared store cannot be asked.
    pub async fn page(&self, space: &SpaceId, after: Option<Cursor>, limit: usize) -> Result<Listed, Unavailable> {
        let Some(shared) = &self.shared else { return Ok(self.remembered_accounts(space, after, limit)) };
        let (mut shard, mut mark) = match after {
            Some(Cursor::Shared(shard, mark)) => (shard, mark),
            _ => (0, None),
        };
        // As it was at the beginning: who signs in meanwhile may be listed or not.
        let mut complete =
            !self.unlisted.may_miss(space, self.clock.unix()) && !shared.queue.has_account_of(space) && !shared.is_restoring();
        let (mut accounts, mut sets) = (Vec::new(), SETS);
        let store = shared.fleet.store().patient();
        let all = all_sets(shared);
        while shard < all && accounts.len() < limit {
            let wanted = limit - accounts.len();
            let next: Vec<Set<'_>> = (shard..all).filter_map(|shard| set(shared, space, shard)).take(sets).collect();
            sets = sets.saturating_mul(2);
            let first = mark.take();
            let pages = next.iter().enumerate();
            let pages = pages.map(|(set, Set { name, .. })| store.page(name, first.as_ref().filter(|_| set == 0), wanted));
            let pages = try_join_all(pages).await.map_err(|_| Unavailable::Unreachable)?;
            mark = first;
            let mut entries: Vec<ListedMember> = Vec::new();
            for (set, page) in pages.into_iter().enumerate() {
                let room = wanted - entries.len();
                let is_all = page.is_last && page.marks.len() <= room;
                let before = entries.len();
                entries.extend(page.marks.into_iter().take(room).map(|mark| ListedMember { set, mark }));
                if !is_all {
                    mark = entries.get(before..).and_then(<[_]>::last).map(|entry| entry.mark.clone()).or(mark);
                    break;
                }
                (shard, mark) = (shard + 1, None);
            }
            complete &= self.read_accounts(shared, space, &next, entries, &mut accounts).await?;
        }
        let next = (shard < all).then_some(Cursor::Shared(shard, mark));
        Ok(Listed { accounts, next, complete })
    }

    /// Adds the accounts of these members. Returns whether all could be read.
    async fn read_accounts(
        &self,
        shared: &SharedLevel,
        space: &SpaceId,
        sets: &[Set<'_>],
        entries: Vec<ListedMember>,
        accounts: &mut Vec<SignedInAccount>,
    ) -> Result<bool, Unavailable> {
        let tags = entries.iter().filter_map(|entry| Some((sets.get(entry.set)?.names, &entry.mark.member)));
        let behind = self.behind(shared, space, &tags.collect::<Vec<_>>()).await?;
        let (mut all_read, mut gone) = (true, Vec::new());
        for (entry, behind) in entries.into_iter().zip(behind) {
            match behind {
                Behind::Account(signed) if signed.1.expires_on > self.clock.unix() => accounts.push(signed.1.listed()),
                Behind::Account(_) | Behind::Other => {}
                Behind::Unreadable => all_read = false,
                Behind::Gone => gone.push(entry),
            }
        }
        for gone in gone.chunk_by(|one, other| one.set == other.set) {
            let Some(set) = gone.first().and_then(|entry| sets.get(entry.set)) else { continue };
            #[expect(clippy::cast_possible_truncation, reason = "scores are seconds; what is none is cut to one")]
            let members = gone.iter().map(|entry| (entry.mark.member.clone(), entry.mark.score as i64)).collect();
            self.unlist(shared, space, set, members).await;
        }
        Ok(all_read)
    }

    /// What stands behind members, in their order.
    async fn behind(&self, shared: &SharedLevel, space: &SpaceId, tags: &[(&Names, &Bytes)]) -> Result<Vec<Behind>, Unavailable> {
        let places = tags.iter().map(|(names, tag)| names.tagged(tag));
        // Each sign-in with its account's epoch: one of before a sign-out is none.
        let called: Vec<[String; 2]> = places.map(|place| [place.sign_in(), place.epoch()]).collect();
        let values = shared.fleet.store().patient().read_groups(&called).await.map_err(|_| Unavailable::Unreachable)?;
        let sealed: Vec<&Bytes> = values.iter().filter_map(|[value, _]| value.as_ref()).collect();
        shared.fleet.meet(sealed).await;
        let judged = called.iter().zip(tags).zip(&values).map(|(([name, _], (names, _)), [value, epoch])| {
            let Some(value) = value else { return Behind::Gone };
            let Ok(opened) = shared.fleet.open_needed(name, value) else { return Behind::Unreadable };
            let read = opened.and_then(|opened| read_sign_in(&opened.payload, opened.generation, space, None));
            let Some(signed) = read.filter(|(partition, _)| names.place(partition).sign_in() == *name) else {
                return Behind::Other;
            };
            let epoch = shared.epochs.known_epoch(&signed.0, epoch_of(Some(epoch)), signed.1.epoch);
            if signed.1.epoch == epoch { Behind::Account(Box::new(signed)) } else { Behind::Gone }
        });
        Ok(judged.collect())
    }

    /// Lists an account whose sign-in was stored, now or as soon as it can be.
    pub(super) async fn list(&self, shared: &SharedLevel, partition: &Partition, sign_in: &SignIn) {
        if sign_in.session().is_some() {
            // Nobody lists sessions: who has none of their keys has none of them.
            return;
        }
        let (_, tag) = shared.fleet.names().listed(&sign_in.space, partition);
        self.join(shared, Member { space: sign_in.space, tag: tag.into() }, sign_in.expires_on).await;
    }

    /// The account of this partition is not signed in any more.
    pub(super) async fn unlist_account(&self, shared: &SharedLevel, space: &SpaceId, partition: &Partition) {
        for names in shared.fleet.all_names() {
            let (name, tag) = names.listed(space, partition);
            let ends = self.clock.unix().saturating_add(LONGEST);
            self.unlist(shared, space, &Set { names, name }, vec![(tag.into(), ends)]).await;
        }
    }

    /// Takes members out of a set if nothing stands behind them. A user may have signed in again before the members left: so it is
    /// looked once more, and an account that stands is listed again.
    async fn unlist(&self, shared: &SharedLevel, space: &SpaceId, set: &Set<'_>, members: Vec<(Bytes, i64)>) {
        let tags: Vec<Bytes> = members.iter().map(|(tag, _)| tag.clone()).collect();
        let behind = match shared.fleet.store().patient().leave(&set.name, &tags).await {
            Ok(()) => self.behind(shared, space, &tags.iter().map(|tag| (set.names, tag)).collect::<Vec<_>>()).await,
            // They were not asked to leave.
            Err(StoreError::Open) => return,
            // They may have left all the same.
            Err(StoreError::Failed) => Err(Unavailable::Unreachable),
        };
        match behind {
            Ok(behind) => {
                for ((tag, _), behind) in members.into_iter().zip(behind) {
                    if let Behind::Account(signed) = behind {
                        self.join(shared, Member { space: *space, tag }, signed.1.expires_on).await;
                    }
                }
            }
            // Listed in doubt: the next listing sees.
            Err(_) => members.into_iter().for_each(|(tag, ends)| self.unlisted.add(Member { space: *space, tag }, ends)),
        }
    }

    /// Puts a member into its set, for as long as its sign-in lasts. Returns whether that is done; if not it waits.
    async fn join(&self, shared: &SharedLevel, member: Member, ends: i64) -> bool {
        let left = ends.saturating_sub(self.clock.unix());
        let set = shared.fleet.names().shard(&member.space, member.tag.first().map_or(0, |first| first % SHARDS));
        let ttl = Duration::from_secs(u64::try_from(left).unwrap_or(0).max(1));
        let joined = left <= 0 || shared.fleet.store().join(&set, &member.tag, ttl).await.is_ok();
        if joined {
            self.unlisted.done(&member, ends);
        } else {
            self.unlisted.add(member, ends);
        }
        joined
    }

    /// Lists the accounts that could not be listed before, for as long as the store takes them.
    pub(super) async fn list_waiting(&self, shared: &SharedLevel) {
        let all = self.unlisted.all();
        let (mut rest, mut width) = (all.as_slice(), 1);
        while !rest.is_empty() && shared.fleet.store().state().writes == BreakerState::Closed {
            let (batch, after) = rest.split_at(width.min(rest.len()));
            let joined = join_all(batch.iter().map(|(member, ends)| self.join(shared, member.clone(), *ends))).await;
            // What is wrong with one set says nothing of the others.
            width = if joined.contains(&true) { (width * 2).min(AT_ONCE) } else { 1 };
            rest = after;
        }
    }

    fn remembered_accounts(&self, space: &SpaceId, after: Option<Cursor>, limit: usize) -> Listed {
        let after = match after {
            Some(Cursor::Memory(partition)) => Some(partition),
            _ => None,
        };
        let all = self.local.memory().sign_ins(space, after, self.clock.unix());
        let last = all.get(limit.saturating_sub(1)).map(|(partition, _)| *partition).filter(|_| all.len() > limit);
        let accounts = all.into_iter().take(limit).map(|(_, sign_in)| sign_in.listed()).collect();
        Listed { accounts, next: last.map(Cursor::Memory), complete: true }
    }
}

/// How many sets list an app's accounts, under the names of all versions.
fn all_sets(shared: &SharedLevel) -> u8 {
    let versions = shared.fleet.all_names().count();
    u8::try_from(versions).unwrap_or(u8::MAX).saturating_mul(SHARDS)
}

fn set<'a>(shared: &'a SharedLevel, space: &SpaceId, shard: u8) -> Option<Set<'a>> {
    let names = shared.fleet.all_names().nth(usize::from(shard / SHARDS))?;
    Some(Set { names, name: names.shard(space, shard % SHARDS) })
}
