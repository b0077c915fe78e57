//! One connection as its listener sees it: what it waits for, since when, and what it takes while no request exists.
//!
//! A request on an open connection costs a few relaxed atomics here. The lock in [`Places`] is taken where a connection begins,
//! where it ends, and for heads that do not arrive in one piece.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::Peer;
use super::meters::Reason;
use super::places::{CONNECTION, Places};

/// Where a connection comes from, as far as its share of the places goes: this machine is one, each remote address is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    Here,
    There(IpAddr),
}

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

/// One connection.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) id: u64,
    pub(super) origin: Origin,
    /// The number of its unfinished head among all; 0 if it has none. Written under the lock of `places`, as `charge` is.
    pub(super) order: AtomicU64,
    /// What it takes of the budget for heads, in bytes.
    pub(super) charge: AtomicUsize,
    /// When its unfinished head began.
    pub(super) head_since: AtomicU64,
    places: Arc<Places>,
    /// What a connection of its kind takes, without what its head has in buffers.
    floor: AtomicUsize,
    idle_since: AtomicU64,
    stalled_since: AtomicU64,
    running: AtomicU32,
    /// HTTP/2: streams that have not ended: requests that run, and answers that were not taken yet.
    streams: AtomicU32,
    /// HTTP/2: streams that the client reset, less the requests that were answered.
    resets: AtomicI32,
    is_http2: AtomicBool,
    /// HTTP/1: what was read since the last head was complete.
    read: AtomicUsize,
    /// HTTP/1: what comes next may be the rest of a body that nobody wanted.
    rest: AtomicBool,
    /// Whether there was nothing to read when it was looked at: what it has said before that was all.
    waited: AtomicBool,
    closed: AtomicBool,
    waker: AtomicWaker,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Running(Arc<Seat>);

/// A stream of an HTTP/2 connection that has not ended.
#[derive(Debug)]
pub(super) struct Stream(Arc<Seat>);

/// How many more streams than requests that were answered a client may reset. Whoever gives up on slow answers does not get there
/// within one connection's life, as long as some are answered.
const RESETS: i32 = 256;

// === impl Origin ===

impl Origin {
    pub(super) fn of(peer: &Peer) -> Self {
        match peer {
            Peer::Tcp { address, .. } if !peer.is_local() => Self::There(address.ip().to_canonical()),
            _ => Self::Here,
        }
    }
}

// === impl Seat ===

impl Seat {
    pub(super) fn new(id: u64, origin: Origin, places: Arc<Places>) -> Self {
        Self {
            id,
            origin,
            order: AtomicU64::new(0),
            charge: AtomicUsize::new(0),
            head_since: AtomicU64::new(0),
            places,
            floor: AtomicUsize::new(CONNECTION),
            idle_since: AtomicU64::new(0),
            stalled_since: AtomicU64::new(0),
            running: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            resets: AtomicI32::new(0),
            is_http2: AtomicBool::new(false),
            read: AtomicUsize::new(0),
            rest: AtomicBool::new(false),
            waited: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    /// The clock of all times here.
    pub(super) fn now(&self) -> u64 {
        self.places.now()
    }

    /// Has the connection closed, whatever it is at.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.waker.wake();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Is ready when the connection is to be closed.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.is_closed() { Poll::Ready(()) } else { Poll::Pending }
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

    /// Whether it has had nothing to say at least once.
    pub(super) fn has_waited(&self) -> bool {
        self.waited.load(Relaxed)
    }

    /// Whether it may be closed for another one: no request runs, and it has nothing to say. Who has just been accepted may have
    /// said all of it already.
    pub(super) fn may_give_way(&self) -> bool {
        self.waited.load(Relaxed) && self.running.load(Relaxed) == 0
    }

    // What comes before a head is complete.

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

    /// HTTP/1: so much was read. What is read while a request runs is its body.
    pub(super) fn has_read(&self, bytes: usize) {
        if self.running.load(Relaxed) == 0 && !self.rest.swap(false, Relaxed) {
            self.read.store(self.read.load(Relaxed).saturating_add(bytes), Relaxed);
        }
    }

    /// HTTP/1: what was read of a head that is not complete; 0 if there is none.
    pub(super) fn pending(&self) -> usize {
        if self.running.load(Relaxed) == 0 { self.read.load(Relaxed) } else { 0 }
    }

    /// HTTP/2: whether a request has come over it.
    pub(super) fn has_begun(&self) -> bool {
        self.floor.load(Relaxed) == 0
    }

    /// HTTP/2: the client has reset so many streams. Whether it may go on.
    pub(super) fn has_reset(&self, streams: i32) -> bool {
        self.resets.fetch_add(streams, Relaxed).saturating_add(streams) <= RESETS
    }

    /// HTTP/2: a body broke off. The answer that says so does not make up for the reset.
    pub(super) fn breaks_off(&self) {
        self.resets.fetch_add(1, Relaxed);
    }

    // Requests.

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

    /// HTTP/1: a body was let go before its end.
    pub(super) fn leaves_rest(&self) {
        self.rest.store(true, Relaxed);
    }

    /// HTTP/1 does not read while it waits for an answer, so that somebody else has to see that the client is gone.
    pub(super) fn awaits_answer(&self) -> bool {
        self.running.load(Relaxed) != 0 && !self.is_http2.load(Relaxed)
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

    /// Whether no request runs, and since when; 0: not known yet.
    pub(super) fn idle_since(&self) -> Option<u64> {
        (self.running.load(Relaxed) == 0).then(|| self.idle_since.load(Relaxed))
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
