//! When memory has to be asked about again: now and then, and at once where messages may have been missed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::pulse::{BEAT, Pulse};
use crate::clock::{self, Clock, Moment};

/// How soon the store is asked again whether something stands, after it could not say.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Which checks of what is in memory are good enough.
#[derive(Debug)]
pub(in crate::cache) struct Checks {
    recheck: Duration,
    /// What was checked before this moment is asked about once more: messages may have been missed.
    suspect: AtomicU64,
    /// Until this moment nothing is asked about: the store could not say a moment ago.
    not_before: AtomicU64,
    pulse: Pulse,
    clock: Clock,
}

// === impl Checks ===

impl Checks {
    pub(super) fn new(recheck: Duration, clock: Clock) -> Self {
        Self { recheck, suspect: AtomicU64::new(0), not_before: AtomicU64::new(0), pulse: Pulse::default(), clock }
    }

    /// Whether what was checked then has to be asked about again.
    pub(in crate::cache) fn is_unchecked(&self, checked: Moment) -> bool {
        let now = self.clock.moment();
        // A check may be dated to the next millisecond: see `check_moment`.
        let age = now.since(checked) + Duration::from_millis(1);
        let old = self.is_suspect(checked) || age >= self.recheck;
        old && now.millis() >= self.not_before.load(Ordering::Relaxed)
    }

    /// Whether messages may have been missed since that moment, of what was checked then: nobody may be served it before somebody
    /// has looked.
    pub(in crate::cache) fn is_suspect(&self, checked: Moment) -> bool {
        self.look_back();
        checked.millis() < self.suspect.load(Ordering::Relaxed)
    }

    /// What others told while this process stood still is still to be heard.
    fn look_back(&self) {
        let now = clock::running();
        if self.pulse.is_late(now) {
            self.suspect_all();
            // Who comes now finds memory suspect already.
            self.pulse.note(now);
        }
    }

    /// Keeps noting that the process runs, so that requests find out when it did not.
    pub(in crate::cache) async fn keep_pulse(&self) {
        let _until_the_end = self.pulse.begin(clock::running());
        loop {
            tokio::time::sleep(BEAT).await;
            let now = clock::running();
            self.look_back();
            self.pulse.note(now);
        }
    }

    /// The moment to note for a look that has to be repeated in a second.
    pub(in crate::cache) fn due_again(&self, now: Moment) -> Moment {
        let back = self.recheck.saturating_sub(ASK_AGAIN);
        Moment::of_millis(now.millis().saturating_sub(u64::try_from(back.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The store could not say whether something still stands: it is asked again in a second, and not by every request until then.
    pub(in crate::cache) fn ask_later(&self) {
        let later = self.clock.moment().after(ASK_AGAIN);
        self.not_before.store(later.millis(), Ordering::Relaxed);
    }

    /// Messages may have been missed until now.
    pub(in crate::cache) fn suspect_all(&self) {
        // What was checked in this very millisecond may have been checked before.
        self.suspect.store(self.clock.moment().millis() + 1, Ordering::Relaxed);
    }

    /// The moment that is noted of what is checked now.
    pub(in crate::cache) fn check_moment(&self) -> Moment {
        let now = self.clock.moment();
        now.max(Moment::of_millis(self.suspect.load(Ordering::Relaxed)))
    }
}
