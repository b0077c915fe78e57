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

/// How many wrong attempts there may be within [`WINDOW`].
const MOST: usize = 5;
/// For how long a wrong attempt counts.
const WINDOW: Duration = Duration::from_secs(300);
/// How many keys are counted in this process at a time.
const KEYS: usize = 16 * 1024;

/// The attempts of the last minutes.
#[derive(Debug)]
pub struct Attempts {
    fleet: Option<Arc<Fleet>>,
    /// What keys are hashed with: a process keeps no user's name that could be guessed from its hash.
    salt: [u8; 32],
    known: Mutex<HashMap<HoldKey, VecDeque<(Moment, AttemptId)>>>,
    clock: Clock,
}

/// Tells attempts apart.
type AttemptId = [u8; 16];

/// An attempt that has its place; unless it is given back it counts as a wrong one.
#[derive(Debug)]
pub struct CountedAttempt {
    space: SpaceId,
    key: HoldKey,
    id: AttemptId,
}

/// Why an attempt must not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMany {
    /// There were too many wrong ones; there is room again after this time.
    Until(Duration),
    /// Too many keys are counted.
    Keys,
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
    pub async fn begin(&self, space: &SpaceId, key: &HoldKey) -> Result<CountedAttempt, TooMany> {
        let attempt = CountedAttempt { space: *space, key: *key, id: rand::random() };
        self.begin_here(&attempt)?;
        if let Some(fleet) = &self.fleet
            && let Some(oldest) = fleet.attempt(space, key, &attempt.id, WINDOW, MOST).await
        {
            self.end_here(&attempt);
            return Err(TooMany::Until(WINDOW.saturating_sub(oldest)));
        }
        Ok(attempt)
    }

    /// It was no wrong one.
    pub async fn give_back(&self, attempt: &CountedAttempt) {
        self.end_here(attempt);
        if let Some(fleet) = &self.fleet {
            fleet.give_back(&attempt.space, &attempt.key, &attempt.id).await;
        }
    }

    fn begin_here(&self, attempt: &CountedAttempt) -> Result<(), TooMany> {
        let (now, name) = (self.clock.moment(), self.name(attempt));
        let mut known = self.known();
        if known.len() >= KEYS && !known.contains_key(&name) {
            known.retain(|_, made| made.back().is_some_and(|(last, _)| now.since(*last) < WINDOW));
            if known.len() >= KEYS {
                return Err(TooMany::Keys);
            }
        }
        let made = known.entry(name).or_default();
        while made.front().is_some_and(|(first, _)| now.since(*first) >= WINDOW) {
            made.pop_front();
        }
        match made.front() {
            Some((first, _)) if made.len() >= MOST => Err(TooMany::Until(WINDOW.saturating_sub(now.since(*first)))),
            _ => {
                made.push_back((now, attempt.id));
                Ok(())
            }
        }
    }

    fn end_here(&self, attempt: &CountedAttempt) {
        let (name, mut known) = (self.name(attempt), self.known());
        if let Some(made) = known.get_mut(&name) {
            made.retain(|(_, id)| *id != attempt.id);
            if made.is_empty() {
                known.remove(&name);
            }
        }
    }

    fn name(&self, attempt: &CountedAttempt) -> HoldKey {
        HoldKey::of(&[&self.salt, &attempt.space, &attempt.key])
    }

    fn known(&self) -> MutexGuard<'_, HashMap<HoldKey, VecDeque<(Moment, AttemptId)>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Attempts, KEYS, MOST, TooMany, WINDOW};
    use crate::clock::Clock;
    use crate::token::{HoldKey, SpaceId};

    const SPACE: SpaceId = SpaceId::new([4; 32]);

    fn key(number: usize) -> HoldKey {
        HoldKey::of(&[&number.to_be_bytes()])
    }

    #[tokio::test]
    async fn five_wrong_ones_are_all_there_are_in_five_minutes() {
        let clock = Clock::manual(0);
        let attempts = Attempts::new(None, clock.clone());
        for _ in 0..MOST {
            assert!(attempts.begin(&SPACE, &key(1)).await.is_ok());
            clock.advance(Duration::from_secs(10));
        }
        let refused = attempts.begin(&SPACE, &key(1)).await;
        assert_eq!(refused.err(), Some(TooMany::Until(WINDOW - Duration::from_secs(50))));
        assert!(attempts.begin(&SPACE, &key(2)).await.is_ok(), "another user's");
        assert!(attempts.begin(&SpaceId::new([5; 32]), &key(1)).await.is_ok(), "at another app");
        clock.advance(WINDOW - Duration::from_secs(50));
        assert!(attempts.begin(&SPACE, &key(1)).await.is_ok(), "the first one is over");
        assert!(attempts.begin(&SPACE, &key(1)).await.is_err(), "and the second one is not");
    }

    #[tokio::test]
    async fn what_was_no_wrong_one_does_not_count_and_those_under_way_do() {
        let attempts = Attempts::new(None, Clock::manual(0));
        let mut under_way = Vec::new();
        for _ in 0..MOST {
            under_way.push(attempts.begin(&SPACE, &key(1)).await.unwrap());
        }
        assert!(attempts.begin(&SPACE, &key(1)).await.is_err());
        for attempt in &under_way {
            attempts.give_back(attempt).await;
        }
        assert!(attempts.known().is_empty());
        assert!(attempts.begin(&SPACE, &key(1)).await.is_ok());
    }

    #[tokio::test]
    async fn there_is_a_bound_and_what_has_ended_makes_room() {
        let clock = Clock::manual(0);
        let attempts = Attempts::new(None, clock.clone());
        for number in 0..KEYS {
            assert!(attempts.begin(&SPACE, &key(number)).await.is_ok());
        }
        assert_eq!(attempts.begin(&SPACE, &key(KEYS)).await.err(), Some(TooMany::Keys));
        assert!(attempts.begin(&SPACE, &key(1)).await.is_ok(), "one that is known");
        clock.advance(WINDOW);
        assert!(attempts.begin(&SPACE, &key(KEYS)).await.is_ok());
        assert_eq!(attempts.known().len(), 1);
    }
}
