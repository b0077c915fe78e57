//! How often something was tried lately, here and in the replicas that share a store: whoever guesses is stopped after a few wrong
//! ones (RFC 6749 §10.6).
//!
//! An attempt takes its place before it is made and gives it back if it was no wrong one, so that no two replicas and no many at a
//! time have more than there are.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::fleet::Fleet;
use crate::clock::{Clock, Moment};
use crate::token::{HoldKey, SpaceId};

/// How many keys are counted in this process at a time.
const KEYS: usize = 16 * 1024;
/// How long an attempt may be under way in another replica, which does not say so.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// When whoever had no place may try again, where those that have one may give it back.
const SOON: Duration = Duration::from_secs(1);

/// How often something may be tried in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    most: usize,
    window: Duration,
}

/// The attempts of the last minutes.
#[derive(Debug)]
pub struct Attempts {
    fleet: Option<Arc<Fleet>>,
    /// What keys are hashed with: a process keeps no user's name that could be guessed from its hash.
    salt: [u8; 32],
    known: Mutex<HashMap<HoldKey, Counted>>,
    clock: Clock,
}

/// Tells attempts apart.
type AttemptId = [u8; 16];

/// The attempts under one key, the oldest first.
#[derive(Debug)]
struct Counted {
    allowance: Allowance,
    made: VecDeque<Made>,
}

#[derive(Debug)]
struct Made {
    at: Moment,
    id: AttemptId,
    under_way: bool,
}

/// An attempt that has its place; unless it is given back it counts as a wrong one.
#[derive(Debug)]
pub struct CountedAttempt {
    space: SpaceId,
    key: HoldKey,
    id: AttemptId,
    allowance: Allowance,
}

/// Why an attempt must not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMany {
    /// There were too many wrong ones, or there are under way; there may be room again after this time.
    Until(Duration),
    /// Too many keys have had too many wrong ones; there is room for another key after this time.
    Keys(Duration),
}

// === impl Allowance ===

impl Allowance {
    /// Wrong passwords of one user: five within five minutes.
    pub const PASSWORDS: Self = Self { most: 5, window: Duration::from_secs(300) };
    /// A token that may be good for one use: nobody knows how long an authority takes its second use for a theft.
    pub const SINGLE_USE: Self = Self { most: 1, window: Duration::from_secs(900) };
}

// === impl Attempts ===

impl Attempts {
    /// Counts nothing yet.
    pub fn new(fleet: Option<Arc<Fleet>>, clock: Clock) -> Self {
        Self { fleet, salt: rand::random(), known: Mutex::default(), clock }
    }

    /// Takes a place for an attempt under `key`, which is one of an app's. A store that cannot be asked counts nothing: then each
    /// process counts for itself.
    ///
    /// # Errors
    /// There is no place.
    pub async fn begin(&self, space: &SpaceId, key: &HoldKey, allowance: Allowance) -> Result<CountedAttempt, TooMany> {
        let attempt = CountedAttempt { space: *space, key: *key, id: rand::random(), allowance };
        self.begin_here(&attempt)?;
        let Allowance { most, window } = allowance;
        if let Some(fleet) = &self.fleet
            && let Some(oldest) = fleet.attempt(space, key, &attempt.id, window, most).await
        {
            self.end_here(&attempt);
            return Err(TooMany::Until(if oldest < UNDER_WAY { SOON } else { window.saturating_sub(oldest) }));
        }
        Ok(attempt)
    }

    /// It was a wrong one.
    pub fn was_wrong(&self, attempt: &CountedAttempt) {
        let (name, mut known) = (self.name(attempt), self.known());
        let made = known.get_mut(&name).and_then(|counted| counted.made.iter_mut().find(|made| made.id == attempt.id));
        if let Some(made) = made {
            made.under_way = false;
        }
    }

    /// It was no wrong one.
    pub async fn give_back(&self, attempt: &CountedAttempt) {
        self.end_here(attempt);
        if let Some(fleet) = &self.fleet {
            fleet.give_back(&attempt.space, &attempt.key, &attempt.id).await;
        }
    }

    fn begin_here(&self, attempt: &CountedAttempt) -> Result<(), TooMany> {
        let (now, name, allowance) = (self.clock.moment(), self.name(attempt), attempt.allowance);
        let mut known = self.known();
        if known.len() >= KEYS && !known.contains_key(&name) {
            make_room(&mut known, now)?;
        }
        let counted = known.entry(name).or_insert_with(|| Counted { allowance, made: VecDeque::new() });
        while counted.made.front().is_some_and(|first| now.since(first.at) >= allowance.window) {
            counted.made.pop_front();
        }
        match counted.made.front() {
            Some(first) if counted.made.len() >= allowance.most => {
                let may_give_back = counted.made.iter().any(|made| made.under_way);
                Err(TooMany::Until(if may_give_back { SOON } else { allowance.window.saturating_sub(now.since(first.at)) }))
            }
            _ => {
                counted.made.push_back(Made { at: now, id: attempt.id, under_way: true });
                Ok(())
            }
        }
    }

    fn end_here(&self, attempt: &CountedAttempt) {
        let (name, mut known) = (self.name(attempt), self.known());
        if let Some(counted) = known.get_mut(&name) {
            counted.made.retain(|made| made.id != attempt.id);
            if counted.made.is_empty() {
                known.remove(&name);
            }
        }
    }

    fn name(&self, attempt: &CountedAttempt) -> HoldKey {
        HoldKey::of(&[&self.salt, &attempt.space, &attempt.key])
    }

    fn known(&self) -> MutexGuard<'_, HashMap<HoldKey, Counted>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what is over, or else the older half of what may be forgotten: somebody who tries many names, or imports many users,
/// must keep nobody else from signing in.
fn make_room(known: &mut HashMap<HoldKey, Counted>, now: Moment) -> Result<(), TooMany> {
    known.retain(|_, counted| counted.last().is_some_and(|last| now.since(last) < counted.allowance.window));
    if known.len() < KEYS {
        return Ok(());
    }
    // Who guesses has no use of a name that is not used up; and of a token that was imported the shared store knows still.
    let is_open = |counted: &Counted| counted.made.len() < counted.allowance.most || counted.allowance == Allowance::SINGLE_USE;
    let mut open: Vec<(Moment, HoldKey)> =
        known.iter().filter(|(_, counted)| is_open(counted)).filter_map(|(name, counted)| Some((counted.last()?, *name))).collect();
    if open.is_empty() {
        let ends = known.values().filter_map(|counted| Some(counted.allowance.window.saturating_sub(now.since(counted.last()?))));
        return Err(TooMany::Keys(ends.min().unwrap_or(SOON)));
    }
    open.sort_unstable_by_key(|(last, _)| *last);
    for (_, name) in open.iter().take(open.len().div_ceil(2)) {
        known.remove(name);
    }
    Ok(())
}

// === impl Counted ===

impl Counted {
    fn last(&self) -> Option<Moment> {
        self.made.back().map(|made| made.at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Allowance, Attempts, CountedAttempt, KEYS, SOON, TooMany};
    use crate::clock::Clock;
    use crate::token::{HoldKey, SpaceId};

    const SPACE: SpaceId = SpaceId::new([4; 32]);

    const PASSWORDS: Allowance = Allowance::PASSWORDS;

    fn key(number: usize) -> HoldKey {
        HoldKey::of(&[&number.to_be_bytes()])
    }

    async fn wrong(attempts: &Attempts, key: &HoldKey) -> Result<(), TooMany> {
        attempts.begin(&SPACE, key, PASSWORDS).await.map(|attempt| attempts.was_wrong(&attempt))
    }

    #[tokio::test]
    async fn five_wrong_ones_are_all_there_are_in_five_minutes() {
        let clock = Clock::manual(0);
        let attempts = Attempts::new(None, clock.clone());
        for _ in 0..PASSWORDS.most {
            assert!(wrong(&attempts, &key(1)).await.is_ok());
            clock.advance(Duration::from_secs(10));
        }
        let left = PASSWORDS.window - Duration::from_secs(50);
        assert_eq!(wrong(&attempts, &key(1)).await, Err(TooMany::Until(left)));
        assert!(wrong(&attempts, &key(2)).await.is_ok(), "another user's");
        assert!(attempts.begin(&SpaceId::new([5; 32]), &key(1), PASSWORDS).await.is_ok(), "at another app");
        clock.advance(left);
        assert!(wrong(&attempts, &key(1)).await.is_ok(), "the first one is over");
        assert!(wrong(&attempts, &key(1)).await.is_err(), "and the second one is not");
    }

    #[tokio::test]
    async fn what_was_no_wrong_one_does_not_count_and_those_under_way_do_for_a_moment() {
        let attempts = Attempts::new(None, Clock::manual(0));
        let mut under_way: Vec<CountedAttempt> = Vec::new();
        for _ in 0..PASSWORDS.most {
            under_way.push(attempts.begin(&SPACE, &key(1), PASSWORDS).await.unwrap());
        }
        assert_eq!(wrong(&attempts, &key(1)).await, Err(TooMany::Until(SOON)));
        under_way[1..].iter().for_each(|attempt| attempts.was_wrong(attempt));
        assert_eq!(wrong(&attempts, &key(1)).await, Err(TooMany::Until(SOON)), "one may still be right");
        attempts.was_wrong(&under_way[0]);
        assert_eq!(wrong(&attempts, &key(1)).await, Err(TooMany::Until(PASSWORDS.window)));
        for attempt in &under_way {
            attempts.give_back(attempt).await;
        }
        assert!(attempts.known().is_empty());
        assert!(wrong(&attempts, &key(1)).await.is_ok());
    }

    #[tokio::test]
    async fn what_may_be_used_once_is_tried_once() {
        let clock = Clock::manual(0);
        let attempts = Attempts::new(None, clock.clone());
        let first = attempts.begin(&SPACE, &key(1), Allowance::SINGLE_USE).await.unwrap();
        assert!(attempts.begin(&SPACE, &key(1), Allowance::SINGLE_USE).await.is_err());
        attempts.give_back(&first).await;
        let again = attempts.begin(&SPACE, &key(1), Allowance::SINGLE_USE).await.unwrap();
        attempts.was_wrong(&again);
        clock.advance(Duration::from_secs(899));
        assert!(attempts.begin(&SPACE, &key(1), Allowance::SINGLE_USE).await.is_err());
        clock.advance(Duration::from_secs(1));
        assert!(attempts.begin(&SPACE, &key(1), Allowance::SINGLE_USE).await.is_ok());
    }

    #[tokio::test]
    async fn many_names_keep_nobody_out_and_free_nobody_who_was_guessed_at() {
        let clock = Clock::manual(0);
        let attempts = Attempts::new(None, clock.clone());
        for _ in 0..PASSWORDS.most {
            assert!(wrong(&attempts, &key(0)).await.is_ok());
        }
        for number in 1..2 * KEYS {
            let allowance = if number % 2 == 0 { PASSWORDS } else { Allowance::SINGLE_USE };
            assert!(attempts.begin(&SPACE, &key(number), allowance).await.is_ok(), "{number}");
            assert!(attempts.known().len() <= KEYS);
        }
        assert!(wrong(&attempts, &key(0)).await.is_err());
    }

    #[tokio::test]
    async fn there_is_a_bound_and_what_has_ended_makes_room() {
        let clock = Clock::manual(0);
        let attempts = Attempts::new(None, clock.clone());
        for number in 0..KEYS * PASSWORDS.most {
            assert!(wrong(&attempts, &key(number / PASSWORDS.most)).await.is_ok());
        }
        let window = PASSWORDS.window;
        assert_eq!(wrong(&attempts, &key(KEYS)).await, Err(TooMany::Keys(window)));
        clock.advance(window);
        assert!(wrong(&attempts, &key(KEYS)).await.is_ok());
        assert_eq!(attempts.known().len(), 1);
    }
}
