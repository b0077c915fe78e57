//! Whether this process ran all the time. One that was stopped, or got no CPU, goes on with requests that waited for it while what
//! others told meanwhile is still to be heard.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often it beats.
pub(super) const BEAT: Duration = Duration::from_millis(250);
/// How long after a beat the process is taken for one that stood still, in milliseconds.
const LATE: u64 = 1000;

/// The last beat, in milliseconds since the process started, by the machine's own clock; zero while nobody beats.
#[derive(Debug, Default)]
pub(super) struct Pulse(AtomicU64);

/// Beats are awaited until this is dropped.
#[derive(Debug)]
pub(super) struct Beating<'a>(&'a Pulse);

// === impl Pulse ===

impl Pulse {
    /// From now on somebody beats.
    pub(super) fn begin(&self, now: Duration) -> Beating<'_> {
        self.note(now);
        Beating(self)
    }

    /// The process runs.
    pub(super) fn note(&self, now: Duration) {
        // Whoever reads it sees what was done before.
        self.0.store(millis(now), Ordering::Release);
    }

    /// Whether the process stood still until a moment ago.
    pub(super) fn is_late(&self, now: Duration) -> bool {
        let last = self.0.load(Ordering::Acquire);
        last != 0 && millis(now).saturating_sub(last) > LATE
    }
}

impl Drop for Beating<'_> {
    fn drop(&mut self) {
        self.0.0.store(0, Ordering::Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pulse;

    #[test]
    fn a_beat_is_missed_after_a_second_and_by_nobody_who_does_not_beat() {
        let (pulse, at) = (Pulse::default(), Duration::from_millis);
        assert!(!pulse.is_late(at(90_000)), "nobody beats");
        let beating = pulse.begin(at(0));
        assert!(!pulse.is_late(at(1001)) && pulse.is_late(at(1002)));
        pulse.note(at(1002));
        assert!(!pulse.is_late(at(2002)) && pulse.is_late(at(2003)));
        assert!(!pulse.is_late(at(500)), "another thread's time is a little older");
        drop(beating);
        assert!(!pulse.is_late(at(90_000)));
    }
}
