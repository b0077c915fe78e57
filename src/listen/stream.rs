//! Which HTTP a connection speaks, by its first bytes.
//!
//! hyper-util's `auto` builder does this too, but waits for those bytes for ever and hides `max_header_size`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

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
    inner: S,
}

/// Reads until the protocol is certain: three bytes tell `PRI` from any method that we answer.
pub(super) async fn peek<S: AsyncRead + Unpin>(mut inner: S) -> io::Result<(Protocol, Peeked<S>)> {
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
    Ok((protocol, Peeked { first, read, given: 0, inner }))
}

// === impl Peeked ===

impl<S: AsyncRead + Unpin> AsyncRead for Peeked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match this.first.get(this.given..this.read) {
            Some(rest) if !rest.is_empty() => {
                let count = rest.len().min(buffer.remaining());
                buffer.put_slice(rest.get(..count).unwrap_or_default());
                this.given += count;
                Poll::Ready(Ok(()))
            }
            _ => Pin::new(&mut this.inner).poll_read(cx, buffer),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Peeked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{PREFACE, Protocol, peek};

    #[tokio::test]
    async fn gives_back_what_it_looked_at() {
        for (text, want) in
            [(&b"POST /obo HTTP/1.1\r\n"[..], Protocol::Http1), (b"PRI * HTTP/1.0", Protocol::Http1), (b"", Protocol::Http1)]
        {
            let (mut ours, theirs) = tokio::io::duplex(64);
            ours.write_all(text).await.unwrap();
            drop(ours);
            let (protocol, mut stream) = peek(theirs).await.unwrap();
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
            let (protocol, mut stream) = peek(theirs).await.unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await.unwrap();
            (protocol, back)
        };
        let ((), (protocol, back)) = tokio::join!(write, read);
        assert_eq!(protocol, Protocol::Http2);
        assert_eq!(back, [&PREFACE[..], b"rest"].concat());
    }
}
