//! One connection as its listener sees it: what it waits for, since when, and what it takes while no request exists.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::Peer;

/// Where a connection comes from, as far as its share of the places goes: this machine is one, each remote address is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    Here,
    There(IpAddr),
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
    /// What a connection of its kind takes, without what its head has in buffers.
    pub(super) floor: AtomicUsize,
    pub(super) idle_since: AtomicU64,
    pub(super) stalled_since: AtomicU64,
    pub(super) running: AtomicU32,
    /// HTTP/2: streams that have not ended: requests that run, and answers that were not taken yet.
    pub(super) streams: AtomicU32,
    /// HTTP/2: streams that the client reset, less the requests that were answered.
    pub(super) resets: AtomicI32,
    pub(super) is_http2: AtomicBool,
    /// HTTP/1: what was read since the last head was complete.
    pub(super) read: AtomicUsize,
    /// HTTP/1: what comes next may be the rest of a body that nobody wanted.
    pub(super) rest: AtomicBool,
    /// Whether there was nothing to read when it was looked at: what it has said before that was all.
    pub(super) waited: AtomicBool,
    closed: AtomicBool,
    waker: AtomicWaker,
}

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
    pub(super) fn new(id: u64, origin: Origin, floor: usize) -> Self {
        Self {
            id,
            origin,
            order: AtomicU64::new(0),
            charge: AtomicUsize::new(0),
            head_since: AtomicU64::new(0),
            floor: AtomicUsize::new(floor),
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

    /// HTTP/1: a body was let go before its end.
    pub(super) fn leaves_rest(&self) {
        self.rest.store(true, Relaxed);
    }

    /// HTTP/1 does not read while it waits for an answer, so that somebody else has to see that the client is gone.
    pub(super) fn awaits_answer(&self) -> bool {
        self.running.load(Relaxed) != 0 && !self.is_http2.load(Relaxed)
    }

    /// Whether no request runs, and since when; 0: not known yet.
    pub(super) fn idle_since(&self) -> Option<u64> {
        (self.running.load(Relaxed) == 0).then(|| self.idle_since.load(Relaxed))
    }
}
