//! What is remembered of failures, so that a failing authority is not asked again before it makes sense (contract, cache point 11).

use std::fmt;
use std::time::{Duration, SystemTime};

use quick_cache::sync::Cache;

use crate::clock::Moment;

/// The longest pause that an authority can ask for (ERR-3).
const LONGEST: Duration = Duration::from_secs(3600);

/// How long a failure that is over still counts when the next one comes.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// How many failures are remembered; the oldest are forgotten first, which costs a call and nothing else.
const CAPACITY: usize = 4 * 1024;

/// Failures by what they concern: a hash.
pub struct Holds<E> {
    held: Cache<[u8; 32], Hold<E>>,
}

/// A failure and until when it stands for further requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold<E> {
    /// Until when.
    pub until: Moment,
    /// How many in a row, for growing pauses.
    pub failures: u32,
    /// What those who ask meanwhile are told.
    pub failure: E,
    /// What it stops.
    pub stops: Stops,
}

/// What a failure stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stops {
    /// An app and its scopes: the authority asked for it.
    Pause,
    /// One partition, or the part of it that concerns one inbound token: calls fail.
    Partition,
    /// One request: its grant was refused.
    Request,
    /// An app: its credential was refused.
    Credential,
}

// === impl Stops ===

impl Stops {
    /// Every value.
    pub const ALL: [Self; 4] = [Self::Pause, Self::Partition, Self::Request, Self::Credential];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::Request => "request",
            Self::Credential => "credential",
        }
    }
}

// === impl Holds ===

impl<E: Clone> Default for Holds<E> {
    fn default() -> Self {
        Self { held: Cache::new(CAPACITY) }
    }
}

impl<E: Clone> Holds<E> {
    /// The failure that stands for this key now; one whose time is over counts no more (ERR-8).
    pub fn standing(&self, key: &[u8; 32], now: Moment) -> Option<Hold<E>> {
        self.held.get(key).filter(|hold| now < hold.until)
    }

    /// How many failures in a row there were for this key, also when their pause is over.
    pub fn failures(&self, key: &[u8; 32]) -> u32 {
        self.held.peek(key).map_or(0, |hold| hold.failures)
    }

    /// Remembers a failure.
    pub fn hold(&self, key: [u8; 32], hold: Hold<E>) {
        self.held.insert(key, hold);
    }

    /// What those that stand now stop, in no order.
    pub fn all_standing(&self, now: Moment) -> impl Iterator<Item = Stops> {
        self.held.iter().filter(move |(_, hold)| now < hold.until).map(|(_, hold)| hold.stops)
    }

    /// Forgets: a success clears its key (ERR-8).
    pub fn clear(&self, key: &[u8; 32]) {
        self.held.remove(key);
    }

    /// Forgets what has been over for long enough that it says nothing of the next failure.
    pub fn sweep(&self, now: Moment) {
        self.held.retain(|_, hold| now < hold.until.after(FORGOTTEN));
    }
}

impl<E> fmt::Debug for Holds<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holds").finish_non_exhaustive()
    }
}

/// Reads `Retry-After` (RFC 9110 §10.2.3): seconds or a date, capped at an hour. `None`: it is neither, or negative.
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // More digits than fit are still «long».
        return Some(text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Hold, Holds, Stops, retry_after};
    use crate::clock::Clock;

    #[test]
    fn err_3_retry_after_comes_as_seconds_or_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("7200", now), Some(Duration::from_secs(3600)));
        assert_eq!(retry_after("99999999999999999999999", now), Some(Duration::from_secs(3600)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:27 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("-5", now), None);
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("", now), None);
    }

    #[test]
    fn err_8_a_hold_ends_by_time_or_by_success() {
        let (clock, holds) = (Clock::manual(0), Holds::default());
        let until = clock.moment().after(Duration::from_secs(5));
        holds.hold([1; 32], Hold { until, failures: 1, failure: "no", stops: Stops::Pause });
        assert!(holds.standing(&[1; 32], clock.moment()).is_some());
        assert!(holds.standing(&[2; 32], clock.moment()).is_none());
        assert_eq!(holds.all_standing(clock.moment()).collect::<Vec<_>>(), [Stops::Pause]);
        clock.advance(Duration::from_secs(5));
        assert!(holds.standing(&[1; 32], clock.moment()).is_none());
        assert_eq!((holds.failures(&[1; 32]), holds.all_standing(clock.moment()).count()), (1, 0));
        holds.clear(&[1; 32]);
        assert_eq!(holds.failures(&[1; 32]), 0);
    }
}
