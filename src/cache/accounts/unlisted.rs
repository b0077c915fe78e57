//! Accounts that stand in the shared store while the set that lists them may not have them: it could not be reached when they were
//! stored. They are listed as soon as it can be; until then a listing does not say that it is complete.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::token::SpaceId;

/// How many are remembered, of about 150 bytes each.
const MOST: usize = 16 * 1024;

/// What may be missing in listings, as far as this process knows.
#[derive(Debug, Default)]
pub(super) struct Unlisted {
    /// When their sign-ins end, in seconds since the Unix epoch.
    waiting: Mutex<HashMap<Member, i64>>,
    /// When the last of those ends that found no room.
    lost_until: AtomicI64,
}

/// What stands for an account in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    /// Whose listing.
    pub(super) space: SpaceId,
    /// The member of the set.
    pub(super) tag: Bytes,
}

// === impl Unlisted ===

impl Unlisted {
    /// An account could not be listed, whose sign-in ends then.
    pub(super) fn add(&self, member: Member, ends: i64) {
        let mut waiting = self.waiting();
        if let Some(known) = waiting.get_mut(&member) {
            *known = ends.max(*known);
        } else if waiting.len() < MOST {
            waiting.insert(member, ends);
        } else {
            self.lost_until.fetch_max(ends, Ordering::Relaxed);
        }
    }

    /// It is listed by now, for as long as that.
    pub(super) fn done(&self, member: &Member, ends: i64) {
        let mut waiting = self.waiting();
        if waiting.get(member).is_some_and(|known| *known <= ends) {
            waiting.remove(member);
        }
    }

    /// All that wait to be listed.
    pub(super) fn all(&self) -> Vec<(Member, i64)> {
        self.waiting().iter().map(|(member, ends)| (member.clone(), *ends)).collect()
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// Whether an account may be missing in the listing of a space.
    pub(super) fn may_miss(&self, space: &SpaceId, now: i64) -> bool {
        self.lost_until.load(Ordering::Relaxed) > now || self.waiting().keys().any(|member| member.space == *space)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Member, i64>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{MOST, Member, SpaceId, Unlisted};

    const NOW: i64 = 100;

    fn member(number: usize) -> Member {
        Member { space: SpaceId::new([1; 32]), tag: Bytes::from(number.to_le_bytes().to_vec()) }
    }

    #[test]
    fn a_listing_is_in_doubt_while_one_of_its_accounts_waits() {
        let unlisted = Unlisted::default();
        assert!(unlisted.is_empty() && !unlisted.may_miss(&SpaceId::new([1; 32]), NOW));
        unlisted.add(member(7), 200);
        assert!(unlisted.may_miss(&SpaceId::new([1; 32]), NOW) && !unlisted.may_miss(&SpaceId::new([2; 32]), NOW));
        // It was renewed while it was being listed: until then it has to be.
        unlisted.add(member(7), 300);
        unlisted.done(&member(7), 200);
        assert_eq!(unlisted.all(), [(member(7), 300)]);
        unlisted.done(&member(7), 300);
        assert!(unlisted.is_empty() && !unlisted.may_miss(&SpaceId::new([1; 32]), NOW));
    }

    #[test]
    fn what_finds_no_room_is_not_forgotten_altogether() {
        let unlisted = Unlisted::default();
        for number in 0..=MOST {
            unlisted.add(member(number), 200);
        }
        assert_eq!(unlisted.all().len(), MOST);
        for (member, ends) in unlisted.all() {
            unlisted.done(&member, ends);
        }
        // Until its sign-in has ended nobody knows whether it is listed.
        assert!(unlisted.may_miss(&SpaceId::new([1; 32]), NOW) && unlisted.may_miss(&SpaceId::new([2; 32]), NOW));
        assert!(!unlisted.may_miss(&SpaceId::new([1; 32]), 200));
    }
}
