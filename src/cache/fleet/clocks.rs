//! Whose clocks agree with this process' own. A record that was stored by such a clock says itself when it ends. For a record of
//! another clock Redis is asked how long its key has, which costs a round trip.
//!
//! A clock has a name, which every token record repeats. A process whose wall clock is set takes a new one: what is known of a name
//! stays right for all that was stored under it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use crate::clock::{Clock, Moment};
use crate::store::ClockName;

/// By how many milliseconds the wall clock may drift from the monotonic one before it counts as another clock.
const DRIFT: u64 = 500;
/// Two looks at the monotonic clock that are further apart say nothing of the wall clock between them: the thread stood still.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is looked again then.
const LOOKS: usize = 3;
/// By how many seconds what a record and its key say may differ: both are whole seconds.
const ROUNDING: u64 = 1;
/// How long it is believed that a clock agrees.
const BELIEVED: Duration = Duration::from_secs(60);
/// How many clocks are remembered: more than replicas that a fleet has, and their restarts in a minute.
const MOST: usize = 1024;

/// This process' clock, and those of others that agree with it.
#[derive(Debug)]
pub(super) struct Clocks {
    clock: Clock,
    /// The name, as a number.
    name: AtomicU64,
    /// Wall time minus monotonic time, in milliseconds, since the clock has this name.
    ahead: AtomicI64,
    /// Held while both are replaced.
    replacing: Mutex<()>,
    agreed: RwLock<HashMap<ClockName, Moment>>,
}

/// What a look at the clocks says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The name of this process' clock.
    name: ClockName,
    /// The moment at which it has it.
    now: Moment,
    /// Wall time then, in seconds since 1970.
    pub(super) unix: i64,
}

/// What a record says of its end.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cache) struct Dated {
    /// By this clock.
    pub(super) clock: ClockName,
    /// In seconds since 1970.
    pub(super) ends: i64,
    /// When it was read, by this process' clock: in seconds since 1970.
    pub(in crate::cache) now: i64,
    /// Whether that holds by this process' clock, as far as is known.
    pub(in crate::cache) holds: bool,
}

// === impl Clocks ===

impl Clocks {
    pub(super) fn new(clock: Clock) -> Self {
        let (ahead, _) = wall(&clock, clock.moment());
        Self {
            clock,
            name: AtomicU64::new(rand::random()),
            ahead: AtomicI64::new(ahead),
            replacing: Mutex::default(),
            agreed: RwLock::default(),
        }
    }

    /// The name of this process' clock.
    pub(super) fn ours(&self) -> ClockName {
        self.look().name
    }

    /// A look at both clocks. Every token that Redis gives takes one, so that it locks nothing.
    pub(super) fn look(&self) -> Seen {
        let name = self.name.load(Ordering::Acquire);
        let now = self.clock.moment();
        let (ahead, unix) = wall(&self.clock, now);
        let is_as_before = ahead.abs_diff(self.ahead.load(Ordering::Acquire)) <= DRIFT;
        // A name is replaced before what belongs to it: one that is still there was right for that.
        if is_as_before && self.name.load(Ordering::Acquire) == name {
            return Seen { name: name.to_be_bytes(), now, unix };
        }
        self.look_closely()
    }

    #[cold]
    fn look_closely(&self) -> Seen {
        let _only = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..LOOKS {
            let now = self.clock.moment();
            let (ahead, unix) = wall(&self.clock, now);
            if ahead.abs_diff(self.ahead.load(Ordering::Acquire)) <= DRIFT {
                return Seen { name: self.name(), now, unix };
            }
            // A thread that stood still between the two looks at the clocks looks again.
            if self.clock.moment().since(now) < PAUSE {
                self.name.store(rand::random(), Ordering::Release);
                self.ahead.store(ahead, Ordering::Release);
                // They agreed with what it was before.
                self.agreed.write().unwrap_or_else(PoisonError::into_inner).clear();
            }
        }
        let now = self.clock.moment();
        Seen { name: self.name(), now, unix: wall(&self.clock, now).1 }
    }

    fn name(&self) -> ClockName {
        self.name.load(Ordering::Acquire).to_be_bytes()
    }

    /// Whether what was stored by this clock ends, by this process' own, when it says.
    pub(super) fn agrees(&self, name: &ClockName, seen: &Seen) -> bool {
        if seen.name == *name {
            return true;
        }
        let agreed = self.agreed.read().unwrap_or_else(PoisonError::into_inner);
        agreed.get(name).is_some_and(|since| seen.now.since(*since) < BELIEVED)
    }

    /// Compares what a record says with when its key ends, in seconds since 1970 by this process' clock.
    pub(super) fn compare(&self, said: Dated, found: i64) {
        let name = said.clock;
        let mut agreed = self.agreed.write().unwrap_or_else(PoisonError::into_inner);
        if said.ends.abs_diff(found) > ROUNDING {
            agreed.remove(&name);
            return;
        }
        let now = self.clock.moment();
        if agreed.len() >= MOST {
            agreed.retain(|_, since| now.since(*since) < BELIEVED);
        }
        if agreed.len() < MOST {
            agreed.insert(name, now);
        }
    }
}

/// Wall time: minus monotonic time, in milliseconds; and in seconds since 1970.
fn wall(clock: &Clock, now: Moment) -> (i64, i64) {
    // A clock before 1970 is as good as any other for this.
    let wall = clock.wall().duration_since(UNIX_EPOCH).map_or_else(|early| -millis(early.duration()), millis);
    (wall.saturating_sub(i64::try_from(now.millis()).unwrap_or(i64::MAX)), (wall / 1000).max(0))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::{BELIEVED, Clocks, DRIFT, Dated, MOST};
    use crate::clock::Clock;
    use crate::store::ClockName;

    const OTHER: [u8; 8] = [7; 8];

    /// As if the wall clock had been set by so many milliseconds.
    fn set(clocks: &Clocks, by: i64) {
        clocks.ahead.fetch_sub(by, Ordering::SeqCst);
    }

    fn dated(clock: ClockName, ends: i64) -> Dated {
        Dated { clock, ends, now: 0, holds: false }
    }

    fn agrees(clocks: &Clocks, name: &ClockName) -> bool {
        clocks.agrees(name, &clocks.look())
    }

    #[test]
    fn a_clock_that_agreed_a_moment_ago_is_believed() {
        let clock = Clock::manual(1000);
        let clocks = Clocks::new(clock.clone());
        assert!(agrees(&clocks, &clocks.ours()), "our own");
        assert!(!agrees(&clocks, &OTHER), "nobody has looked");
        for (said, found, expected) in [(100, 100, true), (100, 101, true), (101, 100, true), (100, 102, false), (102, 100, false)]
        {
            clocks.compare(dated(OTHER, said), found);
            assert_eq!(agrees(&clocks, &OTHER), expected, "{said} {found}");
        }
        clocks.compare(dated(OTHER, 100), 100);
        clock.advance(BELIEVED);
        assert!(!agrees(&clocks, &OTHER), "it may have drifted");
    }

    #[test]
    fn a_clock_that_is_set_is_another_one_and_agrees_with_nobody_yet() {
        let clocks = Clocks::new(Clock::manual(1000));
        let before = clocks.ours();
        clocks.compare(dated(OTHER, 100), 100);
        let drift = i64::try_from(DRIFT).unwrap_or_default();
        set(&clocks, drift);
        assert!(clocks.ours() == before && agrees(&clocks, &OTHER), "it runs a little slower or faster");
        for by in [1, -2 * drift - 1] {
            let before = clocks.ours();
            set(&clocks, by);
            assert!(!agrees(&clocks, &OTHER) && clocks.ours() != before && !agrees(&clocks, &before), "{by}");
            clocks.compare(dated(OTHER, 100), 100);
        }
    }

    #[test]
    fn many_clocks_are_not_all_remembered() {
        let clock = Clock::manual(1000);
        let clocks = Clocks::new(clock.clone());
        let name = |number: usize| u64::try_from(number).unwrap_or_default().to_be_bytes();
        for number in 0..=MOST {
            clocks.compare(dated(name(number), 1), 1);
        }
        assert!(agrees(&clocks, &name(0)) && !agrees(&clocks, &name(MOST)));
        clock.advance(BELIEVED + Duration::from_secs(1));
        clocks.compare(dated(name(MOST), 1), 1);
        assert!(agrees(&clocks, &name(MOST)), "those before are forgotten");
    }
}
