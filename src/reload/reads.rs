//! Whose turn it is to read: one thread for each value, however many ask, and nobody waits for one that hangs.
//!
//! A caller wants what is in the file after its request, so that a read under way is of no use to it. All who ask during one read
//! share the next.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// How long anybody waits for a read. A read that takes longer is waited for by nobody any more.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// The reads of one value.
pub(super) struct Reads {
    state: Mutex<ReadState>,
    /// The number of the last read that has ended.
    pub(super) ended: watch::Sender<u64>,
}

#[derive(Default)]
struct ReadState {
    /// Whether a thread is at it.
    reading: bool,
    /// The number of the read that was begun last.
    begun: u64,
    /// The number of the last read that was asked for.
    wanted: u64,
    /// Whether that read is made even if nobody waits for it.
    must: bool,
    /// Whether somebody has waited for the read under way in vain.
    hangs: bool,
}

/// A read that somebody waits for.
pub(super) struct WantedRead {
    number: u64,
    ended: watch::Receiver<u64>,
    /// Whether its thread has to be started.
    pub(super) is_first: bool,
}

/// Ends the turn of a thread however it ends.
pub(super) struct ReadTurn<'a>(&'a Reads);

// === impl Reads ===

impl Reads {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), ended: watch::Sender::new(0) }
    }

    /// Asks for a read that begins from now on. `None`: the one under way hangs.
    pub(super) fn want(&self) -> Option<WantedRead> {
        let mut state = self.lock();
        if state.reading && state.hangs {
            return None;
        }
        let is_first = state.want();
        Some(WantedRead { number: state.wanted, ended: self.ended.subscribe(), is_first })
    }

    /// Asks for a read that begins from now on, and waits for nothing. Returns whether its thread has to be started.
    pub(super) fn ask(&self) -> bool {
        let mut state = self.lock();
        let is_first = state.want();
        state.must |= !is_first;
        is_first
    }

    /// The read under way, if there is one that does not hang.
    pub(super) fn under_way(&self) -> Option<WantedRead> {
        let state = self.lock();
        (state.reading && !state.hangs).then(|| WantedRead { number: state.begun, ended: self.ended.subscribe(), is_first: false })
    }

    /// Waits for a read, a second at most. Returns whether it has ended.
    pub(super) async fn wait(&self, mut wanted: WantedRead) -> bool {
        let number = wanted.number;
        // The sender is here: there is no other error than the time-out.
        if tokio::time::timeout(PATIENCE, wanted.ended.wait_for(|ended| *ended >= number)).await.is_ok() {
            return true;
        }
        let mut state = self.lock();
        if *self.ended.borrow() >= number {
            return true;
        }
        state.hangs = state.reading;
        false
    }

    /// What a thread holds while it reads.
    pub(super) fn turn(&self) -> ReadTurn<'_> {
        ReadTurn(self)
    }

    fn lock(&self) -> MutexGuard<'_, ReadState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ReadState ===

impl ReadState {
    /// Asks for the next read, and begins it if none is under way. Returns whether it has begun.
    fn want(&mut self) -> bool {
        self.wanted = self.begun + 1;
        let is_first = !self.reading;
        if is_first {
            self.reading = true;
            self.begun += 1;
        }
        is_first
    }
}

// === impl ReadTurn ===

impl ReadTurn<'_> {
    /// Ends a read. Returns whether somebody asked for another one meanwhile, and still waits for it.
    pub(super) fn next(&self) -> bool {
        let mut state = self.0.lock();
        state.hangs = false;
        self.0.ended.send_replace(state.begun);
        if state.wanted > state.begun && (state.must || self.0.ended.receiver_count() > 0) {
            state.must = false;
            state.begun += 1;
            return true;
        }
        state.reading = false;
        false
    }
}

impl Drop for ReadTurn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.reading && std::thread::panicking() {
            (state.reading, state.hangs, state.begun) = (false, false, state.wanted);
            self.0.ended.send_replace(state.wanted);
        }
    }
}
