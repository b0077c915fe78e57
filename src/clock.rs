//! Time as an argument: every decision that depends on the time asks a `Clock`,
//! so that a test moves time instead of waiting for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's wall clock, and its monotonic clock for intervals.
    System {
        /// The moment from which [`Clock::moment`] counts.
        started: Instant,
    },
    /// A clock that moves only when told to: milliseconds since the Unix epoch.
    Manual(Arc<AtomicU64>),
}

/// A point on the monotonic clock, in milliseconds since the process started: for back-offs, holds and cool-downs, which a step of
/// the wall clock must not stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

// === impl Clock ===

impl Clock {
    /// The machine's clocks.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    pub fn system() -> Self {
        Self::System { started: Instant::now() }
    }

    /// A clock that stands still at `unix` seconds until [`Clock::advance`] moves it.
    pub fn manual(unix: i64) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(u64::try_from(unix).unwrap_or(0) * 1000)))
    }

    /// Moves a manual clock; the machine's clock does not move by wishing.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(now) = self {
            now.fetch_add(millis(by), Ordering::SeqCst);
        }
    }

    /// Wall time as `SystemTime`.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    pub fn wall(&self) -> SystemTime {
        match self {
            Self::System { .. } => SystemTime::now(),
            Self::Manual(now) => UNIX_EPOCH + Duration::from_millis(now.load(Ordering::SeqCst)),
        }
    }

    /// Wall time in whole seconds since the Unix epoch, the unit of `expires_on` and of JWT dates.
    pub fn unix(&self) -> i64 {
        let since = self.wall().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    /// Time since the start at the clock's full resolution, for measuring what takes microseconds.
    pub fn precise(&self) -> Duration {
        match self {
            Self::System { started } => started.elapsed(),
            Self::Manual(now) => Duration::from_millis(now.load(Ordering::SeqCst)),
        }
    }

    /// The monotonic clock.
    pub fn moment(&self) -> Moment {
        match self {
            Self::System { started } => Moment(millis(started.elapsed())),
            Self::Manual(now) => Moment(now.load(Ordering::SeqCst)),
        }
    }

    /// The moment of a look at the machine's monotonic clock that was taken already; another clock is looked at now.
    pub fn moment_of(&self, at: std::time::Instant) -> Moment {
        match self {
            Self::System { started } => Moment(millis(at.saturating_duration_since(*started))),
            Self::Manual(_) => self.moment(),
        }
    }
}

/// How long somebody whose time is over is still listened to. A process that was stopped finds its timers over before it has read
/// what waits in its sockets: whether something came in time is known only after one more look.
pub const LAST_LOOK: Duration = Duration::from_millis(250);

/// Time since this was first asked, by the machine's monotonic clock, whatever clock a test gives: for whether the process itself
/// runs, of which a clock that stands still says nothing.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
pub fn running() -> Duration {
    static SINCE: LazyLock<Instant> = LazyLock::new(Instant::now);
    SINCE.elapsed()
}

/// A time in the form of RFC 3339, in UTC and whole seconds: `2026-11-21T06:00:00Z`. What is before 1970 counts as 1970.
pub fn iso(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days of the Gregorian calendar, counted from March in eras of 400 years.
    let from_march = days + 719_468;
    let (era, day) = (from_march / 146_097, from_march % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", year + era * 400, second % 60)
}

// === impl Moment ===

impl Moment {
    /// This moment plus `by`.
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// As a number, for keeping in an atomic: milliseconds since the process started.
    pub fn millis(self) -> u64 {
        self.0
    }

    /// From such a number.
    pub fn of_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// How long after `earlier` this moment is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::iso;

    #[test]
    fn a_time_is_written_as_rfc_3339_has_it() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(iso(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
        assert_eq!(iso(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }
}
