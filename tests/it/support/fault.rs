//! A network between tokend and a server that fails on command: it delays, breaks off, holds back and swallows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A TCP relay. It passes everything until it is told otherwise, and what it is told holds until the next word.
#[derive(Debug)]
pub(crate) struct Fault {
    address: SocketAddr,
    state: watch::Sender<State>,
    counts: Arc<Counts>,
    running: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// Connections with a lower number are closed.
    cut: usize,
    /// Those with a lower number get nothing through any more, for ever.
    swallowed: usize,
    /// Those with a lower number are reset when the caller sends something.
    forgotten: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Pass,
    Delay(Duration),
    Cut,
    Freeze,
    BlackHole,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
}

/// One connection, as its two directions see it.
struct Wire {
    number: usize,
    state: watch::Receiver<State>,
    counts: Arc<Counts>,
}

// === impl Fault ===

impl Fault {
    /// A relay to `target` (host and port) on a port of its own. A connection to the target is made for each that comes in.
    #[expect(clippy::disallowed_methods, reason = "a network runs beside the test")]
    pub(crate) async fn to(target: impl ToString) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (state, seen) = watch::channel(State { mode: Mode::Pass, cut: 0, swallowed: 0, forgotten: 0 });
        let counts = Arc::<Counts>::default();
        let running = tokio::spawn(accept(listener, target.to_string(), seen, Arc::clone(&counts)));
        Self { address, state, counts, running }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything goes through again, what was held back first. What was swallowed stays so.
    pub(crate) fn pass(&self) {
        self.set(Mode::Pass);
    }

    /// Everything goes through, each chunk this much later.
    pub(crate) fn delay(&self, by: Duration) {
        self.set(Mode::Delay(by));
    }

    /// Resets all connections, and new ones as they come.
    pub(crate) fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// Accepts, and holds everything back until [`Fault::pass`].
    pub(crate) fn freeze(&self) {
        self.set(Mode::Freeze);
    }

    /// The connections of now get nothing through any more and are not told; new ones pass.
    pub(crate) fn black_hole(&self) {
        self.set(Mode::BlackHole);
        self.set(Mode::Pass);
    }

    /// Swallows what all connections send that come from now on, until another word. Those that came stay swallowed.
    pub(crate) fn black_hole_all(&self) {
        self.set(Mode::BlackHole);
    }

    /// The connections of now are reset as soon as the caller uses them, and not before: a device on the way has forgotten them.
    pub(crate) fn forget(&self) {
        self.state.send_modify(|state| state.forgotten = self.accepted());
    }

    /// How many connections are open now.
    pub(crate) fn connections(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// How many ever came, those that were reset at once included.
    pub(crate) fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    fn set(&self, mode: Mode) {
        self.state.send_modify(|state| {
            let next = self.accepted();
            match (state.mode, mode) {
                // All that came and all that will come.
                (_, Mode::BlackHole) => state.swallowed = usize::MAX,
                (Mode::BlackHole, _) => state.swallowed = next,
                _ => {}
            }
            state.cut = match mode {
                Mode::Cut => usize::MAX,
                _ if state.mode == Mode::Cut => next,
                _ => state.cut,
            };
            state.mode = mode;
        });
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn accept(listener: TcpListener, target: String, state: watch::Receiver<State>, counts: Arc<Counts>) {
    // The connections end with the relay.
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let number = counts.accepted.fetch_add(1, Ordering::SeqCst);
        counts.open.fetch_add(1, Ordering::SeqCst);
        let wire = Wire { number, state: state.clone(), counts: Arc::clone(&counts) };
        connections.spawn(wire.run(near, target.clone()));
        while connections.try_join_next().is_some() {}
    }
}

// === impl Wire ===

impl Wire {
    async fn run(self, near: TcpStream, target: String) {
        let Ok(far) = TcpStream::connect(target).await else { return reset(&near) };
        // A relay must not add the delays that its ends took care to avoid.
        let _nodelay = (near.set_nodelay(true), far.set_nodelay(true));
        let (mut near, mut far) = (near, far);
        let cut = {
            let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
            tokio::select! {
                // First of all: what is cut lets nothing through any more.
                biased;
                () = self.is(|state| self.number < state.cut) => true,
                // The caller has gone: nobody is left to deceive.
                forgotten = self.pump(near_in, far_out, |state| self.number < state.forgotten) => forgotten,
                () = async {
                    self.pump(far_in, near_out, |_| false).await;
                    // That the server has gone is news like any other, and travels no better.
                    self.through().await;
                } => false,
            }
        };
        if cut {
            reset(&near);
            reset(&far);
        }
    }

    /// Carries bytes in one direction until that direction ends, or something is to be carried although it `breaks`. Returns
    /// whether that is so.
    async fn pump(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, breaks: impl Fn(&State) -> bool) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if breaks(&self.now()) {
                return true;
            }
            if let Mode::Delay(by) = self.now().mode {
                tokio::time::sleep(by).await;
            }
            self.is(|state| state.mode != Mode::Freeze).await;
            if self.swallows() {
                continue;
            }
            if to.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
        false
    }

    /// Returns when bytes get through, which may be never.
    async fn through(&self) {
        self.is(|state| self.number >= state.swallowed && state.mode != Mode::Freeze).await;
    }

    fn swallows(&self) -> bool {
        self.number < self.now().swallowed
    }

    fn now(&self) -> State {
        *self.state.borrow()
    }

    async fn is(&self, condition: impl Fn(&State) -> bool) {
        let mut state = self.state.clone();
        // An error means that the sender has gone with the relay: then this task is about to end, too.
        let _held = state.wait_for(|state| condition(state)).await.is_ok();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Has the system send a reset when the connection is dropped.
fn reset(stream: &TcpStream) {
    // It may be closed already.
    let _closed = stream.set_zero_linger();
}
