//! The one door out: connections to one authority, with a deadline, a size cap and no redirects.
//!
//! A kept connection may be dead without a word of it: the other end is gone, or something between the two has forgotten it. So all
//! kept connections are dropped when a call over one of them breaks or gets no answer in time. What must not fail for that reason
//! goes over a connection of its own ([`Over::Fresh`]).

mod awake;
mod cause;
mod client;
mod proxy;
mod roots;
mod settings;
mod shown;
mod until;
mod why;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use prometheus::IntCounter;
use rustls::sign::CertifiedKey;
use tokio::time::Instant;
use tracing::Span;
use url::Url;

pub use cause::{Cause, causes};
pub use client::Over;
pub use roots::{Origin, Roots};
pub use settings::{NamedRoots, Settings};
pub use shown::is_ca_for_host;
pub use why::Why;

use self::client::Maker;
use self::until::{TooLate, Until};
use crate::finding::Complaint;
use crate::secret::Secret;
use crate::telemetry::{self, Context};

/// The largest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// A way out that trusts one set of roots; clones share its connections.
#[derive(Clone, Debug)]
pub struct Door(Arc<Inner>);

struct Inner {
    maker: Maker,
    /// Keeps connections, and is replaced with all of them.
    kept: ArcSwap<reqwest::Client>,
    /// Keeps none.
    fresh: reqwest::Client,
    replacing: Mutex<()>,
    replaced: OnceLock<IntCounter>,
    /// Doors of the same way that show a certificate, as long as somebody has that.
    showing: Mutex<Vec<(Weak<CertifiedKey>, Door)>>,
}

/// A request to somebody else's server.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// GET or POST.
    pub method: Method,
    /// Where to.
    pub url: &'a Url,
    /// Headers beside those that the door adds.
    pub headers: HeaderMap,
    /// The body.
    pub body: Option<Secret>,
    /// When it is too late to send the body.
    pub until: Option<Instant>,
    /// The connection.
    pub over: Over,
    /// What it is for, in one word, for the span.
    pub purpose: &'a str,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection was made: name, TCP or TLS.
    #[error("no connection was made")]
    Connect(#[source] Cause),
    /// The connection broke before the answer was complete.
    #[error("the connection broke")]
    Broken(#[source] Cause),
    /// The deadline passed.
    #[error("no answer came in time")]
    TimedOut,
    /// The answer is larger than 1 MiB.
    #[error("the answer is larger than 1 MiB")]
    TooLarge,
}

/// A call under way: dropped with it by whoever waits no longer, or at shutdown, its span says so.
struct CallUnderWay<'a>(Option<&'a Span>);

impl Drop for CallUnderWay<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.0 {
            telemetry::call_failed(span, "cancelled");
        }
    }
}

// === impl Door ===

impl Door {
    /// Makes a door for one server, which is trusted as `tls` says.
    ///
    /// # Errors
    /// The proxy cannot be used.
    pub fn open(
        settings: &Settings,
        tls: rustls::ClientConfig,
        connect_timeout: Duration,
        loopback: bool,
    ) -> Result<Self, Complaint> {
        Self::made(Maker::new(settings, tls, connect_timeout, loopback)?, OnceLock::new())
    }

    fn made(maker: Maker, replaced: OnceLock<IntCounter>) -> Result<Self, Complaint> {
        let (kept, fresh) = (ArcSwap::from_pointee(maker.make(Over::Kept)?), maker.make(Over::Fresh)?);
        Ok(Self(Arc::new(Inner { maker, kept, fresh, replacing: Mutex::default(), replaced, showing: Mutex::default() })))
    }

    /// The door of this way whose connections show a certificate. Each certificate has connections of its own; those of one that
    /// nobody has any more are closed with the next that is made.
    ///
    /// # Errors
    /// No client can be made with it.
    pub fn showing(&self, certificate: &Arc<CertifiedKey>) -> Result<Self, Complaint> {
        let mut showing = self.0.showing.lock().unwrap_or_else(PoisonError::into_inner);
        let own = Arc::as_ptr(certificate);
        if let Some((_, door)) = showing.iter().find(|(shown, _)| shown.as_ptr() == own) {
            return Ok(door.clone());
        }
        let door = Self::made(self.0.maker.showing(certificate), self.0.replaced.clone())?;
        showing.retain(|(shown, _)| shown.strong_count() > 0);
        showing.push((Arc::downgrade(certificate), door.clone()));
        Ok(door)
    }

    /// Counts from now on how often its kept connections are dropped because one of them was dead.
    pub fn count_replaced(&self, counter: IntCounter) {
        // Whoever shares the door has the same counter.
        let _counted_already = self.0.replaced.set(counter);
    }

    /// Sends a request and reads the whole answer before the deadline.
    ///
    /// # Errors
    /// Nothing complete came back. An answer with an error status is an answer.
    pub async fn send(&self, context: Context, outgoing: Outgoing<'_>, deadline: Duration) -> Result<Reply, TransportError> {
        let span = outgoing.span(&context, 0);
        let outcome = self.send_in(&span, context, outgoing, deadline).await;
        outcome.inspect_err(|failure| telemetry::call_failed(&span, failure.as_str()))
    }

    /// Sends inside a span that the caller made by [`Outgoing::span`]. What is wrong with the answer, or why there is none, is the
    /// caller's to add to it.
    ///
    /// # Errors
    /// As [`Door::send`].
    pub async fn send_in(
        &self,
        span: &Span,
        mut context: Context,
        outgoing: Outgoing<'_>,
        deadline: Duration,
    ) -> Result<Reply, TransportError> {
        let url = outgoing.url;
        context.trace = telemetry::outgoing(context.trace, span);
        let kept = (outgoing.over == Over::Kept).then(|| self.0.kept.load_full());
        let client = kept.as_deref().unwrap_or(&self.0.fresh);
        // The client's futures are many kilobytes: on the heap, and not in every future that waits for this one.
        let exchange = Box::pin(exchange(client, span, context, outgoing));
        let mut waiting = CallUnderWay(Some(span));
        let outcome = awake::within(deadline, exchange).await.unwrap_or(Err(TransportError::TimedOut));
        waiting.0 = None;
        let outcome = match outcome {
            Err(TransportError::Connect(cause)) => Err(TransportError::Connect(self.0.maker.explained(cause, url).await)),
            outcome => outcome,
        };
        if let (Some(used), Err(TransportError::Broken(_) | TransportError::TimedOut)) = (&kept, &outcome) {
            self.replace(used);
        }
        outcome
    }

    /// Drops the kept connections of a client that had a dead one. Calls that are under way on them go on. Once for each client: of
    /// many calls that fail together, the first one does it, and the next client has to fail a call before it is replaced in turn.
    fn replace(&self, used: &Arc<reqwest::Client>) {
        let inner = &self.0;
        let _one = inner.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&inner.kept.load(), used) {
            return;
        }
        match inner.maker.make(Over::Kept) {
            Ok(client) => {
                inner.kept.store(Arc::new(client));
                tracing::info!("the kept connections to an authority were dropped: a call over one of them got no answer");
                if let Some(replaced) = inner.replaced.get() {
                    replaced.inc();
                }
            }
            Err(problem) => tracing::error!(reason = %problem.reason, "the kept connections to an authority cannot be replaced"),
        }
    }
}

// === impl Inner ===

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one door out")]
async fn exchange(
    client: &reqwest::Client,
    span: &Span,
    context: Context,
    outgoing: Outgoing<'_>,
) -> Result<Reply, TransportError> {
    let host = outgoing.url.host_str().unwrap_or_default();
    let classify = |error| classify(error, host);
    let mut request = client.request(outgoing.method, outgoing.url.clone()).headers(outgoing.headers);
    if context.trace.is_some() {
        request = request.header("traceparent", context.trace.to_string());
        if let Some(state) = context.state {
            request = request.header("tracestate", &*state);
        }
    }
    if let Some(body) = outgoing.body {
        let text = body.expose().to_owned();
        request = match outgoing.until {
            Some(until) => request.body(reqwest::Body::wrap(Until::new(text, until))),
            None => request.body(text),
        };
    }
    let mut response = request.send().await.map_err(classify)?;
    telemetry::call_answered(span, response.status().as_u16());
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(classify)? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(TransportError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, headers, body: body.freeze() })
}

// === impl Outgoing ===

impl Outgoing<'_> {
    /// Its span, if it is traced. `resend`: how often it was sent before.
    pub fn span(&self, context: &Context, resend: i64) -> Span {
        let host = self.url.host_str().unwrap_or_default();
        telemetry::call_span(context, host, self.method.as_str(), self.purpose, resend)
    }
}

// === impl TransportError ===

impl TransportError {
    /// For spans; the labels of metrics say the same.
    fn as_str(&self) -> &'static str {
        match self {
            Self::Connect(_) => "unreachable",
            Self::Broken(_) => "broken",
            Self::TimedOut => "timeout",
            Self::TooLarge => "invalid_answer",
        }
    }
}

/// Reqwest's errors quote URLs: what goes further has their causes without.
fn classify(error: reqwest::Error, host: &str) -> TransportError {
    let error = error.without_url();
    let cause = Cause::of(&error, host);
    if error.is_timeout() && !error.is_connect() {
        TransportError::TimedOut
    } else if error.is_connect() || TooLate::is_cause_of(&error) {
        TransportError::Connect(cause)
    } else {
        TransportError::Broken(cause)
    }
}
