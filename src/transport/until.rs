//! A body that is sent before a moment or not at all: a process may be stopped between the decision to send and the sending.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// Text that is handed to the connection in one piece, when that is there to take it.
pub(super) struct Until {
    text: Option<Bytes>,
    until: Instant,
}

/// The moment was over: nothing of the body was sent.
#[derive(Debug)]
pub(super) struct TooLate;

// === impl Until ===

impl Until {
    pub(super) fn new(text: String, until: Instant) -> Self {
        Self { text: Some(text.into()), until }
    }
}

impl Body for Until {
    type Data = Bytes;
    type Error = TooLate;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TooLate>>> {
        let Some(text) = self.text.take() else { return Poll::Ready(None) };
        Poll::Ready(Some(if Instant::now() < self.until { Ok(Frame::data(text)) } else { Err(TooLate) }))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.text.as_ref().map_or(0, |text| u64::try_from(text.len()).unwrap_or(u64::MAX)))
    }
}

// === impl TooLate ===

impl TooLate {
    /// Whether this is the reason for a failure.
    pub(super) fn is_cause_of(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it would have been sent too late")
    }
}

impl Error for TooLate {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;
    use hyper::body::Body as _;
    use tokio::time::Instant;

    use super::{TooLate, Until};

    #[tokio::test]
    async fn a_body_is_sent_in_time_or_not_at_all() {
        let now = Instant::now();
        let body = Until::new("text".to_owned(), now + Duration::from_secs(60));
        assert_eq!(body.size_hint().exact(), Some(4));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "text");
        let error = Until::new("text".to_owned(), now).collect().await.unwrap_err();
        assert!(TooLate::is_cause_of(&error));
    }
}
