//! When to stop asking Redis, and when to ask again: counts and times, no I/O.
//!
//! Closed: failures are counted. Open: nothing is tried until a pause is over. Half-open: one probe is under way. Only a probe
//! closes it, so that no request pays for finding out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// How many failures in a row open it.
const IN_A_ROW: u32 = 5;
/// The time over which failures are set against successes.
const WINDOW: Duration = Duration::from_secs(10);
/// How many calls there have to be in that time for it to say anything.
const LEAST: u32 = 20;
/// The longest pause before the first probe; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How long pauses may get at first, whatever their number, and which part of the time it has not worked for later on: what is
/// mended soon is found out soon.
const EARLY_PAUSE: (Duration, u32) = (Duration::from_secs(1), 4);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause while another breaker of this process is closed: Redis is there, and what fails may work any moment.
const LONGEST_BESIDE: Duration = Duration::from_secs(2);
/// The shortest pause, wherever chance falls.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// What opens again this soon had not healed: its pauses go on growing.
const RELAPSE: Duration = Duration::from_secs(10);

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// A probe is under way; calls do not go through.
    HalfOpen,
    /// Calls do not go through.
    Open,
}

/// One breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    state: BreakerState,
    in_a_row: u32,
    failures: [Half; 2],
    opened: Moment,
    /// When it was opened first, relapses included.
    since: Moment,
    closed: Option<Moment>,
    probes: u32,
}

/// How much there was in one half of a window; the share of failures is taken over this one and the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    number: u32,
    count: u32,
}

/// Successes, which are the rule and take no lock: two halves, the even and the odd one, each as its number and its count.
#[derive(Debug, Default)]
pub(super) struct Successes([AtomicU64; 2]);

// === impl BreakerState ===

impl BreakerState {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

// === impl Breaker ===

impl Breaker {
    /// A closed one.
    pub(super) fn new() -> Self {
        Self {
            state: BreakerState::Closed,
            in_a_row: 0,
            failures: Default::default(),
            opened: Moment::of_millis(0),
            since: Moment::of_millis(0),
            closed: None,
            probes: 0,
        }
    }

    /// Where it stands.
    pub(super) fn state(&self) -> BreakerState {
        self.state
    }

    /// A call went well after one that failed.
    pub(super) fn success(&mut self) {
        self.in_a_row = 0;
    }

    /// A call failed. Returns whether that opened it.
    pub(super) fn failure(&mut self, now: Moment, successes: &Successes) -> bool {
        // What was under way when it opened says nothing new.
        if self.state != BreakerState::Closed {
            return false;
        }
        self.in_a_row += 1;
        let number = half(now);
        if let Some(failures) = self.failures.get_mut(parity(number)) {
            let count = if failures.number == number { failures.count } else { 0 };
            *failures = Half { number, count: count.saturating_add(1) };
        }
        let failures = recent(&self.failures, number);
        let calls = failures.saturating_add(successes.recent(number));
        let often = calls >= LEAST && failures > calls / 2;
        if self.in_a_row < IN_A_ROW && !often {
            return false;
        }
        self.trip(now);
        true
    }

    /// Opens it, whatever was counted.
    pub(super) fn trip(&mut self, now: Moment) {
        if self.closed.is_none_or(|closed| now.since(closed) >= RELAPSE) {
            (self.probes, self.since) = (0, now);
        }
        (self.state, self.opened) = (BreakerState::Open, now);
    }

    /// When it was opened last.
    pub(super) fn opened(&self) -> Moment {
        self.opened
    }

    /// How long to wait before the next probe; `jitter` is a random number from 0 to 1, and `beside` says whether another breaker
    /// of this process is closed.
    pub(super) fn pause(&self, jitter: f64, now: Moment, beside: bool) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.probes.min(16)));
        let (early, part) = EARLY_PAUSE;
        let most = if beside { LONGEST_BESIDE } else { LONGEST_PAUSE };
        let longest = doubled.min(early.max(now.since(self.since) / part)).min(most);
        longest.mul_f64(jitter.clamp(0.0, 1.0)).max(SHORTEST_PAUSE)
    }

    /// The one probe begins.
    pub(super) fn probe(&mut self) {
        self.state = BreakerState::HalfOpen;
        self.probes = self.probes.saturating_add(1);
    }

    /// The probe is over. Returns how long it was open, if it is closed now.
    pub(super) fn probed(&mut self, well: bool, now: Moment) -> Option<Duration> {
        if !well {
            self.state = BreakerState::Open;
            return None;
        }
        let opened = self.opened;
        *self = Self { closed: Some(now), since: self.since, probes: self.probes, ..Self::new() };
        Some(now.since(opened))
    }
}

// === impl Successes ===

impl Successes {
    /// One more. Where two begin a half at the same time one may be lost, which changes nothing.
    pub(super) fn add(&self, now: Moment) {
        let number = half(now);
        let Some(slot) = self.0.get(parity(number)) else { return };
        let found = slot.load(Ordering::Relaxed);
        if unpack(found).number == number {
            slot.fetch_add(1, Ordering::Relaxed);
        } else {
            let first = (u64::from(number) << 32) | 1;
            // Another one began it: that is counted.
            let _begun = slot.compare_exchange(found, first, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn recent(&self, number: u32) -> u32 {
        recent(&self.0.each_ref().map(|slot| unpack(slot.load(Ordering::Relaxed))), number)
    }
}

fn recent(halves: &[Half; 2], number: u32) -> u32 {
    let counts = halves.iter().filter(|half| number.wrapping_sub(half.number) <= 1);
    counts.fold(0, |sum, half| sum.saturating_add(half.count))
}

/// The number of the half of a window that a moment is in. The first is 1: a count of nothing belongs to none.
fn half(now: Moment) -> u32 {
    u32::try_from(now.millis() / (millis(WINDOW) / 2) + 1).unwrap_or(u32::MAX)
}

fn parity(number: u32) -> usize {
    usize::from(!number.is_multiple_of(2))
}

fn unpack(slot: u64) -> Half {
    let low = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
    Half { number: low(slot >> 32), count: low(slot) }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Breaker, BreakerState, Successes};
    use crate::clock::Clock;

    /// A breaker with its successes and its time.
    struct Tested {
        breaker: Breaker,
        successes: Successes,
        clock: Clock,
    }

    impl Tested {
        fn new() -> Self {
            Self { breaker: Breaker::new(), successes: Successes::default(), clock: Clock::manual(0) }
        }

        fn success(&mut self) {
            self.successes.add(self.clock.moment());
            self.breaker.success();
        }

        fn failure(&mut self) -> bool {
            self.breaker.failure(self.clock.moment(), &self.successes)
        }
    }

    #[test]
    fn five_failures_in_a_row_open_it() {
        let mut tested = Tested::new();
        for _ in 0..4 {
            assert!(!tested.failure());
        }
        tested.success();
        for _ in 0..4 {
            assert!(!tested.failure());
        }
        assert!(tested.failure());
        assert_eq!(tested.breaker.state(), BreakerState::Open);
        assert!(!tested.failure(), "it is open already");
    }

    #[test]
    fn more_failures_than_successes_open_it() {
        let mut tested = Tested::new();
        let mut opened = 0;
        for _ in 0..10 {
            tested.success();
            opened += u32::from(tested.failure());
        }
        assert_eq!(opened, 0, "half of twenty is not more than half");
        assert!(tested.failure());
    }

    #[test]
    fn old_failures_are_forgotten() {
        let mut tested = Tested::new();
        for _ in 0..9 {
            tested.failure();
            tested.success();
        }
        tested.clock.advance(Duration::from_secs(10));
        for _ in 0..10 {
            tested.success();
            assert!(!tested.failure());
        }
        assert!(tested.failure());
    }

    #[test]
    fn a_probe_closes_it() {
        let (clock, mut breaker) = (Clock::manual(0), Breaker::new());
        breaker.trip(clock.moment());
        breaker.success();
        assert_eq!(breaker.state(), BreakerState::Open, "a late answer does not close it");
        breaker.probe();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.probed(false, clock.moment()), None);
        assert_eq!(breaker.state(), BreakerState::Open);
        clock.advance(Duration::from_secs(3));
        breaker.probe();
        assert_eq!(breaker.probed(true, clock.moment()), Some(Duration::from_secs(3)));
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(!breaker.failure(clock.moment(), &Successes::default()));
    }

    #[test]
    fn pauses_grow_until_it_has_healed() {
        let (clock, mut breaker) = (Clock::manual(0), Breaker::new());
        breaker.trip(clock.moment());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            pauses.push(breaker.pause(1.0, clock.moment(), false).as_millis());
            breaker.probe();
            breaker.probed(false, clock.moment());
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000, 1000, 1000]);
        assert_eq!(breaker.pause(0.5, clock.moment(), false).as_millis(), 500);
        assert_eq!(breaker.pause(0.0, clock.moment(), false).as_millis(), 20);
        clock.advance(Duration::from_secs(20));
        assert_eq!(breaker.pause(1.0, clock.moment(), false).as_secs(), 5);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(breaker.pause(1.0, clock.moment(), false).as_secs(), 25, "the pauses themselves only double");
        assert_eq!(breaker.pause(1.0, clock.moment(), true).as_secs(), 2, "Redis is there: another breaker is closed");
        breaker.probe();
        assert_eq!(breaker.pause(1.0, clock.moment(), false).as_secs(), 30);
        breaker.probed(true, clock.moment());
        clock.advance(Duration::from_secs(1));
        breaker.trip(clock.moment());
        assert_eq!(breaker.pause(1.0, clock.moment(), false).as_secs(), 30, "it had not healed");
        breaker.probed(true, clock.moment());
        clock.advance(Duration::from_secs(10));
        breaker.trip(clock.moment());
        assert_eq!(breaker.pause(1.0, clock.moment(), false).as_millis(), 100);
    }
}
