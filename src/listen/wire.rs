//! The socket below everything: what a handshake reads is counted here, and a client that is gone is noticed while nothing is read.
//!
//! HTTP/1 reads nothing while it waits for an answer, so that a client may close its sending side after its request (half-close)
//! and still gets the answer. Over TCP a client that closed both sides looks the same until something is sent to it; a reset does
//! not, and on a Unix socket neither does a full close. Both end the wait.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep, sleep};

use super::occupant::Occupant;

/// A socket that tells how it stands without being read.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Is ready when there is something to read, or no more will come.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether the system has reported that nothing can be sent to the other end any more.
    fn is_gone(&self) -> bool;
}

/// A socket and the place that it holds.
#[derive(Debug)]
pub(super) struct SeatedSocket<S> {
    inner: S,
    seat: Arc<Occupant>,
    /// What was read of a handshake; `None`: there is none under way.
    handshake: Option<usize>,
    look: Option<Pin<Box<Sleep>>>,
    looking: bool,
}

/// What a TLS handshake takes until it is over, in bytes, without what the client has sent: measured.
const HANDSHAKE: usize = 12 * 1024;

/// How often the socket is looked at once it has something to read: from then on it tells nothing by itself.
const LOOK: Duration = Duration::from_secs(1);

// === impl SeatedSocket ===

impl<S: Socket> SeatedSocket<S> {
    pub(super) fn new(inner: S, seat: Arc<Occupant>) -> Self {
        Self { inner, seat, handshake: None, look: None, looking: false }
    }

    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    pub(super) fn into_inner(self) -> S {
        self.inner
    }

    /// From here on what is read belongs to a handshake.
    pub(super) fn shake(&mut self) {
        self.handshake = Some(0);
        self.seat.unfinished(HANDSHAKE);
    }

    /// From here on it belongs to requests.
    pub(super) fn shaken(&mut self) {
        self.handshake = None;
    }

    /// An error once the client is gone. While it is not, the task is woken when that may have changed.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.looking {
            if self.inner.poll_readable(cx)?.is_pending() {
                return Ok(());
            }
            // The end of what it sends, or a further request, or the end of everything.
            if self.inner.is_gone() {
                return Err(ErrorKind::ConnectionReset.into());
            }
            self.looking = true;
            let look = self.look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
            look.as_mut().reset(Instant::now() + LOOK);
        }
        if let Some(look) = &mut self.look {
            while look.as_mut().poll(cx).is_ready() {
                if self.inner.is_gone() {
                    return Err(ErrorKind::ConnectionReset.into());
                }
                look.as_mut().reset(Instant::now() + LOOK);
            }
        }
        Ok(())
    }

    fn wrote<T>(&self, poll: Poll<T>) -> Poll<T> {
        self.seat.takes(poll.is_ready());
        poll
    }
}

impl<S: Socket> AsyncRead for SeatedSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let poll = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if poll.is_pending() {
            this.seat.waits();
        }
        if let Some(read) = &mut this.handshake {
            *read += buffer.filled().len() - before;
            // rustls doubles its buffer when it is full.
            this.seat.unfinished(HANDSHAKE + 2 * *read);
        }
        poll
    }
}

impl<S: Socket> AsyncWrite for SeatedSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(poll)
    }

    /// hyper flushes whenever it has done what it could, so this is where a wait for an answer begins and is woken.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_flush(cx);
        if !self.seat.awaits_answer() {
            self.looking = false;
        } else if let Err(gone) = self.look(cx) {
            return Poll::Ready(Err(gone));
        }
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

// === impl Socket ===

/// Everything that the system reports of a socket.
fn all() -> Interest {
    Interest::READABLE | Interest::WRITABLE | Interest::ERROR
}

impl Socket for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn is_gone(&self) -> bool {
        matches!(self.ready(all()).now_or_never(), Some(Ok(ready)) if ready.is_write_closed() || ready.is_error())
    }
}

impl Socket for UnixStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn is_gone(&self) -> bool {
        matches!(self.ready(all()).now_or_never(), Some(Ok(ready)) if ready.is_write_closed() || ready.is_error())
    }
}
