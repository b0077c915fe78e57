//! A connection on its seat, as those see it who serve it: what it tells its listener, and when it has to go.
//!
//! A request on an open connection costs a few relaxed atomics here. The lock in [`Places`] is taken where a connection begins,
//! where it ends, and for heads that do not arrive in one piece.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::meters::Reason;
use super::places::Places;
use super::seat::{Origin, Seat};

/// What a connection is at; times are in milliseconds by the clock of its [`Places`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It owes us a head, or the rest of one, since then.
    Head(u64),
    /// A request is being answered.
    Busy,
    /// It has not taken its answer since then.
    Stalled(u64),
    /// Nothing is asked since then.
    Idle(u64),
}

/// A connection that has a seat, and where it has it.
#[derive(Debug)]
pub(super) struct Occupant {
    seat: Arc<Seat>,
    places: Arc<Places>,
}

/// A place, held until this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPlace(Arc<Occupant>);

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Running(Arc<Occupant>);

/// A stream of an HTTP/2 connection that has not ended.
#[derive(Debug)]
pub(super) struct Stream(Arc<Occupant>);

/// How long somebody who waits for a place waits before he looks again: connections that became idle tell it, but not under a lock.
const LOOK: Duration = Duration::from_millis(50);

// === impl Places ===

impl Places {
    /// Waits for a place; where all connections have requests running there is none until one of these ends.
    pub(super) async fn enter(self: &Arc<Self>, origin: Origin) -> ConnectionPlace {
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_enter(origin) {
                return place;
            }
            self.waiting.fetch_add(1, Relaxed);
            // A connection that became idle just now has told nobody.
            drop(tokio::time::timeout(LOOK, freed).await);
            self.waiting.fetch_sub(1, Relaxed);
        }
    }

    /// A place at once, as [`Places::seat`] gives it.
    pub(super) fn try_enter(self: &Arc<Self>, origin: Origin) -> Option<ConnectionPlace> {
        let seat = self.seat(origin)?;
        Some(ConnectionPlace(Arc::new(Occupant { seat, places: Arc::clone(self) })))
    }
}

// === impl ConnectionPlace ===

impl ConnectionPlace {
    /// Whose it is.
    pub(super) fn seat(&self) -> &Arc<Occupant> {
        &self.0
    }

    /// Is ready when the connection has ended, or its place is needed.
    pub(super) fn poll_held(&self, cx: &mut Context<'_>, connection: Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
        if self.0.poll_closed(cx).is_ready() { Poll::Ready(()) } else { connection.poll(cx) }
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.0.leave();
    }
}

// === impl Occupant ===

impl Deref for Occupant {
    type Target = Seat;

    fn deref(&self) -> &Seat {
        &self.seat
    }
}

impl Occupant {
    /// The clock of all times here.
    pub(super) fn now(&self) -> u64 {
        self.places.now()
    }

    /// The connection has ended.
    pub(super) fn leave(&self) {
        self.places.leave(self);
    }

    /// The moment that a time of [`Phase`] stands for.
    pub(super) fn moment(&self, millis: u64) -> Instant {
        self.places.moment(millis)
    }

    /// The connection closes itself, for a reason of the closed list.
    pub(super) fn count(&self, reason: Reason) {
        self.places.count(reason);
    }

    /// There is nothing to read. The first time it is somebody that may have to give way.
    pub(super) fn waits(&self) {
        if !self.waited.load(Relaxed) {
            self.waited.store(true, Relaxed);
            self.places.waits(self);
        }
    }

    /// From here on the connection takes `floor` bytes even if no head arrives.
    pub(super) fn settle_at(&self, floor: usize) {
        self.floor.store(floor, Relaxed);
        self.places.charge(self, floor);
    }

    /// A TLS handshake has ended: the time for the head begins.
    pub(super) fn shaken(&self, floor: usize) {
        self.head_since.store(self.now(), Relaxed);
        self.settle_at(floor);
    }

    /// It speaks HTTP/2.
    pub(super) fn speaks_http2(&self, more: usize) {
        self.is_http2.store(true, Relaxed);
        self.settle_at(self.floor.load(Relaxed) + more);
    }

    /// A head, or a handshake, is not complete with what has come so far, and takes `bytes` in buffers.
    pub(super) fn unfinished(&self, bytes: usize) {
        let charge = self.floor.load(Relaxed).saturating_add(bytes);
        if self.order.load(Relaxed) == 0 || self.charge.load(Relaxed) < charge {
            self.places.unfinished(self, charge);
        }
    }

    /// Nothing of a head is left in buffers.
    pub(super) fn finished(&self) {
        if self.order.load(Relaxed) != 0 {
            self.places.finished(self);
        }
    }

    /// A head is complete.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Relaxed);
        self.idle_since.store(0, Relaxed);
        self.read.store(0, Relaxed);
        self.rest.store(false, Relaxed);
        if self.order.load(Relaxed) != 0 {
            // What the connection takes from now on is no longer that of strangers.
            self.floor.store(0, Relaxed);
            self.places.finished(self);
        }
        Running(Arc::clone(self))
    }

    /// A stream of an HTTP/2 connection begins.
    pub(super) fn stream(self: &Arc<Self>) -> Stream {
        self.streams.fetch_add(1, Relaxed);
        Stream(Arc::clone(self))
    }

    /// Whether the client takes what is written.
    pub(super) fn takes(&self, takes: bool) {
        match (takes, self.stalled_since.load(Relaxed)) {
            (true, 0) => {}
            (true, _) => self.stalled_since.store(0, Relaxed),
            (false, 0) => self.stalled_since.store(self.now(), Relaxed),
            (false, _) => {}
        }
    }

    /// What it is at. The first look after a request notes the time.
    pub(super) fn phase(&self) -> Phase {
        // First: over HTTP/2 the next head may have begun while a request runs.
        if self.running.load(Relaxed) != 0 {
            return Phase::Busy;
        }
        if self.order.load(Relaxed) != 0 {
            return Phase::Head(self.head_since.load(Relaxed));
        }
        let idle = match self.idle_since.load(Relaxed) {
            0 => {
                let now = self.now();
                self.idle_since.store(now, Relaxed);
                now
            }
            since => since,
        };
        match self.stalled_since.load(Relaxed) {
            0 if self.streams.load(Relaxed) == 0 => Phase::Idle(idle),
            0 => Phase::Stalled(idle),
            since => Phase::Stalled(since),
        }
    }
}

// === impl Running ===

impl Running {
    /// There is an answer; whatever ends without one was given up by its client.
    pub(super) fn answered(self) {
        if self.0.resets.load(Relaxed) > 0 {
            self.0.resets.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
        self.0.places.passed();
    }
}

// === impl Stream ===

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
    }
}
