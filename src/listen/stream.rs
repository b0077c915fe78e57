//! Which HTTP a connection speaks, by its first bytes, and how much of a head that is not complete has been read.
//!
//! hyper-util's `auto` builder does the first too, but waits for those bytes for ever and hides `max_header_size`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

use super::frames::Frames;
use super::meters::Reason;
use super::occupant::Occupant;

/// The client's first bytes on an HTTP/2 connection (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A stream whose first bytes have been looked at.
#[derive(Debug)]
pub(super) struct Peeked<S> {
    first: [u8; PREFACE.len()],
    read: usize,
    given: usize,
    inner: Take<S>,
    seat: Arc<Occupant>,
    /// HTTP/2 alone.
    frames: Option<Frames>,
    /// What a header block of HTTP/2 may come to once it is decoded, in bytes.
    most: usize,
}

/// hyper's buffer grows when a read fills it. One that never does stays at twice this, and what it has read beyond a complete head
/// is no more than this.
const CHUNK: u64 = 8191;

/// hyper's first buffer for heads.
const BUFFER: usize = 8192;

/// What an HTTP/2 connection takes before its first request, in bytes, beyond one of HTTP/1: measured.
const HTTP2: usize = 16 * 1024;

/// What a byte of a header block may come to: one that names an entry of the table becomes a field of its own.
const FIELD: usize = 96;

/// Reads until the protocol is certain: three bytes tell `PRI` from any method that we answer. A head may have `most` bytes.
pub(super) async fn peek<S: AsyncRead + Unpin>(
    mut inner: S,
    seat: Arc<Occupant>,
    most: usize,
) -> io::Result<(Protocol, Peeked<S>)> {
    let mut first = [0; PREFACE.len()];
    let mut read = 0;
    let protocol = loop {
        let Some(rest) = first.get_mut(read..).filter(|rest| !rest.is_empty()) else { break Protocol::Http2 };
        let more = inner.read(rest).await?;
        if more == 0 {
            break Protocol::Http1;
        }
        read += more;
        if first.get(..read) != PREFACE.get(..read) {
            break Protocol::Http1;
        }
    };
    let frames = (protocol == Protocol::Http2).then(|| Frames::after(PREFACE.len()));
    if frames.is_some() {
        seat.speaks_http2(HTTP2);
    }
    Ok((protocol, Peeked { first, read, given: 0, inner: inner.take(CHUNK), seat, frames, most }))
}

// === impl Peeked ===

impl<S> Peeked<S> {
    /// hyper reads again: with what it has got so far it has no complete head, if it has anything of one.
    fn judge(&self) {
        match &self.frames {
            None => match self.seat.pending() {
                0 => {}
                // It keeps room for as much as it reads at once, and doubles its buffer for that.
                read => self.seat.unfinished((read + BUFFER).next_power_of_two()),
            },
            Some(frames) => match frames.block().saturating_mul(FIELD).min(3 * self.most) + frames.frame() {
                0 if self.seat.has_begun() => self.seat.finished(),
                0 => {}
                open => self.seat.unfinished(open),
            },
        }
    }

    /// Takes note of what was read.
    fn note(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.frames {
            None => self.seat.has_read(bytes.len()),
            Some(frames) => match frames.pass(bytes) {
                0 => {}
                resets if self.seat.has_reset(resets) => {}
                _ => {
                    self.seat.count(Reason::Resets);
                    return Err(io::Error::other("too many streams were reset"));
                }
            },
        }
        Ok(())
    }

    /// Gives back what was looked at; whether there was anything.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        match self.first.get(self.given..self.read) {
            Some(rest) if !rest.is_empty() => {
                let count = rest.len().min(buffer.remaining());
                buffer.put_slice(rest.get(..count).unwrap_or_default());
                self.given += count;
                true
            }
            _ => false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Peeked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.judge();
        let before = buffer.filled().len();
        // A head that came in one piece is given in one piece.
        let given = this.give(buffer);
        this.inner.set_limit(CHUNK);
        let poll = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if !given {
            std::task::ready!(poll)?;
        }
        Poll::Ready(this.note(buffer.filled().get(before..).unwrap_or_default()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Peeked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.inner.get_mut()).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner.get_mut()).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(self.inner.get_mut()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.get_ref().is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use std::sync::Arc;

    use super::super::meters::Meters;
    use super::super::occupant::ConnectionPlace;
    use super::super::places::Places;
    use super::super::seat::Origin;
    use super::super::tests::usual;
    use super::{PREFACE, Protocol, peek};
    use crate::telemetry::Metrics;

    fn place() -> ConnectionPlace {
        Places::new(&usual(Vec::new()), &Meters::new(&Metrics::default()), "token").try_enter(Origin::Here).unwrap()
    }

    #[tokio::test]
    async fn gives_back_what_it_looked_at() {
        for (text, want) in
            [(&b"POST /obo HTTP/1.1\r\n"[..], Protocol::Http1), (b"PRI * HTTP/1.0", Protocol::Http1), (b"", Protocol::Http1)]
        {
            let (mut ours, theirs) = tokio::io::duplex(64);
            ours.write_all(text).await.unwrap();
            drop(ours);
            let place = place();
            let (protocol, mut stream) = peek(theirs, Arc::clone(place.seat()), 4096).await.unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await.unwrap();
            assert_eq!((protocol, &*back), (want, text));
        }
    }

    #[tokio::test]
    async fn knows_http_2_even_byte_by_byte() {
        let (mut ours, theirs) = tokio::io::duplex(1);
        let write = async move {
            ours.write_all(PREFACE).await.unwrap();
            ours.write_all(b"rest").await.unwrap();
        };
        let read = async move {
            let place = place();
            let (protocol, mut stream) = peek(theirs, Arc::clone(place.seat()), 4096).await.unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await.unwrap();
            (protocol, back)
        };
        let ((), (protocol, back)) = tokio::join!(write, read);
        assert_eq!(protocol, Protocol::Http2);
        assert_eq!(back, [&PREFACE[..], b"rest"].concat());
    }
}
